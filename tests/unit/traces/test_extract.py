"""The stage: components in, traces out, the same however the work is split."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csc_matrix
from spike_trains import simulate, smooth_correlation

from caiman_pipeline.cli.traces import add_arguments, run
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.model.components import Components
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.records import components_to_arrays, traces_from_result
from caiman_pipeline.traces.dff import slow_level
from caiman_pipeline.traces.extract import dff_method, extract_traces
from caiman_pipeline.traces.timing import timing_from

DIMS = (17, 29)
LEVEL = 80.0


@pytest.fixture(autouse=True)
def _restore_environment(monkeypatch):
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    for name in ("NUMBA_NUM_THREADS", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, os.environ.get(name, str(os.cpu_count()) if "NUMBA" in name else "passive"))


def components(n_cells=4, n_frames=1500, frames_per_bin=1, static=LEVEL, seed=0):
    """Return components with flat footprints of 9 pixels over a background of ``static``, spikes and calcium."""
    rng = np.random.default_rng(seed)
    footprints = np.zeros((np.prod(DIMS), n_cells), np.float32)
    for k in range(n_cells):
        footprints[40 * k : 40 * k + 9, k] = 1 / 3
    _, spikes, calcium = simulate(1, n_cells, n_frames, rate=0.008, seed=seed)
    raw = 30 * calcium + 4 * rng.standard_normal(calcium.shape)
    temporal = rng.standard_normal((2, n_frames)).astype(np.float32)
    spatial = csc_matrix(np.full((np.prod(DIMS), 2), 0.5, np.float32))
    return (
        Components(
            dims=DIMS,
            ids=np.arange(n_cells) * 5 + 1,
            footprints=csc_matrix(footprints),
            denoised=(30 * calcium).astype(np.float32),
            residual=(raw - 30 * calcium).astype(np.float32),
            background=SummedBackground(np.full(np.prod(DIMS), static, np.float32), spatial, temporal),
            noise=np.ones(np.prod(DIMS), np.float32),
            frames_per_bin=frames_per_bin,
        ),
        spikes,
        calcium,
    )


def extract(given, threads=1, **changes):
    return extract_traces(
        given,
        TraceSettings(**changes),
        timing_from(30.0, 0.6),
        pixel_height=1.0,
        threads=threads,
        progress=lambda done, total: None,
    )


def test_activity_level_and_relative_fluorescence_are_as_planted():
    given, spikes, calcium = components()
    traces = extract(given)
    for k in range(4):
        assert smooth_correlation(traces.deconvolved[k], spikes[k], 4) > 0.9
        assert np.corrcoef(traces.dff[k], calcium[k])[0, 1] > 0.85
        # A flat footprint of 9 pixels with unit norm sees 3 x the background; a unit of calcium adds 30.
        np.testing.assert_allclose(traces.f0[k], 3 * LEVEL, rtol=0.05)
        assert np.polyfit(calcium[k] * 30 / (3 * LEVEL), traces.dff[k], 1)[0] == pytest.approx(1.0, abs=0.1)
    np.testing.assert_array_equal(traces.ids, given.ids)
    assert traces.dff_kind == "dff"
    assert traces.flags == ("",) * 4


def test_event_columns_follow_the_spikes():
    given, spikes, _ = components(n_frames=3000)
    traces = extract(given)
    true = spikes.sum(1) / 100.0
    assert (traces.event_snr > 3).all()
    np.testing.assert_allclose(traces.event_rate_hz, true, rtol=0.35)
    assert (extract(given, event_height=30.0).event_rate_hz < traces.event_rate_hz).all()


def test_the_relative_fluorescence_is_measured_and_the_models_is_beside_it():
    given, _, calcium = components()
    traces = extract(given)
    demixed = given.denoised + given.residual
    for k in range(4):
        assert np.corrcoef(traces.dff[k], demixed[k])[0, 1] > 0.99
        assert np.corrcoef(traces.dff_denoised[k], calcium[k])[0, 1] > 0.97
        frame_noise = (
            np.diff(v[k]).std() * traces.f0[k].mean() / np.diff(demixed[k]).std()
            for v in (traces.dff, traces.dff_denoised)
        )
        assert next(frame_noise) == pytest.approx(1.0, rel=0.02)
        assert next(frame_noise) < 0.4


@pytest.mark.parametrize("kind", ["dff", "detrended", "dff_over_noise"])
def test_the_tables_are_one_statement(kind):
    """F is the trace and the slow level of its background, and what is related follows from F and F0 to the bit."""
    given, _, _ = components()
    given.background.signals[0] += 40 * np.sin(np.arange(1500) / 3)
    traces = extract(given, dff_kind=kind)
    method = dff_method(TraceSettings(dff_kind=kind), timing_from(30.0, 0.6))
    demixed = given.denoised + given.residual
    np.testing.assert_array_equal(traces.fluorescence, demixed + slow_level(traces.background, method, threads=1))
    assert (np.median(traces.fluorescence, axis=1) > 2 * LEVEL).all()
    unit = {"dff": traces.f0, "detrended": 1, "dff_over_noise": traces.noise[:, None]}[kind]
    np.testing.assert_array_equal(traces.dff, (traces.fluorescence - traces.f0) / unit)
    light = given.footprints.T @ (
        given.background.static[:, None] + given.background.spatial @ given.background.signals
    )
    np.testing.assert_allclose(traces.background + traces.neighbours_light[:, None], light, rtol=1e-5)
    assert traces.background.std(1).min() > 20 > np.diff(traces.fluorescence - demixed).max()


CHANGES = {
    "dff_kind": {"dff_kind": "detrended"},
    "dff over noise": {"dff_kind": "dff_over_noise"},
    "f0_window_s": {"f0_window_s": 5.0},
    "f0_quantile": {"f0_quantile": 5.0},
    "f0_fast": {"f0_fast": True},
    "f0_from": {"f0_from": "trace"},
    "dark_level": {"dark_level": 40.0},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_of_the_relative_fluorescence_changes_it(name):
    given, _, _ = components()
    assert not np.array_equal(extract(given).dff, extract(given, **CHANGES[name]).dff)


def test_dark_level_is_not_part_of_the_level():
    given, _, _ = components(static=LEVEL + 100)
    np.testing.assert_allclose(extract(given, dark_level=100.0).f0, 3 * LEVEL, rtol=0.05)


def test_light_of_an_overlapping_neighbour_at_rest_is_not_part_of_the_level():
    given, _, _ = components()
    shapes = np.zeros((*DIMS, 4), np.float32)
    for k, (row, column) in enumerate([(4, 4), (4, 7), (12, 14), (12, 24)]):
        shapes[row - 2 : row + 3, column - 2 : column + 3, k] = 1
    shapes = shapes.reshape(-1, 4)
    rest = np.array([30.0, 120.0, 60.0, 0.0])
    static = (LEVEL + shapes @ rest).astype(np.float32)
    crowded = replace(given, footprints=csc_matrix(shapes / 5), background=replace(given.background, static=static))
    found = extract(crowded).f0.mean(1)
    np.testing.assert_allclose(found, 5 * (LEVEL + rest), rtol=0.05)


def test_component_without_background_is_flagged_not_divided_by_nearly_nothing():
    given, _, _ = components(static=0.0)
    traces = extract(given)
    assert all("f0_invalid" in f for f in traces.flags)
    for values in (traces.dff, traces.dff_denoised, traces.f0):
        assert not np.isfinite(values).any()
    assert np.isfinite(traces.fluorescence).all()
    detrended = extract(given, dff_kind="detrended")
    assert np.isfinite(detrended.dff).all()
    assert not any("f0_invalid" in f for f in detrended.flags)
    assert detrended.dff_kind == "detrended"


def test_nothing_depends_on_blocks_or_threads(monkeypatch):
    given, _, _ = components()
    whole = extract(given)
    monkeypatch.setattr("caiman_pipeline.traces.activity.BLOCK_VALUES", 1500)
    monkeypatch.setattr("caiman_pipeline.traces.activity.BLOCK_ROWS", 1)
    split = extract(given, threads=2)
    for name in set(vars(whole)) - {"flags", "dff_kind"}:
        np.testing.assert_array_equal(getattr(whole, name), getattr(split, name))


def test_no_components_are_a_result():
    given, _, _ = components(n_cells=0)
    traces = extract(given)
    assert traces.denoised.shape == (0, 1500)
    assert traces.flags == ()


def test_verb_reads_components_and_writes_traces(tmp_path):
    given, _, _ = components(n_frames=600, frames_per_bin=2)
    save_result(
        tmp_path / "components.h5",
        kind="components",
        arrays=components_to_arrays(given),
        settings={},
        source={"recording": "mouse"},
    )
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    settings = {"order": 1, "recording": {"frame_rate_hz": 60.0, "decay_time_s": 0.6}}
    run(
        parser.parse_args(
            [
                "--components",
                str(tmp_path / "components.h5"),
                "--traces",
                str(tmp_path / "traces.h5"),
                "--settings",
                json.dumps(settings),
            ]
        )
    )
    result = load_result(tmp_path / "traces.h5", "traces")
    traces, direct = traces_from_result(result), extract(given, order=1)
    np.testing.assert_array_equal(traces.deconvolved, direct.deconvolved)
    np.testing.assert_array_equal(traces.event_rate_hz, direct.event_rate_hz)
    assert traces.ar.shape == (4, 1)
    assert result.settings["order"] == 1
    assert result.source["recording"] == "mouse"
