"""CNMF in one tile of the binned movie: search, update footprints, traces and background, search what is left."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.cnmf.background import NodeGrid, background_map, fit_gain, node_grid
from caiman_pipeline.cnmf.greedy import greedy_search, robust_spread
from caiman_pipeline.cnmf.spatial import RegressionSums, clean_footprints, dilate_supports, normalise, solve_pixels
from caiman_pipeline.cnmf.temporal import demix, make_projection, node_signals
from caiman_pipeline.types import Dims, FloatArray


@dataclass(frozen=True)
class TileSettings:
    """Settings of the search in a tile, in pixels and bins.

    Attributes
    ----------
    cell_px : diameter of a cell along each axis
    baseline_bins : window of the running baseline
    threshold, min_evidence : see ``greedy_search``
    significance : entries of a footprint below this many standard errors are dropped
    searches : searches, each on what the one before left
    max_components : most components of one search
    min_pixels : smallest footprint
    """

    cell_px: tuple[float, ...]
    baseline_bins: int
    threshold: float
    min_evidence: float
    significance: float
    searches: int
    max_components: int
    min_pixels: int


@dataclass
class TileModel:
    """The model of a tile: footprints (P, K), traces (K, T), static (P,), gain (P,), node signals (B, T)."""

    footprints: csc_matrix
    traces: FloatArray
    static: FloatArray
    gain: FloatArray
    signals: FloatArray


def fit_tile(
    movie: FloatArray, dims: Dims, *, noise: FloatArray, valid: FloatArray, settings: TileSettings
) -> tuple[csc_matrix, FloatArray]:
    """Find the components of a tile.

    Parameters
    ----------
    movie : float32 (P, T), binned
    noise : float32 (P,), standard deviation of a bin
    valid : bool (P,), pixels inside the field of view

    Returns
    -------
    footprints : float32 csc (P, K) of unit norm; traces : float32 (K, T)
    """
    usable = valid & (noise > 0)
    if not usable.any():
        return csc_matrix((len(movie), 0), dtype=np.float32), np.zeros((0, movie.shape[1]), np.float32)
    noise = np.where(usable, noise, np.inf).astype(np.float32)
    movie = movie - movie.mean(1, dtype=np.float64).astype(np.float32)[:, None]
    grid = node_grid(dims, spacing_px=tuple(2 * d for d in settings.cell_px), use=usable)
    model = _without_components(movie, grid, noise)
    for _ in range(settings.searches):
        found = _search(movie, dims, model, grid, noise=noise, usable=usable, settings=settings)
        if found.shape[1] == 0:
            break
        model.footprints = hstack([model.footprints, found]).tocsc()
        for _ in range(2):
            model = _update(movie, dims, model, grid, noise=noise, usable=usable, settings=settings)
    return model.footprints, model.traces


def _without_components(movie: FloatArray, grid: NodeGrid, noise: FloatArray) -> TileModel:
    signals = grid.average(movie)
    static, gain = fit_gain(movie, grid.interpolation @ signals, noise=noise, clip=2.0)
    n_pixels, n_bins = movie.shape
    nothing = csc_matrix((n_pixels, 0), dtype=np.float32)
    return TileModel(nothing, np.zeros((0, n_bins), np.float32), static, gain, signals)


def _search(
    movie: FloatArray, dims: Dims, model: TileModel, grid: NodeGrid, *,
    noise: FloatArray, usable: FloatArray, settings: TileSettings,
) -> csc_matrix:  # fmt: skip
    """Search what the model leaves of the movie; returns footprints (P, K) in the movie's unit."""
    rest = movie - model.static[:, None] - model.gain[:, None] * (grid.interpolation @ model.signals)
    rest -= model.footprints @ model.traces
    rest -= running_baseline(rest, settings.baseline_bins)
    rest /= noise[:, None]
    found = greedy_search(
        rest, dims, cell_px=settings.cell_px, threshold=settings.threshold, min_evidence=settings.min_evidence,
        max_components=settings.max_components, allowed=usable,
    )  # fmt: skip
    return csc_matrix(found.footprints * np.where(usable, noise, 0)[:, None])


def _update(
    movie: FloatArray, dims: Dims, model: TileModel, grid: NodeGrid, *,
    noise: FloatArray, usable: FloatArray, settings: TileSettings,
) -> TileModel:  # fmt: skip
    """Update traces and background signals, then footprints, static background and gain, once."""
    footprints, _ = normalise(model.footprints)
    projection = make_projection(footprints, background_map(grid, model.gain), model.static, grid, noise=noise)
    seen, nodes = projection.readout.T @ movie, grid.average(movie)
    traces = demix(projection, seen, nodes, rounds=5)
    signals = node_signals(projection, nodes, traces)
    supports = dilate_supports(footprints, dims, radius_px=tuple(0.2 * d for d in settings.cell_px), allowed=usable)
    sums = _regression_sums(movie, traces, grid.interpolation @ signals, supports)
    solved = solve_pixels(sums, noise=noise, significance=settings.significance, threads=1)
    cleaned = clean_footprints(solved.footprints, dims, min_pixels=settings.min_pixels)
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
