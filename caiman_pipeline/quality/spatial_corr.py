"""Correlation of a footprint with what the movie shows when the component is active."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from caiman_pipeline.extraction.spatial import dilate_supports
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.noise import noise_below
from caiman_pipeline.numerics.threads import run_parallel
from caiman_pipeline.results.long_tables import frame_blocks


def activity_weights(traces: FloatArray, *, transients: int, transient_frames: int) -> FloatArray:
    """Return weights over time that take quiet frames from active ones.

    Parameters
    ----------
    traces : float32 (K, T)
        Raw demixed traces, any unit, no gaps.
    transients : int
        Most transients to use, the largest.
    transient_frames : int
        Frames that a transient lasts.

    Returns
    -------
    float32 (K, T)
        Weights; all 0 for a trace that is never active.

    Notes
    -----
    Positive weights sum to one over the frames of the largest transients, negative ones to minus one over all
    frames below the trace's median, so that slow changes and the static image cancel.
    """
    weights = np.zeros(traces.shape, np.float32)
    for k, trace in enumerate(traces):
        active = _largest_transients(trace, transients, transient_frames)
        quiet = (trace <= np.median(trace)) & ~active
        if active.any() and quiet.any():
            weights[k, active] = 1.0 / active.sum()
            weights[k, quiet] = -1.0 / quiet.sum()
    return weights


def _largest_transients(trace: FloatArray, count: int, length: int) -> BoolArray:
    """Mark the frames of the largest peaks of the running mean, each with the frames around it."""
    length = min(max(length, 1), len(trace))
    running = np.convolve(trace, np.ones(length) / length, mode="valid")
    active = np.zeros(len(trace), bool)
    _, noise = noise_below(trace[None])
    floor = np.median(trace) + 2.0 * noise[0] / np.sqrt(length)
    for _ in range(count):
        start = int(np.argmax(running))
        if running[start] < floor and active.any():
            break
        active[start : start + length] = True
        running[max(start - length, 0) : start + length] = -np.inf
        if not np.isfinite(running).any():
            break
    return active


@compiled(fastmath={"contract", "reassoc"})
def _add_products(
    start: int,
    stop: int,
    frames: FloatArray,
    weights: FloatArray,
    indices: IntArray,
    indptr: IntArray,
    out: FloatArray,
) -> None:
    for p in range(start, stop):
        row = frames[p]
        for e in range(indptr[p], indptr[p + 1]):
            weight = weights[indices[e]]
            total = np.float32(0.0)
            for t in range(len(row)):
                total += weight[t] * row[t]
            out[e] += total


def _raise_peaks(start: int, stop: int, frames: FloatArray, peaks: FloatArray) -> None:
    np.maximum(peaks[start:stop], frames[start:stop].max(1), out=peaks[start:stop])


def active_images(
    movie: MovieStore, weights: Any, around: csr_matrix, *, threads: int, progress: Callable[[int, int], None]
) -> tuple[FloatArray, FloatArray]:
    """Return the weighted mean of the movie at every entry of a matrix, and each pixel's peak, in one pass.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie, of P pixels and T frames.
    weights : table (K, T)
        Any table that gives some of its frames.
    around : csr_matrix (P, K)
        Its entries are the pixels to look at for each component.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    images : float64 (entries,)
        Weighted mean, in raw pixel values.
    peaks : float32 (P,)
        Each pixel's largest value.
    """
    images, peaks = np.zeros(around.nnz), np.full(around.shape[0], -np.inf, np.float32)
    for start, stop, frames in movie.read_parts():
        here = np.ascontiguousarray(weights[:, start:stop])
        run_parallel(_add_products, len(frames), frames, here, around.indices, around.indptr, images, threads=threads)
        run_parallel(_raise_peaks, len(frames), frames, peaks, threads=threads)
        progress(stop, movie.n_frames)
    return images, peaks


@dataclass(frozen=True)
class Appearance:
    """How the movie shows the components.

    Attributes
    ----------
    r_value : float32 (K,), correlation of each footprint with what is seen around its transients, neighbours and
        background taken out; 0 for footprints of a single pixel, NaN where a trace never is active
    peaks : float32 (P,), each pixel's largest value
    """

    r_value: FloatArray
    peaks: FloatArray


@dataclass(frozen=True)
class Contrast:
    """What takes a component's active frames from its quiet ones, and what the model holds in each frame.

    Tables that give some of their frames and need not be in memory.

    Attributes
    ----------
    weights : float32 (K, T), see ``activity_weights``
    denoised : float32 (K, T), traces of the model
    background : float32 (B, T), the background's signals
    """

    weights: Any
    denoised: Any
    background: Any


def compare_with_movie(
    movie: MovieStore,
    components: Components,
    contrast: Contrast,
    *,
    margin_px: tuple[float, ...],
    threads: int,
    progress: Callable[[int, int], None],
) -> Appearance:
    """Correlate each footprint with what the movie shows around its transients, in one pass over the movie.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    components : Components
        With a sample for every frame that takes part.
    contrast : Contrast
        Weights over time, and what the model holds in each frame.
    margin_px : tuple of float
        How far around a footprint the comparison reaches, pixels along each axis.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    Appearance
        Correlation of each footprint, and each pixel's largest value.

    Notes
    -----
    CaImAn compares with the mean of the movie at the transients. Here neighbours and background are taken out of it,
    and quiet frames subtracted.

    References
    ----------
    Giovannucci et al. 2019, 10.7554/eLife.38173
    """
    usable = components.noise > 0
    around = dilate_supports(components.footprints, components.dims, radius_px=margin_px, allowed=usable).tocsr()
    around.sort_indices()
    seen = components.background.follows().seen_from(around)
    images, peaks = active_images(movie, contrast.weights, seen, threads=threads, progress=progress)
    seen = csr_matrix((images, seen.indices, seen.indptr), seen.shape)
    columns = _less_the_others(components, contrast, around, seen)
    r = [_correlation(components.footprints, columns, k) for k in range(components.n_components)]
    return Appearance(np.array(r, np.float32), peaks)


def _less_the_others(components: Components, contrast: Contrast, around: csr_matrix, seen: csr_matrix) -> csc_matrix:
    """Return what is seen at every entry of ``around`` without what the other components and the background add."""
    levels, signals = _weighted_sums(contrast, components.n_components)
    followed = _followed(components, levels, seen)
    np.fill_diagonal(levels, 0.0)
    footprints, spatial = components.footprints.tocsr(), components.background.parts()[0].tocsr()
    out = np.zeros(around.nnz)
    _add_model(around.indices, around.indptr, footprints.data, footprints.indices, footprints.indptr, levels, out)
    _add_model(around.indices, around.indptr, spatial.data, spatial.indices, spatial.indptr, signals, out)
    own = _entries(seen, around) - out - _entries(followed, around)
    return csr_matrix((own, around.indices, around.indptr), shape=around.shape).tocsc()


def _followed(components: Components, levels: FloatArray, seen: csr_matrix) -> csr_matrix:
    """Return what the background follows of the images ``seen`` (P, K), once all components are out of them."""
    follower = components.background.follows()
    if not follower:
        return csr_matrix(seen.shape)
    footprints, explained = components.footprints.tocsr(), np.zeros(seen.nnz)
    _add_model(seen.indices, seen.indptr, footprints.data, footprints.indices, footprints.indptr, levels, explained)
    rest = csr_matrix((seen.data - explained, seen.indices, seen.indptr), seen.shape)
    return follower(rest).tocsr()


def _entries(matrix: csr_matrix, places: csr_matrix) -> FloatArray:
    """Return a matrix's entries, float64, in the places (sorted, csr) of another of its shape."""
    matrix.sort_indices()
    out = np.zeros(places.nnz)
    _pick(matrix.data, matrix.indices, matrix.indptr, places.indices, places.indptr, out)
    return out


