"""One recording as an NWB 2 file, and its components as a CSV table.

pynwb lays out the file with empty datasets; the large ones are then filled chunk by chunk, so that a stack of masks
never exists in memory. Images and masks have the order x, y[, z], as NWB asks.
"""

from __future__ import annotations

import csv
import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTableRegion, VectorData
from pynwb import NWBHDF5IO, NWBFile, ProcessingModule, TimeSeries
from pynwb.base import Images
from pynwb.file import Subject
from pynwb.image import GrayscaleImage
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    ImagingPlane,
    OpticalChannel,
    PlaneSegmentation,
    RoiResponseSeries,
)

from caiman_pipeline import __version__
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.io.atomic import whole_file
from caiman_pipeline.io.rows import row_blocks
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.types import Components, FloatArray

MASK_CHUNK = 64
SERIES_CHUNK = (4096, 64)
SHOWN_IMAGES = ("mean", "correlation")
SERIES_TEXT = {
    "RoiResponseSeries": "raw demixed fluorescence: denoised plus residual",
    "Denoised": "fluorescence of the fitted calcium model, without its constant baseline (column `baseline`)",
    "Deconvolved": "activity per frame that drives the denoised trace, in the unit of fluorescence",
    "Baseline": "F0: {f0}; background under the footprint included, resting light of other ROIs not",
}
COLUMN_TEXT = {
    "Accepted": "whether the component passed the selection",
    "Rejected": "whether the component failed the selection",
    "ROICentroids": "centre of mass of the footprint in pixels, order x, y[, z], counted from the centre of the first",
    "reason": "why the component was accepted or rejected",
    "snr": "peak of a transient's length over the noise",
    "r_value": "correlation of the footprint with the movie around its transients",
    "soma_score": "probability that the footprint is a soma's, by its shape",
    "size_px": "pixels above half the footprint's peak",
    "elongation": "length of the footprint over its width",
    "border_share": "share of the footprint's weight next to the end of what the movie shows",
    "saturated_share": "share of the footprint's weight on pixels that reach the detector's ceiling",
    "likeness": "how much the component repeats a stronger one, in footprint and trace, 0 to 1",
    "nesting": "how far the component and a stronger one lie within each other's outline, 0 to 1",
    "motion_share": "share of the trace's variance, slow drifts aside, that the displacement of the frames explains",
    "x_um": "centre of mass along x, micrometres",
    "y_um": "centre of mass along y, micrometres",
    "z_um": "centre of mass along z, micrometres",
    "baseline": "constant that the deconvolution subtracted from the raw trace",
    "noise": "standard deviation of the raw trace's noise per frame",
    "events_per_min": "how often per minute the denoised trace rises above the event height",
    "flags": "what is the matter with the trace, if anything",
}


def write_nwb(path: Path | str, outcome: Outcome, table: Mapping[str, FloatArray], *, facts: RecordingSettings) -> None:
    """Write one recording's results as an NWB file, whole or not at all.

    Parameters
    ----------
    table : what ``component_table`` lays out, one row per component of ``outcome``
    facts : what is known of the recording, for the file's metadata

    Notes
    -----
    The same results give the same bytes: identifiers are derived from the recording's id and the content, and dates
    from the session's start or, where that is not known, from the raw files' modification times (said in `notes`).
    A recording without components has an empty table and series of zero columns.
    """
    with whole_file(path) as temporary:
        identifier = f"{outcome.info.recording}-{content_digest(outcome)}"
        nwbfile = _describe_session(outcome, identifier, facts)
        plane = _add_imaging_plane(nwbfile, outcome, facts)
        _add_results(nwbfile, plane, outcome, table)
        _derive_object_ids(nwbfile)
        with h5py.File(temporary, "w") as file:
            NWBHDF5IO(file=file, mode="w").write(nwbfile)
            _fill(file["processing/ophys"], outcome)


def content_digest(outcome: Outcome) -> str:
    """Return 32 hexadecimal digits that stand for the footprints, traces, measures and selection."""
    digest = hashlib.blake2b(digest_size=16)
    footprints, traces = outcome.components.footprints, outcome.traces
    arrays = [footprints.indptr, footprints.indices, footprints.data, outcome.components.residual]
    arrays += [traces.denoised, traces.deconvolved, traces.f0, traces.dff, outcome.quality.snr, outcome.quality.r_value]
    arrays += [outcome.components.denoised, outcome.selection.accepted, outcome.shifts.rigid]
    for array in arrays:
        digest.update(str(array.shape).encode())
        for rows in row_blocks(array):
            digest.update(np.ascontiguousarray(array[rows]).data)
    digest.update(json.dumps([outcome.selection.reasons, outcome.settings], sort_keys=True).encode())
    return digest.hexdigest()


