from __future__ import annotations

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from caiman_pipeline.report import activity
from caiman_pipeline.report.charts import Axis, Series, envelope, line_chart, nice_number, polyline, scatter_chart


@pytest.mark.parametrize(("value", "nice"), [(0.7, 1), (1.04, 1), (1.2, 2), (3.4, 5), (78, 100), (0.013, 0.02), (0, 1)])
def test_nice_numbers(value, nice):
    assert nice_number(value) == pytest.approx(nice)


def test_envelope_keeps_extremes_and_passes_over_missing_values():
    values = np.zeros((2, 1000), np.float32)
    values[0, 123], values[0, 777], values[1, 500:520] = 9, -4, np.nan
    reduced = envelope(values, 50)
    assert reduced.shape == (2, 100)
    assert np.nanmax(reduced) == 9
    assert np.nanmin(reduced) == -4
    assert np.isfinite(envelope(values, 20)).all()
    assert np.isnan(reduced[1]).sum() == 2
    np.testing.assert_array_equal(envelope(values, 500), values)


def test_line_breaks_where_values_are_missing():
    path = polyline(np.arange(6.0), np.array([0, 2, np.nan, 4, 6, 8.0]))
    assert path == "M0 0l1 2M3 4l1 2 1 2"
    assert polyline(np.arange(3.0), np.full(3, np.nan)) == ""


def test_axis_places_and_labels_round_values():
    assert Axis(0, 100, "t").ticks(5) == [0, 20, 40, 60, 80, 100]
    assert Axis(0.5, 30, "snr", log=True).ticks() == [0.5, 1, 2, 5, 10, 20]
    assert float(Axis(1, 100, "snr", log=True).place(10)) == pytest.approx(0.5)
    assert float(Axis(-2, 2, "y").place(1)) == pytest.approx(0.75)


def test_line_chart_has_a_line_a_legend_and_marks():
    series = [Series("up", "#111111", np.arange(50.0)), Series("down", "#222222", -np.arange(50.0))]
    svg = line_chart(series, Axis(0, 5, "time (s)"), Axis(-50, 50, "px"), marks=np.array([1.0, 2.0]))
    assert svg.count('class="line"') == 2
    assert svg.count('class="mark"') == 2
    assert ">up</text>" in svg
    assert ">time (s)</text>" in svg


def test_scatter_draws_each_point_over_the_region_and_escapes_titles():
    points = np.array([[1, 0.2], [10, 0.9], [np.nan, 0.5]])
    svg = scatter_chart(
        points,
        Axis(0.5, 20, "x", log=True),
        Axis(0, 1, "y"),
        classes=["no", "yes", "no"],
        titles=["<a>", "b", "c"],
        region=np.array([[0.1, 1], [2, 0.5], [20, 1]]),
    )
    assert re.findall(r'class="dot (\w+)" data-k="(\d)"', svg) == [("no", "0"), ("yes", "1")]
    corners = re.search(r'class="region" points="([^"]+)"', svg)[1].split()
    assert corners[0] == "52.0,10.0"
    assert len(corners) == 3
    assert "&lt;a&gt;" in svg


def decode(payload, row):
    points = payload["raw"] + payload["denoised"]
    data = np.frombuffer(base64.b64decode(payload["data"]), np.uint8).reshape(-1, points)[row].astype(float)
    low, high = payload["low"][row], payload["high"][row]
    values = np.where(data == 0, np.nan, low + (data - 1) / 254 * (high - low))
    return values[: payload["raw"]], values[payload["raw"] :]


def test_viewer_gets_every_trace_to_within_one_step(make_outcome):
    outcome = make_outcome()
    payload = activity.viewer_payload(outcome)
    assert payload["rows"] == list(range(7))
    assert payload["units"] == ["ΔF/F"] * 7
    for row in range(7):
        raw, denoised = decode(payload, row)
        step = (payload["high"][row] - payload["low"][row]) / 254
        np.testing.assert_allclose(raw, outcome.traces.dff[row], atol=step)
        np.testing.assert_allclose(denoised, outcome.traces.dff_denoised[row], atol=step)


