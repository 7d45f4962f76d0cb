"""Movies that are indexed like arrays and read only what is asked for, raw or corrected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import index
from typing import Any, Protocol

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds, Dims
from caiman_pipeline.movies.readers.open import RawMovie
from caiman_pipeline.movies.store.parts import MovieStore


class Frames(Protocol):
    """Where a movie's frames come from."""

    @property
    def n_frames(self) -> int:
        """Frames, T."""
        ...

    @property
    def dims(self) -> Dims:
        """(H, W) or (D, H, W)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        ...

    def box(self, frames: IntArray, bounds: Bounds) -> NumberArray:
        """Return a box of chosen frames.

        Parameters
        ----------
        frames : int (t,)
            Numbers of the frames, ascending and each once.
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        array (t, *box)
            In the frames' own type.
        """
        ...


@dataclass(frozen=True)
class RawFrames:
    """Frames of raw files, or of an array, in their own type."""

    movie: RawMovie

    @property
    def n_frames(self) -> int:
        """Frames, T."""
        return self.movie.n_frames

    @property
    def dims(self) -> Dims:
        """(H, W) or (D, H, W)."""
        return self.movie.dims

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.movie.dtype

    def box(self, frames: IntArray, bounds: Bounds) -> NumberArray:
        """Return a box of chosen frames.

        Parameters
        ----------
        frames : int (t,)
            Numbers of the frames, ascending and each once.
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        array (t, *box)
            In the files' own type.
        """
        if not len(frames):
            return np.empty((0, *(b - a for a, b in bounds)), self.dtype)
        return self.movie.read_frames(frames)[(slice(None), *(slice(a, b) for a, b in bounds))]


@dataclass(frozen=True)
class StoredFrames:
    """Frames of a recording's corrected movie; those that are left out of the analysis are NaN."""

    store: MovieStore

    @property
    def n_frames(self) -> int:
        """Frames of the recording, T."""
        return len(self.store.kept)

    @property
    def dims(self) -> Dims:
        """(H, W) or (D, H, W)."""
        return self.store.dims

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return np.dtype(np.float32)

    def box(self, frames: IntArray, bounds: Bounds) -> NumberArray:
        """Return a box of chosen frames.

        Parameters
        ----------
        frames : int (t,)
            Numbers of the frames in the recording, ascending and each once.
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        float32 (t, *box)
            In raw pixel values; NaN in frames that are left out.
        """
        kept = self.store.kept
        out = np.full((len(frames), *(b - a for a, b in bounds)), np.nan, np.float32)
        rows = np.flatnonzero(kept[frames])
        numbers = (np.cumsum(kept) - 1)[frames[rows]]
        for part in self.store.parts:
            here = (numbers >= part.start) & (numbers < part.stop)
            if here.any():
                out[rows[here]] = np.moveaxis(part.read_box(bounds)[..., numbers[here] - part.start], -1, 0)
        return out


