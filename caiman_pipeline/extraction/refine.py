"""Updates over the full field, streaming over the movie: one pass for footprints and background, one for traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, hstack

from caiman_pipeline.extraction.background.low_rank import shared_maps, whole_field
from caiman_pipeline.extraction.background.nodes import (
    BackgroundRules,
    NodeGrid,
    background_grid,
    background_map,
    node_grid,
)
from caiman_pipeline.extraction.binning import bin_traces
from caiman_pipeline.extraction.products import add_regression_sums, bin_columns, sparse_dense
from caiman_pipeline.extraction.spatial import RegressionSums, SpatialModel, normalise, solve_pixels
from caiman_pipeline.extraction.supports import FootprintRules, grow_supports, pattern, shape_footprints
from caiman_pipeline.extraction.temporal import (
    Projection,
    make_projection,
    node_signals,
    solve_traces,
    target_traces,
    unexplained,
)
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.background import Background
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.left_out import put_back_left_out
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
    grid : the background's nodes
    background : how the background is modelled
    """

    movie: MovieStore
    level: FloatArray
    noise: FloatArray
    usable: BoolArray
    grid: NodeGrid
    background: BackgroundRules
    threads: int


@dataclass(frozen=True)
class View:
    """The movie seen through footprints and nodes, at full rate, in tables that need not be in memory.

    Attributes
    ----------
    seen : float32 (K, T), A^T W Y; once demixed, the right-hand side of the equations for the traces
    nodes : float32 (B, T), the nodes' averages
    traces : float32 (K, T), demixed
    """

    seen: Any
    nodes: Any
    traces: Any


def prepare_field(
    movie: MovieStore, *, mean: FloatArray, noise: FloatArray, background: BackgroundRules, threads: int
) -> Field:
    """Lay out the background's nodes and mark the pixels that count.

    Parameters
    ----------
    mean : float32 (*dims), the movie's mean image
    noise : float32 (*dims), standard deviation per frame; pixels without noise (dead, constant) are left out
    """
    flat = noise.ravel()
    usable = movie.valid.ravel() & (flat > 0)
    grid = background_grid(movie.dims, background, use=usable)
    level = mean.ravel().astype(np.float32)
    return Field(movie, level, np.where(usable, flat, np.inf).astype(np.float32), usable, grid, background, threads)


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
    low_rank = field.background.n_maps > 0
    counter = FrameCounter(progress, (2 * settings.rounds + low_rank) * field.movie.n_frames)
    ids, masks = np.arange(footprints.shape[1]), pattern(footprints[:, :n_seeds], field.usable)
    maps = footprints[:, :0]
    if low_rank:
        maps, signals = start_low_rank(field, footprints, traces, bin_frames=settings.bin_frames, counter=counter)
        footprints, traces = hstack([maps, footprints]).tocsc(), np.concatenate([signals, traces])
        masks = hstack([whole_field(field.usable, maps.shape[1]), masks]).tocsc()
    n_maps = maps.shape[1]
    ids = np.concatenate([np.full(n_maps, -1), ids])
    view = None
    for _ in range(settings.rounds):
        if view is not None:
            traces = _binned(view.traces, settings.bin_frames)
        spatial = update_space(field, footprints, traces, masks=masks, settings=settings, counter=counter)
        fresh = spatial.footprints
        if not field.background.update:
            fresh = hstack([maps, fresh[:, n_maps:]]).tocsc()
        kept = np.diff(fresh.indptr) > 0
        ids, (footprints, _) = ids[kept], normalise(fresh[:, kept])
        bmap = background_map(field.grid, spatial.gain)
        projection = make_projection(footprints, bmap, spatial.static, field.grid, noise=field.noise)
        view = project(field, projection, tables=tables, counter=counter)
        _demix(field, projection, view, rounds=40 if low_rank else 8)
    assert view is not None
    denoised, residual, temporal = _split(
        projection, view, n_maps=n_maps, kept=field.movie.kept, denoise=denoise, tables=tables
    )
    return Components(
        dims=field.movie.dims,
        ids=ids[n_maps:].astype(np.int64),
        footprints=footprints[:, n_maps:],
        denoised=denoised,
        residual=residual,
        background=Background(
            field.level + spatial.static,
            footprints[:, :n_maps] if low_rank else bmap,
            temporal,
        ),
        noise=np.where(field.usable, field.noise, 0).astype(np.float32),
    )


