"""Resampling: exact against the formula, in planes and volumes; borders; fields between frame and template."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.field import displacement_at
from caiman_pipeline.motion.filters import band_pass, fourier_shift, smooth_image
from caiman_pipeline.motion.nodes import interpolation_weights, middle_nodes
from caiman_pipeline.motion.warp import Scratch, plan_warp, warp
from caiman_pipeline.numerics.cubic import cubic_weights

RNG = np.random.default_rng(3)


def resample(frames, shifts, *, border="nearest", inside=None, minimum=0.0, good=None):
    dims = frames.shape[1:]
    nodes = shifts.grid or middle_nodes(dims)
    plan = plan_warp(dims, nodes, inside=inside or tuple((0, n) for n in dims), border=border, minimum=minimum)
    out, outside = np.full((*dims, len(frames) + 3), -1.0, np.float32), np.zeros(dims, np.int32)
    good = np.ones(len(frames), bool) if good is None else good
    warp(frames, shifts, plan, good=good, position=2, out=out, outside=outside, scratch=Scratch())
    assert (out[..., :2] == -1).all(), "frames before the position stay"
    assert (out[..., -1] == -1).all(), "and those after"
    return np.moveaxis(out[..., 2:-1], -1, 0), outside


def dense(field, nodes, dims):
    """Interpolate one frame's field (nodes..., ndim) to all pixels."""
    for axis, (line, n) in enumerate(zip(nodes, dims, strict=True)):
        weights = interpolation_weights(np.arange(n), line)
        field = np.moveaxis(np.tensordot(weights, field, axes=(1, axis)), 0, axis)
    return field


def by_the_formula(frame, displacement):
    place = np.moveaxis(np.stack(np.meshgrid(*map(np.arange, frame.shape), indexing="ij"), -1) + displacement, -1, 0)
    base = np.floor(place).astype(int)
    taps = cubic_weights(place - base)
    total = np.zeros(frame.shape)
    for tap in np.ndindex((4,) * frame.ndim):
        index = tuple(np.clip(b + t - 1, 0, n - 1) for b, t, n in zip(base, tap, frame.shape, strict=True))
        total += np.prod([taps[t, axis] for axis, t in enumerate(tap)], axis=0) * frame[index]
    return total


@pytest.mark.parametrize(("dims", "counts"), [((37, 53), (3, 4)), ((7, 37, 53), (2, 3, 4)), ((37, 53), (1, 4))])
def test_local_displacement_is_undone_as_the_formula_says(dims, counts):
    frames = RNG.normal(size=(5, *dims)).astype(np.float32)
    nodes = tuple(
        np.linspace(0, n - 1, k, dtype=np.float32) if k > 1 else np.float32([n / 2])
        for n, k in zip(dims, counts, strict=True)
    )
    field = RNG.normal(size=(5, *counts, len(dims))).astype(np.float32) * 3
    moved, _ = resample(frames, Shifts(field.reshape(5, -1, len(dims)).mean(1), field, nodes))
    for t in range(5):
        np.testing.assert_allclose(moved[t], by_the_formula(frames[t], dense(field[t], nodes, dims)), atol=2e-5)


def test_no_shift_gives_the_frames_back_bit_by_bit():
    frames = RNG.normal(size=(4, 21, 34)).astype(np.float32)
    np.testing.assert_array_equal(resample(frames, Shifts(np.zeros((4, 2), np.float32)))[0], frames)


@pytest.mark.parametrize("shift", [(3, -5), (-2, 4), (40, 0), (0, -90)])
def test_whole_shifts_copy_pixels_and_repeat_the_nearest_beyond_the_edge(shift):
    frames = RNG.normal(size=(2, 21, 34)).astype(np.float32)
    moved, outside = resample(frames, Shifts(np.tile(np.float32(shift), (2, 1))))
    rows, columns = np.arange(21) + shift[0], np.arange(34) + shift[1]
    expected = frames[:, np.clip(rows, 0, 20)][:, :, np.clip(columns, 0, 33)]
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    inside = np.outer((rows >= 0) & (rows < 21), (columns >= 0) & (columns < 34))
    np.testing.assert_array_equal(outside, np.where(inside, 0, 2))