@compiled
def _pick(
    data: FloatArray,
    indices: FloatArray,
    indptr: FloatArray,
    wanted: FloatArray,
    pointers: FloatArray,
    out: FloatArray,
) -> None:
    for p in range(len(pointers) - 1):
        at = indptr[p]
        for e in range(pointers[p], pointers[p + 1]):
            while at < indptr[p + 1] and indices[at] < wanted[e]:
                at += 1
            if at < indptr[p + 1] and indices[at] == wanted[e]:
                out[e] = data[at]


def _weighted_sums(contrast: Contrast, n_components: int) -> tuple[FloatArray, FloatArray]:
    """Return sums over time of the components' traces (K, K) and of the background's signals (B, K)."""
    levels, signals = np.zeros((n_components, n_components)), np.zeros((len(contrast.background), n_components))
    for frames in frame_blocks(contrast.weights):
        weights = contrast.weights[:, frames].T
        levels += contrast.denoised[:, frames] @ weights
        signals += contrast.background[:, frames] @ weights
    return levels, signals


@compiled
def _add_model(
    indices: IntArray,
    indptr: IntArray,
    data: FloatArray,
    sources: IntArray,
    pointers: IntArray,
    levels: FloatArray,
    out: FloatArray,
) -> None:
    """Add ``(matrix @ levels)`` at the entries of a csr structure, both csr with one row per pixel."""
    for p in range(len(indptr) - 1):
        for e in range(indptr[p], indptr[p + 1]):
            for s in range(pointers[p], pointers[p + 1]):
                out[e] += data[s] * levels[sources[s], indices[e]]


def _correlation(footprints: csc_matrix, images: csc_matrix, k: int) -> float:
    rows = images.indices[images.indptr[k] : images.indptr[k + 1]]
    seen = images.data[images.indptr[k] : images.indptr[k + 1]]
    own = slice(footprints.indptr[k], footprints.indptr[k + 1])
    if own.stop - own.start < 2:
        return 0.0
    shape = np.zeros(len(rows))
    shape[np.searchsorted(rows, footprints.indices[own])] = footprints.data[own]
    if not seen.any():
        return float("nan")
    if shape.std() == 0 or seen.std() == 0:
        return 0.0
    return float(np.corrcoef(shape, seen)[0, 1])