def _describe_session(outcome: Outcome, identifier: str, facts: RecordingSettings) -> NWBFile:
    info = outcome.info
    changed = [datetime.fromtimestamp(f.modified_ns / 1e9, UTC).replace(microsecond=0) for f in info.files]
    start = facts.session_start or min(changed)
    notes = []
    if facts.session_start is None:
        notes.append("The session's start is not known: it is the earliest modification time of the raw files.")
    if facts.subject_id is None:
        notes.append("The subject is not known: the recording's id stands in its place.")
    if facts.age is None:
        notes.append("The subject's age is not known.")
    files = [{"file": Path(f.path).name, "frames": f.n_frames, "bytes": f.size_bytes} for f in info.files]
    return NWBFile(
        session_description=facts.session_description,
        identifier=identifier,
        session_start_time=start,
        file_create_date=max(*changed, start),
        session_id=info.recording,
        experimenter=[e.strip() for e in facts.experimenter.split(";")] if facts.experimenter else None,
        lab=facts.lab,
        institution=facts.institution,
        keywords=["calcium imaging", facts.indicator],
        notes=" ".join(notes) or None,
        data_collection=json.dumps({"raw_files": files, "settings": outcome.settings}, sort_keys=True),
        was_generated_by=[["caiman_pipeline", __version__]],
        subject=Subject(
            subject_id=facts.subject_id or info.recording,
            species=facts.species,
            sex=facts.sex,
            age=facts.age or "P0D/",
        ),
    )


def _add_imaging_plane(nwbfile: NWBFile, outcome: Outcome, facts: RecordingSettings) -> ImagingPlane:
    pixel_um, dims = facts.pixel_um(), outcome.info.dims
    known = pixel_um is not None and len(pixel_um) == len(dims)
    is_mouse = facts.species == "Mus musculus"
    axes = "planes x rows x columns" if len(dims) == 3 else "rows x columns"
    return nwbfile.create_imaging_plane(
        name="ImagingPlane",
        description=f"field of view of {' x '.join(map(str, dims))} pixels ({axes})",
        optical_channel=OpticalChannel(
            name="OpticalChannel", description=f"emission of {facts.indicator}", emission_lambda=facts.emission_nm
        ),
        device=nwbfile.create_device(name="Microscope", description="calcium imaging microscope"),
        excitation_lambda=facts.excitation_nm,
        indicator=facts.indicator,
        location="root" if is_mouse and facts.location == "unknown" else facts.location,
        imaging_rate=outcome.info.frame_rate_hz,
        grid_spacing=[float(s) for s in pixel_um[::-1]] if pixel_um is not None and known else None,
        grid_spacing_unit="micrometers",
    )


def _add_results(
    nwbfile: NWBFile, plane: ImagingPlane, outcome: Outcome, table: Mapping[str, FloatArray]
) -> ProcessingModule:
    module = nwbfile.create_processing_module("ophys", f"results of caiman_pipeline {__version__}")
    rois = _segmentation(plane, outcome.components, table)
    module.add(ImageSegmentation(plane_segmentations=rois))
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
    module.add(_motion(outcome))
    module.add(Images(name="SegmentationImages", images=_images(outcome), description="summary images"))
    return module


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


def _segmentation(plane: ImagingPlane, components: Components, table: Mapping[str, FloatArray]) -> PlaneSegmentation:
    shape = (components.n_components, *components.dims[::-1])
    chunks = (1, *(min(MASK_CHUNK, n) for n in shape[1:]))
    axes = [table[f"{a}_px"] for a in "xyz" if f"{a}_px" in table]
    columns = {
        "Accepted": np.asarray(table["accepted"], bool),
        "Rejected": ~np.asarray(table["accepted"], bool),
        "ROICentroids": np.stack(axes, axis=1),
        **{name: values for name, values in table.items() if name in COLUMN_TEXT},
    }
    masks = VectorData(
        name="image_mask",
        description="footprint of each component as weights of unit Euclidean norm, order x, y[, z]",
        data=_reserve(shape, chunks),
    )
    vectors = [VectorData(name=n, description=COLUMN_TEXT[n], data=_storable(v)) for n, v in columns.items()]
    return PlaneSegmentation(
        name="PlaneSegmentation",
        description="components found by constrained matrix factorisation, accepted and rejected",
        imaging_plane=plane,
        id=np.asarray(table["id"], np.int64),
        columns=[masks, *vectors],
        colnames=["image_mask", *columns],
    )


def _storable(values: FloatArray) -> FloatArray:
    """Give text columns a fixed-width type, which an empty column keeps."""
    return values.astype(str) if values.dtype == object else values


