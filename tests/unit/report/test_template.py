"""Templates: what comes from outside is text, and a part that is missing is an error."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from caiman_pipeline.batch.states import RecordingState
from caiman_pipeline.report.batch_page import build_batch_page
from caiman_pipeline.report.template import fill

EVIL = '<b onclick="x">\'&'


def test_texts_are_escaped_and_html_is_not():
    html = fill("motion", charts=Markup("<svg></svg>"), numbers=[(EVIL, EVIL)], means="<i>", brightness=Markup())
    assert "<svg></svg>" in html
    assert "<b" not in html
    assert "<i>" not in html
    assert html.count("&lt;b onclick=&#34;x&#34;&gt;&#39;&amp;") == 2


def test_a_missing_part_is_an_error():
    with pytest.raises(UndefinedError, match="brightness"):
        fill("motion", charts="", numbers=[], means="")


def test_every_text_of_the_batch_page_is_escaped(tmp_path):
    folder = tmp_path / 'a "quoted" <folder>'
    state = RecordingState(EVIL, "failed", stage=EVIL, reason=EVIL, log=f"{EVIL}.log")
    (folder / EVIL / "logs").mkdir(parents=True)
    page = build_batch_page([state, RecordingState("m 1", "ok", cells_accepted=0, cells_found=3)], folder)
    body = page.split("<body>")[1].split("<script>")[0]
    assert "<b onclick" not in body
    assert "<folder>" not in body
    assert re.search(r'href="(%\w\w|[\w/.])+"', body), "links are quoted"
    assert '<a href="m%201/report/m%201.html">m 1</a>' in body
    assert "<b>0</b> of 3" in body


def test_the_batch_page_names_no_folder_of_the_machine(tmp_path):
    state = RecordingState("a", "failed", stage="inspect", reason="/home/jane/raw data/m.tif: is cut short.")
    page = build_batch_page([state], tmp_path)
    assert "m.tif: is cut short." in page
    assert "jane" not in page
