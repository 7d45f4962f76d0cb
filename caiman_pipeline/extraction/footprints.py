"""Sizes and places of footprints."""

from __future__ import annotations

from math import ceil, pi, prod

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import Dims


def cell_pixels(cell_px: tuple[float, ...]) -> float:
    """Return the pixels of a cell of the given diameters: an ellipse's area, or an ellipsoid's volume."""
    unit = pi / 4 if len(cell_px) == 2 else pi / 6
    return unit * prod(max(d, 1.0) for d in cell_px)


def min_pixels(cell_px: tuple[float, ...], share: float) -> int:
    """Return the pixels in ``share`` of a cell, at least three."""
    return max(3, ceil(share * cell_pixels(cell_px)))


def centres_of_mass(footprints: csc_matrix, dims: Dims) -> FloatArray:
    """Return the centre of mass of each footprint, float64 (K, ndim), in pixels."""
    mass = np.maximum(np.asarray(footprints.sum(0), dtype=np.float64).ravel(), 1e-12)
    grids = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in dims), indexing="ij")
    return np.stack([(footprints.T @ g.ravel()) / mass for g in grids], axis=1)
