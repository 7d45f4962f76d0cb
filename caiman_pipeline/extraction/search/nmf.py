"""Initialisation by non-negative matrix factorisation with sparse or graph-smooth footprints, for dendrites and axons.

The tile's movie is first reduced to its leading singular components, so that each iteration costs little whatever the
number of frames. Footprints may be of any shape and in several parts.

References
----------
Cichocki and Phan 2009, 10.1587/transfun.E92.A.708 (hierarchical alternating least squares); Cai et al. 2011,
10.1109/TPAMI.2010.231 (graph regularisation); Gillis and Vavasis 2014, 10.1109/TPAMI.2013.226 (the start).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import qr, solve
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_matrix, csr_matrix

from caiman_pipeline.extraction.search.greedy import Found
from caiman_pipeline.extraction.search.initialise import Evidence, with_evidence
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.filters import convolve_space, gaussian_kernel
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.low_rank import LowRank, leading_part, signal_rank
from caiman_pipeline.numerics.threads import row_slabs


@dataclass(frozen=True)
class Smoothing:
    """Gaussians' standard deviations, in pixels and bins (0 for none); percentile of each pixel taken off, or None."""

    space_px: float
    time_bins: float
    baseline_percentile: float | None


@dataclass(frozen=True)
class PixelGraph:
    """Similarity of neighbouring pixels: its kernel, the heat kernel's width, and its weight in the factorisation."""

    kernel: Literal["heat", "cosine", "binary"]
    width: float
    weight: float


