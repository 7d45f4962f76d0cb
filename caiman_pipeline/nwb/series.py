"""The series of an NWB file: one for each kind of trace, and the motion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTableRegion
from pynwb import ProcessingModule, TimeSeries
from pynwb.ophys import DfOverF, Fluorescence, PlaneSegmentation, RoiResponseSeries

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.outcome import Outcome

# Frames and components of a chunk: a megabyte, read alike by time and by component.
SERIES_CHUNK = (4096, 64)
LEVEL_TEXT = "running median in a window of {window}, a straight trend taken off before and put back after"
# Series of the container `Fluorescence`: which table of the traces each holds, and what it is.
SERIES = {
    "RoiResponseSeries": (
        "fluorescence",
        "fluorescence F: Demixed plus the slow level of Background ({level}), so without Background's fast part",
    ),
    "Demixed": (
        "demixed",
        "fluorescence of the ROI alone, without neighbours and background: around zero, as the mean of the movie is in "
        "Background; the standard deviation of its noise is column `noise`",
    ),
    "Background": (
        "background",
        "light under the footprint that is not in the demixed traces, at every frame: static and moving background, "
        "less the dark level ({dark_level}) and less what other ROIs add at rest (column `neighbours_light`)",
    ),
    "Baseline": ("f0", "baseline fluorescence F0: {f0}, plus the slow level of Background; {invalid}"),
    "Denoised": (
        "denoised",
        "calcium of the fitted model, in the unit of Demixed, without its baseline (on average column `baseline`)",
    ),
    "Deconvolved": ("deconvolved", "activity per frame that drives the denoised trace, in the unit of fluorescence"),
}
# How the relative fluorescence is called, by its kind; only (F - F0) / F0 is DF/F.
RELATIVE = {
    "dff": ("DfOverF", "RoiResponseSeries", "DfOverFDenoised", "(F - F0) / F0", "1"),
    "detrended": ("Fluorescence", "Detrended", "DetrendedDenoised", "F - F0", "a.u."),
    "dff_over_noise": ("Fluorescence", "OverNoise", "OverNoiseDenoised", "(F - F0) / noise", "1"),
}


def add_series(module: ProcessingModule, outcome: Outcome, rois: PlaneSegmentation) -> None:
    """Lay out one empty series for each kind of trace.

    Parameters
    ----------
    module : ProcessingModule
        Where they go.
    outcome : Outcome
        Of a recording, K components and T frames.
    rois : PlaneSegmentation
        The table that the series' columns are rows of.
    """
    containers: dict[str, Any] = {"Fluorescence": Fluorescence()}
    container, measured, denoised, formula, unit = RELATIVE[outcome.traces.dff_kind]
    if container == "DfOverF":
        containers[container] = DfOverF()
    for added in containers.values():
        module.add(added)
    words = _words(outcome)
    for name, (_, text) in SERIES.items():
        containers["Fluorescence"].add_roi_response_series(_series(name, text.format(**words), outcome, rois))
    texts = {
        measured: f"{formula}, F being Fluorescence/RoiResponseSeries and F0 Fluorescence/Baseline{words['no_dff']}",
        denoised: f"{formula} of the fitted model, without noise, in the place of F",
    }
    for name, text in texts.items():
        containers[container].add_roi_response_series(_series(name, text, outcome, rois, unit=unit))


def fill_series(ophys: h5py.Group, outcome: Outcome) -> None:
    """Write the traces into the datasets that were laid out for them.

    Parameters
    ----------
    ophys : h5py.Group
        The module in the open file.
    outcome : Outcome
        The same as the series were laid out for.
    """
    components, traces = outcome.components, outcome.traces
    for name, (table, _) in SERIES.items():
        terms = [components.denoised, components.residual] if table == "demixed" else [getattr(traces, table)]
        _fill(ophys[f"Fluorescence/{name}/data"], *terms)
    container, measured, denoised, _, _ = RELATIVE[traces.dff_kind]
    _fill(ophys[f"{container}/{measured}/data"], traces.dff)
    _fill(ophys[f"{container}/{denoised}/data"], traces.dff_denoised)


def _words(outcome: Outcome) -> dict[str, str]:
    """Say how the levels were found, as far as the settings of the traces are known."""
    settings: Mapping[str, Any] = outcome.settings.get("traces", {})
    is_dff = outcome.traces.dff_kind == "dff"
    words = {
        "level": "running median",
        "dark_level": "0",
        "f0": "resting level of Demixed",
        "invalid": "not a number where it is not above the noise of one frame" if is_dff else "not divided by",
        "no_dff": "" if is_dff else "; there is no baseline to divide by, so this is no DF/F",
    }
    if settings:
        window = f"{settings['f0_window_s']:g} s"
        level = "approximate " * settings["f0_fast"] + LEVEL_TEXT.format(window=window)
        words |= {"level": level, "dark_level": f"{settings['dark_level']:g}", "f0": f"{_way(settings)} in {window}"}
    return words


def _way(settings: Mapping[str, Any]) -> str:
    """Say how the resting level was found."""
    if settings["f0_quantile"] is not None:
        return f"running {settings['f0_quantile']:g} % quantile of Demixed"
    if settings["f0_from"] == "model" and settings["order"]:
        return "running median of Demixed without the model's transients"
    return "running quantile of Demixed at its resting level"


def reserve(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Any:
    """Describe an empty compressed float32 dataset to be filled later; without elements, an empty array.

    Parameters
    ----------
    shape : tuple of int
        Shape of the dataset.
    chunks : tuple of int
        Shape of a chunk.

    Returns
    -------
    H5DataIO or float32 (*shape)
        What pynwb takes as data.
    """
    if 0 in shape:
        return np.zeros(shape, np.float32)
    return H5DataIO(
        shape=shape,
        dtype=np.dtype("float32"),
        chunks=chunks,
        compression="gzip",
        compression_opts=1,
        shuffle=True,
        fillvalue=0.0,
    )


def _series(
    name: str, text: str, outcome: Outcome, rois: PlaneSegmentation, *, unit: str = "a.u."
) -> RoiResponseSeries:
    n_components, n_samples = outcome.traces.denoised.shape
    shape = (n_samples, n_components)
    binned = outcome.components.frames_per_bin
    return RoiResponseSeries(
        name=name,
        description=text,
        data=reserve(shape, tuple(min(a, b) for a, b in zip(SERIES_CHUNK, shape, strict=True))),
        rois=DynamicTableRegion(name="rois", description="all components", data=np.arange(n_components), table=rois),
        unit=unit,
        rate=outcome.trace_rate_hz,
        starting_time=(binned - 1) / 2 / outcome.info.frame_rate_hz,
    )


def motion_series(outcome: Outcome) -> TimeSeries:
    """Return the displacement of every frame, (T, ndim) in pixels, order x, y[, z].

    Parameters
    ----------
    outcome : Outcome
        With rigid displacement, (T, ndim).

    Returns
    -------
    TimeSeries
        Float32 (T, ndim), pixels, order x, y[, z].
    """
    return TimeSeries(
        name="MotionShifts",
        description=(
            "displacement of the scene in each frame along x, y[, z] (one column each); the correction subtracted it"
        ),
        data=np.ascontiguousarray(outcome.shifts.rigid[:, ::-1]),
        unit="pixels",
        rate=outcome.info.frame_rate_hz,
        starting_time=0.0,
    )


def _fill(dataset: h5py.Dataset, *terms: FloatArray) -> None:
    """Write the sum of (K, T) arrays as (T, K), one row of chunks at a time."""
    for start in range(0, dataset.shape[0], SERIES_CHUNK[0]):
        part = slice(start, start + SERIES_CHUNK[0])
        block = np.sum([term[:, part] for term in terms], axis=0, dtype=np.float32) if terms[1:] else terms[0][:, part]
        dataset[part] = np.ascontiguousarray(block.T, dtype=np.float32)
