"""What is known of a recording: its files, how they are read, its size and values.

Axes: T frames, D planes, H rows, W columns, P pixels in C order, K components. ``dims`` is (H, W) or (D, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

Dims = tuple[int, ...]
Bounds = tuple[tuple[int, int], ...]

# From this share of pixel values at the top, a recording counts as saturated.
SATURATED = 1e-4


@dataclass(frozen=True)
class SourceFile:
    """One raw file (or folder, for Zarr) as it was when inspected (``movies.identity``); an unknown digest is ""."""

    path: str
    n_frames: int
    size_bytes: int
    modified_ns: int
    sha256: str = ""
    sample: str = ""


@dataclass(frozen=True)
class Reading:
    """What the user says of how files are to be read, None where nothing is said.

    Attributes
    ----------
    axes : letters in the order of the array's axes; a number behind one says how many images take turns (``TZ4YX``)
    dataset : path of the movie inside an HDF5 or Zarr file
    channel : the channel to read, by its name or number
    planes : the planes to read, counted from 1, like ``1-3``
    """

    axes: str | None = None
    dataset: str | None = None
    channel: str | None = None
    planes: str | None = None

    @classmethod
    def of(cls, source: Any) -> Reading:
        """Return what a recording's facts, an inspection or a verb's arguments say."""
        return cls(source.axes, source.dataset, source.channel, source.planes)


@dataclass(frozen=True)
class MovieInfo:
    """What ``inspect`` found out about a recording.

    Attributes
    ----------
    dims : (H, W) or (D, H, W), pixels
    value_min, value_max : smallest and largest finite pixel value
    saturated_fraction : share of pixel values at the top of an integer type's range, or of its used bit depth
    bad_frames : indices of frames that are constant, all zero or without a finite pixel
    border_px : pixels per axis end, (before, after), that are not finite or were filled in, in some frame
    """

    recording: str
    files: tuple[SourceFile, ...]
    axes: str | None
    dataset: str | None
    dims: Dims
    dtype: str
    frame_rate_hz: float
    value_min: float
    value_max: float
    saturated_fraction: float
    bad_frames: tuple[int, ...]
    border_px: Bounds
    warnings: tuple[str, ...]
    channel: str | None = None
    planes: str | None = None

    @property
    def n_frames(self) -> int:
        """Frames of all files together."""
        return sum(f.n_frames for f in self.files)

    @property
    def file_frames(self) -> tuple[tuple[str, int], ...]:
        """Path and frames of every file."""
        return tuple((f.path, f.n_frames) for f in self.files)

    @property
    def n_pixels(self) -> int:
        """Pixels of one frame."""
        return prod(self.dims)

    @property
    def ceiling(self) -> float | None:
        """The largest pixel value where more than a few are saturated there, else None."""
        return self.value_max if self.saturated_fraction > SATURATED and self.value_max > self.value_min else None
