"""Tables of traces: CSV, NPY and NWB in, CSV, NPY and HDF5 out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.atomic import whole_file
from caiman_pipeline.results.files import save_result
from caiman_pipeline.traces.csv_tables import ascends_evenly, never_falls, rate_of, read_columns
from caiman_pipeline.traces.foopsi import Deconvolution

# Of a stated frame rate, and of the times in the file (which may be milliseconds).
RATE_TOLERANCE = 0.05
# With fewer frames in a decay time, times in the file are taken for milliseconds unless a rate is given.
FEWEST_FRAMES = 1.0


@dataclass(frozen=True)
class TraceTable:
    """Traces float32 (K, T), a name for each, the frame rate in Hz where the file tells it, and what was left out."""

    traces: FloatArray
    names: tuple[str, ...]
    frame_rate_hz: float | None = None
    left_out: tuple[str, ...] = ()


def read_table(path: Path, *, transposed: bool | None, series: str | None) -> TraceTable:
    """Read traces from a CSV, NPY or NWB file.

    Parameters
    ----------
    path : path
        A .csv, .tsv, .npy or .nwb file.
    transposed : bool or None
        The file has its axes the other way round. CSV files have one row per frame and one column per trace, NPY arrays
        are (traces, frames), or one trace; None where nobody said so.
    series : str or None
        The ROI response series of an NWB file, by its name or, where several have that name, by its container and name,
        like ``DfOverF/RoiResponseSeries``; it can be left out where there is one.

    Returns
    -------
    TraceTable
        Traces float32 (K, T) in the file's unit, their names, and the frame rate, Hz, where the file tells it.

    Raises
    ------
    PipelineError
        If the file is missing, not one of these formats, or holds no table of numbers; if it has more traces than
        frames and nobody said which are which.
    """
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".npy": _read_npy}
    suffix = path.suffix.lower()
    if suffix == ".nwb":
        table = _read_nwb(path, series)
    elif suffix in readers:
        table = readers[suffix](path, bool(transposed))
    else:
        raise PipelineError(f"{path}: traces are read from .csv, .tsv, .npy or .nwb files, not {suffix or 'this'}.")
    n_traces, n_frames = table.traces.shape
    if n_traces > n_frames > 1 and transposed is None and suffix in readers:
        raise PipelineError(
            f"{path}: read as {n_traces} traces of {n_frames} frames. If it is {n_frames} traces of {n_traces} frames, "
            "give `--transposed`; if it is right, `--no-transposed`."
        )
    if table.traces.shape[1] < 2:
        raise PipelineError(
            f"{path}: {len(table.traces)} traces of {table.traces.shape[1]} frames. Is the table transposed "
            "(`--transposed`)?"
        )
    return table


def _read_csv(path: Path, transposed: bool) -> TraceTable:
    found = read_columns(path, transposed=transposed)
    traces = np.ascontiguousarray(found.values.T, np.float32)
    return TraceTable(traces, found.names, found.rate_hz, found.dropped)


def _read_npy(path: Path, transposed: bool) -> TraceTable:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise PipelineError(f"{path}: not a whole .npy array ({error}).") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise PipelineError(f"{path}: expected numbers of shape (traces, frames), found {array.dtype} {array.shape}.")
    table = np.atleast_2d(array)
    table = table.T if transposed else table
    if table.shape[0] > 1 and (ascends_evenly(table[0]) or never_falls(table[0])):
        raise PipelineError(f"{path}: its first trace ascends and never falls: times or an index. Leave it out.")
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
            rate = float(series.rate) if series.rate is not None else rate_of(path, np.array(series.timestamps))
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

    Parameters
    ----------
    path : path
        A file that ends in .h5, .csv or .npy.
    names : tuple of str
        One for each trace.
    result : Deconvolution
        What to write.
    settings : dict
        What it was made with, kept in the .h5 file.
    source : str
        Where the traces come from, kept in the .h5 file.

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
    """Refuse a name under which results cannot be written, before anything is computed.

    Parameters
    ----------
    path : path
        Where results are to go.

    Raises
    ------
    PipelineError
        If it ends in none of .h5, .csv and .npy.
    """
    if path.suffix.lower() not in (".h5", ".csv", ".npy"):
        raise PipelineError(f"{path}: results are written to .h5 (everything), .csv or .npy (activity).")


def rate_and_decay(table: TraceTable, given_hz: float | None, decay_time_s: float, *, path: Path) -> float | None:
    """Return the frame rate to use, Hz: the one given, else the file's.

    Parameters
    ----------
    table : TraceTable
        What was read.
    given_hz : float or None
        Frame rate that the user gave, Hz.
    decay_time_s : float
        The indicator's 1/e decay, s.
    path : path
        The table's file, for the message.

    Returns
    -------
    float
        Frames per second, Hz.

    Raises
    ------
    PipelineError
        If neither is there, they contradict each other, or a transient would last less than a step of the times.
    """
    stated = table.frame_rate_hz
    if given_hz and stated and not any(abs(given_hz / stated / unit - 1) < RATE_TOLERANCE for unit in (1, 1000)):
        raise PipelineError(
            f"{path}: its times say {stated:.4g} Hz, `--frame-rate-hz` says {given_hz:g}. Give one of them."
        )
    if not given_hz and not stated:
        raise PipelineError(f"{path}: does not tell the frame rate. Give `--frame-rate-hz`, or a column time_s.")
    if given_hz or not stated:
        return given_hz
    if stated * decay_time_s < FEWEST_FRAMES:
        raise PipelineError(
            f"{path}: its times step by {1 / stated:.4g}, in seconds {stated:.3g} Hz, and a transient of "
            f"{decay_time_s:g} s is over sooner. If they are milliseconds, name the column time_ms; else give "
            "`--frame-rate-hz`."
        )
    return stated
