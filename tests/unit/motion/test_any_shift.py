"""Whatever the shift: whole ones copy pixels, and back again; a field of equal vectors is a rigid shift."""

from __future__ import annotations

import numpy as np
from any_input import few
from hypothesis import given
from hypothesis import strategies as st

from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.nodes import interpolation_weights, make_grid, mean_of_nodes, middle_nodes, nodes_to_squares
from caiman_pipeline.motion.warp import Scratch, plan_warp, warp

DIMS = st.tuples(st.integers(9, 30), st.integers(9, 40))
SEEDS = st.integers(0, 2**32 - 1)


def moved(frames: np.ndarray, shifts: Shifts) -> tuple[np.ndarray, np.ndarray]:
    dims = frames.shape[1:]
    whole = tuple((0, n) for n in dims)
    plan = plan_warp(dims, shifts.grid or middle_nodes(dims), inside=whole, border="nearest", minimum=0.0)
    out, outside = np.zeros((*dims, len(frames)), np.float32), np.zeros(dims, np.int32)
    good = np.ones(len(frames), bool)
    warp(frames, shifts, plan, good=good, position=0, out=out, outside=outside, scratch=Scratch())
    return np.moveaxis(out, -1, 0), outside


@few
@given(DIMS, st.integers(-45, 45), st.integers(-45, 45), SEEDS)
def test_whole_shifts_copy_pixels_and_come_back(dims: tuple[int, int], dy: int, dx: int, seed: int) -> None:
    frames = np.random.default_rng(seed).normal(size=(2, *dims)).astype(np.float32)
    shift = np.tile(np.float32([dy, dx]), (2, 1))
    there, outside = moved(frames, Shifts(shift))
    rows, columns = (np.arange(n) + d for n, d in zip(dims, (dy, dx), strict=True))
    expected = frames[:, np.clip(rows, 0, dims[0] - 1)][:, :, np.clip(columns, 0, dims[1] - 1)]
    np.testing.assert_allclose(there, expected, atol=1e-6)
    inside = np.outer((rows >= 0) & (rows < dims[0]), (columns >= 0) & (columns < dims[1]))
    np.testing.assert_array_equal(outside, np.where(inside, 0, 2))
    back, _ = moved(there, Shifts(-shift))
    kept = tuple(slice(max(d, 0), max(n + min(d, 0), 0)) for n, d in zip(dims, (dy, dx), strict=True))
    np.testing.assert_allclose(back[:, kept[0], kept[1]], frames[:, kept[0], kept[1]], atol=1e-6)


@few
@given(DIMS, st.floats(-4, 4), st.floats(-4, 4), st.integers(2, 5), SEEDS)
def test_a_field_of_equal_vectors_is_a_rigid_shift(
    dims: tuple[int, int], dy: float, dx: float, count: int, seed: int
) -> None:
    frames = np.random.default_rng(seed).normal(size=(3, *dims)).astype(np.float32)
    rigid = np.tile(np.float32([dy, dx]), (3, 1))
    grid = tuple(np.linspace(0, n - 1, count, dtype=np.float32) for n in dims)
    field = np.broadcast_to(rigid[:, None, None], (3, count, count, 2)).copy()
    np.testing.assert_allclose(moved(frames, Shifts(rigid, field, grid))[0], moved(frames, Shifts(rigid))[0], atol=1e-3)


@few
@given(st.tuples(st.integers(12, 90), st.integers(12, 90)), st.floats(6, 40), st.booleans(), st.sampled_from([1, 2]))
def test_squares_cover_the_field_and_planes_stay_planes(
    dims: tuple[int, int], spacing: float, local: bool, bins: int
) -> None:
    grid = make_grid(dims, spacing=(spacing, spacing), local=local, bins=(bins, bins))
    for edges, n in zip(grid.edges, dims, strict=True):
        assert (edges[0], edges[-1]) == (0, n)
        assert (np.diff(edges) > 0).all()
    plane = sum(g * f for g, f in zip(np.meshgrid(*grid.nodes, indexing="ij"), (0.3, -0.2), strict=True)).ravel()
    squares = sum(
        g * f for g, f in zip(np.meshgrid(*grid.square_centres, indexing="ij"), (0.3, -0.2), strict=True)
    ).ravel()
    constant = np.ones(len(plane))
    np.testing.assert_allclose(nodes_to_squares(grid) @ constant, 1, atol=1e-5)
    np.testing.assert_allclose(mean_of_nodes(grid) @ constant, 1, atol=1e-5)
    if local and min(grid.node_shape) > 1:
        np.testing.assert_allclose(nodes_to_squares(grid) @ plane, squares, atol=1e-3)
        pixels = 0.3 * (dims[0] - 1) / 2 - 0.2 * (dims[1] - 1) / 2
        np.testing.assert_allclose(mean_of_nodes(grid) @ plane, pixels, atol=1e-3)


@few
@given(st.integers(2, 9), st.lists(st.floats(-20, 70), min_size=1, max_size=9), st.floats(-3, 3), st.floats(-9, 9))
def test_interpolation_keeps_every_line(count: int, points: list[float], slope: float, level: float) -> None:
    nodes, at = np.linspace(0, 50, count), np.array(points)
    weights = interpolation_weights(at, nodes)
    np.testing.assert_allclose(weights @ (slope * nodes + level), slope * at + level, atol=1e-5)