@dataclass(frozen=True)
class NonNegativeFactors:
    """Settings of the factorisation.

    Attributes
    ----------
    smoothing : of the movie, before
    sparsity : what footprints are shrunk by, in standard errors of a pixel
    graph : ties neighbouring pixels that fire together to similar weights, or None
    iterations, tolerance : most iterations, and the relative change of the footprints at which they end
    rank_margin : singular values above the edge of noise times this count as signal
    min_coherence : pixels of the 3 x 3 (x 3) around one of a footprint that belong to it, itself included: one where
        pixels are scattered like noise, three along a line
    evidence : what a component needs to be kept
    """

    smoothing: Smoothing
    sparsity: float
    graph: PixelGraph | None
    iterations: int
    tolerance: float
    rank_margin: float
    min_coherence: float
    evidence: Evidence

    def __call__(self, rest: FloatArray, dims: Dims, *, allowed: BoolArray, limit: int) -> Found:
        """Find components by factorising the movie."""
        inside = np.where(allowed[:, None], rest, 0).astype(np.float32)
        part = leading_part(inside, rank=limit)
        rank = len(part.values)
        if self.evidence.least > 0:
            rank = signal_rank(part, margin=self.rank_margin)
        left, right = smoothed(part, rank, dims, self.smoothing)
        traces = pure_traces(blurred(left, dims, sigma=1.0), right, rank)
        if len(traces) == 0:
            return Found(np.zeros((len(rest), 0), np.float32), traces, np.zeros(0, np.float32))
        graph = pixel_graph(left, right, dims, self.graph) if self.graph else None
        footprints = factorise(
            left,
            right,
            traces,
            graph=graph,
            weight=self.graph.weight if self.graph else 0.0,
            sparsity=self.sparsity,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
        footprints[~allowed] = 0
        footprints = footprints[:, coherence(footprints, dims) >= self.min_coherence]
        return with_evidence(footprints, regressed_traces(footprints, rest), self.evidence, limit=limit)


def smoothed(part: LowRank, rank: int, dims: Dims, smoothing: Smoothing) -> tuple[FloatArray, FloatArray]:
    """Return left (P, R), right (R, T), rows orthonormal, whose product is the smoothed movie without its baseline."""
    left, right = part.left[:, :rank] * part.values[:rank].astype(np.float32), part.right[:rank]
    if smoothing.space_px > 0:
        left = blurred(left, dims, sigma=smoothing.space_px)
    if smoothing.time_bins > 0:
        right = gaussian_filter1d(right, smoothing.time_bins, axis=1)
    if smoothing.baseline_percentile is not None and rank:
        slabs = (np.percentile(left[a:b] @ right, smoothing.baseline_percentile, axis=1) for a, b in _slabs(left))
        left = np.concatenate([left, -np.concatenate(list(slabs))[:, None]], axis=1)
        right = np.concatenate([right, np.ones((1, right.shape[1]))])
    basis, mixing = qr(right.T, mode="economic")
    return (left @ mixing.T).astype(np.float32), np.ascontiguousarray(basis.T, np.float32)


def blurred(columns: FloatArray, dims: Dims, *, sigma: float) -> FloatArray:
    """Filter each column of (P, R) as an image (*dims) with a Gaussian of ``sigma`` pixels."""
    kernels = [gaussian_kernel(sigma) if n > 1 else np.ones(1, np.float32) for n in dims]
    return convolve_space(columns.reshape(*dims, -1), kernels).reshape(columns.shape)


def coherence(footprints: FloatArray, dims: Dims) -> FloatArray:
    """Return how many pixels of the 3 x 3 (x 3) around one go with it in its footprint (P, K), itself included; (K,).

    Notes
    -----
    A neighbour counts by its weight relative to the pixel's own, at most one; what pixels anywhere in the field would
    count on average is taken off. Pixels count by the squares of their weights; empty footprints have 0.
    """
    images = footprints.reshape(*dims, -1).astype(np.float32)
    energy = np.einsum("pk,pk->k", footprints, footprints, dtype=np.float64)
    mean = footprints.mean(0)
    total = energy.copy()
    for first, second in neighbours(dims):
        one, other = images[first], images[second]
        shared = np.minimum(one, other) - mean
        total += np.sum((one + other) * shared, axis=tuple(range(len(dims))), dtype=np.float64)
    return np.divide(total, energy, out=np.zeros_like(energy), where=energy > 0)


def neighbours(dims: Dims) -> list[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Return slices that pair each pixel with its neighbours along axes and diagonals, each pair once."""
    pairs = []
    for offset in np.ndindex(*(3,) * len(dims)):
        step = tuple(o - 1 for o in offset)
        if step > (0,) * len(dims):
            first = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, dims, strict=True))
            second = tuple(slice(max(s, 0), n - max(-s, 0)) for s, n in zip(step, dims, strict=True))
            pairs.append((first, second))
    return pairs


def _slabs(rows: FloatArray) -> list[tuple[int, int]]:
    return row_slabs(len(rows), 1024)


def pure_traces(left: FloatArray, right: FloatArray, count: int) -> FloatArray:
    """Return the traces (K, T) of the pixels that differ most from each other, by successive projection."""
    rest = left.astype(np.float64)
    power = (rest**2).sum(1)
    chosen: list[int] = []
    while len(chosen) < count and power.max(initial=0) > 0:
        pixel = int(np.argmax(power))
        direction = rest[pixel] / np.sqrt(power[pixel])
        rest -= np.outer(rest @ direction, direction)
        power = (rest**2).sum(1)
        power[[*chosen, pixel]] = 0
        chosen.append(pixel)
    return np.maximum(left[chosen] @ right, 0).astype(np.float32)


def pixel_graph(left: FloatArray, right: FloatArray, dims: Dims, settings: PixelGraph) -> csr_matrix:
    """Return the similarity (P, P) of neighbouring pixels (along axes and diagonals) by their standardised traces.

    ``left`` and ``right`` are as ``smoothed`` returns them, the rows of ``right`` orthonormal.
    """
    means = left @ right.mean(1)
    centred = np.concatenate([left, means[:, None] * np.sqrt(right.shape[1])], axis=1).astype(np.float64)
    norms = np.sqrt(np.maximum((centred[:, :-1] ** 2).sum(1) - centred[:, -1] ** 2, 1e-30))
    order = np.arange(len(left)).reshape(dims)
    pairs = [(order[first].ravel(), order[second].ravel()) for first, second in neighbours(dims)]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    products = np.einsum("pr,pr->p", centred[first][:, :-1], centred[second][:, :-1])
    correlation = (products - centred[first][:, -1] * centred[second][:, -1]) / (norms[first] * norms[second])
    similarity = _similarity(np.clip(correlation, -1, 1), settings)
    upper = coo_matrix((similarity, (first, second)), shape=(len(left), len(left)))
    return (upper + upper.T).tocsr().astype(np.float32)


def _similarity(correlation: FloatArray, settings: PixelGraph) -> FloatArray:
    if settings.kernel == "heat":
        return np.exp(-(1 - correlation) / settings.width**2)
    return np.maximum(correlation, 0) if settings.kernel == "cosine" else np.ones_like(correlation)


def factorise(
    left: FloatArray,
    right: FloatArray,
    traces: FloatArray,
    *,
    graph: csr_matrix | None,
    weight: float,
    sparsity: float,
    iterations: int,
    tolerance: float,
) -> FloatArray:
    """Return non-negative footprints, float32 (P, K), of ``left @ right``, starting from traces (K, T)."""
    traces = _unit_rows(traces.astype(np.float32))
    footprints = np.zeros((len(left), len(traces)), np.float32)
    links = graph if graph is not None else csr_matrix((len(left), len(left)), dtype=np.float32)
    none = csr_matrix((traces.shape[1], traces.shape[1]), dtype=np.float32)
    for _ in range(iterations):
        before = footprints.copy()
        _descend(
            left @ (right @ traces.T),
            traces @ traces.T,
            sparsity,
            weight,
            links.data,
            links.indices,
            links.indptr,
            footprints,
        )
        change = float(np.linalg.norm(footprints - before))
        if change <= tolerance * float(np.linalg.norm(footprints)):
            break
        columns = np.ascontiguousarray(traces.T)
        _descend(
            ((footprints.T @ left) @ right).T.copy(),
            footprints.T @ footprints,
            0.0,
            0.0,
            none.data,
            none.indices,
            none.indptr,
            columns,
        )
        traces = _unit_rows(np.ascontiguousarray(columns.T))
    return footprints


def _unit_rows(traces: FloatArray) -> FloatArray:
    norms = np.linalg.norm(traces, axis=1, keepdims=True)
    return np.divide(traces, norms, out=np.zeros_like(traces), where=norms > 0)


@compiled(fastmath={"contract", "reassoc"})
def _descend(
    products: FloatArray,
    gram: FloatArray,
    sparsity: float,
    weight: float,
    link_data: FloatArray,
    link_indices: IntArray,
    link_indptr: IntArray,
    rows: FloatArray,
) -> None:
    """Update each entry of ``rows`` (N, K) once, in order: least squares with an L1 penalty and ties between rows."""
    n_factors = rows.shape[1]
    for p in range(len(rows)):
        own = rows[p]
        degree = 0.0
        for e in range(link_indptr[p], link_indptr[p + 1]):
            degree += link_data[e]
        for k in range(n_factors):
            curvature = gram[k, k] + weight * degree
            if gram[k, k] <= 0:
                own[k] = 0.0
                continue
            slope = products[p, k] - sparsity
            for j in range(n_factors):
                slope -= gram[k, j] * own[j]
            if weight > 0:
                tie = 0.0
                for e in range(link_indptr[p], link_indptr[p + 1]):
                    tie += link_data[e] * (rows[link_indices[e], k] - own[k])
                slope += weight * tie
            own[k] = max(own[k] + slope / curvature, 0.0)


def regressed_traces(footprints: FloatArray, movie: FloatArray) -> FloatArray:
    """Return the traces (K, T) that best explain a movie (P, T) by footprints (P, K), unconstrained."""
    if footprints.shape[1] == 0:
        return np.zeros((0, movie.shape[1]), np.float32)
    gram = (footprints.T @ footprints).astype(np.float64)
    gram[np.diag_indices_from(gram)] *= 1 + 1e-3
    return solve(gram, (footprints.T @ movie).astype(np.float64), assume_a="pos").astype(np.float32)