def start_low_rank(
    field: Field, footprints: csc_matrix, traces: FloatArray, *, bin_frames: int, counter: FrameCounter
) -> tuple[csc_matrix, FloatArray]:
    """Return maps (P, B) of unit norm and binned signals (B, bins) to start a low-rank background from.

    In one pass, averages over the neighbourhood of nodes are collected, freed from the components; what these have in
    common is the background.
    """
    grid = node_grid(field.movie.dims, spacing_px=field.background.spacing_px, use=field.usable)
    nodes = np.zeros((grid.spread.shape[0], traces.shape[1]), np.float32)
    averaging, silent = grid.averaging, np.zeros_like(field.level)
    for start, _, frames in field.movie.read_parts():
        edges, owners = _cut_bins(start, frames.shape[1], bin_frames, traces.shape[1])
        if len(owners):
            binned = bin_columns(frames, edges, level=field.level, threads=field.threads)
            nodes[:, owners] += sparse_dense(averaging, binned, level=silent, threads=field.threads) * (
                np.diff(edges) / bin_frames
            ).astype(np.float32)
        counter.add(frames.shape[1])
    nodes -= (averaging @ footprints) @ traces
    shares = shared_maps(nodes, count=field.background.components)
    signals = np.linalg.lstsq(shares.astype(np.float64), nodes.astype(np.float64), rcond=None)[0]
    maps, norms = normalise(csc_matrix((grid.interpolation @ shares) * field.usable[:, None]).astype(np.float32))
    return maps, (signals * norms[:, None]).astype(np.float32)


def update_space(
    field: Field,
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
    sums = collect_sums(field, footprints, traces, supports, bin_frames=settings.bin_frames, counter=counter)
    solved = solve_pixels(
        sums,
        noise=field.noise / np.sqrt(settings.bin_frames),
        significance=rules.solver_significance,
        regression=rules.regression,
        threads=field.threads,
    )
    cleaned = shape_footprints(
        solved.footprints, dims, rules=rules, allowed=field.usable, masks=masks, keep_masks=settings.keep_seeds
    )
    return SpatialModel(cleaned, solved.static, solved.gain)


def collect_sums(
    field: Field,
    footprints: csc_matrix,
    traces: FloatArray,
    supports: csc_matrix,
    *,
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
    leak = (field.grid.averaging @ footprints).astype(np.float32)
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
            signals = _average(field, binned, np.zeros_like(field.level)) - leak @ here
            _add_piece(
                field,
                binned,
                weights,
                here,
                signals=signals,
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


def _average(field: Field, frames: FloatArray, level: FloatArray) -> FloatArray:
    """Average a piece of the movie (P, t), less its level (P,), at the background's nodes, (B, t)."""
    blocks = sparse_dense(field.grid.blocks, frames, level=level, threads=field.threads)
    return sparse_dense(field.grid.spread, blocks, level=np.zeros(len(blocks), np.float32), threads=field.threads)


def _add_piece(
    field: Field,
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
    mix = field.grid.interpolation
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
    """See the movie through footprints and nodes in one pass, at full rate; the traces are still to be found."""
    readout, n_frames = csr_matrix(projection.readout.T), field.movie.n_frames
    shape = (readout.shape[0], n_frames)
    view = View(tables.working(shape), tables.working((field.grid.spread.shape[0], n_frames)), tables.working(shape))
    for start, stop, frames in field.movie.read_parts():
        here = (slice(None), slice(start, stop))
        view.seen[here] = sparse_dense(readout, frames, level=field.level, threads=field.threads)
        view.nodes[here] = _average(field, frames, field.level)
        counter.add(stop - start)
    return view


def _demix(field: Field, projection: Projection, view: View, *, rounds: int) -> None:
    """Solve for the traces, some frames at a time."""
    for frames in frame_blocks(view.seen):
        here = (slice(None), frames)
        target = target_traces(projection, view.seen[here], view.nodes[here])
        view.traces[here] = solve_traces(projection, target, rounds=rounds, threads=field.threads)
        view.seen[here] = target


def _binned(traces: Any, bin_frames: int) -> FloatArray:
    n_rows, n_frames = traces.shape
    binned = np.empty((n_rows, n_frames // bin_frames), np.float32)
    for rows in trace_blocks(slice(0, n_rows), n_frames):
        binned[rows] = bin_traces(traces[rows], bin_frames=bin_frames)
    return binned


def _split(
    projection: Projection,
    view: View,
    *,
    n_maps: int,
    kept: BoolArray,
    denoise: Callable[[FloatArray], FloatArray],
    tables: Tables,
) -> tuple[Any, Any, Any]:
    """Split what was seen into the model's traces, what they leave, and the background's signals.

    The first ``n_maps`` traces are the background's, where it is of a low rank; else it is what the nodes see beyond
    the traces. ``view`` ends up with all three, the results have gaps where frames are left out.
    """
    n_rows, n_frames = view.traces.shape
    cells = slice(n_maps, n_rows)
    for rows in trace_blocks(cells, n_frames):
        view.traces[rows] = denoise(view.traces[rows])
    for frames in frame_blocks(view.seen):
        here = (slice(None), frames)
        fitted = view.traces[here]
        view.seen[here] = unexplained(projection, view.seen[here], fitted)
        view.nodes[here] = node_signals(projection, view.nodes[here], fitted)
    background = (view.traces, slice(0, n_maps)) if n_maps else (view.nodes, slice(0, len(view.nodes)))
    found = {"denoised": (view.traces, cells), "residual": (view.seen, cells), "background_temporal": background}
    results = []
    for name, (table, wanted) in found.items():
        results.append(tables.result(name, (wanted.stop - wanted.start, len(kept))))
        for rows in trace_blocks(wanted, n_frames):
            results[-1][rows.start - wanted.start : rows.stop - wanted.start] = put_back_left_out(table[rows], kept)
    return results[0], results[1], results[2]
