"""Modes of local motion: independent noise, shrinkage that a recording teaches, smoothing over time."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from moving import PAD, make_scene
from scipy.ndimage import gaussian_filter1d

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.motion.mode_values import mode_values, modes_at_squares, smooth_values
from caiman_pipeline.motion.modes import Modes, decreasing_fit, learn, make_modes, prune
from caiman_pipeline.motion.nodes import make_grid, nodes_to_squares
from caiman_pipeline.motion.records import MODES as MODE_NAMES
from caiman_pipeline.motion.records import TemplateResult, template_from_result, template_to_arrays
from caiman_pipeline.motion.saved import modes_from_arrays, modes_to_arrays
from caiman_pipeline.motion.surfaces import prepare_squares
from caiman_pipeline.results.files import load_result, save_result

RNG = np.random.default_rng(21)
DIMS = (60, 84)
GRID = make_grid(DIMS, spacing=(20.0, 20.0), local=True, bins=(1, 1))
TEMPLATE = make_scene(DIMS, seed=2)[PAD:-PAD, PAD:-PAD]
SQUARES = prepare_squares(TEMPLATE, np.full(DIMS, 1e-2, np.float32), GRID, lags=(2, 2))
MODES = make_modes(SQUARES, GRID)


def test_modes_are_independent_under_the_information_and_rigid_ones_come_first():
    at_squares = MODES.to_squares.reshape(SQUARES.n_squares, 2, -1).astype(float)
    gram = np.einsum("cam,cab,cbn->mn", at_squares, MODES.information, at_squares, optimize=True)
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-3)
    rigid = at_squares[..., :2]
    np.testing.assert_allclose(rigid, np.broadcast_to(rigid[:1], rigid.shape), atol=1e-3 * np.abs(rigid).max())
    assert np.isinf(MODES.signal[:2]).all()
    assert np.isfinite(MODES.signal[2:]).all()


def test_modes_at_squares_are_those_at_nodes_interpolated():
    to_squares = np.kron(nodes_to_squares(GRID), np.eye(2))
    np.testing.assert_allclose(
        MODES.to_squares, to_squares @ MODES.to_nodes, atol=1e-5 * np.abs(MODES.to_squares).max()
    )


def test_values_of_modes_come_back_from_the_slopes_that_they_cause():
    values = RNG.normal(size=(5, MODES.to_squares.shape[1])).astype(np.float32)
    true = modes_at_squares(values, MODES)
    at = (true * 0.3).astype(np.float32)
    slopes = np.zeros_like(true)
    slopes[..., 1:] = np.einsum("cab,tcb->tca", MODES.information, (true - at)[..., 1:])
    np.testing.assert_allclose(mode_values(slopes, at, MODES, MODES.to_squares.T), values, atol=2e-3)


def walk(n_frames, constant, *, n_modes):
    """Unit-variance signals of a given smoothness in time."""
    course = gaussian_filter1d(RNG.normal(size=(n_frames + 200, n_modes)), constant, axis=0)[100:-100]
    return course / course.std(0)


def test_noise_alone_leaves_only_the_rigid_modes():
    count = MODES.to_squares.shape[1]
    learned = learn(MODES, [RNG.normal(size=(400, count))], reach=4)
    assert abs(learned.noise - 1) < 0.15
    assert np.abs(learned.kernel[2:]).sum(1).mean() < 0.1
    np.testing.assert_array_equal(learned.kernel[:2], np.eye(9)[[4, 4]])
    assert prune(learned).to_squares.shape[1] < count


def test_strong_modes_are_kept_and_weak_slow_ones_smoothed_over_time():
    count = MODES.to_squares.shape[1]
    strength = np.where(np.arange(count) < 10, 20.0, np.where(np.arange(count) < 20, 1.0, 0.0))
    signal = np.sqrt(strength) * walk(600, 8.0, n_modes=count)
    values = (signal + RNG.normal(size=signal.shape)).astype(np.float32)
    learned = learn(MODES, list(np.split(values, 6)), reach=10)
    np.testing.assert_allclose(learned.signal[2:10], 20, rtol=0.35)
    assert learned.gain[5] > 0.9
    assert learned.gain[32:].mean() < 0.15
    smooth = smooth_values(np.pad(values, ((10, 10), (0, 0)), mode="symmetric"), np.ones(620, bool), learned)
    error = ((smooth - signal) ** 2).mean(0)
    assert error[2:10].mean() < 0.25, "of the noise's variance 1"
    assert error[10:20].mean() < 0.5 * ((values * learned.gain - signal) ** 2).mean(0)[10:20].mean()
    np.testing.assert_array_equal(smooth[:, :2], values[:, :2])


def test_motion_that_changes_from_frame_to_frame_is_not_smoothed_over():
    count = MODES.to_squares.shape[1]
    signal = np.where(np.arange(count) < 10, 5.0, 0.0) * RNG.normal(size=(600, count))
    learned = learn(MODES, [signal + RNG.normal(size=signal.shape)], reach=10)
    middle = learned.kernel[2:10, 10]
    assert (middle > 0.8).all()
    assert np.abs(np.delete(learned.kernel[2:10], 10, axis=1)).max() < 0.1


def test_bad_frames_are_bridged_and_outliers_held_back():
    values = np.repeat(np.linspace(0, 2, 30, dtype=np.float32)[:, None], MODES.to_squares.shape[1], axis=1)
    good = np.ones(30, bool)
    spoilt = values.copy()
    good[11:13], spoilt[11:13] = False, 1e6
    np.testing.assert_allclose(
        smooth_values(spoilt, good, MODES), smooth_values(values, np.ones(30, bool), MODES), atol=1e-4
    )
    spoilt[20] = 1e6
    held = smooth_values(spoilt, good, MODES)[20, 2:]
    assert (held < 6.1 * np.sqrt(MODES.signal[2:] + 1)).all()


@pytest.mark.parametrize(
    ("values", "expected"), [([3, 1, 2, 0], [3, 1.5, 1.5, 0]), ([1, 2, 3], [2, 2, 2]), ([5.0], [5.0]), ([], [])]
)
def test_the_decreasing_fit_pools_what_rises(values, expected):
    np.testing.assert_allclose(decreasing_fit(np.array(values)), expected)


def test_a_template_keeps_the_modes_and_one_of_another_version_is_refused(tmp_path):
    assert {field.name for field in fields(Modes)} == set(MODE_NAMES)
    image, kept = TEMPLATE, modes_to_arrays(MODES)
    made = TemplateResult(
        image, image, image > 0, image, "rigid", np.zeros(3), 0.0, np.arange(4), kept, None, np.zeros(0, np.int64)
    )
    arrays = template_to_arrays(made)
    save_result(tmp_path / "t.h5", kind="motion_template", arrays=arrays, settings={}, source={})
    again = modes_from_arrays(template_from_result(load_result(tmp_path / "t.h5", "motion_template")))
    np.testing.assert_array_equal(again.to_squares, MODES.to_squares)
    arrays["modes_to_boxes"] = arrays.pop("modes_to_squares")
    save_result(tmp_path / "old.h5", kind="motion_template", arrays=arrays, settings={}, source={})
    with pytest.raises(PipelineError, match="lacks `modes_to_squares`: it was written by another version"):
        template_from_result(load_result(tmp_path / "old.h5", "motion_template"))
