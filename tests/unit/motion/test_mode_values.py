"""Values of modes over time: bad frames bridged, what no movement has cut, each mode smoothed as it needs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from caiman_pipeline.motion.mode_values import smooth_values, times


def test_values_are_smoothed_by_each_modes_kernel_after_bad_frames_are_bridged():
    rng = np.random.default_rng(1)
    values, good = rng.normal(size=(20, 2)).astype(np.float32), np.ones(20, bool)
    good[[6, 7, 13, 19]] = False
    kernel = np.array([[0.1, 0.2, 0.4, 0.2, 0.1], [0, 0, 1, 0, 0]], np.float32)
    modes = SimpleNamespace(kernel=kernel, signal=np.full(2, 1e3), noise=np.ones(2))
    frames = np.arange(20)
    bridged = np.stack([np.interp(frames, frames[good], v[good]) for v in values.T], axis=1)
    expected = np.stack([np.convolve(v, k[::-1], mode="valid") for v, k in zip(bridged.T, kernel, strict=True)], axis=1)
    np.testing.assert_allclose(smooth_values(values, good, modes), expected, atol=1e-5)
    assert not smooth_values(values, np.zeros(20, bool), modes).any()


def test_values_that_no_movement_has_are_cut_before_they_spread():
    values = np.zeros((9, 1), np.float32)
    values[4] = 1e6
    modes = SimpleNamespace(kernel=np.full((1, 3), 1 / 3, np.float32), signal=np.array([3.0]), noise=np.array([1.0]))
    found = smooth_values(values, np.ones(9, bool), modes)
    np.testing.assert_allclose(found.ravel(), np.array([0, 0, 1, 1, 1, 0, 0]) * 6 * 2 / 3, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 64, 150])
def test_products_a_few_rows_at_a_time_are_the_product(count):
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(7, 5)), rng.normal(size=(count, 5))
    np.testing.assert_allclose(times(left, right), left @ right.T, atol=1e-5)
