"""Noise and coefficients of traces, estimated from the traces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter
from spike_trains import AR, simulate

from caiman_pipeline.numerics.noise import noise_level
from caiman_pipeline.traces.ar_model import (
    ar_coefficients,
    ar_roots,
    autocovariance,
    fill_gaps,
    fit_ar1,
    fit_ar2,
    nominal_coefficients,
)


@pytest.mark.parametrize("average", ["mean", "median", "logmexp"])
@pytest.mark.parametrize("n_frames", [200, 3000])
def test_noise_level_is_unbiased(average, n_frames):
    traces = 2.5 * np.random.default_rng(0).standard_normal((60, n_frames)) + 100
    level = noise_level(traces.astype(np.float32), band=(0.25, 0.5), average=average)
    assert abs(level.mean() / 2.5 - 1) < 0.03
    assert level.std() / 2.5 < 0.15


def test_noise_level_is_that_of_the_noise_not_of_the_signal():
    traces, _, calcium = simulate(2, n_traces=10, n_frames=4000)
    level = noise_level(traces, band=(0.25, 0.5), average="mean")
    assert calcium.std() > 0.5
    np.testing.assert_allclose(level, 0.3, rtol=0.1)


def test_noise_band_decides_what_counts_as_noise():
    traces, _, _ = simulate(1, n_traces=10, n_frames=4000)
    low = noise_level(traces, band=(0.0, 0.1), average="mean")
    high = noise_level(traces, band=(0.25, 0.5), average="mean")
    assert (low > 1.2 * high).all()


def test_noise_of_a_trace_with_gaps_is_that_of_its_present_frames():
    traces = np.random.default_rng(1).standard_normal((20, 3000)).astype(np.float32)
    traces[:, 500:1400] = np.nan
    np.testing.assert_allclose(noise_level(traces, band=(0.25, 0.5), average="mean"), 1.0, rtol=0.1)


def test_same_noise_for_any_number_of_threads():
    traces = np.random.default_rng(2).standard_normal((5, 1000)).astype(np.float32)
    one, two = (noise_level(traces, band=(0.25, 0.5), average="mean", threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("order", [1, 2])
def test_coefficients_are_recovered(order):
    rng = np.random.default_rng(0)
    calcium = lfilter([1], [1, *(-np.array(AR[order]))], rng.standard_normal((5, 60_000)))
    noise = np.full(5, 0.5 * calcium.std())
    traces = (calcium + noise[0] * rng.standard_normal(calcium.shape)).astype(np.float32)
    found, fallback = ar_coefficients(traces, noise, order=order, lags=5, fudge_factor=1.0, nominal=AR[order])
    assert not fallback.any()
    np.testing.assert_allclose(found, np.tile(AR[order], (5, 1)), atol=0.06)
    holed = traces.copy()
    holed[:, 20_000:30_000] = np.nan
    same, _ = ar_coefficients(holed, noise, order=order, lags=5, fudge_factor=1.0, nominal=AR[order])
    np.testing.assert_allclose(same, found, atol=0.06)


def test_fudge_factor_scales_the_roots():
    traces, _, _ = simulate(2, n_frames=5000)
    noise = np.full(3, 0.3)
    plain, _ = ar_coefficients(traces, noise, order=2, lags=5, fudge_factor=1.0, nominal=AR[2])
    less, _ = ar_coefficients(traces, noise, order=2, lags=5, fudge_factor=0.9, nominal=AR[2])
    np.testing.assert_allclose(less, plain * [0.9, 0.81], rtol=1e-6)


def test_lags_matter():
    traces, _, _ = simulate(1, n_frames=2000)
    few, _ = ar_coefficients(traces, np.full(3, 0.3), order=1, lags=2, fudge_factor=1.0, nominal=AR[1])
    many, _ = ar_coefficients(traces, np.full(3, 0.3), order=1, lags=40, fudge_factor=1.0, nominal=AR[1])
    assert (few != many).all()


def test_nominal_coefficients_decay_and_rise_in_the_given_frames():
    assert nominal_coefficients(order=1, decay_frames=10.0, rise_frames=3.0) == (pytest.approx(np.exp(-0.1)),)
    roots = np.roots([1, *(-np.array(nominal_coefficients(order=2, decay_frames=10.0, rise_frames=2.0)))])
    np.testing.assert_allclose(np.sort(roots), [np.exp(-0.5), np.exp(-0.1)])
    assert nominal_coefficients(order=2, decay_frames=10.0, rise_frames=0.0)[1] == 0
    assert nominal_coefficients(order=0, decay_frames=10.0, rise_frames=1.0) == ()


def test_gaps_are_bridged_by_straight_lines():
    traces = np.array([[0, np.nan, np.nan, 3, np.inf, 1], [1, 2, 3, 4, 5, 6]], np.float32)
    filled, finite = fill_gaps(traces)
    np.testing.assert_allclose(filled[0], [0, 1, 2, 3, 2, 1])
    np.testing.assert_array_equal(finite[0], [1, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(filled[1], traces[1])


def exact_covariance(coefficients, lags=8):
    """Autocovariance of an AR process with innovations of variance one, by the equations of Yule and Walker."""
    g1, g2 = (*coefficients, 0.0)[:2]
    correlation = [1.0, g1 / (1 - g2)]
    while len(correlation) <= lags:
        correlation.append(g1 * correlation[-1] + g2 * correlation[-2])
    return np.array(correlation) / (1 - g1 * correlation[1] - g2 * correlation[2])


@pytest.mark.parametrize("noise", [0.0, 0.7, 2.5])
def test_of_exact_covariances_with_noise_in_lag_zero_coefficients_are_exact(noise):
    one, two = exact_covariance(AR[1]), exact_covariance(AR[2])
    one[0] += noise**2
    two[0] += noise**2
    assert fit_ar1(one, noise, 6) == pytest.approx(AR[1][0], rel=1e-9)
    np.testing.assert_allclose(fit_ar2(two, noise, 7), AR[2], rtol=1e-6)
    if noise:
        assert fit_ar1(one, 0.0, 6) != pytest.approx(AR[1][0], rel=1e-3)


def test_autocovariance_is_the_mean_product_of_frames_that_are_both_there():
    traces = np.array([[1, 5, np.nan, 2, 4, 0], [3, 1, 2, 8, 1, 1]], np.float32)
    filled, finite = fill_gaps(traces)
    found = autocovariance(filled, finite, 3)
    centred = traces - np.nanmean(traces, axis=1, keepdims=True)
    for lag in range(4):
        products = centred[:, lag:] * centred[:, : 6 - lag]
        # Pairs that reach beyond the first frame count as zero, as in the estimate that is never indefinite.
        pairs = lag + np.isfinite(products).sum(1)
        np.testing.assert_allclose(found[:, lag], np.nansum(products, axis=1) / pairs, rtol=1e-6)


def test_roots_are_those_of_the_polynomial():
    assert ar_roots(0.9 + 0.3, -0.9 * 0.3) == pytest.approx((0.9, 0.3))
    assert ar_roots(0.5, -0.5) == (0.0, 0.0), "that swings"


@pytest.mark.parametrize("order", [1, 2])
def test_what_is_no_decay_is_replaced_and_flagged(order):
    """An alternating trace and one that only rises; no order, no estimate."""
    frames = np.arange(400)
    traces = np.stack([(-1.0) ** frames, frames / 400]).astype(np.float32)
    found, fallback = ar_coefficients(traces, np.zeros(2), order=order, lags=3, fudge_factor=1.2, nominal=AR[order])
    assert fallback.all()
    np.testing.assert_array_equal(found, [AR[order]] * 2)
    none, flags = ar_coefficients(traces, np.zeros(2), order=0, lags=3, fudge_factor=1.0, nominal=())
    assert none.shape == (2, 0)
    assert not flags.any()