def test_viewer_shows_gaps_where_there_is_no_dff(make_outcome):
    outcome = make_outcome()
    dff = outcome.traces.dff.copy()
    dff[2, 10:20], dff[3] = np.nan, np.nan
    payload = activity.viewer_payload(replace(outcome, traces=replace(outcome.traces, dff=dff)))
    assert np.isnan(decode(payload, 2)[0]).sum() == 10
    assert payload["units"][2:4] == ["ΔF/F", "noise s.d."]
    np.testing.assert_allclose(decode(payload, 3)[1], outcome.traces.denoised[3], atol=0.2)


def test_viewer_keeps_its_size_and_drops_the_weakest_rejected_first(make_outcome, monkeypatch):
    monkeypatch.setattr(activity, "VIEWER_BYTES", 4 * 100 * 5)
    outcome = make_outcome(n_frames=2000)
    payload = activity.viewer_payload(outcome)
    assert payload["rows"] == [2, 3, 4, 5, 6]
    assert len(base64.b64decode(payload["data"])) <= 4 * 100 * 5


def test_traces_without_dff_are_in_units_of_noise(make_outcome):
    outcome = make_outcome(dff_kind="detrended")
    raw, denoised, is_dff = activity.relative_traces(outcome, np.array([1, 4]))
    assert not is_dff.any()
    np.testing.assert_allclose(denoised, outcome.traces.denoised[[1, 4]])
    np.testing.assert_allclose(raw, (outcome.components.denoised + outcome.components.residual)[[1, 4]] - 5)


def test_similar_traces_become_neighbours():
    rng = np.random.default_rng(3)
    groups = rng.random((3, 400)) > 0.9
    member = np.array([0, 1, 2] * 8)
    traces = (groups[member] + 0.05 * rng.random((24, 400))).astype(np.float32)
    order = activity.similarity_order(traces)
    assert sorted(order) == list(range(24))
    assert np.count_nonzero(np.diff(member[order])) == 2


@pytest.mark.parametrize("wrong", [0.0, np.nan])
def test_trace_without_activity_has_a_scale(wrong):
    flat = np.full(9, wrong)
    assert activity.trace_peak(flat, flat) == 1.0
    assert activity.trace_peak(np.array([0.0, 0.5]), flat[:2]) == 0.5


def test_stack_names_components_with_their_peaks_and_draws_a_time_bar(make_outcome):
    outcome = make_outcome(n_frames=600)
    rows = activity.best_rows(outcome, 3)
    np.testing.assert_array_equal(rows, [6, 5, 4])
    svg = activity.stack_figure(outcome, rows)
    assert re.findall(r'text-anchor="end">(\d+)<', svg) == [str(outcome.components.ids[r]) for r in rows]
    assert re.search(r">[\d.]+ s</text>", svg)
    peaks = [f"{outcome.traces.denoised[r].max() / 100:.0%}" for r in rows]
    assert re.findall(r">(\d+%) ΔF/F</text>", svg) == peaks
    assert svg.count('class="calcium"') == svg.count('class="raw"') == 3


def test_long_traces_are_read_one_at_a_time_and_drawn_the_same(make_outcome, monkeypatch):
    outcome = make_outcome()
    rows = activity.best_rows(outcome, 4)
    pages = [(activity.stack_figure(outcome, rows), activity.viewer_payload(outcome))]
    read, whole = [], activity.relative_traces

    def counted(outcome, rows):
        read.append(len(rows))
        return whole(outcome, rows)

    monkeypatch.setattr(activity, "relative_traces", counted)
    monkeypatch.setattr(activity, "VALUES_AT_ONCE", outcome.traces.denoised.shape[1])
    pages.append((activity.stack_figure(outcome, rows), activity.viewer_payload(outcome)))
    assert pages[0] == pages[1]
    assert len(rows) > 1
    assert set(read) == {1}
