"""Spatial update: each pixel's movie as a non-negative mixture of the traces that may reach it.

The problem of Pnevmatikakis et al. 2016 (10.1016/j.neuron.2015.11.037), non-negative regression within dilated
supports, solved on Gram matrices: the movie enters only through its products with the traces, which one pass collects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.extraction.search.greedy import main_body
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.nonnegative import descend
from caiman_pipeline.numerics.threads import run_parallel

# Of the largest section's pixels: sections of a soma are discs, single pixels are noise or a process that passes.
LEAST_SECTION = 0.2
SPIKE = 2.0
# A pixel's regression ends once no weight changes what it explains by this share of the noise: far below an error.
TOLERANCE, MOST_ROUNDS = 1e-3, 50


def dilate_supports(
    footprints: csc_matrix, dims: Dims, *, radius_px: tuple[float, ...], allowed: BoolArray
) -> csc_matrix:
    """Return the pixels where each footprint may be: its own, dilated by an ellipsoid.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    radius_px : tuple of float
        Half axes of the ellipsoid, pixels.
    allowed : bool (P,)
        Pixels that count.

    Returns
    -------
    csc_matrix float32 (P, K)
        Ones.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037
    """
    reach = [int(np.ceil(r)) for r in radius_px]
    grids = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    ball = sum(((g / max(r, 0.5)) ** 2 for g, r in zip(grids, radius_px, strict=True)), np.zeros(1)) <= 1.0
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


def _dilate(rows: IntArray, dims: Dims, reach: list[int], ball: BoolArray) -> IntArray:
    if len(rows) == 0:
        return rows
    points = np.stack(np.unravel_index(rows, dims))
    low = np.maximum(points.min(1) - reach, 0)
    high = np.minimum(points.max(1) + np.array(reach) + 1, dims)
    box = np.zeros(high - low, bool)
    box[tuple(points - low[:, None])] = True
    grown = np.stack(np.nonzero(ndi.binary_dilation(box, ball)))
    return np.sort(np.ravel_multi_index(tuple(grown + low[:, None]), dims))


@dataclass(frozen=True)
class RegressionSums:
    """Everything the spatial update needs to know of the movie: weighted sums over time.

    Attributes
    ----------
    weight : sum of the weights
    pixels : float64 (P, 4), sums of y, g, g g and y g (y the movie, g a pixel's local background signal)
    supports : csr (P, K), where footprints may be
    movie_traces, local_traces : float64, sums of y c_k and g c_k on the supports' entries
    trace_sums : float64 (K,), sums of c_k; trace_products : float64 (K, K), sums of c_k c_l
    """

    weight: float
    pixels: FloatArray
    supports: csr_matrix
    movie_traces: FloatArray
    local_traces: FloatArray
    trace_sums: FloatArray
    trace_products: FloatArray


@dataclass(frozen=True)
class SpatialModel:
    """Footprints csc (P, K), not normalised; static and gain of the background, float32 (P,).

    ``free`` are the estimates of every entry of the supports, others as solved, that may be negative, and ``errors``
    their standard errors; None once footprints were shaped.
    """

    footprints: csc_matrix
    static: FloatArray
    gain: FloatArray
    free: csc_matrix | None = None
    errors: csc_matrix | None = None


class _Regressions(NamedTuple):
    """Every pixel's regression, as kernels take it; entries are those of the supports, a row for each pixel.

    Attributes
    ----------
    indptr, indices : int32, where the entries of pixel p lie, and the component of each
    with_y, with_g : float64 (entries,), products of a component's trace with the pixel and with its background
    gram : float64 (K, K), products of the traces
    y_g, local_power : float64 (P,), product of pixel and background, and of the background with itself
    noise : float64 (P,), standard deviation of a sample of weight one
    significance : standard errors below which an entry becomes zero
    """

    indptr: IntArray
    indices: IntArray
    with_y: FloatArray
    with_g: FloatArray
    gram: FloatArray
    y_g: FloatArray
    local_power: FloatArray
    noise: FloatArray
    significance: float


class _Entries(NamedTuple):
    """What is found for every entry, float32 (entries,): solution, value without bounds, standard error."""

    data: FloatArray
    free: FloatArray
    errors: FloatArray


def solve_pixels(
    sums: RegressionSums, *, noise: FloatArray, significance: float, regression: str, threads: int
) -> SpatialModel:
    """Solve every pixel's regression on its traces (a >= 0), its background signal (>= 0) and a constant.

    Parameters
    ----------
    noise : float32 (P,), standard deviation of a sample of weight one
    significance : entries of footprints below this many standard errors become zero
    regression : ``nonnegative``, or ``nnls_l0``: traces enter one by one while each explains more than that
    threads : to solve on
    """
    structure = sums.supports
    rows = np.repeat(np.arange(structure.shape[0]), np.diff(structure.indptr))
    y, g, gg, yg = sums.pixels.T
    means = sums.trace_sums / sums.weight
    local_power = np.maximum(gg - g * g / sums.weight, 0)
    with_y = sums.movie_traces - y[rows] * means[structure.indices]
    with_g = sums.local_traces - g[rows] * means[structure.indices]
    gram = sums.trace_products - np.outer(sums.trace_sums, means)
    y_g = yg - y * g / sums.weight
    found = _Entries(*(np.zeros(len(structure.indices), np.float32) for _ in range(3)))
    problem = _Regressions(
        structure.indptr,
        structure.indices,
        with_y,
        with_g,
        gram,
        y_g,
        local_power,
        noise.astype(np.float64),
        float(significance),
    )
    kernel = _solve if regression == "nonnegative" else _solve_few
    run_parallel(kernel, structure.shape[0], problem, found, threads=threads)
    footprints = csr_matrix((found.data, structure.indices, structure.indptr), shape=structure.shape)
    explained = np.bincount(rows, found.data * with_g, minlength=len(y))
    gain = np.divide(y_g - explained, local_power, out=np.zeros_like(y_g), where=local_power > 0)
    gain = np.maximum(gain, 0)
    static = (y - gain * g) / sums.weight - footprints @ means
    columns = footprints.tocsc()
    columns.eliminate_zeros()
    columns.sort_indices()
    more = (csr_matrix((v, structure.indices, structure.indptr), shape=structure.shape).tocsc() for v in found[1:])
    return SpatialModel(columns.astype(np.float32), static.astype(np.float32), gain.astype(np.float32), *more)


@compiled
def _without_background(problem: _Regressions, p: int) -> tuple[FloatArray, FloatArray]:
    """Return the equations of a pixel, gram (n, n) and target (n,), its background signal projected out."""
    first, n = problem.indptr[p], problem.indptr[p + 1] - problem.indptr[p]
    own, target, power = np.empty((n, n)), np.empty(n), problem.local_power[p]
    for i in range(n):
        share = problem.with_g[first + i] / power if power > 0 else 0.0
        target[i] = problem.with_y[first + i] - share * problem.y_g[p]
        for j in range(n):
            between = problem.gram[problem.indices[first + i], problem.indices[first + j]]
            own[i, j] = between - share * problem.with_g[first + j]
    return own, target


@compiled
def _keep(problem: _Regressions, found: _Entries, p: int, own: FloatArray, target: FloatArray, a: FloatArray) -> None:
    """Write a pixel's solution, and what each entry would be without bounds."""
    first = problem.indptr[p]
    for i in range(len(a)):
        found.data[first + i] = a[i]
        found.free[first + i], found.errors[first + i] = _estimate(own, target, a, problem.noise[p], i)


@compiled
def _solve(start: int, stop: int, problem: _Regressions, found: _Entries) -> None:
    """Solve pixels by coordinate descent, again without the entries that are below significance."""
    for p in range(start, stop):
        own, target = _without_background(problem, p)
        n, noise = len(target), problem.noise[p]
        if n == 0:
            continue
        keep, a = np.ones(n, np.bool_), np.zeros(n)
        descend(own, target, keep, MOST_ROUNDS, TOLERANCE * noise, a)
        for i in range(n):
            keep[i] = a[i] * np.sqrt(max(own[i, i], 0.0)) >= problem.significance * noise
        a[:] = 0.0
        descend(own, target, keep, MOST_ROUNDS, TOLERANCE * noise, a)
        _keep(problem, found, p, own, target, a)


@compiled
def _solve_few(start: int, stop: int, problem: _Regressions, found: _Entries) -> None:
    """Solve pixels with an L0 penalty: the trace that explains most enters next, all that entered are solved again."""
    for p in range(start, stop):
        own, target = _without_background(problem, p)
        n, noise = len(target), problem.noise[p]
        keep, a = np.zeros(n, np.bool_), np.zeros(n)
        for _ in range(n):
            best, gain = -1, (problem.significance * noise) ** 2
            for i in range(n):
                slope = target[i]
                for j in range(n):
                    slope -= own[i, j] * a[j]
                if not keep[i] and slope > 0 and own[i, i] > 0 and slope * slope / own[i, i] > gain:
                    best, gain = i, slope * slope / own[i, i]
            if best < 0:
                break
            keep[best] = True
            a[:] = 0.0
            descend(own, target, keep, MOST_ROUNDS, TOLERANCE * noise, a)
        _keep(problem, found, p, own, target, a)


@compiled
def _estimate(gram: FloatArray, target: FloatArray, a: FloatArray, noise: float, i: int) -> tuple[float, float]:
    """Return what entry i would be without bounds, the others as they are, and its standard error; 0 if unknown."""
    if gram[i, i] <= 0 or not np.isfinite(noise):
        return 0.0, 0.0
    slope = target[i] + gram[i, i] * a[i]
    for j in range(len(target)):
        slope -= gram[i, j] * a[j]
    return slope / gram[i, i], noise / np.sqrt(gram[i, i])


def clean_footprints(footprints: csc_matrix, dims: Dims, *, min_pixels: int) -> csc_matrix:
    """Keep each footprint's main connected part; footprints with fewer pixels become empty.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints, of any norm.
    dims : tuple of int
        (H, W) or (D, H, W).
    min_pixels : int
        Fewest pixels.

    Returns
    -------
    csc_matrix float32 (P, K)
        As many footprints, in the same order.
    """
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


def _main_part(rows: IntArray, values: FloatArray, dims: Dims) -> tuple[IntArray, FloatArray]:
    points = np.stack(np.unravel_index(rows, dims))
    low = points.min(1)
    box = np.zeros(points.max(1) - low + 1, np.float32)
    place = tuple(points - low[:, None])
    box[place] = values
    # Nothing lies beyond the box: mirrored there, a bright pixel at its corner would count four times.
    smooth = ndi.gaussian_filter(box, 1.0, mode="constant")
    body = main_body(box, tuple(int(i) for i in np.unravel_index(np.argmax(smooth), box.shape)))
    kept = np.flatnonzero(body[place] > 0)
    kept = kept[main_sections(points[:, kept], values[kept])]
    return rows[kept], values[kept] if len(dims) == 2 else without_spikes(values[kept])


def without_spikes(values: FloatArray) -> FloatArray:
    """Cut a volume's footprint at ``SPIKE`` times its upper quartile, which a soma's section does not pass.

    Parameters
    ----------
    values : float (N,)
        Weights of its pixels.

    Returns
    -------
    float (N,)
        The same, cut.
    """
    return np.minimum(values, SPIKE * np.percentile(values, 75)).astype(values.dtype) if len(values) else values


def main_sections(points: IntArray, values: FloatArray) -> BoolArray:
    """Return which pixels of a volume's footprint lie in the run of planes around the one of most weight.

    Parameters
    ----------
    points : int (ndim, N)
        Places of its pixels; of a plane's footprint all are kept.
    values : float (N,)
        Weights of its pixels.

    Returns
    -------
    bool (N,)
        Which to keep.
    """
    if len(points) == 2 or points.shape[1] == 0:
        return np.ones(points.shape[1], bool)
    counts, weights = np.bincount(points[0]), np.bincount(points[0], values)
    runs, _ = ndi.label(counts >= LEAST_SECTION * counts.max())
    return (runs == runs[np.argmax(np.where(runs > 0, weights, 0))])[points[0]]


def normalise(footprints: csc_matrix) -> tuple[csc_matrix, FloatArray]:
    """Scale each footprint to unit Euclidean norm.

    Parameters
    ----------
    footprints : csc_matrix (P, K)
        Footprints.

    Returns
    -------
    scaled : csc_matrix float32 (P, K)
        Of unit norm; empty ones stay empty.
    norms : float32 (K,)
        What they were divided by, 1 where a footprint is empty.

    Examples
    --------
    >>> scaled, norms = normalise(csc_matrix([[3.0, 0.0], [4.0, 0.0]]))
    >>> norms.tolist(), scaled.toarray()[:, 0].round(2).tolist()
    ([5.0, 1.0], [0.6000000238418579, 0.800000011920929])
    """
    norms = np.sqrt(np.asarray(footprints.multiply(footprints).sum(0)).ravel())
    norms = np.where(norms > 0, norms, 1.0).astype(np.float32)
    scaled = footprints.copy()
    scaled.data = (scaled.data / np.repeat(norms, np.diff(scaled.indptr))).astype(np.float32)
    return scaled, norms
