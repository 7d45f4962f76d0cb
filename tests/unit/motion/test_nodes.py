"""Nodes and squares of a field of view, interpolation between nodes, and what a field's bending costs."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.motion.nodes import (
    interpolation_weights,
    make_grid,
    mean_of_nodes,
    middle_nodes,
    nodes_to_squares,
    roughness,
)

GRID = make_grid((70, 110), spacing=(20.0, 30.0), local=True, bins=(2, 2))


def test_nodes_span_the_field_about_the_spacing_apart():
    assert GRID.node_shape == (4, 5)
    for line, size in zip(GRID.nodes, GRID.dims, strict=True):
        assert (line[0], line[-1]) == (0, size - 1)
        np.testing.assert_allclose(np.diff(line), np.diff(line)[0], rtol=1e-5)


def test_squares_cover_the_field_and_begin_on_whole_bins():
    for line, size in zip(GRID.edges, GRID.dims, strict=True):
        assert (line[0], line[-1]) == (0, size)
        assert (np.diff(line) > 0).all()
        assert not (line[:-1] % 2).any()
    binned = GRID.binned((2, 2))
    assert binned.dims == (35, 55)
    assert binned.square_shape == GRID.square_shape


def test_a_rigid_field_has_one_node_and_a_short_axis_too():
    assert make_grid((70, 110), spacing=(20.0, 30.0), local=False, bins=(1, 1)).node_shape == (1, 1)
    assert make_grid((4, 70, 110), spacing=(20.0, 20.0, 30.0), local=True, bins=(1, 2, 2)).node_shape == (1, 4, 5)
    np.testing.assert_array_equal(np.concatenate(middle_nodes((5, 9))), [2, 4])


def test_large_fields_get_no_more_nodes_than_can_be_solved_for():
    grid = make_grid((2048, 1024), spacing=(16.0, 16.0), local=True, bins=(2, 2))
    assert 250 < np.prod(grid.node_shape) <= 400


@pytest.mark.parametrize("count", [2, 3, 6])
def test_interpolation_keeps_lines_and_goes_on_beyond_the_last_node(count):
    nodes = np.linspace(0, 50, count)
    points = np.array([-5.0, 0, 3.2, 24.9, 50, 58])
    weights = interpolation_weights(points, nodes)
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights @ (2 * nodes - 7), 2 * points - 7, atol=1e-9)
    np.testing.assert_allclose(interpolation_weights(nodes, nodes), np.eye(count), atol=1e-9)


def test_interpolation_follows_a_smooth_curve():
    nodes, points = np.linspace(0, 50, 11), np.linspace(6, 44, 30)
    curve = interpolation_weights(points, nodes) @ np.sin(nodes / 8)
    np.testing.assert_allclose(curve, np.sin(points / 8), atol=0.01)


def test_fields_at_squares_and_their_mean_follow_from_the_nodes():
    rows, columns = np.meshgrid(*GRID.nodes, indexing="ij")
    tilted = (0.1 * rows - 0.02 * columns + 3).ravel()
    square_rows, square_columns = np.meshgrid(*GRID.square_centres, indexing="ij")
    expected = 0.1 * square_rows - 0.02 * square_columns + 3
    np.testing.assert_allclose(nodes_to_squares(GRID) @ tilted, expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(mean_of_nodes(GRID) @ tilted, 0.1 * 34.5 - 0.02 * 54.5 + 3, atol=1e-5)


@pytest.mark.parametrize("dims", [(70, 110), (40, 70, 110)])
def test_bending_costs_more_than_a_slope_and_a_constant_nothing(dims):
    grid = make_grid(dims, spacing=(20.0,) * len(dims), local=True, bins=(1,) * len(dims))
    form = roughness(grid)
    place = np.stack(np.meshgrid(*[np.arange(n) for n in grid.node_shape], indexing="ij"))
    flat, slope, bend = np.ones(place[0].size), place[-1].ravel().astype(float), (place[-1] ** 2).ravel().astype(float)
    assert abs(flat @ form @ flat) < 1e-9
    assert 0 < slope @ form @ slope < 0.01 * (bend @ form @ bend)
    np.testing.assert_allclose(form, form.T)
