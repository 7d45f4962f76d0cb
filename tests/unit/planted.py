"""Small movies with planted cells, and stores made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.config.background import BackgroundSettings
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.extraction.background.protocol import BackgroundModel
from caiman_pipeline.extraction.denoise import make_denoiser
from caiman_pipeline.extraction.masks.seeds import assign_seeds
from caiman_pipeline.extraction.masks.usable import Seeds, no_seeds
from caiman_pipeline.extraction.merge import Merged, merge_candidates
from caiman_pipeline.extraction.pooled import Pooling
from caiman_pipeline.extraction.refine import RefineRules, prepare_field, refine
from caiman_pipeline.extraction.search.initialise import Budget, Evidence, EvidenceSearch
from caiman_pipeline.extraction.supports import FootprintRules
from caiman_pipeline.extraction.tile import TileSettings
from caiman_pipeline.extraction.tiles.methods import make_background
from caiman_pipeline.extraction.tiles.run import make_grid, search_tiles
from caiman_pipeline.extraction.tiles.stitch import stitch
from caiman_pipeline.model.components import Candidates, Components
from caiman_pipeline.movies.store.bounds import part_bounds, part_name
from caiman_pipeline.movies.store.parts import MovieStore, Part, open_store, write_index
from caiman_pipeline.movies.store.writing import PartWriter
from caiman_pipeline.results.long_tables import Tables, in_memory
from caiman_pipeline.traces.timing import timing_from

RATE_HZ, DECAY_S, CELL_PX = 10.0, 0.6, 8.0


@dataclass(frozen=True)
class Planted:
    movie: np.ndarray  # (*dims, T)
    footprints: np.ndarray  # (P, K)
    traces: np.ndarray  # (K, T)
    noise: float


def calcium(rng: np.random.Generator, n_cells: int, n_frames: int) -> np.ndarray:
    decay = np.exp(-1 / (RATE_HZ * DECAY_S))
    spikes = (rng.random((n_cells, n_frames)) < 0.03) * rng.uniform(0.7, 1.5, (n_cells, n_frames))
    traces = np.zeros((n_cells, n_frames))
    for t in range(1, n_frames):
        traces[:, t] = decay * traces[:, t - 1] + spikes[:, t]
    return traces


def disc(dims: tuple[int, ...], centre: tuple[float, ...]) -> np.ndarray:
    grids = np.indices(dims)
    reach = [0.5 * CELL_PX if n > 6 else 1.2 for n in dims]
    r = np.sqrt(sum(((g - c) / s) ** 2 for g, c, s in zip(grids, centre, reach, strict=True)))
    shape = (1 / (1 + np.exp((r - 1) / 0.1))).ravel()
    return np.where(shape < 0.05, 0, shape)


def plant(
    dims: tuple[int, ...],
    centres: list[tuple[float, ...]],
    *,
    n_frames: int = 600,
    noise: float = 0.35,
    seed: int = 0,
    neuropil: float = 0.3,
) -> Planted:
    rng = np.random.default_rng(seed)
    footprints = np.stack([disc(dims, c) for c in centres], axis=1) if centres else np.zeros((int(np.prod(dims)), 0))
    traces = calcium(rng, len(centres), n_frames)
    ramp = np.linspace(0.6, 1.2, int(np.prod(dims)))
    slow = np.convolve(rng.normal(size=n_frames), np.ones(20) / np.sqrt(20), mode="same")
    movie = 10.0 + footprints @ traces + neuropil * np.outer(ramp, slow)
    movie += noise * rng.normal(size=movie.shape)
    return Planted(movie.reshape(*dims, n_frames).astype(np.float32), footprints, traces, noise)


def store(folder: Path, movie: np.ndarray, valid: np.ndarray | None = None) -> MovieStore:
    folder.mkdir(parents=True, exist_ok=True)
    dims, n_frames = movie.shape[:-1], movie.shape[-1]
    parts = []
    with PartWriter(folder) as writer:
        for i, (a, b) in enumerate(part_bounds(n_frames, dims)):
            writer.write(i, movie[..., a:b])
            parts.append(Part(folder / part_name(i), a, b))
    mask = np.ones(dims, bool) if valid is None else valid
    write_index(folder / "movie.json", dims=dims, frame_rate_hz=RATE_HZ, parts=parts, valid=mask, source={})
    return open_store(folder / "movie.json")


def matches(found: np.ndarray, planted: Planted) -> list[tuple[int, int, float]]:
    """(planted, found, cosine) of the best found footprint for each planted cell."""
    unit = found / np.maximum(np.linalg.norm(found, axis=0), 1e-12)
    true = planted.footprints / np.linalg.norm(planted.footprints, axis=0)
    cosine = true.T @ unit
    return [(k, int(np.argmax(row)), float(row.max())) for k, row in enumerate(cosine)] if found.shape[1] else []


def cell_size(ndim: int) -> tuple[float, ...]:
    return (2.4, CELL_PX, CELL_PX)[3 - ndim :]


def rules(ndim: int = 2, **changes: object) -> FootprintRules:
    values = {
        "growth": "dilate",
        "reach_px": tuple(0.2 * c for c in cell_size(ndim)),
        "ellipse_factor": 3.0,
        "regression": "nonnegative",
        "threshold": "significance",
        "significance": 2.5,
        "max_fraction": 0.1,
        "energy_fraction": 0.9999,
        "median_px": 0,
        "closing_px": 0,
        "connected": True,
        "min_pixels": 8,
        "pooling": Pooling(tuple(0.12 * c for c in cell_size(ndim)), 2.5, 0.2),
    }
    return FootprintRules(**{**values, **changes})


def background(ndim: int = 2, **changes: object) -> BackgroundModel:
    own = {"spacing": 2.0, "components": 2, "update": True, **changes}
    return make_background(BackgroundSettings(**own), cell_size(ndim))


def evidence_search(
    ndim: int = 2, *, threshold: float = 2.5, least: float = 25.0, decay_bins: float = 2.0
) -> EvidenceSearch:
    return EvidenceSearch(cell_size(ndim), decay_bins, Evidence(threshold, least))


def settings(ndim: int = 2, **changes: object) -> TileSettings:
    values = {
        "cell_px": cell_size(ndim),
        "baseline_bins": 100,
        "initialise": evidence_search(ndim),
        "budget": Budget(None, None),
        "searches": 2,
        "max_components": 100,
        "rules": rules(ndim),
        "background": background(ndim),
        "max_gain": np.inf,
    }
    return TileSettings(**{**values, **changes})


def search(
    movie: MovieStore,
    noise: float,
    *,
    tile_px: float | None = None,
    batches: int = 1,
    threads: int = 1,
    bin_frames: int = 3,
    tile: TileSettings | None = None,
    seeds: Seeds | None = None,
    shapeless: bool = False,
) -> Candidates:
    tile = tile or settings(len(movie.dims))
    overlap = tuple(2 * c for c in tile.cell_px)
    size = tuple(float(n) for n in movie.dims) if tile_px is None else (*movie.dims[:-2], tile_px, tile_px)
    grid = make_grid(movie.dims, n_bins=200, cell_px=tile.cell_px, tile_px=size, overlap_px=overlap)
    return stitch(
        [
            search_tiles(
                movie,
                grid,
                batch=(b, batches),
                bin_frames=bin_frames,
                noise=np.full(movie.dims, noise, np.float32),
                seeds=assign_seeds(grid, seeds or no_seeds(movie.n_pixels)),
                shapeless=shapeless,
                settings=tile,
                threads=threads,
                progress=lambda done, total: None,
            )
            for b in range(batches)
        ]
    )


def merged(candidates: Candidates, **changes: object) -> Merged:
    values = {
        "merge": True,
        "min_correlation": 0.8,
        "min_overlap": 0.1,
        "duplicate_overlap": 0.4,
        "max_pixels": 150,
        "n_masks": 0,
    }
    return merge_candidates(candidates, **{**values, **changes})


def refined(
    movie: MovieStore,
    found: Merged,
    noise: float,
    *,
    bin_frames: int = 3,
    threads: int = 1,
    rounds: int = 1,
    keep_seeds: bool = False,
    footprints: FootprintRules | None = None,
    model: BackgroundModel | None = None,
    tables: Tables | None = None,
    denoise: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Components:
    ndim = len(movie.dims)
    plan = RefineRules(
        cell_px=cell_size(ndim),
        bin_frames=bin_frames,
        rules=footprints or rules(ndim),
        keep_seeds=keep_seeds,
        rounds=rounds,
    )
    field = prepare_field(
        movie,
        mean=movie.parts[0].read().mean(-1),
        noise=np.full(movie.dims, noise, np.float32),
        background=model or background(ndim),
        threads=threads,
    )
    denoise = denoise or make_denoiser(TraceSettings(), timing_from(RATE_HZ, DECAY_S), kept=movie.kept, threads=1)
    return refine(
        field,
        found.footprints,
        found.traces,
        n_seeds=found.n_seeds,
        settings=plan,
        denoise=denoise,
        tables=tables or in_memory(),
        progress=lambda done, total: None,
    )
