"""Tile geometry: boxes that cover a field of view, neighbours overlapping."""

from __future__ import annotations

from itertools import pairwise, product
from math import ceil, prod

import numpy as np

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.tiles import Tile, TileGrid

# Values of a binned tile, about: 24 MB of float32, of which a job holds a few at a time.
TILE_ELEMENTS = 6_000_000
# Cells across a tile, at least: fewer cannot be told from background.
MIN_TILE_CELLS = 4


def tile_grid(dims: Dims, *, tile_px: tuple[float, ...], overlap_px: tuple[float, ...]) -> TileGrid:
    """Cover ``dims`` with tiles of nearly equal size.

    Parameters
    ----------
    dims : (H, W) or (D, H, W)
    tile_px : size of a tile along each axis, overlap included; inner tiles may be larger by half of the overlap
    overlap_px : pixels that neighbouring tiles share along each axis

    Returns
    -------
    The grid; tiles in C order. Cores (tiles without overlap) partition the field: each pixel is in one core.

    Raises
    ------
    PipelineError
        If an axis is cut and the overlap leaves no room for a core.
    """
    for length, tile, overlap in zip(dims, tile_px, overlap_px, strict=True):
        if overlap > tile - 1 and tile < length:
            raise PipelineError(f"tiles of {tile:g} px cannot overlap by {overlap:g} px. Make them larger.")
    cuts = [_cut_axis(n, t, o) for n, t, o in zip(dims, tile_px, overlap_px, strict=True)]
    tiles = [
        Tile(index, tuple(bounds for bounds, _ in pieces), tuple(core for _, core in pieces))
        for index, pieces in enumerate(product(*cuts))
    ]
    return TileGrid(tuple(dims), tuple(tiles))


def _cut_axis(length: int, tile: float, overlap: float) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return ((start, stop) with overlap, (start, stop) of the core) of each piece along one axis."""
    if length <= tile:
        return [((0, length), (0, length))]
    count = ceil((length - overlap) / (tile - overlap))
    edges = np.linspace(0, length, count + 1).round().astype(int)
    margin = ceil(overlap / 2)
    return [((max(int(a) - margin, 0), min(int(b) + margin, length)), (int(a), int(b))) for a, b in pairwise(edges)]


def tile_size(dims: Dims, *, n_bins: int, max_elements: int, smallest_px: tuple[float, ...]) -> tuple[float, ...]:
    """Choose the size of tiles so that one tile of the binned movie stays below ``max_elements`` values.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).
    n_bins : int
        Columns of the binned movie.
    max_elements : int
        Values of a tile, at most.
    smallest_px : tuple of float
        Sizes below which a tile does not go, pixels along each axis.

    Returns
    -------
    tuple of float
        Size along each axis, pixels, overlap included.

    Notes
    -----
    Long movies get smaller tiles, so that memory does not grow with time until tiles reach their smallest size.

    Examples
    --------
    >>> tile_size((512, 512), n_bins=100, max_elements=1_000_000, smallest_px=(48.0, 48.0))
    (100.0, 100.0)
    """
    budget = max_elements / max(n_bins, 1)
    sides = [float(n) for n in dims]
    if prod(sides) <= budget:
        return tuple(sides)
    planes = prod(sides[:-2])
    side = (budget / planes) ** 0.5
    if planes > 1 and side < max(smallest_px[-2:]):
        side = max(smallest_px[-2:])
        sides[0] = max(budget / side**2, smallest_px[0])
    return (*sides[:-2], *(max(min(side, n), s) for n, s in zip(sides[-2:], smallest_px[-2:], strict=True)))


def tile_batch(grid: TileGrid, batch: int, n_batches: int) -> list[Tile]:
    """Return the tiles of batch ``batch`` (from 0) of ``n_batches``: neighbours together; may be empty.

    Parameters
    ----------
    grid : TileGrid
        Tiles of the field.
    batch : int
        Number of the batch, from 0.
    n_batches : int
        Batches in all.

    Returns
    -------
    list of Tile
        Tiles, in order.
    """
    n = len(grid.tiles)
    return list(grid.tiles[n * batch // n_batches : n * (batch + 1) // n_batches])