@pytest.mark.parametrize(("border", "expected"), [("min", -7.5), ("nan", np.nan)])
def test_pixels_from_outside_are_filled_and_those_half_a_pixel_off_are_not(border, expected):
    frames = RNG.normal(size=(2, 21, 34)).astype(np.float32)
    shifts = Shifts(np.array([[0.4, 0], [2.6, 0]], np.float32))
    moved, outside = resample(frames, shifts, border=border, minimum=-7.5)
    np.testing.assert_array_equal(moved[1, -3:], expected)
    assert np.isfinite(moved[0]).all()
    assert np.isfinite(moved[1, :-3]).all()
    np.testing.assert_array_equal(outside.sum(1), [0] * 18 + [34] * 3)


def test_only_pixels_inside_the_box_are_read_and_only_good_frames_count():
    frames = RNG.normal(size=(3, 21, 34)).astype(np.float32)
    frames[:, :2], frames[:, :, 30:] = 1e9, 1e9
    moved, outside = resample(
        frames, Shifts(np.full((3, 2), 0.3, np.float32)), inside=((2, 21), (0, 30)), good=np.array([True, False, True])
    )
    assert np.abs(moved).max() < 10
    assert (outside[:2] == 2).all()
    assert (outside[:, 30:] == 2).all()
    assert not outside[2:, :30].any()


def test_displacement_of_frames_follows_from_that_of_the_template():
    dims, n = (60, 90), 3
    nodes = tuple(np.linspace(0, size - 1, k, dtype=np.float32) for size, k in zip(dims, (4, 5), strict=True))
    field = (RNG.normal(size=(n, 4, 5, 2)) + RNG.normal(size=(n, 1, 1, 2)) * 4).astype(np.float32)
    rows, columns = np.array([10.0, 25, 47]), np.array([12.0, 33, 60, 75])
    found = displacement_at(Shifts(field.mean((1, 2)), field, nodes), rows, columns)
    assert found.shape == (n, 3, 4, 2)
    for t, i, j in np.ndindex(n, 3, 4):
        y, x = np.array([rows[i], columns[j]]) - found[t, i, j]
        weights = np.outer(interpolation_weights([y], nodes[0]), interpolation_weights([x], nodes[1]))
        np.testing.assert_allclose(np.tensordot(weights, field[t], 2), found[t, i, j], atol=0.02)


def test_displacement_of_rigid_shifts_is_the_same_everywhere():
    rigid = RNG.normal(size=(4, 2)).astype(np.float32)
    found = displacement_at(Shifts(rigid), np.arange(3), np.arange(5))
    np.testing.assert_array_equal(found, np.broadcast_to(rigid[:, None, None], (4, 3, 5, 2)))


def test_fourier_phase_shifts_back_by_parts_of_a_pixel():
    axis = np.arange(64)
    waves = [np.cos(0.4 * (axis - s))[:, None] * np.cos(0.3 * (axis[:50] + 2 * s)) for s in (0.0, 0.3, -0.45)]
    shifts = np.array([[s, -2 * s] for s in (0.0, 0.3, -0.45)], np.float32)
    back = fourier_shift(np.array(waves, np.float32), shifts)
    np.testing.assert_allclose(
        back[:, 12:-12, 12:-12], np.broadcast_to(waves[0], back.shape)[:, 12:-12, 12:-12], atol=0.02
    )


def test_the_band_pass_keeps_cells_and_drops_what_is_wider():
    rows, columns = np.meshgrid(np.arange(90), np.arange(120), indexing="ij")
    cell = np.exp(-((rows - 40) ** 2 + (columns - 70) ** 2) / (2 * 3.0**2))
    tilt = 0.5 * rows - 0.2 * columns + 50
    found = band_pass(np.array([cell, tilt, cell + tilt], np.float32), (3.0, 3.0))
    assert found[0, 40, 70] > 0.35
    assert np.abs(found[1]).max() < 1e-3, "a slope leaves no trace, not at the edge either"
    np.testing.assert_allclose(found[2], found[0] + found[1], atol=1e-3)


def test_volumes_are_filtered_plane_by_plane():
    movie = RNG.normal(size=(2, 3, 40, 50)).astype(np.float32)
    np.testing.assert_allclose(
        band_pass(movie, (1.0, 2.0, 3.0))[1, 2], band_pass(movie[1, 2][None], (2.0, 3.0))[0], atol=1e-5
    )
    impulse = np.zeros((3, 21, 31))
    impulse[1, 10, 15] = 1
    blurred = smooth_image(impulse, 2.0)
    assert not blurred[0].any()
    np.testing.assert_allclose(blurred.sum(), 1, atol=1e-5)
