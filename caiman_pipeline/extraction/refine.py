"""Updates over the full field, streaming over the movie: one pass for footprints and background, one for traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, hstack

from caiman_pipeline.extraction.background.low_rank import whole_field
from caiman_pipeline.extraction.background.protocol import BackgroundModel, Fitted, Piece
from caiman_pipeline.extraction.binning import bin_traces
from caiman_pipeline.extraction.gaps import write_with_gaps
from caiman_pipeline.extraction.products import add_regression_sums, bin_columns, sparse_dense
from caiman_pipeline.extraction.spatial import RegressionSums, SpatialModel, normalise, solve_pixels
from caiman_pipeline.extraction.supports import FootprintRules, grow_supports, pattern, shape_footprints
from caiman_pipeline.extraction.temporal import (
    Projection,
    local_signals,
    solve_traces,
    target_traces,
    unexplained,
)
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.background import Follower
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.numerics.progress import FrameCounter
from caiman_pipeline.numerics.threads import run_parallel
from caiman_pipeline.results.long_tables import Tables, frame_blocks, trace_blocks


@dataclass(frozen=True)
class RefineRules:
    """Settings of the updates, in pixels and frames.

    Attributes
    ----------
    cell_px : diameter of a cell along each axis
    bin_frames : frames averaged for the spatial update
    rules : how footprints grow, are solved for and are cleaned
    keep_seeds : footprints of seeds stay as their masks
    rounds : rounds of a spatial and a temporal update
    """

    cell_px: tuple[float, ...]
    bin_frames: int
    rules: FootprintRules
    keep_seeds: bool
    rounds: int


@dataclass(frozen=True)
class Field:
    """What every update needs.

    Attributes
    ----------
    level : float32 (P,), the movie's mean image; the model is of the movie less this
    noise : float32 (P,), standard deviation per frame, infinite where a pixel does not count
    usable : bool (P,), pixels that count
    background : how the background is modelled
    """

    movie: MovieStore
    level: FloatArray
    noise: FloatArray
    usable: BoolArray
    background: BackgroundModel
    threads: int


@dataclass(frozen=True)
class View:
    """The movie seen through footprints and background, at full rate, in tables that need not be in memory.

    Attributes
    ----------
    seen : float32 (K, T), A^T W Y; once demixed, the right-hand side of the equations for the traces
    nodes : float32 (N, T), what is watched for the background
    traces : float32 (K, T), demixed
    """

    seen: Any
    nodes: Any
    traces: Any


def prepare_field(
    movie: MovieStore, *, mean: FloatArray, noise: FloatArray, background: BackgroundModel, threads: int
) -> Field:
    """Mark the pixels that count.

    Parameters
    ----------
    mean : float32 (*dims), the movie's mean image
    noise : float32 (*dims), standard deviation per frame; pixels without noise (dead, constant) are left out
    """
    flat = noise.ravel()
    usable = movie.valid.ravel() & (flat > 0)
    level = mean.ravel().astype(np.float32)
    return Field(movie, level, np.where(usable, flat, np.inf).astype(np.float32), usable, background, threads)


def refine(
    field: Field,
    footprints: csc_matrix,
    traces: FloatArray,
    *,
    n_seeds: int,
    settings: RefineRules,
    denoise: Callable[[FloatArray], FloatArray],
    tables: Tables,
    progress: Callable[[int, int], None],
) -> Components:
    """Update footprints, background and traces over the whole movie.

    Parameters
    ----------
    footprints : (P, K), unit norm; traces : float32 (K, T // bin_frames), from the search in tiles
    n_seeds : so many components at the front are seeds, whose support is what is given
    denoise : turns raw traces (K, frames that take part) into the model's, which neighbours' raw traces are freed from
    tables : where traces and background signals are kept
    progress : called with the frames read and to be read, over all passes

    Returns
    -------
    Components whose footprints held; ids count from 0 in the order given. Traces and background signals are those of
    the whole recording, NaN in frames that are left out.
    """
    model, (start, learns) = field.background, field.background.passes
    counter = FrameCounter(progress, (start + (2 + learns) * settings.rounds) * field.movie.n_frames)
    follower = model.lay_out(field.movie.dims, use=field.usable)
    seeds = pattern(footprints[:, :n_seeds], field.usable)
    ids = np.arange(footprints.shape[1])

    known = traces  # what explains the movie while the background is learned

    def observe(wanted: Follower) -> Iterator[Piece]:
        return _observe(field, wanted, footprints, known, bin_frames=settings.bin_frames, counter=counter)

    maps, signals = model.start_in_field(field.movie.dims, use=field.usable, n_bins=traces.shape[1], observe=observe)
    cells = slice(maps.shape[1], None)
    masks = hstack([whole_field(field.usable, maps.shape[1]), seeds]).tocsc()
    ids = np.concatenate([np.full(maps.shape[1], -1), ids])
    footprints, traces = hstack([maps, footprints]).tocsc(), np.concatenate([signals, traces])
    known, view = traces, None
    for _ in range(settings.rounds):
        if view is not None:
            traces = known = _binned(view.traces, settings.bin_frames, lambda raw: raw)
            if learns:
                # What raw traces hold of the background by mistake is the background's to learn.
                known = _binned(view.traces, settings.bin_frames, denoise)
        follower = model.learn(follower, field.movie.dims, observe)
        spatial = update_space(field, follower, footprints, traces, masks=masks, settings=settings, counter=counter)
        fresh = spatial.footprints if model.update else hstack([maps, spatial.footprints[:, cells]]).tocsc()
        kept = np.diff(fresh.indptr) > 0
        ids, (footprints, _) = ids[kept], normalise(fresh[:, kept])
        projection = model.project(footprints, follower, gain=spatial.gain, static=spatial.static, noise=field.noise)
        view = project(field, projection, tables=tables, counter=counter)
        _demix(field, projection, view, sweeps=model.sweeps)
    assert view is not None
    means = np.zeros(footprints.shape[1])
    denoised, residual, light = _split(
        projection, view, cells=cells, kept=field.movie.kept, denoise=denoise, tables=tables, means=means
    )
    fitted = Fitted(
        level=field.level,
        static=spatial.static,
        gain=spatial.gain,
        follower=follower,
        maps=footprints[:, : cells.start],
        footprints=footprints[:, cells],
        means=means[cells],
        signals=light,
    )
    return Components(
        dims=field.movie.dims,
        ids=ids[cells].astype(np.int64),
        footprints=footprints[:, cells],
        denoised=denoised,
        residual=residual,
        background=model.stored(fitted),
        noise=np.where(field.usable, field.noise, 0).astype(np.float32),
    )


def _observe(
    field: Field,
    wanted: Follower,
    footprints: csc_matrix,
    traces: FloatArray,
    *,
    bin_frames: int,
    counter: FrameCounter,
) -> Iterator[Piece]:
    """Yield local signals of the binned movie less what footprints and traces explain, in one pass."""
    leak = (wanted.averaging @ footprints).astype(np.float32)
    for start, _, frames in field.movie.read_parts():
        edges, owners = _cut_bins(start, frames.shape[1], bin_frames, traces.shape[1])
        if len(owners):
            binned = bin_columns(frames, edges, level=field.level, threads=field.threads)
            averages = _average(field, (wanted.blocks, wanted.weights), binned, np.zeros_like(field.level))
            averages -= leak @ np.ascontiguousarray(traces[:, owners])
            yield Piece(averages, (np.diff(edges) / bin_frames).astype(np.float32), owners)
        counter.add(frames.shape[1])


def update_space(
    field: Field,
    follower: Follower,
    footprints: csc_matrix,
    traces: FloatArray,
    *,
    masks: csc_matrix,
    settings: RefineRules,
    counter: FrameCounter,
) -> SpatialModel:
    """Solve footprints, static background and gain in one pass over the time-binned movie; masks are the seeds'."""
    rules, dims = settings.rules, field.movie.dims
    supports = grow_supports(footprints, dims, rules=rules, allowed=field.usable, masks=masks)
    sums = collect_sums(
        field, follower, footprints, traces, supports=supports, bin_frames=settings.bin_frames, counter=counter
    )
    solved = solve_pixels(
        sums,
        noise=field.noise / np.sqrt(settings.bin_frames),
        significance=rules.solver_significance,
        regression=rules.regression,
        threads=field.threads,
    )
    cleaned = shape_footprints(
        solved, dims, rules=rules, allowed=field.usable, masks=masks, keep_masks=settings.keep_seeds
    )
    return SpatialModel(cleaned, solved.static, solved.gain)


def collect_sums(
    field: Field,
    follower: Follower,
    footprints: csc_matrix,
    traces: FloatArray,
    *,
    supports: csc_matrix,
    bin_frames: int,
    counter: FrameCounter,
) -> RegressionSums:
    """Collect the regression sums of every pixel in one pass.

    Notes
    -----
    A bin cut by the border of two parts counts as two samples, each weighted by its frames.
    """
    structure = supports.tocsr()
    structure.sort_indices()
    leak = (follower.averaging @ footprints).astype(np.float32)
    n_pixels, n_traces = footprints.shape
    pixels = np.zeros((n_pixels, 4))
    movie_traces, local_traces = np.zeros(structure.nnz), np.zeros(structure.nnz)
    sums, products, weight = np.zeros(n_traces), np.zeros((n_traces, n_traces)), 0.0
    for start, _, frames in field.movie.read_parts():
        edges, owners = _cut_bins(start, frames.shape[1], bin_frames, traces.shape[1])
        if len(owners):
            binned = bin_columns(frames, edges, level=field.level, threads=field.threads)
            weights = (np.diff(edges) / bin_frames).astype(np.float32)
            here = np.ascontiguousarray(traces[:, owners])
            watched = _average(field, (follower.blocks, follower.weights), binned, np.zeros_like(field.level))
            _add_piece(
                field,
                follower,
                binned,
                weights,
                here,
                signals=watched - leak @ here,
                structure=structure,
                pixels=pixels,
                movie_traces=movie_traces,
                local_traces=local_traces,
            )
            sums += here.astype(np.float64) @ weights
            products += (here * weights) @ here.T
            weight += float(weights.sum())
        counter.add(frames.shape[1])
    return RegressionSums(weight, pixels, structure, movie_traces, local_traces, sums, products)


def _cut_bins(start: int, n_frames: int, bin_frames: int, n_bins: int) -> tuple[IntArray, IntArray]:
    """Return the edges (within a part of ``n_frames`` from ``start``) of its pieces of bins, and the bins' numbers."""
    stop = min(start + n_frames, n_bins * bin_frames)
    if stop <= start:
        return np.zeros(1, np.int64), np.zeros(0, np.int64)
    owners = np.arange(start // bin_frames, (stop - 1) // bin_frames + 1)
    edges = np.concatenate([[start], owners[1:] * bin_frames, [stop]]) - start
    return edges, owners


def _average(field: Field, watch: tuple[csr_matrix, csr_matrix], frames: FloatArray, level: FloatArray) -> FloatArray:
    """Return what two maps (Q, P) and (N, Q) watch of a piece of the movie (P, t) less its level (P,)."""
    blocks = sparse_dense(watch[0], frames, level=level, threads=field.threads)
    return sparse_dense(watch[1], blocks, level=np.zeros(len(blocks), np.float32), threads=field.threads)


def _add_piece(
    field: Field,
    follower: Follower,
    binned: FloatArray,
    weights: FloatArray,
    traces: FloatArray,
    *,
    signals: FloatArray,
    structure: csr_matrix,
    pixels: FloatArray,
    movie_traces: FloatArray,
    local_traces: FloatArray,
) -> None:
    mix = follower.interpolation
    run_parallel(
        add_regression_sums,
        len(binned),
        binned,
        weights,
        traces,
        signals,
        mix.data,
        mix.indices,
        mix.indptr,
        structure.indices,
        structure.indptr,
        pixels,
        movie_traces,
        local_traces,
        threads=field.threads,
    )


def project(field: Field, projection: Projection, *, tables: Tables, counter: FrameCounter) -> View:
    """See the movie through footprints and background in one pass, at full rate; traces are still to be found."""
    readout, n_frames = csr_matrix(projection.readout.T), field.movie.n_frames
    shape = (readout.shape[0], n_frames)
    view = View(tables.working(shape), tables.working((projection.watch[1].shape[0], n_frames)), tables.working(shape))
    for start, stop, frames in field.movie.read_parts():
        here = (slice(None), slice(start, stop))
        view.seen[here] = sparse_dense(readout, frames, level=field.level, threads=field.threads)
        view.nodes[here] = _average(field, projection.watch, frames, field.level)
        counter.add(stop - start)
    return view


def _demix(field: Field, projection: Projection, view: View, *, sweeps: int) -> None:
    """Solve for the traces, some frames at a time."""
    for frames in frame_blocks(view.seen):
        here = (slice(None), frames)
        target = target_traces(projection, view.seen[here], view.nodes[here])
        view.traces[here] = solve_traces(projection, target, rounds=sweeps, threads=field.threads)
        view.seen[here] = target


def _binned(traces: Any, bin_frames: int, change: Callable[[FloatArray], FloatArray]) -> FloatArray:
    n_rows, n_frames = traces.shape
    binned = np.empty((n_rows, n_frames // bin_frames), np.float32)
    for rows in trace_blocks(slice(0, n_rows), n_frames):
        binned[rows] = bin_traces(change(traces[rows]), bin_frames=bin_frames)
    return binned


def _split(
    projection: Projection,
    view: View,
    *,
    cells: slice,
    kept: BoolArray,
    denoise: Callable[[FloatArray], FloatArray],
    tables: Tables,
    means: FloatArray,
) -> tuple[Any, Any, Any]:
    """Split what was seen into the model's traces, what they leave, and the background's signals.

    The background's are what is watched of it beyond the traces, then the traces of its maps, those before ``cells``.
    ``view`` ends up with all three and ``means`` (K,) with the traces' means; the results have gaps where frames are
    left out.
    """
    n_rows, n_frames = view.traces.shape
    cells = slice(cells.start, n_rows)
    for rows in trace_blocks(cells, n_frames):
        view.traces[rows] = denoise(view.traces[rows])
    for frames in frame_blocks(view.seen):
        here = (slice(None), frames)
        fitted = view.traces[here]
        view.seen[here] = unexplained(projection, view.seen[here], fitted)
        view.nodes[here] = local_signals(projection, view.nodes[here], fitted)
        means += fitted.sum(1, dtype=np.float64) / n_frames
    watched, maps = (view.nodes, slice(0, len(view.nodes))), (view.traces, slice(0, cells.start))
    return (
        write_with_gaps("denoised", [(view.traces, cells)], kept, tables),
        write_with_gaps("residual", [(view.seen, cells)], kept, tables),
        write_with_gaps("background_temporal", [watched, maps], kept, tables),
    )
