"""Shifts of windows are in pixels, whether frames were binned or not."""

from __future__ import annotations

import numpy as np
import pytest
from moving import film, make_scene

from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.motion.estimate import (
    estimate_seen,
    prepare_registration,
    shifts_of,
    window_shifts,
)
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.in_pixels import make_plan

TRUE = np.array([[0, 0], [6, -8], [-4, 10], [-10, 4]])


def registered(dims, true=TRUE, **keys):
    """A registration to a still scene, and the scene at ``true`` as registration sees it."""
    scene = make_scene(dims, seed=7)
    template = film(scene, lambda t: np.zeros(2), 1, noise=0)[0]
    settings = MotionSettings(**{"max_shift": "14 px", "patch_spacing": "24 px", "patch_size": "40 px", **keys})
    plan = make_plan(settings, dims=dims, frame_rate_hz=30.0)
    registration = prepare_registration(template, np.full(dims, 1 / 64, np.float32), plan, modes=None, threads=1)
    return registration, band_pass(film(scene, lambda t: true[t].astype(float), len(true), noise=8), plan.high_pass)


@pytest.mark.parametrize(("dims", "bins"), [((72, 104), (2, 2)), ((48, 76), (1, 1))])
@pytest.mark.parametrize("method", ["rigid", "piecewise"])
def test_windows_of_a_rigid_movement_all_move_by_it(dims, bins, method):
    registration, seen = registered(dims, method=method)
    assert registration.bins == bins
    windows, rigid, at_limit = window_shifts(seen, registration)
    expected = np.concatenate([np.zeros((len(TRUE), 1)), TRUE], axis=1)
    np.testing.assert_allclose(rigid, expected, atol=1.0)
    np.testing.assert_allclose(np.median(windows, axis=1), expected, atol=0.35)
    assert (np.abs(windows - expected[:, None]) < 1.2).mean() > 0.95
    assert not at_limit.any()
    assert windows.shape[1] == (1 if method == "rigid" else len(registration.members))


def test_what_windows_add_to_the_first_shift_is_in_pixels_too():
    """Shifts of half a bin, which the first one rounds to whole bins."""
    odd = TRUE + np.array([1, -1])
    registration, seen = registered((72, 104), odd, method="piecewise")
    windows, *_ = window_shifts(seen, registration)
    np.testing.assert_allclose(np.median(windows, axis=1)[:, 1:], odd, atol=0.35)


def test_the_final_displacement_is_the_one_that_was_given():
    registration, seen = registered((72, 104), method="piecewise")
    found = estimate_seen(seen, registration)
    np.testing.assert_allclose(found.whole, TRUE, atol=1)
    shifts = shifts_of(found.whole, found.values * registration.modes.gain, registration)
    np.testing.assert_allclose(shifts.rigid, TRUE, atol=0.25)


def test_nodes_lie_as_far_apart_as_was_asked_and_farther_where_only_their_mean_is_wanted():
    local, _ = registered((72, 104), method="piecewise")
    rigid, _ = registered((72, 104), method="rigid")
    assert [np.diff(line).max() < 30 for line in local.grid.nodes] == [True, True]
    assert [np.diff(line).max() > 30 for line in rigid.grid.nodes] == [True, True]
    assert [len(line) for line in rigid.nodes] == [1, 1]
    assert local.nodes is local.grid.nodes
