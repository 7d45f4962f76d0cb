"""Tables with a row per component or frame that stay in their file and are read, or written, rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray

# Bytes of rows that are read at a time, about; changes no result.
BLOCK_BYTES = 2**21


@dataclass(frozen=True)
class StoredRows:
    """A table of two or more axes in a result file, indexed like an array; what is asked for is read then.

    Attributes
    ----------
    path, name : the file, and the array in it
    rows : int64 (K,), the rows of the file that are this table's, in order
    row_shape : shape of one row
    dtype : type of the values

    Notes
    -----
    The first index picks rows: a number, a slice, whole numbers or booleans. A second one is a slice of the second
    axis, read without the rest.
    """

    path: Path
    name: str
    rows: IntArray
    row_shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole table."""
        return (len(self.rows), *self.row_shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return 1 + len(self.row_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray, axis: int = 0) -> StoredRows:
        """Return the table of some of the rows, still in the file; as numpy's ``take`` along the first axis.

        Parameters
        ----------
        rows : int (n,)
            Rows of this table, in any order.
        axis : int
            0, the only one along which rows can be taken.

        Returns
        -------
        StoredRows
            Of n rows.

        Raises
        ------
        ValueError
            If another axis is asked for.
        """
        if axis != 0:
            raise ValueError(f"rows are taken along axis 0, not {axis}")
        return StoredRows(self.path, self.name, self.rows[np.asarray(rows)], self.row_shape, self.dtype)

    def __getitem__(self, key: Any) -> FloatArray:
        wanted, columns = key if isinstance(key, tuple) else (key, slice(None))
        picked = self.rows[wanted]
        single = np.ndim(picked) == 0
        with h5py.File(self.path, "r") as file:
            read = _read_rows(file[self.name], np.atleast_1d(picked), columns)
        return read[0] if single else read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        """Read everything."""
        return np.asarray(self[:], dtype=dtype)


@dataclass(frozen=True)
class StackedRows:
    """Tables one below the other, each in memory or in its file, of which a slice of rows is read at a time."""

    tables: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole table."""
        return (len(self), *self.tables[0].shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self.tables[0].dtype)

    def __len__(self) -> int:
        return sum(len(table) for table in self.tables)

    def __getitem__(self, rows: slice) -> FloatArray:
        start, stop, _ = rows.indices(len(self))
        pieces, first = [self.tables[0][:0]], 0
        for table in self.tables:
            low, high = max(start - first, 0), min(stop - first, len(table))
            if low < high:
                pieces.append(table[low:high])
            first += len(table)
        return np.concatenate(pieces)


def stack_rows(tables: Sequence[Any]) -> Any:
    """Return tables one below the other: an array if all are arrays, else a table that leaves them where they are.

    Parameters
    ----------
    tables : sequence of tables
        Arrays or tables that stay in files, of as many columns.

    Returns
    -------
    table
        Of all rows.
    """
    in_memory = all(isinstance(table, np.ndarray) for table in tables)
    return np.concatenate(tables) if in_memory else StackedRows(tuple(tables))


def _read_rows(source: h5py.Dataset, rows: IntArray, columns: slice) -> FloatArray:
    first = int(rows[0]) if len(rows) else 0
    if np.array_equal(rows, np.arange(first, first + len(rows))):
        return source[first : first + len(rows), columns]
    out = np.empty((len(rows), *source[:0, columns].shape[1:]), source.dtype)
    for place, row in enumerate(rows):
        out[place] = source[row, columns]
    return out


def stored_rows(path: Path | str, source: h5py.Dataset) -> StoredRows:
    """Return a table that stays in its file.

    Parameters
    ----------
    path : path
        The file.
    source : h5py.Dataset
        The table, (K, ...), of which the name and shape are taken.

    Returns
    -------
    StoredRows
        Of K rows; the file need not stay open.
    """
    name = str(source.name).lstrip("/")
    return StoredRows(Path(path), name, np.arange(source.shape[0]), source.shape[1:], source.dtype)


def row_blocks(table: Any) -> Iterator[slice]:
    """Cut any table (array, dataset, stored rows) into slices of rows of a few megabytes at most.

    Parameters
    ----------
    table : table (K, ...)
        Anything with a shape and a type.

    Yields
    ------
    slice
        Rows.

    Examples
    --------
    >>> import numpy as np
    >>> list(row_blocks(np.zeros((5, 2**17))))                       # a megabyte each
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    row_bytes = int(np.prod(table.shape[1:], dtype=np.int64)) * np.dtype(table.dtype).itemsize
    step = max(1, BLOCK_BYTES // max(row_bytes, 1))
    for start in range(0, table.shape[0], step):
        yield slice(start, min(start + step, table.shape[0]))
