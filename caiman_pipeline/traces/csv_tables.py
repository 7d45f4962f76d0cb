"""Tables of traces as text: which line is the header, and which column is a time or an index and no trace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError

SECONDS = ("time", "time_s", "time_sec", "time_seconds", "t", "t_s", "s", "sec", "seconds", "timestamp", "timestamps")
MILLISECONDS = ("time_ms", "time_msec", "time_milliseconds", "t_ms", "ms", "msec", "milliseconds", "timestamp_ms")
INDEX = ("", "unnamed_0", "index", "idx", "frame", "frames", "frame_number", "sample", "samples", "n")
# Steps that differ by less are even: no fluorescence ascends like that.
EVEN, FEWEST_STEPS = 0.01, 4
# No trace goes so many frames without ever falling: noise alone would make it fall.
NEVER_FALLS = 20
# What may stand between cells; a comma comes last, for it may be the decimal sign in tables of the others.
SEPARATORS = "\t;,"


@dataclass(frozen=True)
class Columns:
    """Columns of a table, one row per frame.

    Attributes
    ----------
    values : float64 (T, K), traces only
    rate_hz : from a column of times, else None
    dropped : names of columns that are no traces, in words
    """

    names: tuple[str, ...]
    values: FloatArray
    rate_hz: float | None
    dropped: tuple[str, ...]


def read_columns(path: Path, *, transposed: bool) -> Columns:
    """Read a CSV or TSV file; ``transposed`` says that its rows are the traces.

    Parameters
    ----------
    path : path
        A CSV or TSV file, cells separated by tabs, semicolons or commas.
    transposed : bool
        Its rows are the traces.

    Returns
    -------
    Columns
        Names and values of the traces, and the rate, Hz, where a column of times tells it.

    Raises
    ------
    PipelineError
        If it is no table of numbers, or a column that ascends evenly has a name that does not say what it is.
    """
    cells = _cells(path)
    if transposed:
        cells = [list(column) for column in zip(*cells, strict=True)]
    headed = not all(map(_is_number, cells[0])) or (len(cells) > FEWEST_STEPS and _counts_up(cells[0]))
    names = cells.pop(0) if headed else [""] * len(cells[0])
    values = _numbers(path, cells)
    kinds = [_kind(path, name, values[:, i], first=i == 0) for i, name in enumerate(names)]
    kept = [i for i, kind in enumerate(kinds) if kind == "trace"]
    times = [i for i, kind in enumerate(kinds) if kind in ("s", "ms")]
    rate = None
    if times:
        rate = rate_of(path, values[:, times[0]] * (1e-3 if kinds[times[0]] == "ms" else 1.0))
    shown = tuple(names[i] or str(n) for n, i in enumerate(kept))
    dropped = tuple(f"column {names[i]!r}" for i, kind in enumerate(kinds) if kind == "index")
    return Columns(shown, values[:, kept], rate, dropped)


def rate_of(path: Path, seconds: FloatArray) -> float:
    """Return the frame rate, Hz, of times in seconds.

    Parameters
    ----------
    path : path
        Where the times were read, for the message.
    seconds : float (T,)
        Times of the samples, s.

    Returns
    -------
    float
        Samples per second, Hz.

    Raises
    ------
    PipelineError
        If they do not ascend in even steps.

    Examples
    --------
    >>> import numpy as np
    >>> round(rate_of("traces.csv", np.array([0.0, 0.1, 0.2, 0.3])), 3)
    10.0
    """
    steps = np.diff(seconds)
    if not len(steps) or not (steps > 0).all() or np.ptp(steps) > 0.5 * np.median(steps):
        raise PipelineError(f"{path}: its times do not ascend in even steps. Resample the traces first.")
    return float(1.0 / np.mean(steps))


def ascends_evenly(values: FloatArray) -> bool:
    """Tell whether values are those of a clock or an index, and not of a trace.

    Parameters
    ----------
    values : float (T,)
        A column.

    Returns
    -------
    bool
        True for at least five values whose steps are alike to 1%.
    """
    steps = np.diff(values)
    return len(steps) >= FEWEST_STEPS and bool((steps > 0).all()) and float(np.ptp(steps)) <= EVEN * float(steps.mean())


def _cells(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read ({error}).") from error
    lines = [line for line in lines if line.strip()]
    separator = next((sign for sign in SEPARATORS if all(sign in line for line in lines)), ",")
    cells = [[c.strip().strip('"') for c in line.split(separator)] for line in lines]
    if not cells or len({len(row) for row in cells}) != 1:
        raise PipelineError(f"{path}: not a table: {len(cells)} lines, not all with the same number of cells.")
    return cells if separator == "," else [[_decimal_point(c) for c in row] for row in cells]


def _decimal_point(cell: str) -> str:
    """Return a number that is written with a decimal comma with a point; other cells as they are."""
    return cell.replace(",", ".") if re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _counts_up(row: list[str]) -> bool:
    """Tell whether a line of numbers is a header: names that count up from 0 or 1, after a cell that may be empty."""
    names = row[1:] if row[0] == "" else row
    return len(names) > 2 and names in ([str(i + first) for i in range(len(names))] for first in (0, 1))


def _numbers(path: Path, cells: list[list[str]]) -> FloatArray:
    if not cells:
        raise PipelineError(f"{path}: no numbers below the header.")
    wrong = next(((i, j) for i, row in enumerate(cells) for j, c in enumerate(row) if not _is_number(c)), None)
    if wrong is not None:
        i, j = wrong
        raise PipelineError(f"{path}: {cells[i][j]!r} is not a number (row {i + 1} of the numbers, column {j + 1}).")
    return np.array([[float(c or "nan") for c in row] for row in cells])


def _kind(path: Path, name: str, values: FloatArray, *, first: bool) -> str:
    """Return what a column is: "s" or "ms" (times), "index" or "trace"."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if plain in SECONDS or plain in MILLISECONDS:
        return "s" if plain in SECONDS else "ms"
    even = ascends_evenly(values)
    if first and even and plain in INDEX and np.array_equal(values, values[0] + np.arange(len(values))):
        return "index"
    if first and (even or never_falls(values)):
        if plain and plain in INDEX and not even:
            raise PipelineError(
                f"{path}: its first column {name!r} counts frames, but not every one. Put in a row of empty cells for "
                "each that is missing, and its number, or leave the column out if none is."
            )
        steps = f"in even steps of {values[1] - values[0]:g}" if even else "and never falls"
        raise PipelineError(
            f"{path}: its first column {name!r} ascends {steps}: times or an index, and no trace. Name it time_s, "
            "time_ms or frame in the header, or leave it out."
        )
    return "trace"


def never_falls(values: FloatArray) -> bool:
    """Tell whether values only rise, as times do that were rounded, or of which some are missing.

    Parameters
    ----------
    values : float (T,)
        A column.

    Returns
    -------
    bool
        True for more than 20 values that never fall and rise in all.
    """
    return len(values) > NEVER_FALLS and bool((np.diff(values) >= 0).all()) and bool(values[-1] > values[0])
