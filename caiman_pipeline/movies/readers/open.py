"""Lazy movie readers behind one protocol, and several files read as one recording."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from caiman_pipeline.model.arrays import IntArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims, MovieInfo, Reading
from caiman_pipeline.movies.identity import require_unchanged
from caiman_pipeline.movies.readers.foreign import movie_advice


class FrameReader(Protocol):
    """One movie file: frames on demand, in the file's own type, as (t, [D,] H, W)."""

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
            In the file's own type.
        """
        ...


VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".wmv", ".mpg", ".mpeg", ".m4v", ".webm", ".mj2")
# What opens a format: a module of this room, loaded when a file of the format is opened, and its function.
_TIFF, _HDF5 = ("tiff.reader", "open_tiff"), ("hdf5", "Hdf5Reader")
FORMATS: dict[str, tuple[str, str]] = {
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".btf": _TIFF,
    ".h5": _HDF5,
    ".hdf5": _HDF5,
    ".npy": ("npy", "NpyReader"),
    ".zarr": ("zarr", "ZarrReader"),
    ".npz": ("mapped", "open_npz"),
    ".mat": ("matlab", "open_matlab"),
    ".nwb": ("nwb", "NwbReader"),
    ".sbx": ("scanbox", "ScanboxReader"),
    ".mmap": ("mapped", "open_caiman_map"),
    ".bin": ("mapped", "open_suite2p"),
    **dict.fromkeys(VIDEOS, ("video", "VideoReader")),
}


def open_file(
    path: Path | str,
    axes: str | None = None,
    dataset: str | None = None,
    *,
    channel: str | None = None,
    planes: str | None = None,
) -> FrameReader:
    """Open one movie file, read as is said of it: see ``Reading``.

    Parameters
    ----------
    path : path
        A movie.
    axes : str, optional
        A letter of TZCYX for each axis of the stored array.
    dataset : str, optional
        Name of the movie in an HDF5 or Zarr file.
    channel : str, optional
        Name or number of the channel.
    planes : str, optional
        Numbers of the planes, from 1, like ``1-3``.

    Returns
    -------
    FrameReader
        Its frames, none of them decoded yet.

    Raises
    ------
    PipelineError
        If the file is missing, empty, of an unknown format, damaged, or its axes, dataset or channel must be named.

    Examples
    --------
    >>> import numpy as np
    >>> np.save("movie.npy", np.zeros((20, 9, 12), np.uint16))
    >>> reader = open_file("movie.npy", axes="TYX")
    >>> reader.n_frames, reader.dims, reader.read(3, 5).shape
    (20, (9, 12), (2, 9, 12))
    """
    return _open(path, Reading(axes, dataset, channel, planes))


def _open(path: Path | str, reading: Reading) -> FrameReader:
    reader = _opener(path)(Path(path), reading)
    _check_pixels(path, reader)
    return reader


def _opener(path: Path | str) -> Callable[[Path, Reading], FrameReader]:
    """Return what opens a file that is there and not empty."""
    if "://" in str(path):
        raise PipelineError(
            f"{path}: not found on the object store, or not fetched. Check the `files` column of the recordings sheet "
            "and the credentials in the environment."
        )
    path = Path(path)
    if not path.exists():
        raise PipelineError(_not_found(path))
    opener = FORMATS.get(path.suffix.lower())
    if advice := movie_advice(path):
        raise PipelineError(f"{path}: {advice}. Movies are read from {', '.join(FORMATS)}.")
    if opener is None and path.is_dir():
        raise PipelineError(f"{path}: a folder, not a movie. Name the files in it, for example {path / '*.tif'}.")
    if opener is None:
        raise PipelineError(f"{path}: unknown format {path.suffix!r}. Supported: {', '.join(FORMATS)}.")
    if path.is_file() and path.stat().st_size == 0:
        raise PipelineError(f"{path}: the file is empty (0 bytes). Copy it again from its source.")
    module, name = opener
    return getattr(import_module(f"{__package__}.{module}"), name)


def _check_pixels(path: Path | str, reader: FrameReader) -> None:
    if np.dtype(reader.dtype).kind not in "iuf":
        raise PipelineError(f"{path}: pixels of type {reader.dtype} are not supported, only integers and floats.")
    if reader.n_frames == 0 or 0 in reader.dims:
        raise PipelineError(f"{path}: holds no frames (frames {reader.n_frames}, frame size {reader.dims}).")


def _not_found(path: Path) -> str:
    """Say that a file is not there, and what the name suggests as the reason."""
    where = "" if path.is_absolute() else f" (relative to {Path.cwd()})"
    check = "Check the `files` column of the recordings sheet"
    if glob.has_magic(str(path)):
        return f"{path}: no file has a name like that{where}. {check}."
    if "\\" in str(path):
        return f"{path}: file not found{where}. {check}: folders are separated by /, and drives are mounted folders."
    if "," in path.name:
        return f"{path}: file not found{where}. {check}: several files are separated by ';'."
    return f"{path}: file not found{where}. {check}."


@dataclass(frozen=True)
class RawMovie:
    """Several files as one movie, in the order given."""

    readers: tuple[FrameReader, ...]

    @property
    def dims(self) -> Dims:
        """Frame size."""
        return self.readers[0].dims

    @property
    def dtype(self) -> np.dtype:
        """Type of the files' pixels."""
        return np.dtype(self.readers[0].dtype)

    @property
    def block_frames(self) -> int:
        """Frames that are best read together, 0 where it does not matter."""
        return int(getattr(self.readers[0], "block_frames", 0)) if len(self.readers) == 1 else 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of how the files are read."""
        return tuple(note for reader in self.readers for note in getattr(reader, "notes", ()))

    @cached_property
    def stops(self) -> list[int]:
        """Frame index after the last frame of each file."""
        return list(accumulate(r.n_frames for r in self.readers))

    @property
    def n_frames(self) -> int:
        """Frames of all files together."""
        return self.stops[-1]

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, [D,] H, W), across file boundaries, in the files' own type.

        Parameters
        ----------
        start : int
            First frame.
        stop : int
            Frame after the last.

        Returns
        -------
        array (t, [D,] H, W)
            Frames, across file boundaries.
        """
        stops, pieces = self.stops, []
        for i in range(bisect_right(stops, start), len(stops)):
            first = stops[i] - self.readers[i].n_frames
            if first == stops[i]:
                continue
            pieces.append(self.readers[i].read(max(start, first) - first, min(stop, stops[i]) - first))
            if stop <= stops[i]:
                break
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def read_frames(self, indices: IntArray) -> NumberArray:
        """Return chosen frames, ascending ``indices``, as (t, [D,] H, W); neighbours are read together.

        Parameters
        ----------
        indices : int (t,)
            Numbers of the frames, ascending.

        Returns
        -------
        array (t, [D,] H, W)
            In the files' own type.
        """
        runs = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
        return np.concatenate([self.read(int(run[0]), int(run[-1]) + 1) for run in runs])


