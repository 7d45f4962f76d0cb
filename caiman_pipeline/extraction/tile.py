"""CNMF in one tile of the binned movie: search, update footprints, traces and background, search what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, hstack

from caiman_pipeline.extraction.background.low_rank import whole_field
from caiman_pipeline.extraction.background.nodes import fit_gain
from caiman_pipeline.extraction.background.protocol import BackgroundModel, Piece
from caiman_pipeline.extraction.search.initialise import Budget, Initialiser
from caiman_pipeline.extraction.spatial import RegressionSums, normalise, solve_pixels
from caiman_pipeline.extraction.supports import FootprintRules, grow_supports, pattern, shape_footprints
from caiman_pipeline.extraction.temporal import demix, local_signals, make_projection
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.background import Follower
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.numerics.noise import quiet_level
from caiman_pipeline.numerics.threads import value_slabs


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
    background: BackgroundModel
    max_gain: float


@dataclass(frozen=True)
class _Frame:
    """What stays the same while a tile is worked on: movie (P, T), noise (P,), usable (P,), masks of seeds (P, S).

    The first seeds are ``maps`` (P, M), those of the background at its start.
    """

    movie: FloatArray
    dims: Dims
    noise: FloatArray
    usable: BoolArray
    masks: csc_matrix
    maps: csc_matrix

    @property
    def cells(self) -> slice:
        """Where components are among all that is solved for: behind the background's maps."""
        return slice(self.maps.shape[1], None)


@dataclass
class TileModel:
    """The model of a tile, maps of the background among the components, the first.

    Footprints (P, K), traces (K, T), static (P,), gain (P,), what pixels follow, its local signals (B, T).
    """

    footprints: csc_matrix
    traces: FloatArray
    static: FloatArray
    gain: FloatArray
    follower: Follower
    signals: FloatArray


def fit_tile(
    movie: FloatArray, dims: Dims, *, noise: FloatArray, valid: BoolArray, seeds: csc_matrix, settings: TileSettings
) -> tuple[csc_matrix, FloatArray]:
    """Find the components of a tile.

    Parameters
    ----------
    movie : float32 (P, T), binned; its mean is taken off in place
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
    movie[~usable] = 0.0  # may hold NaN, which filters would spread
    movie -= movie.mean(1, dtype=np.float64).astype(np.float32)[:, None]
    frame = _make_frame(movie, dims, noise, usable, seeds=seeds, settings=settings)
    model = _without_components(frame, settings)
    for start in (frame.maps, frame.masks[:, frame.cells]):
        model = _grown(frame, model, start, settings) if start.shape[1] else model
    budget = settings.budget.of(int(np.count_nonzero(usable)))
    for _ in range(settings.searches):
        n_components = model.footprints[:, frame.cells].shape[1]
        room = settings.max_components if budget is None else budget - n_components
        found = _search(frame, model, settings, room) if room > 0 else frame.masks[:, :0]
        if found.shape[1] == 0:
            break
        model = _grown(frame, model, found, settings)
    return model.footprints[:, frame.cells], model.traces[frame.cells]


def _make_frame(
    movie: FloatArray, dims: Dims, noise: FloatArray, usable: BoolArray, *, seeds: csc_matrix, settings: TileSettings
) -> _Frame:
    maps = settings.background.start_in_tile(movie, dims, noise=noise, cell_px=settings.cell_px)
    masks = hstack([whole_field(usable, maps.shape[1]), pattern(seeds, usable)]).tocsc()
    return _Frame(movie, dims, noise, usable, masks, maps)


def _grown(frame: _Frame, model: TileModel, found: csc_matrix, settings: TileSettings) -> TileModel:
    """Add footprints to the model and update it twice."""
    model.footprints = hstack([model.footprints, found]).tocsc()
    for _ in range(2):
        model = _update(frame, model, settings)
    return model


def _without_components(frame: _Frame, settings: TileSettings) -> TileModel:
    n_pixels, n_bins = frame.movie.shape
    nothing, silent = csc_matrix((n_pixels, 0), dtype=np.float32), np.zeros((0, n_bins), np.float32)
    follower = settings.background.lay_out(frame.dims, use=frame.usable)
    follower = _learn(frame, settings, follower, nothing, silent)
    signals = follower.average(frame.movie)
    static, gain = np.empty(n_pixels, np.float32), np.empty(n_pixels, np.float32)
    for a, b in value_slabs(n_pixels, n_bins):
        local = follower.interpolation[a:b] @ signals
        static[a:b], gain[a:b] = fit_gain(
            frame.movie[a:b], local, noise=frame.noise[a:b], clip=2.0, largest=settings.max_gain
        )
    return TileModel(nothing, silent, static, gain, follower, signals)


def _learn(
    frame: _Frame, settings: TileSettings, follower: Follower, footprints: csc_matrix, traces: FloatArray
) -> Follower:
    """Return what pixels follow, learned from the tile less the components (and maps) that are known."""

    def observe(wanted: Follower) -> Iterator[Piece]:
        n_bins = frame.movie.shape[1]
        averages = wanted.average(frame.movie) - (wanted.averaging @ footprints) @ traces
        yield Piece(averages.astype(np.float32), np.ones(n_bins, np.float32), np.arange(n_bins))

    return settings.background.learn(follower, frame.dims, observe)


def _search(frame: _Frame, model: TileModel, settings: TileSettings, limit: int) -> csc_matrix:
    """Search what the model leaves of the movie; returns footprints (P, K) in the movie's unit."""
    rest, footprints = np.empty_like(frame.movie), model.footprints.tocsr()
    for a, b in value_slabs(*rest.shape):
        piece = model.gain[a:b, None] * (model.follower.interpolation[a:b] @ model.signals)
        piece += model.static[a:b, None]
        piece += footprints[a:b] @ model.traces
        np.subtract(frame.movie[a:b], piece, out=piece)
        piece -= movie_baseline(piece, settings.baseline_bins)
        rest[a:b] = piece / frame.noise[a:b, None]
    found = settings.initialise(rest, frame.dims, allowed=frame.usable, limit=limit)
    return csc_matrix(found.footprints * np.where(frame.usable, frame.noise, 0)[:, None])


