"""Likelihood of displacements, square by square: against its definition, and what can be read from it."""

from __future__ import annotations

import numpy as np
import pytest
from moving import PAD, film, make_scene

from caiman_pipeline.motion.agreement import square_agreement
from caiman_pipeline.motion.nodes import make_grid
from caiman_pipeline.motion.peaks import frame_gain, linearise, square_gain, window_peaks
from caiman_pipeline.motion.rigid import bin_frames, choose_bins, coarse_shifts, flatten, prepare_coarse
from caiman_pipeline.motion.surfaces import prepare_squares

RNG = np.random.default_rng(11)
DIMS = (40, 60)
TEMPLATE = make_scene(DIMS, seed=2)[PAD:-PAD, PAD:-PAD]
WEIGHT = RNG.uniform(0.5, 2, DIMS).astype(np.float32)
GRID = make_grid(DIMS, spacing=(20.0, 20.0), local=True, bins=(1, 1))
SQUARES = prepare_squares(TEMPLATE, WEIGHT, GRID, lags=(2, 3))


def definition(frame, square, offset):
    """f'P T_d and T_d'P T_d of one square at all displacements, with P from its definition."""
    i, j = np.unravel_index(square, GRID.square_shape)
    rows, columns = (np.arange(e[k], e[k + 1]) for e, k in zip(GRID.edges, (i, j), strict=True))
    weight = np.diag(WEIGHT[np.ix_(rows, columns)].ravel().astype(float))
    y, x = np.meshgrid(rows, columns, indexing="ij")
    slow = np.stack([np.ones(y.size), y.ravel(), x.ravel()], axis=1).astype(float)
    project = weight - weight @ slow @ np.linalg.inv(slow.T @ weight @ slow) @ slow.T @ weight

    def cut(image, dy, dx):
        return image[np.ix_(np.clip(rows + dy, 0, DIMS[0] - 1), np.clip(columns + dx, 0, DIMS[1] - 1))].ravel()

    shown = cut(frame, *offset).astype(float)
    lagged = [cut(TEMPLATE, -dy, -dx).astype(float) for dy in range(-2, 3) for dx in range(-3, 4)]
    return [shown @ project @ t for t in lagged], [t @ project @ t for t in lagged]


@pytest.mark.parametrize("offset", [(0, 0), (3, -2), (-6, 5)])
def test_agreement_and_energy_are_what_their_definition_says(offset):
    frames = (TEMPLATE + RNG.normal(0, 30, (2, *DIMS))).astype(np.float32)
    offsets = np.zeros((2, SQUARES.n_squares, 3), np.int64)
    offsets[1, :, 1:] = offset
    found = square_agreement(frames, offsets, SQUARES)
    for square in (0, 5, SQUARES.n_squares - 1):
        agreement, energy = definition(frames[1], square, offset)
        np.testing.assert_allclose(found[1, square], agreement, rtol=2e-3, atol=2e-3 * np.abs(agreement).max())
        np.testing.assert_allclose(SQUARES.energy[square], energy, rtol=2e-3, atol=2e-3 * np.max(energy))


def test_a_slope_or_offset_added_to_a_frame_changes_no_likelihood():
    frame = (TEMPLATE + RNG.normal(0, 30, DIMS)).astype(np.float32)[None]
    tilt = np.add.outer(np.linspace(0, 300, DIMS[0]), np.linspace(500, 100, DIMS[1])).astype(np.float32)
    offsets = np.zeros((1, SQUARES.n_squares, 3), np.int64)
    plain, tilted = square_agreement(frame, offsets, SQUARES), square_agreement(frame + tilt, offsets, SQUARES)
    np.testing.assert_allclose(tilted, plain, atol=1e-3 * np.abs(plain).max())


