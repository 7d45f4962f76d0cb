"""Raw frames made ready for registration: finite, as float32, with the scan offset undone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log2, prod

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray, NumberArray
from caiman_pipeline.model.movie import Bounds, Dims
from caiman_pipeline.motion.scan import shift_odd_rows
from caiman_pipeline.movies.readers.open import RawMovie
from caiman_pipeline.movies.store.bounds import part_length

# Frames and bytes of float32 frames that are estimated together at most; fixed, so that no result depends on blocks.
LONGEST_CHUNK, CHUNK_BYTES = 32, 16 * 2**20


@dataclass(frozen=True)
class Source:
    """A recording's frames as motion correction reads them.

    Attributes
    ----------
    inside : part of the frame that holds data in every frame and is to be used, (start, stop) per axis
    scan_offset_px : how far odd rows lie to the right of even ones
    bad_frames : frames that hold nothing
    filled : pixels outside ``inside`` were filled in before and are not to be mixed with those inside
    """

    movie: RawMovie
    inside: Bounds
    scan_offset_px: float
    bad_frames: tuple[int, ...]
    filled: bool = False

    @property
    def dims(self) -> Dims:
        """Size of a frame."""
        return self.movie.dims

    @property
    def n_frames(self) -> int:
        """Frames, T."""
        return self.movie.n_frames

    def read(self, start: int, stop: int, spare: list[FloatArray] | None = None) -> FloatArray:
        """Return frames ``start`` to ``stop`` as float32 (t, *dims); a frame without a finite pixel is all NaN.

        They are written into one of the ``spare`` arrays if one is of that shape.

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.
        spare : list of float32 arrays, optional
            Arrays that may be written over; one that is taken leaves the list.

        Returns
        -------
        float32 (t, *dims)
            Frames in raw pixel values, scan offset undone.
        """
        raw = self.movie.read(start, stop)
        return self._ready(raw, _take(spare or [], raw.shape))

    def read_frames(self, indices: IntArray) -> FloatArray:
        """Return chosen frames, ascending ``indices``, as float32 (t, *dims).

        Parameters
        ----------
        indices : int (t,)
            Frames to read, ascending.

        Returns
        -------
        float32 (t, *dims)
            Frames in raw pixel values, scan offset undone.
        """
        raw = self.movie.read_frames(indices)
        return self._ready(raw, np.empty(raw.shape, np.float32))

    def good(self, start: int, stop: int) -> BoolArray:
        """Return which of the frames ``start`` to ``stop`` hold something, bool (t,).

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        bool (t,)
            False for frames that hold nothing or that the user lists.
        """
        return ~np.isin(np.arange(start, stop), self.bad_frames)

    def _ready(self, raw: NumberArray, frames: FloatArray) -> FloatArray:
        """Fill ``frames`` (float32) from raw ones and return them, or others made from them."""
        np.copyto(frames, raw, casting="unsafe")
        if np.dtype(raw.dtype).kind == "f" or self.filled:
            frames = _repeat_border(frames, self.inside)
        return shift_odd_rows(frames, -self.scan_offset_px) if self.scan_offset_px else frames


def _take(spare: list[FloatArray], shape: tuple[int, ...]) -> FloatArray:
    """Take an array of a shape out of the spare ones, or make one: new memory costs more than filling it."""
    for k, array in enumerate(spare):
        if array.shape == shape:
            return spare.pop(k)
    return np.empty(shape, np.float32)


def _repeat_border(frames: FloatArray, inside: Bounds) -> FloatArray:
    """Return frames whose pixels outside ``inside`` repeat the nearest one; what is not finite there becomes NaN."""
    for axis, (low, high) in enumerate(inside, start=1):
        if low > 0 or high < frames.shape[axis]:
            frames = np.take(frames, np.clip(np.arange(frames.shape[axis]), low, high - 1), axis=axis)
    frames[~np.isfinite(frames)] = np.nan
    return frames


def usable_bounds(border_px: Bounds, region: Bounds, dims: Dims) -> Bounds:
    """Return the part of ``region`` inside a movie's border, (start, stop) per axis.

    Parameters
    ----------
    border_px : tuple of (int, int)
        Pixels without data before and after, along each axis.
    region : tuple of (int, int)
        First pixel along each axis and the one after the last.
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    tuple of (int, int)
        First pixel along each axis and the one after the last.

    Examples
    --------
    >>> usable_bounds(((0, 2), (5, 0)), ((0, 96), (0, 128)), (96, 128))
    ((0, 94), (5, 128))
    """
    return tuple(
        (max(before, start), min(n - after, stop))
        for (before, after), (start, stop), n in zip(border_px, region, dims, strict=True)
    )


def chunk_length(dims: Dims) -> int:
    """Return the frames estimated together: fixed by the size of a frame, and a divisor of a part's length.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    int
        Frames, a power of two or a part's length.
    """
    frames = max(1, CHUNK_BYTES // (4 * prod(dims)))
    return min(part_length(dims), LONGEST_CHUNK, 2 ** int(log2(frames)))


def read_ahead(
    source: Source, ranges: list[tuple[int, int]], spare: list[FloatArray]
) -> Iterator[tuple[int, int, FloatArray]]:
    """Yield (start, stop, frames) of each range, reading the next one in the background.

    Whoever is done with frames may append them to ``spare``, to be filled again.

    Parameters
    ----------
    source : Source
        What is read.
    ranges : list of (int, int)
        First frame and the one after the last, of each read.
    spare : list of float32 arrays
        Arrays that may be written over.

    Yields
    ------
    (int, int, float32 (t, *dims))
        First frame, the one after the last, and the frames.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = [(a, b, pool.submit(source.read, a, b, spare)) for a, b in ranges[:1]]
        for following in [*ranges[1:], None]:
            start, stop, frames = waiting.pop()
            ready = frames.result()
            if following is not None:
                waiting.append((*following, pool.submit(source.read, *following, spare)))
            yield start, stop, ready
