"""Movies in NWB files: series of images, frames of columns x rows[ x planes]."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.readers.hdf5 import Hdf5Reader, choose_dataset

KINDS = ("TwoPhotonSeries", "OnePhotonSeries", "ImageSeries")
# The standard's order; what else is found there is stated in the sheet's `axes`.
AXES = {3: "TXY", 4: "TXYZ"}


def find_series(path: Path, wanted: str | None) -> str:
    """Return the path of the data of the series that is wanted, or of the only one.

    Parameters
    ----------
    path : the NWB file
    wanted : name or path of a series, or of its data

    Raises
    ------
    PipelineError
        If the file is damaged, holds no series of images or several, or only names files that hold them.
    """
    try:
        with h5py.File(path, "r") as file:
            found = _series(file)
    except OSError as error:
        raise PipelineError(f"{path}: not a whole NWB file ({error}). Copy it again from its source.") from error
    named = (wanted or "").strip("/").removesuffix("/data")
    fitting = [n for n in found if not named or named in (n, n.rpartition("/")[2])]
    if len(fitting) != 1:
        shapes = {n: shape for n, (shape, _) in found.items()}
        fitting = [choose_dataset(str(path), shapes, named or None)]
    shape, external = found[fitting[0]]
    if external:
        raise PipelineError(
            f"{path}: the images of {fitting[0]} are in other files: {', '.join(external)}. List these in the sheet."
        )
    if len(shape) < 3:
        raise PipelineError(f"{path}: {fitting[0]} holds no frames (its data are of shape {shape}).")
    return f"{fitting[0]}/data"


def _series(file: h5py.File) -> dict[str, tuple[tuple[int, ...], list[str]]]:
    """Return the shape of each series of images by its path, and the files that it names instead."""
    found: dict[str, tuple[tuple[int, ...], list[str]]] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and _text(item.attrs.get("neurodata_type", "")) in KINDS:
            external = item.get("external_file")
            files = [_text(f) for f in external[:]] if isinstance(external, h5py.Dataset) else []
            data = item.get("data")
            found[name] = (data.shape if isinstance(data, h5py.Dataset) else (), files)

    file.visititems(visit)
    return found


def _text(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


class NwbReader(Hdf5Reader):
    """A series of images of an NWB file, in the standard's order unless the sheet states its axes."""

    def __init__(self, path: Path, reading: Reading) -> None:
        name = find_series(path, reading.dataset)
        super().__init__(path, Reading(reading.axes, name, reading.channel, reading.planes), AXES)


def read_rate(path: Path, dataset: str | None) -> float | None:
    """Return the rate that a series states, or that of evenly spaced time stamps; else None."""
    name = find_series(path, dataset)
    with h5py.File(path, "r") as file:
        series = file[name].parent
        if "starting_time" in series:
            return float(series["starting_time"].attrs.get("rate", np.nan))
        if "timestamps" not in series or len(series["timestamps"]) < 2:
            return None
        steps = np.diff(series["timestamps"][:])
    middle = float(np.median(steps))
    return 1 / middle if middle > 0 and np.abs(steps - middle).max() < middle / 2 else None
