"""Components over the frames that take part, and over the whole recording with gaps in the places of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.model.components import Components
from caiman_pipeline.movies.left_out import put_back_left_out
from caiman_pipeline.results.long_tables import Tables, trace_blocks
from caiman_pipeline.traces.ar_model import fill_gaps


def with_gaps(components: Components, kept: BoolArray) -> Components:
    """Return components of a movie's frames that take part as those of the whole recording.

    Parameters
    ----------
    components : Components
        With a sample for each frame that takes part.
    kept : bool (T,)
        Which frames of the recording take part.

    Returns
    -------
    Components
        Traces and the background's signals are NaN in the frames that are left out.
    """
    return replace(
        components,
        denoised=put_back_left_out(components.denoised, kept),
        residual=put_back_left_out(components.residual, kept),
        background=components.background.over_frames(lambda table: put_back_left_out(table, kept)),
    )


def without_gaps(components: Components, kept: BoolArray) -> Components:
    """Return components of a whole recording as those of the frames that take part.

    Parameters
    ----------
    components : Components
        With a sample for each frame of the recording.
    kept : bool (T,)
        Which frames of the recording take part.

    Returns
    -------
    Components
        With a sample for each of those.

    Notes
    -----
    Tables that stay in their files do so. Frames that take part now but were left out when the traces were made are
    bridged by straight lines.
    """
    return replace(
        components,
        denoised=_kept(components.denoised, kept),
        residual=_kept(components.residual, kept),
        background=components.background.over_frames(lambda table: _kept(table, kept)),
    )


@dataclass(frozen=True)
class KeptRows:
    """A table with a column for each frame that takes part, of which some rows are read at a time.

    Attributes
    ----------
    table : (N, T), any table that gives some of its rows; kept : bool (T,)
    """

    table: Any
    kept: BoolArray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and frames that take part."""
        return self.table.shape[0], int(np.count_nonzero(self.kept))

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""
        return np.dtype(self.table.dtype)

    def __len__(self) -> int:
        return int(self.table.shape[0])

    def __getitem__(self, rows: Any) -> FloatArray:
        return take_kept(self.table[rows], self.kept)


def _kept(table: Any, kept: BoolArray) -> Any:
    if kept.all() or table.shape[1] != len(kept):
        return table
    return take_kept(table, kept) if isinstance(table, np.ndarray) else KeptRows(table, kept)


def take_kept(rows: FloatArray, kept: BoolArray) -> FloatArray:
    """Return the columns of rows that take part, gaps bridged; rows of another length (bins) as they are.

    Parameters
    ----------
    rows : float32 (N, T)
        Any unit.
    kept : bool (T,)
        Which frames of the recording take part.

    Returns
    -------
    float32 (N, n)
        A sample for each of those.
    """
    if rows.shape[1] != len(kept):
        return rows
    return rows if kept.all() else fill_gaps(rows)[0][:, kept]


def write_with_gaps(name: str, sources: list[tuple[Any, slice]], kept: BoolArray, tables: Tables) -> Any:
    """Write rows of tables of the frames that take part to a table of the result, one below the other.

    Parameters
    ----------
    name : str
        Of the table.
    sources : list of (table, slice)
        Tables (N, frames that take part), and the rows of each that are wanted.
    kept : bool (T,)
        Which frames of the recording take part; the others are NaN.
    tables : Tables
        Where tables are kept.

    Returns
    -------
    table (rows, T)
        Float32, in the sources' unit.
    """
    result = tables.result(name, (sum(wanted.stop - wanted.start for _, wanted in sources), len(kept)))
    first = 0
    for table, wanted in sources:
        for rows in trace_blocks(wanted, table.shape[1]):
            place = slice(first + rows.start - wanted.start, first + rows.stop - wanted.start)
            result[place] = put_back_left_out(table[rows], kept)
        first += wanted.stop - wanted.start
    return result