def test_pixels_without_weight_do_not_count():
    weight = WEIGHT.copy()
    weight[:, 30:] = 0
    squares = prepare_squares(TEMPLATE, weight, GRID, lags=(2, 3))
    frame = TEMPLATE[None].copy()
    other = frame.copy()
    other[:, :, 33:] = RNG.normal(size=other[:, :, 33:].shape) * 1000
    offsets = np.zeros((1, squares.n_squares, 3), np.int64)
    found = [square_agreement(f, offsets, squares) for f in (frame, other)]
    np.testing.assert_allclose(found[0], found[1], atol=1e-4 * np.abs(found[0]).max())
    right = np.flatnonzero(
        np.unravel_index(np.arange(squares.n_squares), GRID.square_shape)[1] >= GRID.square_shape[1] - 2
    )
    assert not squares.information[right].any()


def test_slopes_of_the_likelihood_are_its_derivative():
    frames = film(make_scene(DIMS, seed=2), lambda t: np.array([0.4, -0.7]), 3)
    offsets = np.zeros((3, SQUARES.n_squares, 3), np.int64)
    agreement, gain = square_agreement(frames, offsets, SQUARES), np.ones((3, SQUARES.n_squares), np.float32)
    at = RNG.uniform(-0.9, 0.9, (3, SQUARES.n_squares, 3)).astype(np.float32)
    found = linearise(agreement, SQUARES, at, gain)
    for axis in (1, 2):
        step = np.zeros(3, np.float32)
        step[axis] = 0.01
        up, down = (linearise(agreement, SQUARES, at + s * step, gain)[..., 0] for s in (1, -1))
        np.testing.assert_allclose(found[..., axis + 1], (up - down) / 0.02, atol=0.01 * np.abs(found[..., 1:]).max())
    assert not found[..., 1].any(), "a plane has no slope across planes"


def test_the_peak_of_all_squares_together_is_the_displacement():
    frames = film(make_scene(DIMS, seed=2), lambda t: np.array([0.8, -1.6]), 4, noise=4)
    offsets = np.zeros((4, SQUARES.n_squares, 3), np.int64)
    agreement = square_agreement(frames, offsets, SQUARES)
    everywhere = np.arange(SQUARES.n_squares)[None]
    np.testing.assert_allclose(
        window_peaks(agreement, SQUARES, everywhere, np.ones(4, np.float32))[:, 0], [[0, 0.8, -1.6]] * 4, atol=0.15
    )


def test_gain_is_the_brightness_against_the_template():
    offsets = np.zeros((2, SQUARES.n_squares, 3), np.int64)
    frames = np.stack([TEMPLATE, 0.8 * TEMPLATE])
    np.testing.assert_allclose(frame_gain(square_agreement(frames, offsets, SQUARES), SQUARES), [1, 0.8], atol=0.01)


def volume(shift, *, brightness=1.0, reach=2):
    """A volume that lies between the planes of its template, the template's squares, and their agreement."""
    dims, scene = (8, 24, 30), make_scene((8, 24, 30), seed=4)
    inside = (slice(4, -4), slice(PAD, -PAD), slice(PAD, -PAD))
    grid = make_grid(dims, spacing=(8.0, 12.0, 15.0), local=True, bins=(1, 1, 1))
    squares = prepare_squares(scene[inside], np.ones(dims, np.float32), grid, lags=(reach, 2, 2))
    frames = brightness * film(scene, lambda t: np.array([shift, 0.0, 0.0]), 1, noise=0.5)
    return squares, square_agreement(frames, np.zeros((1, squares.n_squares, 3), np.int64), squares)


