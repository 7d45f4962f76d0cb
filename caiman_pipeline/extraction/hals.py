"""Hierarchical alternating least squares (HALS) for footprints and traces, background included.

One component after the other is solved for with all others fixed: for footprints non-negative, for traces if asked.
What the movie has to say is in its products with traces (on the footprints' supports) and with footprints, each from
one pass. Pixels count by the inverse of their noise variance.

References
----------
Cichocki and Phan 2009, 10.1587/transfun.E92.A.708; Friedrich et al. 2017, 10.1371/journal.pcbi.1005685
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, diags, hstack

from caiman_pipeline.extraction.products import add_regression_sums, sparse_dense
from caiman_pipeline.extraction.refine import Field
from caiman_pipeline.extraction.spatial import normalise
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.background import Follower, Refit
from caiman_pipeline.model.components import Components
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.nonnegative import descend, sparse_rows, sweep_rows
from caiman_pipeline.numerics.threads import map_ordered, row_slabs, run_parallel

FRAMES_AT_ONCE = 512


@dataclass(frozen=True)
class HalsSettings:
    """What to update, and how often.

    Attributes
    ----------
    rounds : rounds of a pass for footprints and one for traces
    footprint_iterations, trace_iterations : sweeps over the components in each; 0 leaves them as they are
    nonnegative : traces, and signals of a background that is updated, stay above their lowest value at the start
    update_background : the background's maps and signals are updated too
    """

    rounds: int
    footprint_iterations: int
    trace_iterations: int
    nonnegative: bool
    update_background: bool


def hals_footprints(
    footprints: csr_matrix, products: FloatArray, gram: FloatArray, *, iterations: int, frozen: BoolArray, threads: int
) -> csr_matrix:
    """Return footprints (P, K) after some sweeps, non-negative, zero outside the entries they have.

    Parameters
    ----------
    footprints : csr (P, K), explicit entries are the supports
    products : float64, sums over time of movie times trace, on the footprints' entries
    gram : float64 (K, K), sums over time of the products of traces
    frozen : bool (K,), footprints that stay as they are
    """
    data = footprints.data.astype(np.float64)
    run_parallel(
        _sweep_pixels,
        footprints.shape[0],
        footprints.indptr,
        footprints.indices,
        products,
        gram,
        frozen,
        iterations,
        data,
        threads=threads,
    )
    return csr_matrix((data.astype(np.float32), footprints.indices, footprints.indptr), shape=footprints.shape)


@compiled
def _sweep_pixels(
    start: int,
    stop: int,
    indptr: IntArray,
    indices: IntArray,
    products: FloatArray,
    gram: FloatArray,
    frozen: BoolArray,
    iterations: int,
    data: FloatArray,
) -> None:
    most = 0
    for p in range(start, stop):
        most = max(most, indptr[p + 1] - indptr[p])
    between, free = np.empty((most, most)), np.empty(most, np.bool_)
    for p in range(start, stop):
        first, n = indptr[p], indptr[p + 1] - indptr[p]
        for i in range(n):
            free[i] = not frozen[indices[first + i]]
            for j in range(n):
                between[i, j] = gram[indices[first + i], indices[first + j]]
        descend(between, products[first : first + n], free, iterations, 0.0, data[first : first + n])


def hals_traces(
    overlap: csr_matrix,
    target: FloatArray,
    traces: FloatArray,
    *,
    iterations: int,
    frozen: BoolArray,
    nonnegative: BoolArray,
    threads: int,
) -> FloatArray:
    """Return traces (K, T) after some sweeps.

    Parameters
    ----------
    overlap : csr (K, K), products of footprints
    target : float32 (K, T), products of footprints with the movie
    traces : float32 (K, T), to start from
    frozen, nonnegative : bool (K,), traces that stay as they are, and that do not go below zero
    """
    fresh = np.ascontiguousarray(traces, np.float32).copy()
    gram = sparse_rows(overlap)

    def solve(frames: tuple[int, int]) -> None:
        sweep_rows(*frames, gram, target, frozen, nonnegative, iterations, fresh)

    map_ordered(solve, row_slabs(target.shape[1], FRAMES_AT_ONCE), threads)
    return fresh


@dataclass(frozen=True)
class _Model:
    """Components and background's maps as one: footprints (P, K + B), traces (K + B, T), static (P,) less the level.

    ``follower`` is what pixels follow of the movie beside all of them.
    """

    footprints: csr_matrix
    traces: FloatArray
    static: FloatArray
    follower: Follower


def hals(
    field: Field, components: Components, *, settings: HalsSettings, progress: Callable[[int, int], None]
) -> Components:
    """Update footprints and traces of components (and background) over the whole movie.

    Parameters
    ----------
    progress : called with the frames read and to be read, over all passes

    Returns
    -------
    The same components, ids and order: ``denoised`` are the traces of the sweeps, ``residual`` what footprints see
    beyond them.
    """
    n_components, background = components.n_components, components.background
    model = _start(field, components, settings)
    is_background = np.arange(len(model.traces)) >= n_components
    frozen = is_background & (not settings.update_background)
    passes = settings.rounds * ((settings.footprint_iterations > 0) + 1)
    total, done = passes * field.movie.n_frames, 0

    def count(frames: int) -> None:
        nonlocal done
        done += frames
        progress(done, total)

    for _ in range(settings.rounds):
        if settings.footprint_iterations:
            model = _update_footprints(field, model, frozen, settings, count)
        target, overlap, light = _see(field, model, n_components, count)
        nonnegative = settings.nonnegative & ~frozen
        traces = hals_traces(
            overlap,
            target,
            model.traces,
            iterations=settings.trace_iterations,
            frozen=frozen,
            nonnegative=nonnegative,
            threads=field.threads,
        )
        model = replace(model, traces=traces)
    own = overlap.diagonal()[:n_components, None]
    beyond = (target - overlap @ model.traces)[:n_components]
    spatial = csc_matrix(model.footprints)
    footprints, norms = normalise(spatial[:, :n_components])
    scale = norms[:, None]
    return replace(
        components,
        footprints=footprints,
        denoised=model.traces[:n_components] * scale,
        residual=(np.divide(beyond, own, out=np.zeros_like(beyond), where=own > 0) * scale).astype(np.float32),
        background=background.refitted(
            Refit(
                static=field.level + model.static,
                level=field.level,
                rest=-(model.footprints @ model.traces.mean(1, dtype=np.float64)).astype(np.float32),
                parts=(
                    spatial[:, n_components:],
                    model.traces[n_components:] if settings.update_background else background.parts()[1],
                ),
                footprints=footprints,
                light=_light(model, light) / scale if model.follower else light,
            )
        ),
    )


def _start(field: Field, components: Components, settings: HalsSettings) -> _Model:
    """Put components and background together; the lowest value of non-negative traces becomes part of the static."""
    background, (maps, signals) = components.background, components.background.parts()
    raw = components.denoised + (0 if settings.nonnegative else components.residual)
    spatial = csr_matrix(hstack([components.footprints, maps])).astype(np.float32)
    spatial.sort_indices()
    traces = np.concatenate([raw, signals]).astype(np.float32)
    static = background.static - field.level
    if settings.nonnegative:
        lowest = np.fmin.reduce(traces, axis=1, initial=np.inf)
        if not settings.update_background:
            lowest[len(raw) :] = 0
        traces, static = traces - lowest[:, None], static + spatial @ lowest
    return _Model(spatial, traces, static.astype(np.float32), background.follows())


def _update_footprints(
    field: Field, model: _Model, frozen: BoolArray, settings: HalsSettings, count: Callable[[int], None]
) -> _Model:
    """Collect the movie's products with the traces in one pass, and sweep."""
    structure = model.footprints
    n_frames = field.movie.n_frames
    pixels, products = np.zeros((structure.shape[0], 4)), np.zeros(structure.nnz)
    for start, stop, frames in field.movie.read_parts():
        movie = frames - field.level[:, None]
        here = np.ascontiguousarray(model.traces[:, start:stop])
        if model.follower:
            movie -= model.follower(movie - structure @ here)
        _add_products(movie, here, structure, pixels=pixels, products=products, threads=field.threads)
        count(stop - start)
    means, average = model.traces.mean(1, dtype=np.float64), pixels[:, 0] / n_frames
    rows = np.repeat(np.arange(structure.shape[0]), np.diff(structure.indptr))
    centred = products - n_frames * average[rows] * means[structure.indices]
    gram = model.traces.astype(np.float64) @ model.traces.T - n_frames * np.outer(means, means)
    footprints = hals_footprints(
        structure, centred, gram, iterations=settings.footprint_iterations, frozen=frozen, threads=field.threads
    )
    static = (average - footprints @ means).astype(np.float32)
    return replace(model, footprints=footprints, static=static)