@dataclass(frozen=True)
class Movie:
    """A movie that is indexed like an array (T, [D,] H, W) and reads only what is asked for.

    The first index picks frames: a number, a slice, whole numbers or booleans. Those after it are numbers or slices
    along planes, rows and columns. ``numpy.asarray(movie)`` reads everything.

    Attributes
    ----------
    frames : where the frames come from
    frame_rate_hz : frames (or volumes) per second, None where the file does not say
    pixel_size_um : height and width of a pixel, um, None where the file does not say
    plane_spacing_um : distance between planes, um, None where the file does not say
    notes : what is to be known of how the files are read

    Examples
    --------
    >>> import numpy as np
    >>> from caiman_pipeline import open_movie
    >>> np.save("steps.npy", np.arange(60, dtype=np.int16).reshape(5, 3, 4))
    >>> movie = open_movie("steps.npy", axes="TYX")
    >>> movie
    Movie of 5 frames of 3 x 4 pixels, int16, frame rate not known
    >>> movie[1]
    array([[12, 13, 14, 15],
           [16, 17, 18, 19],
           [20, 21, 22, 23]], dtype=int16)
    >>> movie[::2, 0, :2].tolist()
    [[0, 1], [24, 25], [48, 49]]
    """

    frames: Frames
    frame_rate_hz: float | None = None
    pixel_size_um: tuple[float, float] | None = None
    plane_spacing_um: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def n_frames(self) -> int:
        """Frames, T."""
        return self.frames.n_frames

    @property
    def dims(self) -> Dims:
        """Size of a frame, (H, W) or (D, H, W), pixels."""
        return self.frames.dims

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W) or (T, D, H, W)."""
        return (self.n_frames, *self.dims)

    @property
    def ndim(self) -> int:
        """Number of axes, 3 or 4."""
        return 1 + len(self.dims)

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.frames.dtype

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[NumberArray]:
        return (self[t] for t in range(self.n_frames))

    def __getitem__(self, key: Any) -> NumberArray:
        first, *rest = _whole_key(key, self.ndim)
        wanted = _frame_numbers(first, self.n_frames)
        bounds, within = zip(*(_along(k, n) for k, n in zip(rest, self.dims, strict=True)), strict=True)
        frames, order = np.unique(wanted, return_inverse=True)
        box = self.frames.box(frames, bounds)
        picked = box[order.reshape(-1)] if not np.array_equal(wanted, frames) else box
        return picked[(0 if np.ndim(first) == 0 and not isinstance(first, slice) else slice(None), *within)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NumberArray:
        """Read everything."""
        return np.asarray(self[:], dtype=dtype)

    def __repr__(self) -> str:
        rate = "frame rate not known" if self.frame_rate_hz is None else f"{self.frame_rate_hz:g} Hz"
        return f"Movie of {self.n_frames} frames of {' x '.join(map(str, self.dims))} pixels, {self.dtype}, {rate}"


def _whole_key(key: Any, ndim: int) -> list[Any]:
    """Return one index per axis, with an ellipsis and what was left away filled in."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if len([p for p in parts if p is not Ellipsis]) > ndim:
        raise IndexError(f"a movie of {ndim} axes takes at most {ndim} indices, found {len(parts)}")
    places = [k for k, p in enumerate(parts) if p is Ellipsis]
    at = places[0] if places else len(parts)
    missing = [slice(None)] * (ndim - len(parts) + len(places))
    return [*parts[:at], *missing, *parts[at + 1 :]]


def _frame_numbers(key: Any, n_frames: int) -> IntArray:
    """Return the frames that the first index picks, int64, as they were asked for."""
    numbers = np.atleast_1d(np.arange(n_frames)[key])
    if numbers.ndim != 1:
        raise IndexError("frames are picked by a number, a slice, or a list of numbers or booleans")
    return numbers


def _along(key: Any, size: int) -> tuple[tuple[int, int], Any]:
    """Return what to read along a spatial axis, (start, stop), and the index into that."""
    if isinstance(key, slice):
        places = range(*key.indices(size))
        if not places:
            return (0, 0), slice(None)
        low, high = min(places), max(places)
        backwards = places.step < 0
        stop = None if backwards else high - low + 1
        return (low, high + 1), slice(places[0] - low, stop, places.step)
    try:
        place = range(size)[index(key)]
    except TypeError:
        raise IndexError(f"rows, columns and planes are picked by a number or a slice, not by {key!r}") from None
    return (place, place + 1), 0


class ArrayReader:
    """An array (T, [D,] H, W), or anything that gives some of its frames, as one more file of a movie.

    Raises
    ------
    PipelineError
        If it has no such shape, or its values are no numbers.
    """

    def __init__(self, array: Any) -> None:
        shape, self.dtype = tuple(int(n) for n in array.shape), np.dtype(array.dtype)
        if len(shape) not in (3, 4) or 0 in shape:
            raise PipelineError(f"a movie is an array of frames x rows x columns or with planes, found {shape}.")
        if self.dtype.kind not in "iuf":
            raise PipelineError(f"pixels of type {self.dtype} are not supported, only integers and floats.")
        self.array, self.n_frames, self.dims = array, shape[0], shape[1:]

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop``.

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            In the array's own type.
        """
        return np.asarray(self.array[start:stop])


@dataclass(frozen=True)
class ArrayPart:
    """Frames ``start`` to ``stop`` of an array (T, [D,] H, W), as one part of a movie store."""

    array: Any
    start: int
    stop: int

    def read(self) -> FloatArray:
        """Return the whole part, float32 (*dims, stop - start)."""
        return _time_last(self.array[self.start : self.stop])

    def read_box(self, bounds: Bounds) -> FloatArray:
        """Return a box of the field of view.

        Parameters
        ----------
        bounds : tuple of (int, int)
            First pixel along each axis, and the one after the last.

        Returns
        -------
        float32 (*box, t)
            In the array's unit, time last.
        """
        return _time_last(self.array[(slice(self.start, self.stop), *(slice(a, b) for a, b in bounds))])


def _time_last(frames: Any) -> FloatArray:
    # A copy also of what is contiguous already: frames that are left out are squeezed out of it in place.
    return np.array(np.moveaxis(np.asarray(frames), 0, -1), dtype=np.float32, order="C")
