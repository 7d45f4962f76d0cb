"""Running quantiles and the quantile that fits each trace."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.traces.baseline import baseline_quantile, running_baseline, running_quantile


@pytest.mark.parametrize(
    ("n_frames", "half", "fraction"), [(300, 20, 0.1), (151, 75, 0.5), (60, 300, 0.3), (90, 4, 1.0)]
)
def test_running_quantile_is_that_of_each_window(n_frames, half, fraction):
    rng = np.random.default_rng(0)
    traces = np.round(rng.standard_normal((3, n_frames)), 1).astype(np.float32)
    traces[1, rng.integers(0, n_frames, n_frames // 5)] = np.nan
    result = running_quantile(traces, np.full(3, fraction), half_frames=half, fast=False, threads=1)
    for k in range(3):
        for t in range(n_frames):
            window = traces[k, max(0, t - half) : t + half + 1]
            assert result[k, t] == pytest.approx(np.nanpercentile(window, 100 * fraction), abs=1e-5)


def test_window_without_a_finite_frame_is_nan_and_nothing_else():
    traces = np.arange(100, dtype=np.float32)[None]
    traces[0, 40:60] = np.nan
    result = running_quantile(traces, np.array([0.5]), half_frames=5, fast=False, threads=1)
    np.testing.assert_array_equal(np.isnan(result[0]), (np.arange(100) >= 45) & (np.arange(100) <= 54))


def test_window_longer_than_the_trace_takes_all_of_it():
    traces = np.random.default_rng(0).standard_normal((1, 200)).astype(np.float32)
    result = running_quantile(traces, np.array([0.25]), half_frames=5000, fast=False, threads=1)
    np.testing.assert_allclose(result, np.percentile(traces, 25), rtol=1e-5)


def test_fast_quantile_is_close_to_the_exact_one():
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.standard_normal(6000)) / 20
    traces = (slow + rng.standard_normal((2, 6000))).astype(np.float32)
    exact = running_quantile(traces, np.full(2, 0.3), half_frames=300, fast=False, threads=1)
    fast = running_quantile(traces, np.full(2, 0.3), half_frames=300, fast=True, threads=1)
    assert np.abs(fast - exact).max() < 0.5
    assert np.abs(fast - exact).mean() < 0.1
    assert not np.array_equal(fast, exact)


def test_quiet_level_of_a_sparse_trace_is_its_median_and_of_a_busy_one_lower():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2, 6000))
    busy = np.where(np.arange(6000) % 300 < 150, 20.0 * (1 - np.arange(6000) % 300 / 300), 0.0)
    traces = (noise + np.array([[0], [1]]) * busy).astype(np.float32)
    sparse, active = baseline_quantile(traces, 1200, threads=1)
    assert 0.42 <= sparse <= 0.5
    assert 0.15 <= active <= 0.35


def test_bright_first_window_does_not_decide():
    rng = np.random.default_rng(0)
    quiet = rng.standard_normal(6000)
    bright = quiet.copy()
    bright[:600] += 30 + 10 * rng.standard_normal(600)
    found = baseline_quantile(np.stack([quiet, bright]).astype(np.float32), 600, threads=1)
    assert abs(found[1] - found[0]) < 0.03
    level = running_quantile(bright[None].astype(np.float32), found[1:], half_frames=300, fast=False, threads=1)
    assert np.abs(level[0, 1000:]).max() < 0.5


@pytest.mark.parametrize("value", [0.0, 4.0])
def test_constant_and_missing_traces_have_a_quantile(value):
    traces = np.full((2, 500), value, np.float32)
    traces[1] = np.nan
    assert np.isfinite(baseline_quantile(traces, 100, threads=1)).all()


@pytest.mark.parametrize("fast", [False, True])
def test_baseline_follows_a_steep_trend_to_the_very_ends(fast):
    rng = np.random.default_rng(0)
    trend = np.linspace(100, 40, 2400)
    traces = (trend + rng.standard_normal((1, 2400)) + 20 * (np.arange(2400) % 200 < 20)).astype(np.float32)
    level = running_baseline(traces, np.array([0.45]), half_frames=600, fast=fast, threads=1)
    np.testing.assert_allclose(level[0], trend, atol=1.5)
    assert (
        np.abs(running_quantile(traces, np.array([0.45]), half_frames=600, fast=fast, threads=1)[0] - trend).max() > 5
    )


def test_baseline_of_a_short_or_gappy_trace_is_its_running_quantile():
    traces = np.random.default_rng(0).standard_normal((2, 20)).astype(np.float32)
    traces[1, :15] = np.nan
    fractions = np.array([0.2, 0.2])
    np.testing.assert_array_equal(
        running_baseline(traces, fractions, half_frames=5, fast=False, threads=1),
        running_quantile(traces, fractions, half_frames=5, fast=False, threads=1),
    )
