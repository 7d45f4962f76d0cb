"""Run the search in a batch of tiles and put what was found into the coordinates of the full field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from scipy.sparse import csc_matrix, hstack

from caiman_pipeline.extraction.binning import bin_tile
from caiman_pipeline.extraction.footprints import centres_of_mass
from caiman_pipeline.extraction.masks.seeds import OwnedSeeds, own_seeds, seeds_in_tile
from caiman_pipeline.extraction.tile import TileSettings, fit_tile
from caiman_pipeline.extraction.tiles.layout import MIN_TILE_CELLS, TILE_ELEMENTS, tile_batch, tile_grid, tile_size
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.components import Candidates
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.tiles import Tile, TileGrid
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.numerics.threads import give_back_memory, stream_ordered

# Cells that neighbouring tiles share, at least: else a cell on a border would be whole in none.
MIN_OVERLAP_CELLS = 2


@dataclass(frozen=True)
class TileFinding:
    """Components of one tile: footprints (P, K) in the full field, traces (K, bins), depth (K,) inside the tile.

    ``seeds`` (K,) are the numbers of the masks they were made from, -1 for those searched for.
    """

    footprints: csc_matrix
    traces: FloatArray
    depth: FloatArray
    seeds: IntArray


def make_grid(
    dims: Dims,
    *,
    n_bins: int,
    cell_px: tuple[float, ...],
    tile_px: tuple[float, ...] | None,
    overlap_px: tuple[float, ...],
) -> TileGrid:
    """Lay tiles over the field, of the given size or as large as memory allows.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).
    n_bins : int
        Bins of the binned movie.
    cell_px : tuple of float
        Diameter of a cell along each axis, pixels.
    tile_px : tuple of float, or None
        Size of a tile, overlap included; None: chosen.
    overlap_px : tuple of float
        What neighbouring tiles share, pixels along each axis.

    Returns
    -------
    TileGrid
        Tiles of the field.

    Raises
    ------
    PipelineError
        If tiles are smaller than four cells or overlap by less than two.
    """
    for axis in range(len(dims)):
        if overlap_px[axis] < MIN_OVERLAP_CELLS * cell_px[axis] - 0.5 and overlap_px[axis] < dims[axis]:
            raise PipelineError(
                f"`patch_cnmf.tile_overlap` of {overlap_px[axis]:g} px is less than two cells of {cell_px[axis]:g} px: "
                "a cell on a border would be whole in no tile. Set it to '2 cells' or more."
            )
        if tile_px is not None and tile_px[axis] < min(MIN_TILE_CELLS * cell_px[axis] - 0.5, dims[axis]):
            raise PipelineError(
                f"`patch_cnmf.tile_size` of {tile_px[axis]:g} px is less than four cells of {cell_px[axis]:g} px: "
                "too small to tell cells from background. Set it to '4 cells' or more."
            )
    if tile_px is None:
        smallest = tuple(MIN_TILE_CELLS * c + o for c, o in zip(cell_px, overlap_px, strict=True))
        tile_px = tile_size(dims, n_bins=n_bins, max_elements=TILE_ELEMENTS, smallest_px=smallest)
    return tile_grid(dims, tile_px=tile_px, overlap_px=overlap_px)


def search_tiles(
    movie: MovieStore,
    grid: TileGrid,
    *,
    batch: tuple[int, int],
    bin_frames: int,
    noise: FloatArray,
    seeds: OwnedSeeds,
    shapeless: bool,
    settings: TileSettings,
    threads: int,
    progress: Callable[[int, int], None],
) -> Candidates:
    """Search the tiles of one batch.

    Parameters
    ----------
    batch : (number of the batch from 0, number of batches)
    noise : float32 (*dims), standard deviation per frame
    seeds : masks to start from, none with S = 0
    shapeless : whether the way of searching leaves the shape of components open
    progress : called with the tiles done and in all

    Returns
    -------
    What was found, in the order of the tiles.
    """
    tiles = tile_batch(grid, *batch)

    def one(tile: Tile) -> TileFinding:
        try:
            binned = bin_tile(movie, tile, bin_frames=bin_frames)
            own_noise = noise[tile.slices].ravel() / np.sqrt(bin_frames)
            return _search_tile(binned, tile, movie, noise=own_noise, seeds=seeds, settings=settings)
        except (PipelineError, MemoryError):
            raise
        except Exception as error:
            place = " x ".join(f"{a}-{b}" for a, b in tile.bounds)
            raise RuntimeError(f"tile {tile.index} of {len(grid.tiles)} (pixels {place}): {error}") from error

    findings = []
    for done, finding in enumerate(stream_ordered(one, tiles, threads), 1):
        findings.append(finding)
        give_back_memory()
        progress(done, len(tiles))
    return _collect(movie, tiles, findings, bin_frames=bin_frames, shapeless=shapeless)


def _search_tile(
    binned: FloatArray, tile: Tile, movie: MovieStore, *, noise: FloatArray, seeds: OwnedSeeds, settings: TileSettings
) -> TileFinding:
    valid = movie.valid[tile.slices].ravel()
    inside, local = seeds_in_tile(seeds, tile, movie.dims, usable=valid & (noise > 0))
    footprints, traces = fit_tile(binned, tile.shape, noise=noise, valid=valid, seeds=local, settings=settings)
    n_seeds = len(inside)
    masks, mask_traces, numbers = own_seeds(
        seeds, tile, inside=inside, local=local, footprints=footprints[:, :n_seeds], traces=traces[:n_seeds]
    )
    found, traces = footprints[:, n_seeds:], traces[n_seeds:]
    centres = centres_of_mass(found, tile.shape)
    keep, depth = _ownership(centres, tile, movie.dims, settings.cell_px)
    return TileFinding(
        hstack([masks, _to_field(found[:, keep], tile, movie.dims)]).tocsc(),
        np.concatenate([mask_traces, traces[keep]]),
        np.concatenate([np.full(len(numbers), 1e6), depth[keep]]),
        np.concatenate([numbers, np.full(np.count_nonzero(keep), -1, np.int64)]),
    )


def _ownership(centres: FloatArray, tile: Tile, dims: Dims, cell_px: tuple[float, ...]) -> tuple[BoolArray, FloatArray]:
    """Return which components are the tile's own (centred in its core, a quarter cell of slack), and their depth."""
    keep, depth = np.ones(len(centres), bool), np.full(len(centres), np.inf)
    for axis, ((low, high), (core_low, core_high)) in enumerate(zip(tile.bounds, tile.core, strict=True)):
        place = centres[:, axis] + low
        slack = 0.25 * cell_px[axis]
        keep &= (place >= core_low - slack) & (place < core_high + slack)
        inner_low = place - low if low > 0 else np.full(len(place), np.inf)
        inner_high = high - place if high < dims[axis] else np.full(len(place), np.inf)
        depth = np.minimum(depth, np.minimum(inner_low, inner_high))
    return keep, np.minimum(depth, 1e6)


