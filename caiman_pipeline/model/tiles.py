"""Tiles of the field of view."""

from __future__ import annotations

from dataclasses import dataclass

from caiman_pipeline.model.movie import Bounds, Dims


@dataclass(frozen=True)
class Tile:
    """A box of the field of view: ``bounds`` with overlap, ``core`` without, as (start, stop) per axis."""

    index: int
    bounds: Bounds
    core: Bounds

    @property
    def slices(self) -> tuple[slice, ...]:
        """Index into an array of shape ``dims``."""
        return tuple(slice(a, b) for a, b in self.bounds)

    @property
    def shape(self) -> Dims:
        """Size with overlap, pixels."""
        return tuple(b - a for a, b in self.bounds)


@dataclass(frozen=True)
class TileGrid:
    """Tiles that cover a field of view, neighbours overlapping."""

    dims: Dims
    tiles: tuple[Tile, ...]
