"""What is to be written: its size, its type, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.metadata import FileMetadata

Append = Callable[[NumberArray], None]
# The name of the movie in files that hold several arrays.
DATASET = "movie"


@dataclass(frozen=True)
class Target:
    """A movie to be written.

    Attributes
    ----------
    shape : (T, [D,] H, W)
    dtype : type of the pixels
    facts : frame rate and sizes, as far as they are known: they are written where the format has a place for them
    """

    shape: Dims
    dtype: np.dtype
    facts: FileMetadata = field(default_factory=FileMetadata)

    @property
    def axes(self) -> str:
        """Letters of the axes."""
        return {3: "TYX", 4: "TZYX"}[len(self.shape)]

    @property
    def dims(self) -> Dims:
        """(H, W) or (D, H, W)."""
        return self.shape[1:]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame."""
        return int(np.prod(self.dims, dtype=np.int64)) * self.dtype.itemsize

    @property
    def n_bytes(self) -> int:
        """Bytes of all frames."""
        return self.shape[0] * self.frame_bytes

    @property
    def steps(self) -> dict[str, float | None]:
        """Seconds between frames, micrometres between planes, rows and columns, by the letter of the axis."""
        rate, size = self.facts.frame_rate_hz, self.facts.pixel_size_um or (None, None)
        found = {"T": 1 / rate if rate else None, "Z": self.facts.plane_spacing_um, "Y": size[0], "X": size[1]}
        return {letter: found[letter] for letter in self.axes}


def fill(array: Any) -> Append:
    """Return what appends to anything of fixed shape that takes slices."""
    done = [0]

    def append(frames: NumberArray) -> None:
        array[done[0] : done[0] + len(frames)] = frames
        done[0] += len(frames)

    return append


def append_bytes(write: Callable[[memoryview], int], dtype: np.dtype) -> Append:
    """Return what appends the bytes of frames to an open file."""

    def append(frames: NumberArray) -> None:
        write(np.ascontiguousarray(frames, dtype).data.cast("B"))

    return append
