"""How alike two sessions' cells are: distance of centres, overlap, form; for pairs near enough to be one cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix
from scipy.spatial import cKDTree

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.sessions.warp import Warped

# Pairs farther apart than this many cell radii tell nothing.
FARTHEST_RADII = 5.0


@dataclass(frozen=True)
class Likeness:
    """Pairs of cells of two sessions, by rows.

    Attributes
    ----------
    first, second : int64 (M,), cells of the two sessions
    distance : float64 (M,), between centres, in cell radii; distance_px : the same in pixels of the frame
    overlap : float64 (M,), cosine of the footprints in the frame
    form : float64 (M,), cosine of the footprints around their own centres
    union_cost : float64 (M,), 1 - intersection over union of the footprints' areas
    enclosed, enclosing : float64 (M,), share of the first's area within the second's, and the reverse
    """

    first: IntArray
    second: IntArray
    distance: FloatArray
    distance_px: FloatArray
    overlap: FloatArray
    form: FloatArray
    union_cost: FloatArray
    enclosed: FloatArray
    enclosing: FloatArray

    def __len__(self) -> int:
        return len(self.first)

    def rows(self, kept: IntArray | BoolArray) -> Likeness:
        """Return some of the pairs."""
        return Likeness(*(values[kept] for values in vars(self).values()))


def likeness(first: Warped, second: Warped, *, radius_px: FloatArray, max_thr: float) -> Likeness:
    """Measure pairs of two sessions' cells.

    Parameters
    ----------
    radius_px : float64 (N,), standard deviation of typical footprints along each axis of the frame
    max_thr : a footprint's area is where it is above this share of its peak
    """
    tree_1, tree_2 = cKDTree(first.centre / radius_px), cKDTree(second.centre / radius_px)
    found = tree_1.sparse_distance_matrix(tree_2, FARTHEST_RADII, output_type="ndarray")
    order = np.lexsort((found["j"], found["i"]))
    i, j, distance = found["i"][order], found["j"][order], found["v"][order]
    area_1, area_2 = areas(first.footprints, max_thr), areas(second.footprints, max_thr)
    common = _at((area_1.T @ area_2).tocsr(), i, j)
    size_1, size_2 = (np.asarray(a.sum(0)).ravel() for a in (area_1, area_2))
    union = np.maximum(size_1[i] + size_2[j] - common, 1.0)
    return Likeness(
        i,
        j,
        distance,
        np.linalg.norm(first.centre[i] - second.centre[j], axis=1),
        _at((first.footprints.T @ second.footprints).tocsr(), i, j),
        np.einsum("mf,mf->m", first.form[i], second.form[j]).astype(float),
        1.0 - common / union,
        common / np.maximum(size_1[i], 1.0),
        common / np.maximum(size_2[j], 1.0),
    )


def areas(footprints: csc_matrix, max_thr: float) -> csc_matrix:
    """Return where each footprint is above a share of its peak, as ones, float32 (P, K)."""
    peak = footprints.max(0).toarray().ravel()
    column = np.repeat(np.arange(footprints.shape[1]), np.diff(footprints.indptr))
    kept = (footprints.data > max_thr * peak[column]).astype(np.float32)
    marked = csc_matrix((kept, footprints.indices, footprints.indptr), shape=footprints.shape)
    marked = marked.copy()
    marked.eliminate_zeros()
    return marked


def _at(matrix: csc_matrix, i: IntArray, j: IntArray) -> FloatArray:
    return np.asarray(matrix[i, j], dtype=float).ravel() if len(i) else np.zeros(0)
