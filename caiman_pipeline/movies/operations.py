"""Movies made of a movie: binned, resized, blurred; frame by frame as they are read, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.readers.open import FrameReader

Statistic = Literal["mean", "median", "max", "min"]
STATISTICS: dict[str, Callable[..., FloatArray]] = {
    "mean": np.mean,
    "median": np.median,
    "max": np.max,
    "min": np.min,
}
Blur = Literal["gaussian", "median", "bilateral"]
# What a projection can be over time.
Projection = Literal["mean", "std", "max", "min", "sum"]
# A block of frames that goes through OpenCV's median needs one of these sides in float32.
MEDIAN_SIDES = (3, 5)


class BinnedMovie:
    """Every so many frames as one, float32: their mean, median, largest or smallest values.

    Parameters
    ----------
    movie : frames on demand
    frames : how many become one; what is left at the end is dropped, a bin with a frame that is NaN is NaN
    statistic : how
    """

    def __init__(self, movie: FrameReader, *, frames: int, statistic: Statistic) -> None:
        if statistic not in get_args(Statistic):
            raise PipelineError(f"frames are binned by {', '.join(get_args(Statistic))}, not by {statistic!r}.")
        if not 1 <= frames <= movie.n_frames:
            raise PipelineError(f"bins of {frames} frames cannot be made of a movie of {movie.n_frames}.")
        self._movie, self._frames, self._make = movie, frames, STATISTICS[statistic]
        self.n_frames, self.dims, self.dtype = movie.n_frames // frames, movie.dims, np.dtype(np.float32)
        self.block_frames = max(1, _block_of(movie) // frames)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return bins ``start`` to ``stop``, float32 (t, [D,] H, W)."""
        size = self._frames
        bins = [self._make(self._movie.read(t * size, (t + 1) * size), axis=0) for t in range(start, stop)]
        return np.stack(bins).astype(np.float32)


class ResizedMovie:
    """Frames of another size, float32: means over the area of each new pixel, or lines between the old ones.

    Parameters
    ----------
    movie : frames on demand
    rows, columns : the new size

    Notes
    -----
    Where a frame becomes smaller, a new pixel is the mean of the area that it covers, so that sums of light are kept up
    to the ratio of sizes; where it grows, values run in straight lines between pixels.
    """

    def __init__(self, movie: FrameReader, *, rows: int, columns: int) -> None:
        if rows < 1 or columns < 1:
            raise PipelineError(f"frames of {rows} x {columns} pixels cannot be made.")
        self._movie, self._size = movie, (columns, rows)
        self.n_frames, self.dtype = movie.n_frames, np.dtype(np.float32)
        self.dims: Dims = (*movie.dims[:-2], rows, columns)
        self.block_frames = int(getattr(movie, "block_frames", 0))

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop``, float32 (t, [D,] H, W)."""
        import cv2

        smaller = self.dims[-2] <= self._movie.dims[-2] and self.dims[-1] <= self._movie.dims[-1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return _plane_by_plane(self._movie.read(start, stop), lambda p: cv2.resize(p, self._size, interpolation=how))


class BlurredMovie:
    """Frames that are smoothed within each plane, float32.

    Parameters
    ----------
    movie : frames on demand
    kind : ``gaussian``; ``median``: of a square; ``bilateral``: of pixels that are near in place and in value
    size : standard deviation of the Gaussian, pixels; side of the median's square, 3 or 5 pixels
    value_range : of ``bilateral``: standard deviation of values that count as near

    Raises
    ------
    PipelineError
        If there is no such blur, or its size does not fit.
    """

    def __init__(self, movie: FrameReader, *, kind: Blur, size: float, value_range: float | None = None) -> None:
        if kind not in get_args(Blur):
            raise PipelineError(f"no blur {kind!r}. There are {', '.join(get_args(Blur))}.")
        if not size > 0 or (kind == "median" and size not in MEDIAN_SIDES):
            fitting = "3 or 5 pixels" if kind == "median" else "above 0 pixels"
            raise PipelineError(f"a {kind} blur has a size of {fitting}, not {size:g}.")
        if kind == "bilateral" and not (value_range or 0) > 0:
            raise PipelineError("a bilateral blur needs the range of values that count as near, above 0.")
        self._movie, self._kind, self._size, self._range = movie, kind, size, value_range or 0.0
        self.n_frames, self.dims, self.dtype = movie.n_frames, movie.dims, np.dtype(np.float32)
        self.block_frames = int(getattr(movie, "block_frames", 0))

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop``, float32 (t, [D,] H, W)."""
        return _plane_by_plane(self._movie.read(start, stop), self._blur)

    def _blur(self, plane: FloatArray) -> FloatArray:
        import cv2

        if self._kind == "gaussian":
            return cv2.GaussianBlur(plane, (0, 0), self._size, borderType=cv2.BORDER_REFLECT)
        if self._kind == "median":
            return cv2.medianBlur(plane, int(self._size))
        return cv2.bilateralFilter(plane, -1, self._range, self._size, borderType=cv2.BORDER_REFLECT)


def project(movie: FrameReader, kind: Projection) -> FloatArray:
    """Return an image of all frames, float32 (*dims), in one pass; frames that are NaN do not count.

    Raises
    ------
    PipelineError
        If there is no such projection, or no frame counts.
    """
    if kind not in get_args(Projection):
        raise PipelineError(f"no projection {kind!r}. There are {', '.join(get_args(Projection))}.")
    count, total, squares = 0, np.zeros(movie.dims), np.zeros(movie.dims)
    low, high, origin = np.full(movie.dims, np.inf), np.full(movie.dims, -np.inf), None
    for start in range(0, movie.n_frames, _block_of(movie)):
        frames = movie.read(start, min(start + _block_of(movie), movie.n_frames)).astype(np.float64)
        frames = frames[np.isfinite(frames).any(axis=tuple(range(1, frames.ndim)))]
        if not len(frames):
            continue
        # Squares of what is near 0 lose nothing.
        origin = frames[0] if origin is None else origin
        count, total = count + len(frames), total + (frames - origin).sum(0)
        squares += ((frames - origin) ** 2).sum(0)
        low, high = np.minimum(low, frames.min(0)), np.maximum(high, frames.max(0))
    if origin is None:
        raise PipelineError("no frame of the movie holds a finite value.")
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    found = {"mean": mean + origin, "std": deviation, "max": high, "min": low, "sum": total + count * origin}
    return found[kind].astype(np.float32)


def _block_of(movie: FrameReader) -> int:
    from caiman_pipeline.movies.writers.open import blocks

    return blocks(movie)[0][1]


def _plane_by_plane(frames: NumberArray, change: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Apply a change to each plane of frames (t, [D,] H, W)."""
    planes = np.ascontiguousarray(frames, np.float32).reshape(-1, *frames.shape[-2:])
    changed = np.stack([change(plane) for plane in planes])
    return changed.reshape(*frames.shape[:-2], *changed.shape[-2:])
