from __future__ import annotations

import math
import re

import pytest

from caiman_pipeline.batch.starter import NOTES
from caiman_pipeline.config.indicators import (
    INDICATORS,
    find_indicators,
    hint,
    indicators_page,
    plain_name,
    unlike_table,
)


def test_every_row_has_a_source_and_a_decay_time():
    for row in INDICATORS:
        assert row.dois
        assert all(re.fullmatch(r"10\.\d{4,}/\S+", doi) for doi in row.dois)
        assert (row.recorded_s is None) != (row.recordings > 0)
        assert 0.05 < row.decay_time_s < 5
        assert (row.half_decay_ms is None) == (row.rise_ms is None) == (row.spike_conditions == "")


def test_the_decay_time_is_what_was_recorded_else_that_of_single_spikes():
    fast, culture = find_indicators("GCaMP6f")[0], find_indicators("jGCaMP8s")[0]
    assert fast.decay_time_s == fast.recorded_s[1]
    assert fast.spike_decay_s == pytest.approx(0.142 / math.log(2))
    assert culture.decay_time_s == pytest.approx(0.3067 / math.log(2), abs=0.005)


def test_names_are_found_however_they_are_written():
    assert {row.name for row in find_indicators("gcamp 8m")} == {"jGCaMP8m"}
    assert plain_name("jGCaMP7f") == plain_name("GCaMP-7f")
    assert len(find_indicators("GCaMP6f")) == 3
    assert find_indicators("GCaMP") == find_indicators("6f") == []


def test_a_decay_time_far_from_the_indicators_is_told():
    assert unlike_table("GCaMP6f", 0.4) == unlike_table("GCaMP6f", 2.5) == unlike_table("GCaMP", 400) == ""
    assert "is 400, and GCaMP6f decays in 0.2 to 3 s" in unlike_table("GCaMP6f", 400)
    assert "jGCaMP8f decays in" in unlike_table("GCaMP8f", 0.01)


def test_page_and_sheet_say_what_the_table_says():
    page = indicators_page()
    for row in INDICATORS:
        assert f"| {row.name} | {row.preparation} | {row.decay_time_s:g} |" in page
        assert all(f"https://doi.org/{doi}" in page for doi in row.dois)
    assert hint() in NOTES
    assert "GCaMP6f 0.57" in hint()
    assert "2.3" not in hint(), "of several preparations the first"
