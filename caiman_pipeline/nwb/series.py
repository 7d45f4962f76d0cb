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

from caiman_pipeline.outcome import Outcome
from caiman_pipeline.types import FloatArray

SERIES_CHUNK = (4096, 64)
SERIES_TEXT = {
    "RoiResponseSeries": "raw demixed fluorescence: denoised plus residual",
    "Denoised": "fluorescence of the fitted calcium model, without its constant baseline (column `baseline`)",
    "Deconvolved": "activity per frame that drives the denoised trace, in the unit of fluorescence",
    "Baseline": "F0: {f0}; background under the footprint included, resting light of other ROIs not",
}


def add_series(module: ProcessingModule, outcome: Outcome, rois: PlaneSegmentation) -> None:
    """Lay out one empty series for each kind of trace."""
    fluorescence, kind = Fluorescence(), outcome.traces.dff_kind
    module.add(fluorescence)
    f0, related = _ways(outcome.settings.get("traces", {}))
    for name, text in SERIES_TEXT.items():
        fluorescence.add_roi_response_series(_series(name, text.format(f0=f0), outcome, rois))
    if kind == "dff":
        relative = DfOverF()
        module.add(relative)
        text = f"(F - F0) / F0{related}; not a number where F0 is not positive"
        relative.add_roi_response_series(_series("RoiResponseSeries", text, outcome, rois, unit="1"))
    else:
        text = f"raw fluorescence, {kind}; it has no baseline to divide by, so this is no DF/F"
        fluorescence.add_roi_response_series(_series(kind.capitalize(), text, outcome, rois))


def fill_series(ophys: h5py.Group, outcome: Outcome) -> None:
    """Write the traces into the datasets that were laid out for them."""
    fluorescence, traces = ophys["Fluorescence"], outcome.traces
    _fill(fluorescence["RoiResponseSeries/data"], outcome.components.denoised, outcome.components.residual)
    _fill(fluorescence["Denoised/data"], traces.denoised)
    _fill(fluorescence["Deconvolved/data"], traces.deconvolved)
    _fill(fluorescence["Baseline/data"], traces.f0)
    kind = traces.dff_kind
    _fill(
        ophys["DfOverF/RoiResponseSeries/data"] if kind == "dff" else fluorescence[kind.capitalize()]["data"],
        traces.dff,
    )


def _ways(settings: Mapping[str, Any]) -> tuple[str, str]:
    """Say how F0 was found and what was related to it, as far as the settings of the traces are known."""
    if not settings:
        return "baseline fluorescence", ""
    if settings["f0_quantile"] is not None:
        way = f"running {settings['f0_quantile']:g} % quantile of the raw trace"
    elif settings["f0_from"] == "model" and settings["order"]:
        way = "running median of the raw trace without the model's transients"
    else:
        way = "running quantile of the raw trace at its resting level"
    related = ", F the raw trace" if settings["use_residuals"] else ", F the fitted model without noise"
    return f"{way} in a window of {settings['f0_window_s']:g} s", related


def reserve(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Any:
    """Describe an empty compressed float32 dataset to be filled later; without elements, an empty array."""
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
    """Return the displacement of every frame, (T, ndim) in pixels, order x, y[, z]."""
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
