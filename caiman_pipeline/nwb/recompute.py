"""Recompute an NWB file from itself: its series from each other, its table from its series, both from the results.

What is read is the file, the table of components beside it, and, where the file still lies in its recording's folder,
the results that it was made from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.numerics.noise import noise_level
from caiman_pipeline.nwb.restore import read_run
from caiman_pipeline.nwb.series import RELATIVE, SERIES, SERIES_CHUNK
from caiman_pipeline.results.files import load_result
from caiman_pipeline.results.records import LONG_TABLES, components_from_result
from caiman_pipeline.stages import path_of
from caiman_pipeline.traces.counted_events import events_of
from caiman_pipeline.traces.dff import relate, slow_level
from caiman_pipeline.traces.extract import dff_method
from caiman_pipeline.traces.timing import Timing

# Where a file keeps what was found, and the table of components in it.
OPHYS = "processing/ophys"
TABLE = "ImageSegmentation/PlaneSegmentation"
# Single precision, a few operations long.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Discrepancy:
    """What was compared, and how far it is apart at most, as a share of the largest value; NaN apart is infinite."""

    what: str
    apart: float

    @property
    def holds(self) -> bool:
        """Whether the two are the same, but for rounding."""
        return self.apart <= ROUNDING


def recompute(path: Path) -> list[Discrepancy]:
    """Verify an NWB file against itself, its table and its results.

    Parameters
    ----------
    path : path
        An NWB file that this pipeline wrote.

    Returns
    -------
    list of Discrepancy
        One for each thing that was compared.

    Raises
    ------
    PipelineError
        If the file cannot be read or was not written by this pipeline.
    """
    settings = validate(TraceSettings, read_run(path).settings.get("traces", {}), str(path))
    worst: dict[str, float] = {}
    try:
        with h5py.File(path, "r") as file:
            ophys = file[OPHYS]
            parts = (_rows_agree(ophys), _series_agree(ophys, settings), _masks_agree(ophys[TABLE]))
            beside = (_table_agrees(ophys[TABLE], path), _results_agree(ophys, path, settings))
            for what, apart in (found for part in (*parts, *beside) for found in part):
                worst[what] = max(worst.get(what, 0.0), apart)
    except (KeyError, OSError, RuntimeError) as error:
        raise PipelineError(
            f"{path}: lacks what this version's files hold ({error}). Delete it and run the workflow again."
        ) from error
    return [Discrepancy(what, apart) for what, apart in worst.items()]


def distance(found: ArrayLike, expected: ArrayLike) -> float:
    """Return the largest difference as a share of the largest finite value; infinite where shapes or gaps differ.

    Parameters
    ----------
    found : array (...)
        Any unit.
    expected : array (...)
        What it should be.

    Returns
    -------
    float
        Difference, without unit; 0 where nothing is finite.

    Examples
    --------
    >>> distance([1.0, 2.1, np.nan], [1.0, 2.0, np.nan]) < 0.051
    True
    >>> distance([1.0, 2.0], [1.0, np.nan])
    inf
    """
    one, other = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if one.shape != other.shape or not np.array_equal(np.isnan(one), np.isnan(other)):
        return float("inf")
    finite = np.isfinite(other)
    scale = max(float(np.abs(other[finite]).max(initial=0.0)), 1e-30)
    return float(np.abs(one[finite] - other[finite]).max(initial=0.0)) / scale


def _places(settings: TraceSettings) -> dict[str, str]:
    """Return where each table of the traces is in the file."""
    container, measured, denoised, _, _ = RELATIVE[settings.dff_kind]
    places = {table: f"Fluorescence/{name}" for name, (table, _) in SERIES.items()}
    return {**places, "dff": f"{container}/{measured}", "dff_denoised": f"{container}/{denoised}"}


def _rows_agree(ophys: h5py.Group) -> Iterator[tuple[str, float]]:
    """Compare what all series and the table have in common: rows, frames and times."""
    ids = ophys[TABLE]["id"][()]
    series = [s for name in ("Fluorescence", "DfOverF") if name in ophys for s in ophys[name].values()]
    first = series[0]
    for one in series:
        yield "rows of every series are the rows of the table", distance(one["rois"][()], np.arange(len(ids)))
        yield "all series have the same frames and times", distance(_times(one), _times(first))
        yield "all series have a row for each component", distance([one["data"].shape[1]], [len(ids)])
    accepted, rejected = (ophys[TABLE][name][()].astype(int) for name in ("Accepted", "Rejected"))
    yield "components are accepted or rejected", distance(accepted + rejected, np.ones(len(ids)))


def _times(series: h5py.Group) -> FloatArray:
    start = series["starting_time"]
    return np.array([series["data"].shape[0], start.attrs["rate"], start[()]])


def _series_agree(ophys: h5py.Group, settings: TraceSettings) -> Iterator[tuple[str, float]]:
    places, table = _places(settings), ophys[TABLE]
    rate = float(ophys["Fluorescence/Demixed/starting_time"].attrs["rate"])
    n_components = len(table["id"])
    for start in range(0, n_components, SERIES_CHUNK[1]):
        rows = slice(start, min(start + SERIES_CHUNK[1], n_components))
        read = {t: np.ascontiguousarray(ophys[place]["data"][:, rows].T) for t, place in places.items()}
        yield from _block_agrees(read, settings, Timing(rate, 1.0), table, rows)


def _block_agrees(
    read: dict[str, FloatArray], settings: TraceSettings, timing: Timing, table: h5py.Group, rows: slice
) -> Iterator[tuple[str, float]]:
    """Compare series and columns of some rows with what follows from other series."""
    method, noise = dff_method(settings, timing), table["noise"][rows]
    f, f0 = read["fluorescence"], read["f0"]
    level = slow_level(read["background"], method, threads=1)
    yield "F is Demixed and the slow level of Background", distance(f, read["demixed"] + level)
    formula = RELATIVE[settings.dff_kind][3]
    yield f"relative fluorescence is {formula} of F and F0", distance(read["dff"], relate(f, f0, noise, method.kind))
    if method.kind == "dff":
        flagged = ["f0_invalid" in text.split() for text in table["flags"].asstr()[rows]]
        missing = (np.isnan(f0) & np.isfinite(f)).any(1)
        yield "components without a valid F0 are flagged", distance(missing, np.array(flagged))
    measured = noise_level(read["demixed"], band=settings.noise_band, average=settings.noise_average)
    yield "column noise is the noise of Demixed", distance(noise, measured)
    per_s, _ = events_of(read["denoised"], noise, height=settings.event_height, frame_rate_hz=timing.frame_rate_hz)
    yield "column events_per_min counts the events of Denoised", distance(table["events_per_min"][rows], 60 * per_s)
    yield "Deconvolved is not negative", max(0.0, -float(np.nanmin(read["deconvolved"], initial=0.0)))


def _masks_agree(table: h5py.Group) -> Iterator[tuple[str, float]]:
    masks, centres = table["image_mask"], table["ROICentroids"]
    for k in range(masks.shape[0]):
        mask = masks[k].astype(np.float64)
        if not mask.any():
            continue
        yield "masks have unit norm", abs(float(np.sqrt((mask**2).sum())) - 1)
        centre = [float((mask * place).sum() / mask.sum()) for place in np.indices(mask.shape, sparse=True)]
        yield "centroids are those of the masks", distance(centres[k], np.array(centre))


def _table_agrees(table: h5py.Group, path: Path) -> Iterator[tuple[str, float]]:
    """Compare with the table of components that lies beside the file."""
    beside = path.with_name(f"{path.stem}_components.csv")
    if not beside.exists():
        return
    what = f"{beside.name} holds the same"
    try:
        with beside.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        yield what, distance([int(row["id"]) for row in rows], table["id"][()])
        yield what, distance([row["accepted"] == "true" for row in rows], table["Accepted"][()])
        for name in rows[0] if rows else ():
            if name in table and name != "id":
                yield what, _column_distance([row[name] for row in rows], table[name])
    except (KeyError, ValueError, TypeError, csv.Error):
        yield what, float("inf")  # cut or filled with something else: not the table of this file


def _column_distance(texts: list[str], column: h5py.Dataset) -> float:
    if h5py.check_string_dtype(column.dtype):
        return 0.0 if texts == list(column.asstr()[()]) else float("inf")
    return distance([float(text) for text in texts], column[()])


def _results_agree(ophys: h5py.Group, path: Path, settings: TraceSettings) -> Iterator[tuple[str, float]]:
    """Compare with the results that the file was made from, where it is still in their folder."""
    folder = path.parent.parent
    found = {kind: path_of(folder, kind) for kind in ("components", "traces")}
    if not all(file.exists() for file in found.values()):
        return
    results = {kind: load_result(file, kind, stored=LONG_TABLES[kind]) for kind, file in found.items()}
    components, ids = components_from_result(results["components"]), ophys[TABLE]["id"][()]
    row_of = {int(component): row for row, component in enumerate(components.ids)}
    rows = np.array([row_of.get(int(component), -1) for component in ids], np.int64)
    what = "series and masks are those of traces.h5 and components.h5"
    yield what, float("inf") if (rows < 0).any() else distance(results["traces"]["ids"][rows], ids)
    if (rows < 0).any():
        return
    for k, row in enumerate(rows):
        mask = ophys[TABLE]["image_mask"][k].T.ravel()
        yield what, distance(mask, components.footprints[:, [row]].toarray().ravel())
    for start in range(0, len(rows), SERIES_CHUNK[1]):
        part = slice(start, start + SERIES_CHUNK[1])
        for table, place in _places(settings).items():
            yield what, distance(ophys[place]["data"][:, part].T, _stored(results, components, table, rows[part]))


def _stored(results: dict[str, Any], components: Any, table: str, rows: IntArray) -> FloatArray:
    if table == "demixed":
        return components.denoised[rows] + components.residual[rows]
    return results["traces"][table][rows]
