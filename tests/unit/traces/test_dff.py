"""F0 and DF/F: right where there is a baseline, NaN and flagged where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.model.background import SummedBackground
from caiman_pipeline.results.files import load_result, save_result
from caiman_pipeline.results.stored_rows import StoredRows
from caiman_pipeline.traces import dff
from caiman_pipeline.traces.dff import DffMethod, background_under, relative_fluorescence, slow_level

PLAIN = DffMethod(kind="dff", window_frames=600, quantile=None, fast=False)


def transients(n_frames=3000, every=300, decay=20, height=1.0):
    """Return one transient every so many frames, each decaying from ``height``."""
    phase = np.arange(n_frames) % every
    return height * np.exp(-phase / decay)


def fluorescence(f0, noise=1.0, seed=0):
    """Return float32 (1, T): resting level ``f0``, transients of half of it, and noise."""
    level = f0 * (1 + 0.5 * transients())
    return (level + noise * np.random.default_rng(seed).standard_normal(len(level)))[None].astype(np.float32)


def relate(traces, method=PLAIN, background=None, noise=1.0, model=None, transients=None):
    under = np.zeros_like(traces) if background is None else background
    return relative_fluorescence(
        traces,
        under,
        np.full(len(traces), noise),
        method,
        model=traces if model is None else model,
        transients=transients,
        threads=1,
    )


def test_known_level_and_peak_are_recovered():
    result = relate(fluorescence(100.0))
    np.testing.assert_allclose(result.f0, 100.0, rtol=0.05)
    peaks = result.values[0, ::300]
    assert peaks.mean() == pytest.approx(0.5, rel=0.05)
    assert not result.invalid.any()


def test_level_of_a_cell_that_never_rests_is_found_once_its_transients_are_taken_out():
    shape = 60.0 * transients(every=25)
    traces = (100.0 + shape + np.random.default_rng(0).standard_normal(3000))[None].astype(np.float32)
    known = relate(traces, transients=shape[None].astype(np.float32))
    np.testing.assert_allclose(known.f0, 100.0, rtol=0.01)
    assert (relate(traces).f0 > 110).all(), "no frame of the trace is at rest"
    given = relate(traces, method=replace(PLAIN, quantile=8.0), transients=shape[None].astype(np.float32))
    assert (given.f0 > 110).all(), "a quantile that is named is that of the trace"


def test_background_under_the_footprint_belongs_to_f0():
    traces = fluorescence(100.0)
    result = relate(traces, background=np.full_like(traces, 300.0))
    np.testing.assert_allclose(result.f0, 400.0, rtol=0.02)
    assert result.values[0, ::300].mean() == pytest.approx(0.125, rel=0.05)


def test_fluctuating_background_enters_f0_by_its_running_median():
    traces = fluorescence(100.0)
    fast = 300 + 200 * np.sin(np.arange(3000) * 0.7)[None]
    result = relate(traces, background=fast.astype(np.float32))
    np.testing.assert_allclose(result.f0, 400.0, rtol=0.05)


@pytest.mark.parametrize("level", [0.0, -50.0])
def test_level_that_is_not_positive_gives_nan_and_a_mark(level):
    traces = fluorescence(100.0) - 100.0 + level
    result = relate(traces.astype(np.float32))
    assert result.invalid.all()
    for related in (result.values, result.denoised, result.f0):
        assert np.isnan(related).all()
    np.testing.assert_array_equal(result.fluorescence, traces.astype(np.float32))
    assert np.isfinite(relate(traces.astype(np.float32), replace(PLAIN, kind="detrended")).f0).all()


def test_only_the_frames_without_a_level_are_nan():
    level = np.where(np.arange(4000) < 2000, 100.0, -5.0)
    traces = (level + np.random.default_rng(0).standard_normal(4000))[None].astype(np.float32)
    result = relate(traces, replace(PLAIN, window_frames=200))
    assert np.isfinite(result.values[0, :1800]).all()
    assert np.isnan(result.values[0, 2200:]).all()
    np.testing.assert_array_equal(np.isnan(result.f0), np.isnan(result.values))
    assert result.invalid[0]


def test_quantile_matters():
    traces = fluorescence(100.0)
    low, high = (relate(traces, replace(PLAIN, quantile=q)) for q in (8.0, 50.0))
    assert (high.f0 > low.f0 + 0.5).all()
    np.testing.assert_array_equal(low.quantile, 8.0)


def test_slow_bleaching_is_followed():
    bleaching = np.linspace(1.0, 0.5, 3000)
    traces = (fluorescence(100.0, noise=0.0) * bleaching + np.random.default_rng(0).standard_normal(3000)).astype(
        np.float32
    )
    result = relate(traces)
    np.testing.assert_allclose(result.f0[0], 100 * bleaching, rtol=0.06)
    first, last = result.values[0, 300:1200:300].mean(), result.values[0, 2100:3000:300].mean()
    assert last == pytest.approx(first, rel=0.1)


@pytest.mark.parametrize("window", [100_000, 3000, 2])
def test_any_window_gives_finite_values(window):
    result = relate(fluorescence(100.0), replace(PLAIN, window_frames=window))
    assert np.isfinite(result.values).all()


def test_bright_first_window_does_not_set_the_level():
    traces = fluorescence(100.0)
    traces[0, :600] += 200 + 40 * np.random.default_rng(1).standard_normal(600)
    result = relate(traces)
    np.testing.assert_allclose(result.f0[0, 1200:], 100.0, rtol=0.05)


def test_one_cell_or_many_give_the_same():
    traces = np.concatenate([fluorescence(f, seed=i) for i, f in enumerate((100.0, 20.0, 500.0))])
    together = relate(traces)
    for k in range(3):
        alone = relate(traces[k : k + 1])
        np.testing.assert_array_equal(alone.values[0], together.values[k])
        np.testing.assert_array_equal(alone.f0[0], together.f0[k])


def test_kinds_differ_as_named():
    traces = fluorescence(100.0, noise=2.0)
    dff, detrended, over_noise = (
        relate(traces, replace(PLAIN, kind=k), noise=2.0) for k in ("dff", "detrended", "dff_over_noise")
    )
    np.testing.assert_allclose(detrended.values, dff.values * dff.f0, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(over_noise.values, detrended.values / 2.0, rtol=1e-5)
    for result in (detrended, over_noise):
        np.testing.assert_array_equal(result.f0, dff.f0)


def test_without_background_one_photon_traces_are_detrended_not_divided():
    traces = fluorescence(100.0) - 100.0
    detrended = relate(traces, replace(PLAIN, kind="detrended"))
    assert np.isfinite(detrended.values).all()
    assert not detrended.invalid.any()


def bright_and_noisy():
    """Return a trace around zero, as demixed ones are, and a strong background with a slow and a fast part."""
    rng, frames = np.random.default_rng(3), np.arange(3000)
    traces = fluorescence(20.0) - 30.0
    under = 2000.0 * np.exp(-frames / 8000) + 150 * rng.standard_normal(3000)
    return traces, under[None].astype(np.float32)


@pytest.mark.parametrize("kind", ["dff", "detrended", "dff_over_noise"])
def test_what_is_related_is_made_of_the_very_series(kind):
    traces, under = bright_and_noisy()
    traces[0, 400:420] = np.nan
    method = replace(PLAIN, kind=kind)
    result = relate(traces, method, background=under, noise=2.0)
    assert np.nanmedian(result.fluorescence) > 0
    np.testing.assert_array_equal(result.fluorescence, traces + slow_level(under, method, threads=1))
    unit = {"dff": result.f0, "detrended": 1, "dff_over_noise": 2}[kind]
    np.testing.assert_array_equal(result.values, (result.fluorescence - result.f0) / unit)
    np.testing.assert_array_equal(np.isnan(result.values), np.isnan(traces))


def test_slow_light_enters_the_fluorescence_and_fast_light_does_not():
    traces, under = bright_and_noisy()
    result = relate(traces, background=under)
    level = result.fluorescence - traces
    np.testing.assert_allclose(level[0], 2000.0 * np.exp(-np.arange(3000) / 8000), rtol=0.03)
    assert np.diff(level).std() < 0.02 * np.diff(under).std()
    quiet = relate(traces, background=np.zeros_like(under), method=replace(PLAIN, kind="detrended"))
    above = result.fluorescence - result.f0
    np.testing.assert_allclose(above, quiet.values, atol=1e-3)


def test_the_model_is_related_to_the_same_level_beside_the_noisy_trace():
    traces, clean = fluorescence(100.0), fluorescence(100.0, noise=0.0)
    result = relate(traces, model=clean)
    np.testing.assert_array_equal(result.values, relate(traces).values)
    assert result.denoised[0, 150:300].std() < 0.3 * result.values[0, 150:300].std()
    assert np.corrcoef(result.values[0], result.denoised[0])[0, 1] > 0.98
    np.testing.assert_array_equal(result.denoised, (clean - result.f0) / result.f0)


def test_gaps_stay_gaps_and_do_not_spread():
    traces, under = bright_and_noisy()
    whole = relate(traces, background=under)
    traces[0, 700:760], under[0, 710:760] = np.nan, np.nan
    result = relate(traces, background=under, model=np.where(np.isnan(traces), np.nan, traces))
    for related in (result.values, result.denoised, result.fluorescence, result.f0):
        np.testing.assert_array_equal(np.isnan(related), np.isnan(traces))
    there = np.isfinite(traces)
    np.testing.assert_allclose(result.f0[there], whole.f0[there], rtol=0.02)
    assert not result.invalid.any()


def test_fast_level_is_close():
    exact, fast = relate(fluorescence(100.0)), relate(fluorescence(100.0), replace(PLAIN, fast=True))
    np.testing.assert_allclose(fast.f0, exact.f0, rtol=0.02)
    assert not np.array_equal(fast.f0, exact.f0)


def test_background_is_seen_through_the_footprint():
    rng = np.random.default_rng(0)
    footprints = csc_matrix((rng.random((30, 4)) * (rng.random((30, 4)) < 0.4)).astype(np.float32))
    background = SummedBackground(
        rng.random(30).astype(np.float32) + 50,
        csc_matrix(rng.random((30, 2)).astype(np.float32)),
        rng.random((2, 70)).astype(np.float32),
    )
    movie = background.static[:, None] + background.spatial @ background.signals
    under = background_under(background, csr_matrix(footprints.T), dark_level=40.0)
    np.testing.assert_allclose(under, footprints.T @ (movie - 40.0), rtol=1e-4)
    still = SummedBackground(background.static, csc_matrix((30, 0), dtype=np.float32), np.zeros((0, 70), np.float32))
    seen = background_under(still, csr_matrix(footprints.T), dark_level=0.0)
    assert seen.shape == (4, 70)
    np.testing.assert_allclose(seen, np.tile((footprints.T @ background.static)[:, None], 70), rtol=1e-4)


def test_background_signals_that_stay_in_their_file_are_read_a_few_at_a_time(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    spatial = np.zeros((40, 20), np.float32)
    spatial[np.arange(40), np.arange(40) // 2] = rng.random(40)
    signals = rng.random((20, 70)).astype(np.float32)
    footprints = csr_matrix(np.eye(4, 40, 18) + np.eye(4, 40, 21), dtype=np.float32)
    save_result(tmp_path / "c.h5", kind="k", arrays={"signals": signals}, settings={}, source={})
    stored = load_result(tmp_path / "c.h5", "k", stored=("signals",))["signals"]
    static = rng.random(40).astype(np.float32)
    whole = background_under(SummedBackground(static, csc_matrix(spatial), signals), footprints, dark_level=0.0)
    read, get = [], StoredRows.__getitem__

    def counted(table, key):
        read.append(get(table, key).shape)
        return get(table, key)

    monkeypatch.setattr(StoredRows, "__getitem__", counted)
    monkeypatch.setattr(dff, "FRAMES_AT_ONCE", 32)
    near = background_under(SummedBackground(static, csc_matrix(spatial), stored), footprints, dark_level=0.0)
    np.testing.assert_array_equal(near, whole)
    assert max(n for n, _ in read) <= 2, "a footprint of two pixels has two nodes around it at most"
    assert max(n for _, n in read) <= 32
