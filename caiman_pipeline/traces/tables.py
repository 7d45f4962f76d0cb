"""Tables of traces: CSV, NPY and NWB in, CSV, NPY and HDF5 out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.atomic import whole_file
from caiman_pipeline.io.results import save_result
from caiman_pipeline.traces.foopsi import Deconvolution
from caiman_pipeline.types import FloatArray

TIME_NAMES = ("time", "time_s", "t", "t_s", "seconds", "timestamps")


@dataclass(frozen=True)
class TraceTable:
    """Traces float32 (K, T), a name for each, and the frame rate in Hz where the file tells it."""

    traces: FloatArray
    names: tuple[str, ...]
    frame_rate_hz: float | None = None


def read_table(path: Path, *, transposed: bool, series: str | None) -> TraceTable:
    """Read traces from a CSV, NPY or NWB file.

    Parameters
    ----------
    transposed : the file has its axes the other way round. CSV files have one row per frame and one column per trace,
        NPY arrays are (traces, frames), or one trace
    series : the ROI response series of an NWB file, by its name or, where several have that name, by its container and
        name, like ``DfOverF/RoiResponseSeries``; it can be left out where there is one

    Raises
    ------
    PipelineError
        If the file is missing, not one of these formats, or holds no table of numbers.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".npy": _read_npy}
    suffix = path.suffix.lower()
    if suffix == ".nwb":
        table = _read_nwb(path, series)
    elif suffix in readers:
        table = readers[suffix](path, transposed)
    else:
        raise PipelineError(f"{path}: traces are read from .csv, .tsv, .npy or .nwb files, not {suffix or 'this'}.")
    if table.traces.shape[1] < 2:
        raise PipelineError(
            f"{path}: {len(table.traces)} traces of {table.traces.shape[1]} frames. Is the table transposed "
            "(`--transposed`)?"
        )
    return table


def _read_csv(path: Path, transposed: bool) -> TraceTable:
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: cannot be read ({error}).") from error
    cells = [[c.strip() for c in line.split(separator)] for line in lines if line.strip()]
    if not cells or len({len(row) for row in cells}) != 1:
        raise PipelineError(f"{path}: not a table: {len(cells)} lines, not all with the same number of cells.")
    headed = not all(map(_is_number, cells[0]))
    names = cells.pop(0) if headed else [str(i) for i in range(len(cells[0]))]
    values = _numbers(path, cells)
    if transposed:
        return TraceTable(values.astype(np.float32), tuple(str(i) for i in range(len(values))))
    time = [i for i, name in enumerate(names) if headed and name.lower() in TIME_NAMES]
    keep = [i for i in range(len(names)) if i not in time]
    rate = _rate(path, values[:, time[0]]) if time else None
    return TraceTable(np.ascontiguousarray(values[:, keep].T, np.float32), tuple(names[i] for i in keep), rate)


def _is_number(text: str) -> bool:
    try:
        float(text or "nan")
    except ValueError:
        return False
    return True


def _numbers(path: Path, cells: list[list[str]]) -> FloatArray:
    wrong = next((c for row in cells for c in row if not _is_number(c)), None)
    if wrong is not None or not cells:
        raise PipelineError(f"{path}: {'no numbers below the header' if not cells else f'{wrong!r} is not a number'}.")
    return np.array([[float(c or "nan") for c in row] for row in cells])


def _rate(path: Path, seconds: FloatArray) -> float:
    steps = np.diff(seconds)
    if not len(steps) or not (steps > 0).all() or np.ptp(steps) > 0.5 * np.median(steps):
        raise PipelineError(f"{path}: its times do not ascend in even steps. Resample the traces first.")
    return float(1.0 / np.mean(steps))


def _read_npy(path: Path, transposed: bool) -> TraceTable:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PipelineError(f"{path}: not a whole .npy array ({error}).") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise PipelineError(f"{path}: expected numbers of shape (traces, frames), found {array.dtype} {array.shape}.")
    table = np.atleast_2d(array)
    table = table.T if transposed else table
    return TraceTable(np.ascontiguousarray(table, np.float32), tuple(str(i) for i in range(len(table))))


def _read_nwb(path: Path, wanted: str | None) -> TraceTable:
    from pynwb import NWBHDF5IO
    from pynwb.ophys import RoiResponseSeries

    try:
        with NWBHDF5IO(str(path), "r", load_namespaces=True) as io:
            found = [o for o in io.read().objects.values() if isinstance(o, RoiResponseSeries)]
            places = [f"{o.parent.name}/{o.name}" for o in found]
            series = found[_choose(path, places, wanted)]
            data = np.array(series.data, dtype=np.float32)
            rate = float(series.rate) if series.rate is not None else _rate(path, np.array(series.timestamps))
            names = tuple(str(i) for i in np.array(series.rois.table.id)[np.array(series.rois.data)])
    except OSError as error:
        raise PipelineError(f"{path}: not a readable NWB file ({error}).") from error
    return TraceTable(np.ascontiguousarray(np.atleast_2d(data.T)), names, rate)


def _choose(path: Path, places: list[str], wanted: str | None) -> int:
    """Return which series is meant by a name, or by its container and name as in ``places``."""
    matches = [i for i, place in enumerate(places) if wanted in (None, place, place.rsplit("/", 1)[1])]
    if len(matches) == 1:
        return matches[0]
    ask = "name one of its ROI response series with `--series`"
    if matches and wanted is not None:
        ask = f"it has {len(matches)} ROI response series of the name {wanted!r}: name the container too"
        places = [places[i] for i in matches]
    elif wanted is not None:
        ask = f"it has no ROI response series {wanted!r}: {ask}"
    raise PipelineError(f"{path}: {ask}. There: {', '.join(sorted(places)) or 'none'}.")


def write_table(path: Path, names: tuple[str, ...], result: Deconvolution, *, settings: dict, source: str) -> None:
    """Write a deconvolution: all of it to ``.h5``, the activity alone to ``.csv`` (frames x traces) or ``.npy`` (K, T).

    Raises
    ------
    PipelineError
        If the ending is none of these, or the file cannot be written.
    """
    check_output(path)
    if path.suffix.lower() == ".h5":
        arrays = {**vars(result), "names": names}
        save_result(path, kind="deconvolution", arrays=arrays, settings=settings, source={"table": source})
        return
    with whole_file(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".npy":
            np.save(file, result.deconvolved, allow_pickle=False)
        else:
            np.savetxt(file, result.deconvolved.T, "%.7g", ",", header=",".join(names), comments="")


def check_output(path: Path) -> None:
    """Raise a PipelineError if results cannot be written under such a name, before anything is computed."""
    if path.suffix.lower() not in (".h5", ".csv", ".npy"):
        raise PipelineError(f"{path}: results are written to .h5 (everything), .csv or .npy (activity).")