def _add_products(
    movie: FloatArray,
    traces: FloatArray,
    structure: csr_matrix,
    *,
    pixels: FloatArray,
    products: FloatArray,
    threads: int,
) -> None:
    """Add the sums over one piece of the movie (P, t), and of its products with the traces (K, t), in place."""
    weights, silent = np.ones(movie.shape[1], np.float32), np.zeros((0, movie.shape[1]), np.float32)
    unmixed, unused = csr_matrix((len(movie), 0), dtype=np.float32), np.zeros(structure.nnz)
    run_parallel(
        add_regression_sums,
        len(movie),
        movie,
        weights,
        traces,
        silent,
        unmixed.data,
        unmixed.indices,
        unmixed.indptr,
        structure.indices,
        structure.indptr,
        pixels,
        products,
        unused,
        threads=threads,
    )


def _see(
    field: Field, model: _Model, n_components: int, count: Callable[[int], None]
) -> tuple[FloatArray, csr_matrix, FloatArray]:
    """Return what footprints see of the movie less background (K, T), their products (K, K), and light to follow.

    The light is what would be followed under each component if there were none, (n_components, T); empty where
    nothing is followed.
    """
    weights = diags(1.0 / np.maximum(field.noise.astype(np.float64), 1e-12) ** 2)
    plain = csr_matrix((weights @ model.footprints).T)
    readout, under = plain, _under(model, n_components)
    if model.follower:
        readout = csr_matrix(plain - _transposed(model.follower, plain))
    overlap = csr_matrix(readout @ model.footprints)
    readout, n_frames = readout.astype(np.float32), field.movie.n_frames
    target, light = (np.empty((n, n_frames), np.float32) for n in (readout.shape[0], under.shape[0]))
    for start, stop, frames in field.movie.read_parts():
        target[:, start:stop] = sparse_dense(readout, frames, level=field.level, threads=field.threads)
        light[:, start:stop] = sparse_dense(under, frames, level=field.level, threads=field.threads)
        count(stop - start)
    target -= (plain @ model.static)[:, None]
    return target, overlap, light


def _transposed(follower: Follower, rows: csr_matrix) -> csr_matrix:
    """Return rows (K, P) times the map of what is followed."""
    return ((rows @ follower.interpolation) @ follower.weights) @ follower.blocks


def _under(model: _Model, n_components: int) -> csr_matrix:
    """Return what of a movie is followed under each component, (n_components, P); no rows where nothing is."""
    rows = csr_matrix(model.footprints.T)[: n_components if model.follower else 0]
    return csr_matrix(_transposed(model.follower, rows)) if model.follower else rows


def _light(model: _Model, light: FloatArray) -> FloatArray:
    """Return the light that is followed under each component once the components are known, float32 (K, T)."""
    leak = _under(model, len(light)) @ model.footprints
    return (light - leak @ model.traces).astype(np.float32)