def _to_field(footprints: csc_matrix, tile: Tile, dims: Dims) -> csc_matrix:
    pixels = np.arange(prod(dims)).reshape(dims)[tile.slices].ravel()
    shape = (prod(dims), footprints.shape[1])
    return csc_matrix((footprints.data, pixels[footprints.indices].astype(np.int32), footprints.indptr), shape=shape)


def _collect(
    movie: MovieStore, tiles: list[Tile], findings: list[TileFinding], *, bin_frames: int, shapeless: bool
) -> Candidates:
    n_bins = movie.n_frames // bin_frames
    nothing = csc_matrix((movie.n_pixels, 0), dtype=np.float32)
    return Candidates(
        dims=movie.dims,
        footprints=hstack([nothing, *(f.footprints for f in findings)]).tocsc().astype(np.float32),
        traces=np.concatenate([np.zeros((0, n_bins), np.float32), *(f.traces for f in findings)]),
        tiles=np.repeat([t.index for t in tiles], [len(f.traces) for f in findings]).astype(np.int64),
        depth=np.concatenate([np.zeros(0), *(f.depth for f in findings)]).astype(np.float32),
        frames_per_bin=bin_frames,
        seeds=np.concatenate([np.zeros(0, np.int64), *(f.seeds for f in findings)]).astype(np.int64),
        shapeless=shapeless,
    )
