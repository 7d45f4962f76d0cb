"""The indicator's response and the time constants of each trace."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from caiman_pipeline.traces.indicator import (
    combined_coefficients,
    decay_frames_of,
    fit_to_trace,
    fluorescence_of,
    linearise,
)


def test_small_signals_are_kept_and_large_ones_compressed():
    traces = np.array([[-5.0, 0.0, 0.01, 1.0, 20.0, 400.0]], np.float32)
    linear = linearise(traces, np.array([1.0]), 20.0)
    np.testing.assert_array_equal(linear[0, :2], [-5.0, 0.0])
    assert linear[0, 2] == pytest.approx(0.01, rel=1e-3)
    assert linear[0, 4] == pytest.approx(20 * np.log(2), rel=1e-5)
    assert (np.diff(linear[0]) > 0).all()


def test_range_zero_or_trace_without_noise_is_left_alone():
    traces = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    np.testing.assert_array_equal(linearise(traces, np.ones(2), 0.0), traces)
    np.testing.assert_array_equal(linearise(traces, np.zeros(2), 20.0), traces)


def test_linearising_goes_with_the_unit():
    traces = 30 * np.random.default_rng(0).random((1, 50)).astype(np.float32)
    one, thousand = linearise(traces, np.array([1.0]), 20.0), linearise(traces * 1000, np.array([1000.0]), 20.0)
    np.testing.assert_allclose(thousand, 1000 * one, rtol=1e-5)


def test_fluorescence_is_what_was_linearised():
    traces = (50 * np.random.default_rng(0).random((3, 400))).astype(np.float32)
    traces[0, 30:40] = np.nan
    noise = np.array([1.0, 2.0, 0.0])
    np.testing.assert_allclose(fluorescence_of(linearise(traces, noise, 20.0), noise, 20.0), traces, rtol=1e-4)


ANY = (-np.inf, np.inf)


def test_model_is_fitted_to_the_trace_by_gain_and_offset():
    rng = np.random.default_rng(0)
    model = rng.random((3, 400))
    traces = 2.5 * model + np.array([[1.0], [-4.0], [7.0]])
    model[0, 50:90] = np.nan
    gain, offset = fit_to_trace(model, traces, offsets=ANY)
    np.testing.assert_allclose(gain, 2.5)
    np.testing.assert_allclose(offset, [1.0, -4.0, 7.0])


def test_gain_is_fitted_anew_where_the_offset_is_held_and_the_offset_alone_where_the_gain_is():
    rng = np.random.default_rng(0)
    model = rng.random((3, 400))
    traces = 2.5 * model + np.array([[1.0], [-4.0], [7.0]])
    gain, offset = fit_to_trace(model, traces, offsets=(0.0, np.inf))
    np.testing.assert_allclose(offset, [1.0, 0.0, 7.0], atol=1e-9)
    np.testing.assert_allclose(gain[[0, 2]], 2.5)
    assert gain[1] == 1.0, "nothing of the trace is above its lowest level"
    gain, offset = fit_to_trace(model, traces, offsets=(2.0, 2.0))
    np.testing.assert_array_equal(offset, 2.0)
    expected = (model * (traces - 2)).sum(1) / (model**2).sum(1)
    np.testing.assert_allclose(gain[[0, 2]], expected[[0, 2]])
    gain, offset = fit_to_trace(model, traces, offsets=ANY, gain=np.array([2.5, 2.0, 1.0]))
    np.testing.assert_array_equal(gain, [2.5, 2.0, 1.0])
    np.testing.assert_allclose(offset, traces.mean(1) - gain * model.mean(1))


def test_flat_or_opposed_model_keeps_its_size():
    traces = np.random.default_rng(0).random((2, 100))
    gain, offset = fit_to_trace(np.stack([np.zeros(100), -traces[1]]), traces, offsets=ANY)
    np.testing.assert_array_equal(gain, 1.0)
    assert offset[0] == pytest.approx(traces[0].mean())


def decaying(frames, n_frames=40_000, seed=0):
    """Return a noisy AR(1) trace that decays in so many frames, and its noise."""
    rng = np.random.default_rng(seed)
    calcium = lfilter([1], [1, -np.exp(-1 / frames)], (rng.random((1, n_frames)) < 0.01) * 5.0)
    return (calcium + rng.standard_normal(calcium.shape)).astype(np.float32), np.ones(1)


@pytest.mark.parametrize("frames", [5.0, 20.0])
def test_own_decay_is_estimated(frames):
    traces, noise = decaying(frames)
    assert decay_frames_of(traces, noise, lags=15, fudge_factor=1.0)[0] == pytest.approx(frames, rel=0.15)


def combine(traces, noise, **changes):
    options = {"order": 1, "decay_frames": 10.0, "rise_frames": 2.0, "share": 0.5}
    own = decay_frames_of(traces, noise, lags=15, fudge_factor=1.0)
    return combined_coefficients(own, **{**options, **changes})


def frames_of(coefficients):
    return -1 / np.log(coefficients[0, 0])


def test_combined_decay_lies_between_the_given_and_the_own():
    traces, noise = decaying(20.0)
    own = decay_frames_of(traces, noise, lags=15, fudge_factor=1.0)[0]
    assert frames_of(combine(traces, noise, share=0.0)[0]) == pytest.approx(10.0)
    assert frames_of(combine(traces, noise, share=1.0)[0]) == pytest.approx(own)
    assert frames_of(combine(traces, noise, share=0.5)[0]) == pytest.approx(np.sqrt(10 * own))


def test_absurd_own_decay_counts_up_to_a_factor():
    drifting = np.linspace(0, 1000, 5000)[None].astype(np.float32)
    coefficients, _ = combine(drifting, np.ones(1), share=1.0)
    assert frames_of(coefficients) <= 80.01


def test_without_an_own_decay_the_given_one_is_used_and_said():
    white = np.tile([1.0, -1.0], 500)[None].astype(np.float32)
    coefficients, missing = combine(white, np.full(1, 0.1))
    assert missing[0]
    assert frames_of(coefficients) == pytest.approx(10.0)


def test_order_two_keeps_the_given_rise():
    traces, noise = decaying(20.0)
    roots = np.sort(np.roots([1, *(-combine(traces, noise, order=2)[0][0])]))
    assert roots[0] == pytest.approx(np.exp(-0.5))
