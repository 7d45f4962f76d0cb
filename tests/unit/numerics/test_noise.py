"""Levels and noise of signals that are active now and then."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.numerics.noise import noise_below, quiet_level, robust_deviation

RNG = np.random.default_rng(11)
QUIET = RNG.normal(5.0, 2.0, (3, 4000)).astype(np.float32)


def test_a_few_wild_values_do_not_widen_the_deviation():
    values = QUIET[0].copy()
    assert robust_deviation(values) == pytest.approx(2.0, rel=0.05)
    values[::50] += 1000
    assert robust_deviation(values) == pytest.approx(2.0, rel=0.08)


@pytest.mark.parametrize("measure", [noise_below, quiet_level])
def test_activity_in_a_third_of_the_frames_is_not_noise(measure):
    active = QUIET.copy()
    active[:, ::3] += 40
    level, noise = (np.ravel(x) for x in measure(active))
    np.testing.assert_allclose(level, 5.0, atol=2.0)  # within a standard deviation; the mean is at 18
    np.testing.assert_allclose(noise, 2.0, rtol=0.25)
    assert (active.mean(1) > 15).all()