def test_likelihood_between_planes_is_that_of_the_interpolated_template():
    squares, agreement = volume(0.3)
    at, ones = np.zeros((1, squares.n_squares, 3), np.float32), np.ones((1, squares.n_squares), np.float32)
    values = []
    for z in np.linspace(-0.9, 0.9, 19):
        at[..., 0] = z
        found = linearise(agreement, squares, at, ones)
        step = np.array([0.01, 0, 0], np.float32)
        up, down = (linearise(agreement, squares, at + s * step, ones)[..., 0] for s in (1, -1))
        np.testing.assert_allclose(found[..., 1], (up - down) / 0.02, atol=0.02 * np.abs(found[..., 1]).max() + 1)
        values.append(found[..., 0].sum())
    assert np.linspace(-0.9, 0.9, 19)[np.argmax(values)] == pytest.approx(0.3, abs=0.05)
    at[..., 0] = 1.0
    whole = linearise(agreement, squares, at, ones)[0, :, 0]
    centre = agreement.shape[2] // 5 * 3 + agreement.shape[2] // 5 // 2
    np.testing.assert_allclose(whole, agreement[0, :, centre] - 0.5 * squares.energy[:, centre], rtol=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_brightness_of_a_volume_is_told_apart_from_lying_between_planes(shift):
    squares, agreement = volume(shift, brightness=0.8)
    at = np.zeros((1, squares.n_squares, 3), np.float32)
    at[..., 0] = shift
    found = square_gain(agreement, squares, at, np.ones(1, np.float32))
    np.testing.assert_allclose(found, 0.8, atol=0.15)
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_without_displacement_across_planes_every_square_is_as_bright_as_its_frame():
    squares, agreement = volume(0.0, reach=0)
    at = np.zeros((1, squares.n_squares, 3), np.float32)
    np.testing.assert_array_equal(square_gain(agreement, squares, at, np.full(1, 0.7, np.float32)), np.float32(0.7))


@pytest.mark.parametrize(("dims", "size"), [((96, 128), (2, 2)), ((40, 128), (1, 1)), ((5, 96, 128), (1, 2, 2))])
def test_large_frames_are_binned(dims, size):
    assert choose_bins(dims) == size
    frames = RNG.normal(size=(2, *dims)).astype(np.float32)
    small = bin_frames(frames, size)
    assert small.shape[2:] == (dims[-2] // size[-2], dims[-1] // size[-1])
    step = (slice(None), *[slice(b) for b in size])
    np.testing.assert_allclose(small[0].reshape(-1)[0], frames[step][0].mean(), atol=1e-6)
    np.testing.assert_allclose(small.mean(), frames.mean(), atol=1e-6)


def test_flattening_takes_the_local_mean_away():
    frames = RNG.normal(size=(2, 1, 20, 30)).astype(np.float32) + np.linspace(0, 50, 30, dtype=np.float32)
    flat = flatten(frames, (2, 4))
    np.testing.assert_allclose(flat[1, 0, 10, 15], frames[1, 0, 10, 15] - frames[1, 0, 8:13, 11:20].mean(), atol=1e-4)
    np.testing.assert_allclose(flat[0, 0, 1, 29], frames[0, 0, 1, 29] - frames[0, 0, :4, 25:].mean(), atol=1e-4)


@pytest.mark.parametrize("dims", [(40, 60), (8, 40, 60)])
def test_the_first_shift_is_right_to_half_a_bin_and_knows_its_limit(dims):
    scene = make_scene(dims, seed=6)
    lead = (0,) * (3 - len(dims))
    true = np.array([[0, 0], [4, -7], [-3, 5], [0, 11]], float)
    true = np.concatenate([np.array([[0], [1], [-1], [0]]), true], axis=1) if len(dims) == 3 else true
    frames = film(scene, lambda t: true[t], 4, noise=15)
    template = film(scene, lambda t: np.zeros(len(dims)), 1, noise=0)
    weight = np.ones((1, *dims), np.float32)
    limits = (2 if len(dims) == 3 else 0, 8, 9)
    coarse = prepare_coarse(
        bin_frames(template, (1,) * len(dims))[0], bin_frames(weight, (1,) * len(dims))[0], limits=limits, radius=(8, 8)
    )
    found, at_limit = coarse_shifts(bin_frames(frames, (1,) * len(dims)), coarse, threads=1)
    np.testing.assert_allclose(found[:3], [(*lead, *s) for s in true[:3]], atol=0.5)
    assert list(at_limit[:3]) == [False] * 3
    assert np.abs(found[3]).max() <= 9
