"""Where footprints lie and what they look like: at the border, saturated, drawn out, like or within another one."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import binary_erosion
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.pairs import similar_pairs, trace_correlations
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.simulation.masks import binarise

# Cosine of two footprints below which they are not compared: so different ones are no duplicates.
LEAST_ALIKE = 0.1
# Variance of a uniform line of unit length: a pixel's own extent.
PIXEL_VARIANCE = 1 / 12
# Share of the ceiling above which a pixel of the corrected movie was saturated: interpolation takes a little away.
NEARLY = 0.97
# Share of its peak at which a footprint's outline is drawn.
OUTLINE_LEVEL = 0.3
# Of 1,000 or so independent frames, chance gives correlations of 0.03; demixing ties neighbours a little more.
LEAST_RELATED = 0.15


def _owners(footprints: csc_matrix) -> IntArray:
    return np.repeat(np.arange(footprints.shape[1]), np.diff(footprints.indptr))


def _share(footprints: csc_matrix, marked: BoolArray) -> FloatArray:
    """Return the share of each footprint's weight on marked pixels (P,), float32 (K,); 0 for empty footprints."""
    owner, n = _owners(footprints), footprints.shape[1]
    mass = np.bincount(owner, footprints.data, n)
    there = np.bincount(owner, footprints.data * marked[footprints.indices], n)
    return np.divide(there, mass, out=np.zeros(n), where=mass > 0).astype(np.float32)


def border_share(footprints: csc_matrix, dims: Dims, *, usable: BoolArray) -> FloatArray:
    """Return the share of each footprint's weight on pixels next to the end of what the movie shows.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W); planes at the end of a volume are no border.
    usable : bool (P,)
        Pixels that hold data in every frame.

    Returns
    -------
    float32 (K,)
        Share, 0 to 1; 0 for an empty footprint.
    """
    plane = np.ones((1,) * (len(dims) - 2) + (3, 3), bool)
    inside = binary_erosion(np.asarray(usable, bool).reshape(dims), plane, border_value=0)
    return _share(footprints, ~inside.ravel())


def saturated_share(footprints: csc_matrix, peaks: FloatArray, *, ceiling: float | None) -> FloatArray:
    """Return the share of each footprint's weight on saturated pixels.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    peaks : float32 (P,)
        Each pixel's largest value in the corrected movie; interpolation keeps it a little below the ceiling.
    ceiling : float or None
        Largest pixel value where the recording is saturated; None: nothing is.

    Returns
    -------
    float32 (K,)
        Share, 0 to 1; 0 for an empty footprint.
    """
    return _share(footprints, np.zeros(len(peaks), bool) if ceiling is None else peaks >= NEARLY * ceiling)


def elongation(footprints: csc_matrix, dims: Dims, *, cell_px: tuple[float, ...]) -> FloatArray:
    """Return how many times longer than wide each footprint is in the plane.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    cell_px : tuple of float
        Diameter of a cell along each axis, pixels: a cell is round, so unequal diameters are those of unequal pixels.

    Returns
    -------
    float32 (K,)
        Length over width, 1 for round ones.

    Notes
    -----
    Length and width are the standard deviations of its weight along the principal axes; each pixel has an extent of
    its own.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csc_matrix
    >>> image = np.zeros((9, 12))
    >>> image[4, 2:8] = 1.0                                         # a line of six pixels
    >>> elongation(csc_matrix(image.reshape(-1, 1)), (9, 12), cell_px=(5.0, 5.0)).round(2).tolist()
    [6.0]
    """
    owner, n = _owners(footprints), footprints.shape[1]
    y, x = (v.astype(np.float64) for v in np.unravel_index(footprints.indices, dims)[-2:])
    mass = np.maximum(np.bincount(owner, footprints.data, n), 1e-30)
    for values in (y, x):
        values -= (np.bincount(owner, footprints.data * values, n) / mass)[owner]
    height = cell_px[-1] / cell_px[-2]  # of a pixel, in widths of a pixel
    y *= height
    yy, xx, yx = (np.bincount(owner, footprints.data * v, n) / mass for v in (y * y, x * x, y * x))
    middle = (yy + xx) / 2 + PIXEL_VARIANCE * (1 + height**2) / 2
    half_difference = np.hypot((yy - xx) / 2 + PIXEL_VARIANCE * (height**2 - 1) / 2, yx)
    return np.sqrt((middle + half_difference) / (middle - half_difference)).astype(np.float32)


def likeness(footprints: csc_matrix, traces: Any, strength: FloatArray) -> FloatArray:
    """Return how much each component repeats a stronger one.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints of unit norm.
    traces : table (K, T)
        Any table that gives some of its rows, no gaps.
    strength : float (K,)
        Decides which of two is the stronger; where equal or not a number, the first.

    Returns
    -------
    float32 (K,)
        0 to 1.

    Notes
    -----
    Of two components it is the smaller of the footprints' cosine and the traces' correlation; of several, the largest
    counts. The stronger one of a pair keeps 0, so that leaving out the others leaves one.
    """
    alike = np.zeros(footprints.shape[1], np.float32)
    first, second = similar_pairs(footprints, min_cosine=LEAST_ALIKE)
    if len(first):
        cosine = np.asarray(footprints[:, first].multiply(footprints[:, second]).sum(0)).ravel()
        both = np.minimum(cosine, trace_correlations(traces, first, second))
        np.maximum.at(alike, _weaker(first, second, strength), both.astype(np.float32))
    return np.clip(alike, 0, 1)


def nesting(footprints: csc_matrix, dims: Dims, strength: FloatArray, *, traces: Any = None) -> FloatArray:
    """Return how far each component and a stronger one lie within each other's outline.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    strength : float (K,)
        Decides which of two is the stronger; where equal or not a number, the first.
    traces : table (K, T), optional
        Gives some of its rows; pairs whose traces are unrelated do not count. Without them all pairs do.

    Returns
    -------
    float32 (K,)
        0 to 1.

    Notes
    -----
    Of two components it is the larger of the shares of one's weight within the other's outline, at 0.3 of its peak and
    with its holes filled; of several stronger ones, the largest counts. Cells of one plane do not lie within each
    other, so a core and a ring around it, or a piece and the whole, are one cell found twice; but a cell above another
    in thick tissue has a trace of its own.
    """
    mass = np.maximum(np.asarray(footprints.sum(0)).ravel(), 1e-30)
    shares = (footprints.T @ binarise(footprints, dims, level=OUTLINE_LEVEL)).tocoo()
    apart = shares.row != shares.col
    inner, outer = shares.row[apart], shares.col[apart]
    share = shares.data[apart] / mass[inner]
    if traces is not None and len(inner):
        share = share * (np.abs(trace_correlations(traces, inner, outer)) >= LEAST_RELATED)
    nested = np.zeros(footprints.shape[1], np.float32)
    np.maximum.at(nested, _weaker(inner, outer, strength), share.astype(np.float32))
    return np.clip(nested, 0, 1)


def _weaker(one: IntArray, other: IntArray, strength: FloatArray) -> IntArray:
    """Return the weaker component of each pair, of equals the later."""
    rank = np.nan_to_num(strength, nan=-np.inf)
    first, second = np.minimum(one, other), np.maximum(one, other)
    return np.where(rank[second] > rank[first], first, second)
