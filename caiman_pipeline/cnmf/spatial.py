"""Spatial update: each pixel's movie as a non-negative mixture of the traces of the components that may reach it.

The problem of Pnevmatikakis et al. 2016 (10.1016/j.neuron.2015.11.037), non-negative regression within dilated supports,
solved on Gram matrices: the movie enters only through its products with the traces, which one pass collects.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from scipy import ndimage as ndi
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.cnmf.greedy import main_body
from caiman_pipeline.types import Dims, FloatArray


def dilate_supports(
    footprints: csc_matrix, dims: Dims, *, radius_px: tuple[float, ...], allowed: FloatArray
) -> csc_matrix:
    """Return the pixels (P, K) where each footprint may grow: its own, dilated by an ellipsoid, within ``allowed`` (P,)."""
    reach = [int(np.ceil(r)) for r in radius_px]
    grids = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    ball = sum((g / max(r, 0.5)) ** 2 for g, r in zip(grids, radius_px, strict=True)) <= 1.0
    indptr, indices = [0], []
    for k in range(footprints.shape[1]):
        rows = footprints.indices[footprints.indptr[k] : footprints.indptr[k + 1]]
        grown = _dilate(rows, dims, reach, ball)
        grown = grown[allowed[grown]]
        indices.append(grown)
        indptr.append(indptr[-1] + len(grown))
    joined = np.concatenate(indices) if indices else np.zeros(0, np.int64)
    ones = np.ones(len(joined), np.float32)
    return csc_matrix((ones, joined.astype(np.int32), np.array(indptr)), shape=footprints.shape)


def _dilate(rows: FloatArray, dims: Dims, reach: list[int], ball: FloatArray) -> FloatArray:
    if len(rows) == 0:
        return rows
    points = np.stack(np.unravel_index(rows, dims))
    low = np.maximum(points.min(1) - reach, 0)
    high = np.minimum(points.max(1) + np.array(reach) + 1, dims)
    box = np.zeros(high - low, bool)
    box[tuple(points - low[:, None])] = True
    grown = np.stack(np.nonzero(ndi.binary_dilation(box, ball)))
    return np.sort(np.ravel_multi_index(tuple(grown + low[:, None]), dims))


@njit(cache=True, parallel=True)
def _solve_pixels(
    indptr: FloatArray, indices: FloatArray, products: FloatArray, gram: FloatArray, start: FloatArray,
    noise: FloatArray, significance: float, iterations: int,
) -> FloatArray:  # fmt: skip
    """Coordinate descent on 0.5 a'Ga - a'y, a >= 0, for every pixel (a row of the csr structure); returns csr data.

    Entries below ``significance`` standard errors end as zero and the others are solved again without them.
    """
    out = np.zeros(len(indices), np.float32)
    for p in prange(len(indptr) - 1):
        first, last = indptr[p], indptr[p + 1]
        n = last - first
        a = np.zeros(n)
        for i in range(n):
            a[i] = start[first + i]
        keep = np.ones(n, np.bool_)
        for attempt in range(2):
            for _ in range(iterations):
                change = 0.0
                for i in range(n):
                    if not keep[i]:
                        continue
                    power = gram[indices[first + i], indices[first + i]]
                    slope = products[first + i]
                    for j in range(n):
                        slope -= gram[indices[first + i], indices[first + j]] * a[j]
                    value = max(a[i] + slope / power, 0.0) if power > 0 else 0.0
                    change = max(change, abs(value - a[i]) * np.sqrt(power))
                    a[i] = value
                if change < 1e-3 * noise[p]:
                    break
            if attempt == 0:
                for i in range(n):
                    power = gram[indices[first + i], indices[first + i]]
                    if a[i] * np.sqrt(power) < significance * noise[p]:
                        keep[i] = False
                        a[i] = 0.0
        for i in range(n):
            out[first + i] = a[i]
    return out


def solve_footprints(
    supports: csc_matrix,
    products: csr_matrix,
    gram: FloatArray,
    *,
    noise: FloatArray,
    significance: float,
    iterations: int = 30,
) -> csc_matrix:
    """Solve every pixel's non-negative regression on the traces.

    Parameters
    ----------
    supports : sparse (P, K), where footprints may be
    products : csr (P, K) on the supports' entries, movie x centred traces, background taken out
    gram : float64 (K, K), centred traces x centred traces
    noise : float32 (P,), standard deviation of the movie the products were made from
    significance : entries below this many standard errors become zero

    Returns
    -------
    Footprints, csc (P, K), not normalised.
    """
    structure = supports.tocsr()
    structure.sort_indices()
    products.sort_indices()
    start = np.zeros(len(structure.indices), np.float32)
    data = _solve_pixels(
        structure.indptr, structure.indices, products.data.astype(np.float64), gram.astype(np.float64), start,
        noise.astype(np.float64), significance, iterations,
    )  # fmt: skip
    solved = csr_matrix((data, structure.indices, structure.indptr), shape=structure.shape).tocsc()
    solved.eliminate_zeros()
    solved.sort_indices()
    return solved


def clean_footprints(footprints: csc_matrix, dims: Dims, *, min_pixels: int) -> csc_matrix:
    """Keep each footprint's main connected part; footprints with fewer pixels become empty."""
    data, indices, indptr = [], [], [0]
    for k in range(footprints.shape[1]):
        cut = slice(footprints.indptr[k], footprints.indptr[k + 1])
        rows, values = footprints.indices[cut], footprints.data[cut]
        if len(rows) >= min_pixels:
            rows, values = _main_part(rows, values, dims)
        if len(rows) < min_pixels:
            rows, values = rows[:0], values[:0]
        indices.append(rows)
        data.append(values)
        indptr.append(indptr[-1] + len(rows))
    joined = (np.concatenate(x) if x else np.zeros(0) for x in (data, indices))
    values, rows = joined
    return csc_matrix((values.astype(np.float32), rows.astype(np.int32), np.array(indptr)), shape=footprints.shape)


def _main_part(rows: FloatArray, values: FloatArray, dims: Dims) -> tuple[FloatArray, FloatArray]:
    points = np.stack(np.unravel_index(rows, dims))
    low = points.min(1)
    box = np.zeros(points.max(1) - low + 1, np.float32)
    place = tuple(points - low[:, None])
    box[place] = values
    smooth = ndi.gaussian_filter(box, 1.0)
    body = main_body(box, tuple(int(i) for i in np.unravel_index(np.argmax(smooth), box.shape)))
    kept = body[place]
    return rows[kept > 0], kept[kept > 0]


def normalise(footprints: csc_matrix) -> tuple[csc_matrix, FloatArray]:
    """Scale each footprint to unit Euclidean norm; returns the norms (K,), 1 where a footprint is empty."""
    norms = np.sqrt(np.asarray(footprints.multiply(footprints).sum(0)).ravel())
    norms = np.where(norms > 0, norms, 1.0).astype(np.float32)
    scaled = footprints.copy()
    scaled.data = (scaled.data / np.repeat(norms, np.diff(scaled.indptr))).astype(np.float32)
    return scaled, norms
