"""CNMF in one tile of the binned movie: search, update footprints, traces and background, search what is left."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.cnmf.background import BackgroundRules, NodeGrid, background_grid, background_map, fit_gain
from caiman_pipeline.cnmf.greedy import robust_spread
from caiman_pipeline.cnmf.initialise import Budget, Initialiser
from caiman_pipeline.cnmf.low_rank_background import tile_maps, whole_field
from caiman_pipeline.cnmf.spatial import RegressionSums, normalise, solve_pixels
from caiman_pipeline.cnmf.supports import FootprintRules, grow_supports, pattern, shape_footprints
from caiman_pipeline.cnmf.temporal import demix, make_projection, node_signals
from caiman_pipeline.types import Dims, FloatArray


@dataclass(frozen=True)
class TileSettings:
    """Settings of the search in a tile, in pixels and bins.

    Attributes
    ----------
    cell_px : diameter of a cell along each axis
    baseline_bins : window of the running baseline
    initialise : how components are found
    budget : how many there may be
    searches : searches, each on what the one before left
    max_components : most components of one search by evidence
    rules : how footprints grow, are solved for and are cleaned
    background : how the background is modelled
    max_gain : most that a pixel may follow the nodes around it while components are not known
    """

    cell_px: tuple[float, ...]
    baseline_bins: int
    initialise: Initialiser
    budget: Budget
    searches: int
    max_components: int
    rules: FootprintRules
    background: BackgroundRules
    max_gain: float


@dataclass(frozen=True)
class _Frame:
    """What stays the same while a tile is worked on: movie (P, T), noise (P,), usable (P,), masks of seeds (P, S).

    The first seeds are ``maps`` (P, B), those of a low-rank background at its start.
    """

    movie: FloatArray
    dims: Dims
    grid: NodeGrid
    noise: FloatArray
    usable: FloatArray
    masks: csc_matrix
    maps: csc_matrix


@dataclass
class TileModel:
    """The model of a tile: footprints (P, K), traces (K, T), static (P,), gain (P,), node signals (B, T)."""

    footprints: csc_matrix
    traces: FloatArray
    static: FloatArray
    gain: FloatArray
    signals: FloatArray


def fit_tile(
    movie: FloatArray, dims: Dims, *, noise: FloatArray, valid: FloatArray, seeds: csc_matrix, settings: TileSettings
) -> tuple[csc_matrix, FloatArray]:
    """Find the components of a tile.

    Parameters
    ----------
    movie : float32 (P, T), binned
    noise : float32 (P,), standard deviation of a bin
    valid : bool (P,), pixels inside the field of view
    seeds : sparse (P, S), masks of components that are known to be there; none with S = 0

    Returns
    -------
    footprints : float32 csc (P, K) of unit norm, the seeds' first; traces : float32 (K, T)
    """
    usable = valid & (noise > 0)
    if not usable.any():
        return csc_matrix((len(movie), 0), dtype=np.float32), np.zeros((0, movie.shape[1]), np.float32)
    noise = np.where(usable, noise, np.inf).astype(np.float32)
    movie = movie - movie.mean(1, dtype=np.float64).astype(np.float32)[:, None]
    frame = _make_frame(movie, dims, noise, usable, seeds=seeds, settings=settings)
    model, n_maps = _without_components(frame, settings.max_gain), frame.maps.shape[1]
    if n_maps:
        model = _grown(frame, model, frame.maps, settings)
    if seeds.shape[1]:
        model = _grown(frame, model, frame.masks[:, n_maps:], settings)
    budget = settings.budget.of(int(np.count_nonzero(usable)))
    for _ in range(settings.searches):
        room = settings.max_components if budget is None else budget + n_maps - model.footprints.shape[1]
        found = _search(frame, model, settings, room) if room > 0 else frame.masks[:, :0]
        if found.shape[1] == 0:
            break
        model = _grown(frame, model, found, settings)
    return model.footprints[:, n_maps:], model.traces[n_maps:]


def _make_frame(
    movie: FloatArray, dims: Dims, noise: FloatArray, usable: FloatArray, *, seeds: csc_matrix, settings: TileSettings
) -> _Frame:
    rules, masks = settings.background, pattern(seeds, usable)
    grid = background_grid(dims, rules, use=usable)
    if not rules.n_maps:
        return _Frame(movie, dims, grid, noise, usable, masks, masks[:, :0])
    maps = tile_maps(movie, dims, noise=noise, cell_px=settings.cell_px, clip=2.0, count=rules.n_maps)
    masks = hstack([whole_field(usable, maps.shape[1]), masks]).tocsc()
    return _Frame(movie, dims, grid, noise, usable, masks, maps)


def _grown(frame: _Frame, model: TileModel, found: csc_matrix, settings: TileSettings) -> TileModel:
    """Add footprints to the model and update it twice."""
    model.footprints = hstack([model.footprints, found]).tocsc()
    for _ in range(2):
        model = _update(frame, model, settings)
    return model


def _without_components(frame: _Frame, max_gain: float) -> TileModel:
    movie, grid = frame.movie, frame.grid
    signals = grid.average(movie)
    static, gain = fit_gain(movie, grid.interpolation @ signals, noise=frame.noise, clip=2.0, largest=max_gain)
    n_pixels, n_bins = movie.shape
    nothing = csc_matrix((n_pixels, 0), dtype=np.float32)
    return TileModel(nothing, np.zeros((0, n_bins), np.float32), static, gain, signals)


def _search(frame: _Frame, model: TileModel, settings: TileSettings, limit: int) -> csc_matrix:
    """Search what the model leaves of the movie; returns footprints (P, K) in the movie's unit."""
    rest = frame.movie - model.static[:, None] - model.gain[:, None] * (frame.grid.interpolation @ model.signals)
    rest -= model.footprints @ model.traces
    rest -= running_baseline(rest, settings.baseline_bins)
    rest /= frame.noise[:, None]
    found = settings.initialise(rest, frame.dims, allowed=frame.usable, limit=limit)
    return csc_matrix(found.footprints * np.where(frame.usable, frame.noise, 0)[:, None])


