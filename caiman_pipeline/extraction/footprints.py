"""Sizes and places of footprints."""

from __future__ import annotations

from math import ceil, pi, prod

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import Dims


def cell_pixels(cell_px: tuple[float, ...]) -> float:
    """Return the pixels of a cell of the given diameters: an ellipse's area, or an ellipsoid's volume.

    Parameters
    ----------
    cell_px : tuple of float
        Diameter along each axis, pixels; less than one counts as one.

    Returns
    -------
    float
        Pixels.

    Examples
    --------
    >>> round(cell_pixels((10.0, 12.0)), 1)
    94.2
    """
    unit = pi / 4 if len(cell_px) == 2 else pi / 6
    return unit * prod(max(d, 1.0) for d in cell_px)


def min_pixels(cell_px: tuple[float, ...], share: float) -> int:
    """Return the pixels in ``share`` of a cell, at least three.

    Parameters
    ----------
    cell_px : tuple of float
        Diameter along each axis, pixels.
    share : float
        Share of a cell's pixels.

    Returns
    -------
    int
        Pixels.

    Examples
    --------
    >>> min_pixels((10.0, 12.0), 0.2)
    19
    """
    return max(3, ceil(share * cell_pixels(cell_px)))


def centres_of_mass(footprints: csc_matrix, dims: Dims) -> FloatArray:
    """Return the centre of mass of each footprint.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    float64 (K, ndim)
        Pixels; 0 for an empty footprint.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((3, 4))
    >>> image[1, 1:3] = 1.0
    >>> centres_of_mass(csc_matrix(image.reshape(-1, 1)), (3, 4)).tolist()
    [[1.0, 1.5]]
    """
    mass = np.maximum(np.asarray(footprints.sum(0), dtype=np.float64).ravel(), 1e-12)
    grids = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in dims), indexing="ij")
    return np.stack([(footprints.T @ g.ravel()) / mass for g in grids], axis=1)
