"""Masks of footprints, and pairs of those found with the true ones."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims


def binarise(footprints: csc_matrix, dims: Dims, *, level: float) -> csc_matrix:
    """Return filled masks: pixels above a share of their footprint's peak, holes included.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    level : float
        Share of the peak, 0 to 1.

    Returns
    -------
    csc_matrix float32 (P, K)
        1 inside.

    Examples
    --------
    >>> import numpy as np
    >>> ring = np.ones((3, 4))
    >>> ring[1, 1:3] = 0.1                                           # dim inside
    >>> int(binarise(csc_matrix(ring.reshape(-1, 1)), (3, 4), level=0.3).sum())
    12
    """
    footprints = footprints.tocsc()
    columns, counts = [], [0]
    for k in range(footprints.shape[1]):
        part = slice(footprints.indptr[k], footprints.indptr[k + 1])
        columns.append(_filled(footprints.indices[part], footprints.data[part], dims, level))
        counts.append(len(columns[-1]))
    rows = np.concatenate([np.empty(0, np.int64), *columns])
    return csc_matrix((np.ones(len(rows), np.float32), rows, np.cumsum(counts)), shape=footprints.shape)


def _filled(pixels: IntArray, values: FloatArray, dims: Dims, level: float) -> IntArray:
    inside = values > level * max(values.max(initial=0), 1e-12)
    if not inside.any():
        return np.empty(0, np.int64)
    places = np.stack(np.unravel_index(pixels[inside], dims))
    low = places.min(axis=1)
    box = np.zeros(places.max(axis=1) - low + 1, bool)
    box[tuple(places - low[:, None])] = True
    filled = np.stack(np.nonzero(ndi.binary_fill_holes(box))) + low[:, None]
    return np.ravel_multi_index(tuple(filled), dims)


def match_masks(found: csc_matrix, true: csc_matrix, *, min_iou: float) -> tuple[IntArray, FloatArray]:
    """Pair masks one to one so that the sum of their intersections over unions is largest.

    Parameters
    ----------
    found : csc_matrix (P, K)
        Masks that were found, 1 inside.
    true : csc_matrix (P, N)
        True masks, 1 inside.
    min_iou : float
        Smallest intersection over union of a pair, 0 to 1.

    Returns
    -------
    pairs : int (matched, 2)
        Index of the mask found and of the true one.
    iou : float64 (matched,)
        Their intersection over union.

    Examples
    --------
    >>> import numpy as np
    >>> found = csc_matrix(np.array([[0.0, 1], [0, 1], [1, 0], [1, 0]]))
    >>> true = csc_matrix(np.array([[1.0], [1], [1], [0]]))
    >>> pairs, iou = match_masks(found, true, min_iou=0.4)
    >>> pairs.tolist(), iou.round(2).tolist()
    ([[1, 0]], [0.67])
    """
    overlap = (found.T @ true).toarray()
    sizes = (np.asarray(found.sum(0)).ravel()[:, None], np.asarray(true.sum(0)).ravel()[None])
    iou = overlap / np.maximum(sizes[0] + sizes[1] - overlap, 1)
    iou[iou < min_iou] = 0
    pairs = np.stack(linear_sum_assignment(iou, maximize=True), axis=1)
    kept = iou[pairs[:, 0], pairs[:, 1]] > 0
    return pairs[kept], iou[pairs[kept, 0], pairs[kept, 1]].astype(np.float64)
