"""Masks as a start of the search: which tile each belongs to, and what a tile makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csc_matrix

from caiman_pipeline.extraction.masks.read import read_masks
from caiman_pipeline.extraction.masks.usable import Seeds, choose_seeds, no_seeds
from caiman_pipeline.extraction.spatial import normalise
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.tiles import Tile, TileGrid
from caiman_pipeline.movies.store.parts import MovieStore

if TYPE_CHECKING:
    from caiman_pipeline.config.patch_cnmf import PatchSettings


@dataclass(frozen=True)
class OwnedSeeds:
    """Masks to start from: ones (P, S), their numbers in the file (S,), the tile that each belongs to (S,)."""

    masks: csc_matrix
    numbers: IntArray
    owners: IntArray


def find_seeds(settings: PatchSettings, movie: MovieStore, noise: FloatArray) -> Seeds:
    """Read the masks that the settings ask for; none unless ``init`` is ``seeded``.

    Parameters
    ----------
    settings : PatchSettings
        Section ``patch_cnmf``.
    movie : MovieStore
        The corrected movie.
    noise : float32 (*dims)
        Noise of each pixel, 0 for those that are dead.

    Returns
    -------
    Seeds
        Masks that can be used, and why the others cannot.

    Raises
    ------
    PipelineError
        If there is no file, it cannot be read, does not fit the movie, or none of its masks can be used.
    """
    if settings.init != "seeded":
        return no_seeds(movie.n_pixels)
    own, file = settings.seeded, settings.seeded.path()
    if not file:
        raise PipelineError("`patch_cnmf.seeded.file` must name the file of masks that `init: seeded` starts from.")
    masks = read_masks(file, movie.dims, pixel_order=own.pixel_order)
    return choose_seeds(masks, movie.valid.ravel() & (noise.ravel() > 0), min_pixels=own.min_pixels)


def assign_seeds(grid: TileGrid, seeds: Seeds) -> OwnedSeeds:
    """Give each mask to the tile whose core holds most of its pixels.

    Parameters
    ----------
    grid : TileGrid
        Tiles of the field.
    seeds : Seeds
        Masks in the field.

    Returns
    -------
    OwnedSeeds
        With the tile of each.
    """
    owner = np.zeros(grid.dims, np.int64)
    for tile in grid.tiles:
        owner[tuple(slice(a, b) for a, b in tile.core)] = tile.index
    masks, n_masks = seeds.masks, seeds.masks.shape[1]
    pixels = masks.copy()
    pixels = csc_matrix((pixels.data, owner.ravel()[masks.indices], pixels.indptr), shape=(len(grid.tiles), n_masks))
    pixels.sum_duplicates()
    owners = np.asarray(pixels.argmax(axis=0)).ravel() if n_masks else np.zeros(0, np.int64)
    return OwnedSeeds(masks, seeds.numbers, owners)


def seeds_in_tile(seeds: OwnedSeeds, tile: Tile, dims: Dims, *, usable: BoolArray) -> tuple[IntArray, csc_matrix]:
    """Return which seeds have usable pixels in a tile, and their masks there.

    Parameters
    ----------
    seeds : OwnedSeeds
        Masks in the field.
    tile : Tile
        Part of the field.
    dims : tuple of int
        (H, W) or (D, H, W) of the field.
    usable : bool (P_tile,)
        Pixels of the tile that count.

    Returns
    -------
    inside : int (n,)
        Which seeds.
    local : csc_matrix float32 (P_tile, n)
        Their masks in the tile.
    """
    pixels = np.arange(prod(dims)).reshape(dims)[tile.slices].ravel()
    local = seeds.masks.tocsr()[pixels].multiply(usable.reshape(-1, 1)).tocsc()
    local.eliminate_zeros()
    inside = np.flatnonzero(np.diff(local.indptr))
    return inside, local[:, inside].astype(np.float32)


def own_seeds(
    seeds: OwnedSeeds,
    tile: Tile,
    *,
    inside: IntArray,
    local: csc_matrix,
    footprints: csc_matrix,
    traces: FloatArray,
) -> tuple[csc_matrix, FloatArray, IntArray]:
    """Return the seeds that belong to a tile, whole: masks (P, K) of unit norm, their traces (K, T), and numbers (K,).

    Parameters
    ----------
    inside, local : as ``seeds_in_tile`` returns them
    footprints, traces : what the tile's updates made of them, (P_tile, those) and (those, T)
    """
    mine = np.flatnonzero(seeds.owners[inside] == tile.index)
    masks, norms = normalise(seeds.masks[:, inside[mine]].tocsc().astype(np.float32))
    # The traces are scaled to what of them shows in the mask, so that masks and traces go together.
    shown = np.asarray(footprints[:, mine].multiply(local[:, mine]).sum(0)).ravel() / norms
    return masks, (traces[mine] * shown[:, None]).astype(np.float32), seeds.numbers[inside[mine]]
