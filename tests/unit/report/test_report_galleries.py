"""Galleries: which components they show, in which order, with what beside them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from caiman_pipeline.config.report import ReportSettings
from caiman_pipeline.report import figures, galleries
from caiman_pipeline.report.page import _galleries


@pytest.fixture
def shown(make_outcome):
    outcome = make_outcome()
    return figures.draw_field(outcome, contour_level=0.35), outcome


def ids_in(html: str) -> list[int]:
    return [int(i) for i in re.findall(r"<b>(\d+)</b>", html)]


def with_snr(outcome, accepted, snr):
    quality = replace(outcome.quality, snr=np.array(snr, np.float32))
    return replace(outcome, quality=quality, selection=replace(outcome.selection, accepted=np.array(accepted)))


def test_rejected_gallery_starts_with_the_closest_call(shown) -> None:
    field, outcome = shown
    html = galleries.rejected_gallery(field, outcome, count=2)
    assert ids_in(html) == [outcome.components.ids[i] for i in (2, 1)]
    assert galleries.rejected_gallery(field, outcome, count=0) == ""


def test_accepted_gallery_starts_with_the_highest_signal_to_noise(shown) -> None:
    field, outcome = shown
    n = outcome.components.n_components
    outcome = with_snr(outcome, [True] * (n - 1) + [False], np.arange(n) + 1)
    rows = galleries.accepted_rows(outcome, 48)
    assert list(rows) == list(range(n - 2, -1, -1))
    html = galleries.accepted_gallery(field, outcome, rows)
    assert ids_in(html) == [outcome.components.ids[i] for i in rows]
    assert html.count('<svg class="trace"') == len(rows)
    assert html.count('class="calcium"') == html.count('class="raw"') == len(rows)


def test_of_many_accepted_some_of_every_rank_are_shown_with_a_note(shown) -> None:
    field, outcome = shown
    n = outcome.components.n_components
    outcome = with_snr(outcome, [True] * n, np.arange(n) + 1)
    assert list(galleries.accepted_rows(outcome, 3)) == [n - 1, (n - 1) // 2, 0]
    some = _galleries(field, outcome, ReportSettings(max_accepted_gallery=3))
    assert f"3 of {n}, evenly spaced" in some
    assert len(ids_in(some)) == 3
    assert "evenly spaced" not in _galleries(field, outcome, ReportSettings(max_accepted_gallery=n))
    assert 'class="gallery' not in _galleries(field, outcome, ReportSettings(max_accepted_gallery=0))


def test_a_picture_of_a_long_recording_stays_small(shown) -> None:
    field, outcome = shown
    n = outcome.components.n_components
    long = {name: np.tile(getattr(outcome.components, name), (1, 200)) for name in ("denoised", "residual")}
    traces = {name: np.tile(getattr(outcome.traces, name), (1, 200)) for name in ("denoised", "f0", "dff")}
    outcome = with_snr(outcome, [True] * n, np.ones(n))
    short = len(galleries.accepted_gallery(field, outcome, np.arange(n)))
    outcome = replace(outcome, components=replace(outcome.components, **long), traces=replace(outcome.traces, **traces))
    assert len(galleries.accepted_gallery(field, outcome, np.arange(n))) < 1.5 * short + 4000 * n


def test_traces_without_a_number_are_drawn_with_gaps(shown) -> None:
    field, outcome = shown
    for name in ("denoised", "residual"):
        getattr(outcome.components, name)[0] = np.nan
    html = galleries.accepted_gallery(field, outcome, np.array([0, 1]))
    assert "nan" not in html.lower()
    assert html.count("<figure>") == 2
