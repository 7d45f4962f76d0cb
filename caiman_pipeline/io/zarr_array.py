"""Zarr movies: an array, or a named array of a group."""

from __future__ import annotations

from pathlib import Path

import zarr

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.axes import order_axes
from caiman_pipeline.io.hdf5 import choose_dataset
from caiman_pipeline.types import FloatArray, Reading


class ZarrReader:
    """A Zarr array on disk."""

    def __init__(self, path: Path, reading: Reading) -> None:
        try:
            node = zarr.open(str(path), mode="r")
        except (OSError, ValueError, KeyError) as error:
            raise PipelineError(f"{path}: not a readable Zarr store ({error}). Copy it again.") from error
        if isinstance(node, zarr.Group):
            found = {name: item.shape for name, item in node.members(max_depth=None) if isinstance(item, zarr.Array)}
            node = node[choose_dataset(str(path), found, reading.dataset)]
        self._array = node
        self._axes = order_axes(str(path), tuple(node.shape), reading)
        self.n_frames, self.dims = self._axes.frames(node.shape), self._axes.dims(node.shape)
        self.dtype = node.dtype.newbyteorder("=")
        self._path = path

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W)."""
        try:
            return self._axes.read(self._array, start, stop)
        except (OSError, ValueError, RuntimeError) as error:
            raise PipelineError(
                f"{self._path}: frames {start} to {stop} cannot be read ({error}). Copy it again from its source."
            ) from error
