"""Pairs of components: those that touch, whose footprints are alike, and how alike their traces are."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.spatial import dilate_supports
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.threads import value_slabs


def touching_pairs(footprints: csc_matrix, dims: Dims, *, min_overlap: float) -> tuple[IntArray, IntArray]:
    """Return pairs of which enough of the smaller lies within a pixel of the other.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    min_overlap : float
        Share of the smaller one's pixels, 0 to 1.

    Returns
    -------
    first : int (n,)
        One of each pair.
    second : int (n,)
        The other, of a larger index.
    """
    everywhere = np.ones(footprints.shape[0], bool)
    grown = dilate_supports(footprints, dims, radius_px=(1.5,) * len(dims), allowed=everywhere)
    own = footprints.copy()
    own.data = np.ones_like(own.data)
    sizes = np.maximum(np.diff(own.indptr), 1)
    contact = (grown.T @ own).tocoo()
    share = contact.data / np.minimum(sizes[contact.row], sizes[contact.col])
    return _upper_pairs(contact.row, contact.col, share >= min_overlap)


def similar_pairs(footprints: csc_matrix, *, min_cosine: float) -> tuple[IntArray, IntArray]:
    """Return pairs of footprints with at least some cosine.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints of unit norm.
    min_cosine : float
        0 to 1.

    Returns
    -------
    first : int (n,)
        One of each pair.
    second : int (n,)
        The other, of a larger index.
    """
    product = (footprints.T @ footprints).tocoo()
    return _upper_pairs(product.row, product.col, product.data >= min_cosine)


def _upper_pairs(rows: IntArray, columns: IntArray, chosen: BoolArray) -> tuple[IntArray, IntArray]:
    first, second = np.minimum(rows, columns)[chosen], np.maximum(rows, columns)[chosen]
    pairs = np.unique(np.stack([first, second], axis=1)[first != second], axis=0)
    return pairs[:, 0], pairs[:, 1]


def trace_correlations(traces: Any, first: IntArray, second: IntArray) -> FloatArray:
    """Return the correlation of pairs of traces; 0 where a trace is constant.

    Parameters
    ----------
    traces : table (K, T)
        Any table that gives some of its rows, no gaps: a few are read at a time.
    first : int (n,)
        One of each pair.
    second : int (n,)
        The other.

    Returns
    -------
    float64 (n,)
        Pearson's correlation.

    Examples
    --------
    >>> import numpy as np
    >>> traces = np.array([[0.0, 1, 2], [1, 3, 5], [2, 1, 0]], np.float32)
    >>> trace_correlations(traces, np.array([0, 0]), np.array([1, 2])).round(6).tolist()
    [1.0, -1.0]
    """
    n_rows, n_frames = traces.shape
    norms, products = np.empty(n_rows), np.empty(len(first))
    for start, stop in value_slabs(n_rows, n_frames):
        centred = _centred(traces[start:stop])
        norms[start:stop] = np.sqrt(np.einsum("kt,kt->k", centred, centred, dtype=np.float64))
    for start, stop in value_slabs(len(first), n_frames):
        rows, places = np.unique(np.stack([first[start:stop], second[start:stop]]), return_inverse=True)
        one, other = places.reshape(2, -1)
        centred = _centred(traces[rows])
        products[start:stop] = np.einsum("kt,kt->k", centred[one], centred[other], dtype=np.float64)
    scale = norms[first] * norms[second]
    return np.divide(products, scale, out=np.zeros(len(products)), where=scale > 0)


def _centred(traces: FloatArray) -> FloatArray:
    return traces - traces.mean(1, keepdims=True)