def _update(frame: _Frame, model: TileModel, settings: TileSettings) -> TileModel:
    """Update traces and background signals, then footprints, static background and gain, once."""
    movie, grid, rules = frame.movie, frame.grid, settings.rules
    footprints, _ = normalise(model.footprints)
    projection = make_projection(footprints, background_map(grid, model.gain), model.static, grid, noise=frame.noise)
    seen, nodes = projection.readout.T @ movie, grid.average(movie)
    traces = demix(projection, seen, nodes, rounds=5)
    signals = node_signals(projection, nodes, traces)
    masks = frame.masks[:, : len(traces)]
    supports = grow_supports(footprints, frame.dims, rules=rules, allowed=frame.usable, masks=masks)
    sums = _regression_sums(movie, traces, grid.interpolation @ signals, supports)
    solved = solve_pixels(
        sums, noise=frame.noise, significance=rules.solver_significance, regression=rules.regression, threads=1
    )
    cleaned = shape_footprints(
        solved.footprints, frame.dims, rules=rules, allowed=frame.usable, masks=masks,
        keep_masks=False,
    )  # fmt: skip
    if not settings.background.update:
        cleaned = hstack([frame.maps, cleaned[:, frame.maps.shape[1] :]]).tocsc()
    kept = np.diff(cleaned.indptr) > 0
    footprints, norms = normalise(cleaned[:, kept])
    return TileModel(footprints, traces[kept] * norms[:, None], solved.static, solved.gain, signals)


def _regression_sums(movie: FloatArray, traces: FloatArray, local: FloatArray, supports: csc_matrix) -> RegressionSums:
    """Sum over a whole tile that is in memory."""
    structure = supports.tocsr()
    structure.sort_indices()
    rows = np.repeat(np.arange(len(movie)), np.diff(structure.indptr))
    pixels = np.stack(
        [
            movie.sum(1, dtype=np.float64),
            local.sum(1, dtype=np.float64),
            np.einsum("pt,pt->p", local, local),
            np.einsum("pt,pt->p", movie, local),
        ],
        axis=1,
    )
    return RegressionSums(
        weight=float(movie.shape[1]),
        pixels=pixels,
        supports=structure,
        movie_traces=(movie @ traces.T)[rows, structure.indices].astype(np.float64),
        local_traces=(local @ traces.T)[rows, structure.indices].astype(np.float64),
        trace_sums=traces.sum(1, dtype=np.float64),
        trace_products=(traces @ traces.T).astype(np.float64),
    )


def running_baseline(movie: FloatArray, window: int) -> FloatArray:
    """Return a slow baseline of each pixel, (P, T): quiet levels of windows, joined by straight lines.

    Notes
    -----
    A movie shorter than two windows has a constant baseline.
    """
    n_bins = movie.shape[1]
    count = max(n_bins // max(window, 1), 1)
    edges = np.linspace(0, n_bins, count + 1).round().astype(int)
    levels = np.concatenate([robust_spread(movie[:, a:b])[0] for a, b in pairwise(edges)], axis=1)
    centres = (edges[:-1] + edges[1:] - 1) / 2
    position = np.clip(np.interp(np.arange(n_bins), centres, np.arange(count)), 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    share = (position - low).astype(np.float32)
    high = np.minimum(low + 1, count - 1)
    return levels[:, low] * (1 - share) + levels[:, high] * share