def open_movie_files(paths: list[Path] | list[str], reading: Reading | None = None) -> RawMovie:
    """Open a recording's files as one movie; frames must have one size and one type.

    Parameters
    ----------
    paths : list of path
        In the order in which they were recorded.
    reading : Reading, optional
        What sheet and config say of how to read them.

    Returns
    -------
    RawMovie
        Their frames, one file after the other.

    Raises
    ------
    PipelineError
        As ``open_file``, or if the files do not fit together.
    """
    if not paths:
        raise PipelineError("no files to open. Check the `files` column of the recordings sheet.")
    for one in paths:
        _opener(one)
    _check_listed_once(paths)
    if all(FORMATS[Path(path).suffix.lower()] == _TIFF for path in paths):
        readers = _open_tiffs(paths, reading or Reading())
    else:
        readers = tuple(_open(p, reading or Reading()) for p in paths)
    for path, reader in zip(paths, readers, strict=True):
        if reader.dims != readers[0].dims:
            raise PipelineError(
                f"{path}: frames of {reader.dims}, but {paths[0]} has {readers[0].dims}. "
                "Files of one recording must have one frame size."
            )
        if reader.dtype != readers[0].dtype:
            raise PipelineError(
                f"{path}: pixels of type {reader.dtype}, but {paths[0]} has {readers[0].dtype}. "
                "Files of one recording must have one pixel type."
            )
    return RawMovie(readers)


def _open_tiffs(paths: list[Path] | list[str], reading: Reading) -> tuple[FrameReader, ...]:
    """Open TIFF files together: planes and channels may go on from one to the next, a set's files share their XML."""
    from caiman_pipeline.movies.readers.tiff.reader import open_tiffs

    readers = tuple(open_tiffs([Path(p) for p in paths], reading))
    for path, reader in zip(map(Path, paths), readers, strict=True):
        if reader.n_frames or len(paths) == 1:
            _check_pixels(path, reader)
    return readers


def _check_listed_once(paths: list[Path] | list[str]) -> None:
    seen: dict[Path, Path | str] = {}
    for path in paths:
        place = Path(path).resolve()
        if place in seen:
            raise PipelineError(
                f"{path}: listed twice in one recording (also as {seen[place]}). "
                "List each file once in the `files` column; patterns must not overlap."
            )
        seen[place] = path


def open_inspected(info: MovieInfo) -> RawMovie:
    """Open the files that ``inspect`` saw.

    Parameters
    ----------
    info : MovieInfo
        What ``inspect`` saw.

    Returns
    -------
    RawMovie
        The same frames.

    Raises
    ------
    PipelineError
        If a file was rewritten since then.
    """
    require_unchanged(info.files)
    return open_movie_files([f.path for f in info.files], Reading.of(info))