def _reserve(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Any:
    """Describe an empty compressed float32 dataset to be filled later; without elements, an empty array."""
    if 0 in shape:
        return np.zeros(shape, np.float32)
    return H5DataIO(
        shape=shape, dtype=np.dtype("float32"), chunks=chunks, compression="gzip", compression_opts=1, shuffle=True,
        fillvalue=0.0,
    )  # fmt: skip


def _series(
    name: str, text: str, outcome: Outcome, rois: PlaneSegmentation, *, unit: str = "a.u."
) -> RoiResponseSeries:
    n_components, n_samples = outcome.traces.denoised.shape
    shape = (n_samples, n_components)
    binned = outcome.components.frames_per_bin
    return RoiResponseSeries(
        name=name,
        description=text,
        data=_reserve(shape, tuple(min(a, b) for a, b in zip(SERIES_CHUNK, shape, strict=True))),
        rois=DynamicTableRegion(
            name="rois", description="all components", data=np.arange(n_components), table=rois
        ),
        unit=unit,
        rate=outcome.trace_rate_hz,
        starting_time=(binned - 1) / 2 / outcome.info.frame_rate_hz,
    )  # fmt: skip


def _motion(outcome: Outcome) -> TimeSeries:
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


def _images(outcome: Outcome) -> list[GrayscaleImage]:
    """Return the mean and correlation images, order x, y; a volume gives one of each per plane."""
    images = []
    for name in SHOWN_IMAGES:
        image = outcome.images[name]
        planes = {name: image} if image.ndim == 2 else {f"{name}_plane_{z:03d}": p for z, p in enumerate(image)}
        text = {"mean": "mean of the corrected movie", "correlation": "correlation of each pixel with its neighbours"}
        images += [
            GrayscaleImage(name=n, data=np.ascontiguousarray(p.T, dtype=np.float32), description=text[name])
            for n, p in planes.items()
        ]
    return images


def _fill(ophys: h5py.Group, outcome: Outcome) -> None:
    components, traces = outcome.components, outcome.traces
    if not components.n_components:
        return
    _fill_masks(ophys["ImageSegmentation/PlaneSegmentation/image_mask"], components)
    fluorescence = ophys["Fluorescence"]
    _fill_series(fluorescence["RoiResponseSeries/data"], components.denoised, components.residual)
    _fill_series(fluorescence["Denoised/data"], traces.denoised)
    _fill_series(fluorescence["Deconvolved/data"], traces.deconvolved)
    _fill_series(fluorescence["Baseline/data"], traces.f0)
    kind = traces.dff_kind
    _fill_series(
        ophys["DfOverF/RoiResponseSeries/data"] if kind == "dff" else fluorescence[kind.capitalize()]["data"],
        traces.dff,
    )


def _fill_masks(dataset: h5py.Dataset, components: Components) -> None:
    """Write each footprint's bounding box; chunks that no footprint touches are never stored."""
    footprints = components.footprints.tocsc()
    for k in range(components.n_components):
        part = slice(footprints.indptr[k], footprints.indptr[k + 1])
        if part.start == part.stop:
            continue
        places = np.unravel_index(footprints.indices[part], components.dims)[::-1]
        corner = [int(p.min()) for p in places]
        box = np.zeros([int(p.max()) + 1 - c for p, c in zip(places, corner, strict=True)], np.float32)
        box[tuple(p - c for p, c in zip(places, corner, strict=True))] = footprints.data[part]
        dataset[(k, *(slice(c, c + n) for c, n in zip(corner, box.shape, strict=True)))] = box


def _fill_series(dataset: h5py.Dataset, *terms: FloatArray) -> None:
    """Write the sum of (K, T) arrays as (T, K), one row of chunks at a time."""
    for start in range(0, dataset.shape[0], SERIES_CHUNK[0]):
        part = slice(start, start + SERIES_CHUNK[0])
        block = np.sum([term[:, part] for term in terms], axis=0, dtype=np.float32) if terms[1:] else terms[0][:, part]
        dataset[part] = np.ascontiguousarray(block.T, dtype=np.float32)


def _derive_object_ids(nwbfile: NWBFile) -> None:
    """Give every object an id that follows from the file's identifier and the object's place, not a random one.

    hdmf offers no public way to set an id, and rewriting the attribute later leaves the random one in the file's heap.
    """
    for container in nwbfile.all_children():
        place, node = [], container
        while node is not None:
            place.append(node.name)
            node = node.parent
        name = uuid.uuid5(uuid.NAMESPACE_OID, "/".join([nwbfile.identifier, *reversed(place)]))
        vars(container)["_AbstractContainer__object_id"] = str(name)


def write_table(path: Path | str, table: Mapping[str, FloatArray]) -> None:
    """Write the table of components as CSV with a header, whole or not at all; numbers keep their full precision."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*(_cells(values) for values in table.values()), strict=True))


def _cells(values: FloatArray) -> list[str]:
    if values.dtype == bool:
        return ["true" if v else "false" for v in values]
    return [str(v) for v in values]
