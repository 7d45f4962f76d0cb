"""Traces that follow the motion are told from those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from caiman_pipeline.quality.movement import Movement, motion_share

RNG = np.random.default_rng(3)
T = 2000
SHIFTS = gaussian_filter1d(RNG.normal(size=(T, 2)), 4, axis=0).astype(np.float32)
USABLE = np.ones(T, bool)


def share(trace, shifts=SHIFTS, usable=USABLE, window=300):
    return motion_share(np.atleast_2d(trace).astype(np.float32), Movement(shifts, usable, window))[0]


def test_a_trace_of_any_polynomial_of_the_displacement_follows_it():
    y, x = SHIFTS.T
    for trace in (3 * y, -x, 5 + y * y, 2 * x * y - x):
        assert share(trace) > 0.98


def test_half_of_the_variance_is_half():
    y, noise = SHIFTS[:, 0] / SHIFTS[:, 0].std(), RNG.normal(size=T)
    assert share(y + noise) == pytest.approx(0.5, abs=0.06)
    assert share(noise) < 0.02


def test_slow_drifts_of_both_do_not_count():
    drift = np.linspace(0, 40, T)
    noise = RNG.normal(size=T)
    drifting = SHIFTS + np.float32(0.5) * drift[:, None].astype(np.float32)
    assert share(drift + noise, drifting) < 0.02
    assert share(drift + noise, drifting, window=T) > 0.5


def test_frames_that_are_not_usable_do_not_count():
    trace, usable = RNG.normal(size=T), USABLE.copy()
    shifts = SHIFTS.copy()
    for t in range(100, T, 200):
        shifts[t], trace[t], usable[t] = 30, 200, False
    assert share(trace, shifts, window=T) > 0.5
    assert share(trace, shifts, usable, window=T) < 0.02


@pytest.mark.parametrize("shifts", [np.zeros((T, 2), np.float32), np.full((T, 3), 2.5, np.float32)])
def test_without_motion_nothing_follows_it(shifts):
    assert share(RNG.normal(size=T), shifts) == 0


def test_constant_trace_has_no_share_and_no_trace_none():
    assert np.isnan(share(np.full(T, 7.0)))
    assert motion_share(np.zeros((0, T), np.float32), Movement(SHIFTS, USABLE, 30)).shape == (0,)
    assert share(RNG.normal(size=T), usable=np.zeros(T, bool)) == 0


def test_bins_are_averages_and_need_all_of_their_frames():
    usable = USABLE.copy()
    usable[7] = False
    binned = Movement(SHIFTS, usable, 300).binned(4)
    np.testing.assert_allclose(binned.shifts, SHIFTS.reshape(-1, 4, 2).mean(1), rtol=1e-5)
    assert list(np.flatnonzero(~binned.usable)) == [1]
    assert binned.window_frames == 75