def _update(frame: _Frame, model: TileModel, settings: TileSettings) -> TileModel:
    """Update traces and background signals, then footprints, static background and gain, once."""
    movie, follower, rules = frame.movie, model.follower, settings.rules
    footprints, _ = normalise(model.footprints)
    projection = make_projection(footprints, follower, gain=model.gain, static=model.static, noise=frame.noise)
    nodes = follower.average(movie)
    traces = demix(projection, projection.readout.T @ movie, nodes, rounds=5)
    signals = local_signals(projection, nodes, traces)
    learned = _learn(frame, settings, follower, footprints, traces)
    if learned is not follower:
        signals = (learned.average(movie) - (learned.averaging @ footprints) @ traces).astype(np.float32)
    masks = frame.masks[:, : len(traces)]
    supports = grow_supports(footprints, frame.dims, rules=rules, allowed=frame.usable, masks=masks)
    sums = _regression_sums(movie, traces, signals, learned.interpolation, supports)
    solved = solve_pixels(
        sums, noise=frame.noise, significance=rules.solver_significance, regression=rules.regression, threads=1
    )
    cleaned = shape_footprints(
        solved,
        frame.dims,
        rules=rules,
        allowed=frame.usable,
        masks=masks,
        keep_masks=False,
    )
    if not settings.background.update:
        cleaned = hstack([frame.maps, cleaned[:, frame.cells]]).tocsc()
    kept = np.diff(cleaned.indptr) > 0
    footprints, norms = normalise(cleaned[:, kept])
    return TileModel(footprints, traces[kept] * norms[:, None], solved.static, solved.gain, learned, signals)


def _regression_sums(
    movie: FloatArray, traces: FloatArray, signals: FloatArray, interpolation: csr_matrix, supports: csc_matrix
) -> RegressionSums:
    """Sum over a whole tile that is in memory."""
    structure = supports.tocsr()
    structure.sort_indices()
    pixels = np.empty((len(movie), 4))
    movie_traces, local_traces = np.empty(structure.nnz), np.empty(structure.nnz)
    for a, b in value_slabs(*movie.shape):
        here, local = movie[a:b], interpolation[a:b] @ signals
        pixels[a:b, 0], pixels[a:b, 1] = here.sum(1, dtype=np.float64), local.sum(1, dtype=np.float64)
        pixels[a:b, 2] = np.einsum("pt,pt->p", local, local)
        pixels[a:b, 3] = np.einsum("pt,pt->p", here, local)
        entries = slice(structure.indptr[a], structure.indptr[b])
        place = np.repeat(np.arange(b - a), np.diff(structure.indptr[a : b + 1])), structure.indices[entries]
        movie_traces[entries], local_traces[entries] = (here @ traces.T)[place], (local @ traces.T)[place]
    return RegressionSums(
        weight=float(movie.shape[1]),
        pixels=pixels,
        supports=structure,
        movie_traces=movie_traces,
        local_traces=local_traces,
        trace_sums=traces.sum(1, dtype=np.float64),
        trace_products=(traces @ traces.T).astype(np.float64),
    )


def movie_baseline(movie: FloatArray, window: int) -> FloatArray:
    """Return a slow baseline of each pixel, (P, T): quiet levels of windows, joined by straight lines.

    Notes
    -----
    A movie shorter than two windows has a constant baseline.
    """
    n_bins = movie.shape[1]
    count = max(n_bins // max(window, 1), 1)
    edges = np.linspace(0, n_bins, count + 1).round().astype(int)
    levels = np.concatenate([quiet_level(movie[:, a:b])[0] for a, b in pairwise(edges)], axis=1)
    centres = (edges[:-1] + edges[1:] - 1) / 2
    position = np.clip(np.interp(np.arange(n_bins), centres, np.arange(count)), 0, count - 1)
    low = np.minimum(position.astype(int), max(count - 2, 0))
    share = (position - low).astype(np.float32)
    high = np.minimum(low + 1, count - 1)
    return levels[:, low] * (1 - share) + levels[:, high] * share
