"""Tables with a column per frame that a stage works on: in a file, read and written some rows or some frames at a time.

Movies come frame by frame, traces are worked on row by row; a table of all traces at all frames is not held in memory.
"""

from __future__ import annotations

import errno
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

from caiman_pipeline.model.arrays import FloatArray

# Bytes of a block, about: one is held in memory.
BLOCK_BYTES = 2**22
# Frames of a block, at least: shorter runs cost more to find than to read.
SHORTEST = 64
# Traces, at least, and values, about, that are worked on at a time; changes no result.
TRACES_AT_ONCE, TRACE_VALUES = 4, 2**19


class LongTable:
    """A float32 table (rows, frames) in a file of its own, indexed by a slice of rows and a slice of frames.

    Notes
    -----
    The file is a row of blocks, each of all rows and some frames: whichever way a part of the table is asked for, it
    is a few long runs of the file. The block whose frames were used last stays in memory. What was never written is 0.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int]) -> None:
        self.shape, self.dtype = shape, np.dtype(np.float32)
        self._file, self._frames = file, frames_per_block(shape[0])
        self._held, self._number, self._changed = np.zeros((shape[0], 0), np.float32), -1, False
        os.truncate(file.fileno(), 4 * shape[0] * shape[1])
        weakref.finalize(self, file.close)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice | tuple[slice, slice]) -> FloatArray:
        rows, frames = self._bounds(key)
        out = np.empty((rows.stop - rows.start, frames.stop - frames.start), np.float32)
        for number, inside, place in self._pieces(frames):
            out[:, place] = self._read(number, rows)[:, inside]
        return out

    def __setitem__(self, key: slice | tuple[slice, slice], values: FloatArray) -> None:
        rows, frames = self._bounds(key)
        for number, inside, place in self._pieces(frames):
            self._write(number, rows, inside, values[:, place])

    def _bounds(self, key: slice | tuple[slice, slice]) -> tuple[slice, slice]:
        both = key if isinstance(key, tuple) else (key, slice(None))
        rows, frames = (slice(*one.indices(n)) for one, n in zip(both, self.shape, strict=True))
        return rows, frames

    def _pieces(self, frames: slice) -> Iterator[tuple[int, slice, slice]]:
        """Yield each block's number, and where the wanted frames are in it and in the result."""
        for number in range(frames.start // self._frames, -(-frames.stop // self._frames)):
            first = number * self._frames
            low, high = max(frames.start, first), min(frames.stop, first + self._frames)
            yield number, slice(low - first, high - first), slice(low - frames.start, high - frames.start)

    def _place(self, number: int, row: int) -> tuple[int, int]:
        """Return the frames of a block, and where one of its rows begins in the file."""
        first = number * self._frames
        frames = min(self._frames, self.shape[1] - first)
        return frames, 4 * (self.shape[0] * first + row * frames)

    def _read(self, number: int, rows: slice) -> FloatArray:
        if rows == slice(0, len(self), 1):
            self._hold(number)
        if number == self._number:
            return self._held[rows]
        return self._load(number, rows)

    def _write(self, number: int, rows: slice, inside: slice, values: FloatArray) -> None:
        if rows == slice(0, len(self), 1):
            self._hold(number)
        if number == self._number:
            self._held[rows, inside], self._changed = values, True
            return
        block = self._load(number, rows)
        block[:, inside] = values
        self._save(number, rows, block)

    def _hold(self, number: int) -> None:
        """Bring a block into memory in place of the one that was there."""
        if number == self._number:
            return
        everything = slice(0, len(self), 1)
        if self._changed:
            self._save(self._number, everything, self._held)
        self._held, self._number, self._changed = self._load(number, everything), number, False

    def _load(self, number: int, rows: slice) -> FloatArray:
        frames, offset = self._place(number, rows.start)
        block = np.empty((rows.stop - rows.start, frames), np.float32)
        if os.preadv(self._file.fileno(), [block.data], offset) != block.nbytes:
            raise OSError(f"{self._file.name}: a working table is cut short.")
        return block

    def _save(self, number: int, rows: slice, block: FloatArray) -> None:
        if os.pwrite(self._file.fileno(), block.data, self._place(number, rows.start)[1]) != block.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def frames_per_block(n_rows: int) -> int:
    """Return the frames of a block of all rows: a power of two, a few megabytes unless rows are very many.

    Parameters
    ----------
    n_rows : int
        Rows of the table.

    Returns
    -------
    int
        Frames, at least 64.
    """
    frames = BLOCK_BYTES // (4 * max(n_rows, 1))
    return max(SHORTEST, 2 ** (max(frames, 1).bit_length() - 1))


def frame_blocks(table: Any) -> Iterator[slice]:
    """Cut any table (rows, frames) into slices of frames, as they lie together in a ``LongTable`` of its size.

    Parameters
    ----------
    table : table (rows, frames)
        Anything with a shape.

    Yields
    ------
    slice
        Frames.

    Examples
    --------
    >>> import numpy as np
    >>> list(frame_blocks(np.zeros((2**14, 150))))
    [slice(0, 64, None), slice(64, 128, None), slice(128, 150, None)]
    """
    n_rows, n_frames = table.shape
    step = frames_per_block(n_rows)
    for start in range(0, n_frames, step):
        yield slice(start, min(start + step, n_frames))


def trace_blocks(rows: slice, n_frames: int) -> Iterator[slice]:
    """Cut rows of a table into slices to work on at a time: a few of long traces, many of short ones.

    Parameters
    ----------
    rows : slice
        Rows of the table, with start and stop.
    n_frames : int
        Frames of a row.

    Yields
    ------
    slice
        Rows.
    """
    step = max(TRACES_AT_ONCE, TRACE_VALUES // max(n_frames, 1))
    for start in range(rows.start, rows.stop, step):
        yield slice(start, min(start + step, rows.stop))


@dataclass(frozen=True)
class Tables:
    """Where a stage keeps its tables with a column per frame, all float32.

    Attributes
    ----------
    result : returns a table of a name and shape (rows, frames) that is part of the result, to be filled row by row
    working : returns one of a shape (rows, frames) to work on, by slices of rows or of frames
    """

    result: Callable[[str, tuple[int, int]], Any]
    working: Callable[[tuple[int, int]], Any]


def in_memory() -> Tables:
    """Return tables that are plain arrays."""
    return Tables(
        result=lambda _, shape: np.empty(shape, np.float32), working=lambda shape: np.zeros(shape, np.float32)
    )


def working_tables(beside: Path | str) -> Callable[[tuple[int, int]], LongTable]:
    """Return what makes tables in nameless files beside a path, which vanish with them.

    Parameters
    ----------
    beside : path
        A path in the folder where the files lie.

    Returns
    -------
    callable
        Takes (rows, frames) and returns a table of zeros.
    """

    def working(shape: tuple[int, int]) -> LongTable:
        return LongTable(tempfile.TemporaryFile(dir=Path(beside).parent, buffering=0), shape)

    return working


def on_disk(result: h5py.File, beside: Path | str) -> Tables:
    """Keep tables of the result in its open file, and those to work on in nameless files beside a path.

    Parameters
    ----------
    result : h5py.File
        A result that is being written.
    beside : path
        A path in the folder where the other files lie.

    Returns
    -------
    Tables
        What makes either kind.
    """
    return Tables(lambda name, shape: result.create_dataset(name, shape, np.float32), working_tables(beside))
