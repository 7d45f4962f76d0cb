"""Displacement of raw frames' pixels from a field that is given where corrected pixels come from."""

from __future__ import annotations

import numpy as np
import pytest

from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.field import displacement_at, extend_field

NODES = {1: [30.0], 4: [0.0, 20.0, 40.0, 60.0], 5: [0.0, 15.0, 30.0, 45.0, 60.0]}


@pytest.mark.parametrize("counts", [(4, 5), (1, 5), (4, 1), (1, 1), (1, 4, 5)])
def test_of_a_field_that_changes_linearly_it_is_exact(counts):
    """``d = u(p - d)`` with ``u(x) = s + G x`` has the solution ``(1 + G)^-1 (s + G p)``, also beyond the nodes."""
    ndim, rng = len(counts), np.random.default_rng(4)
    nodes = tuple(np.array(NODES[n], np.float32) for n in counts)
    places = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
    slopes = 0.02 * rng.normal(size=(3, ndim, ndim)) * (np.array(counts) > 1)
    start = rng.normal(size=(3, ndim)) * 3
    field = start.reshape(3, *(1,) * ndim, ndim) + np.einsum("tij,...j->t...i", slopes, places)
    points = [np.array([3.0, 28.5, 57.0])[: 2 + axis % 2] for axis in range(ndim)]
    found = displacement_at(Shifts(start.astype(np.float32), field.astype(np.float32), nodes), *points)
    assert found.shape == (3, *(len(p) for p in points), ndim)
    at = np.stack(np.meshgrid(*points, indexing="ij"), axis=-1)
    for t in range(3):
        expected = (start[t] + at @ slopes[t].T) @ np.linalg.inv(np.eye(ndim) + slopes[t]).T
        np.testing.assert_allclose(found[t], expected, atol=2e-3)


def test_a_field_goes_on_linearly_beyond_its_nodes():
    field = np.random.default_rng(1).normal(size=(2, 3, 4, 2)).astype(np.float32)
    wide = extend_field(field)
    assert wide.shape == (2, 4, 5, 6, 3)
    assert not wide[..., 0].any()
    np.testing.assert_array_equal(wide[:, 2, 1:-1, 1:-1, 1:], field)
    for axis in (2, 3):
        bend = np.diff(wide, 2, axis=axis)
        np.testing.assert_allclose(np.take(bend, [0, -1], axis=axis), 0, atol=1e-5)
