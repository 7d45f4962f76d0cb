"""One recording as an NWB 2 file.

pynwb lays out the file with empty datasets; the large ones are then filled chunk by chunk, so that a stack of masks
never exists in memory. Images and masks have the order x, y[, z], as NWB asks.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.base import Images
from pynwb.ophys import ImageSegmentation, ImagingPlane

from caiman_pipeline import __version__
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.model.arrays import AnyArray
from caiman_pipeline.nwb.left_out import add_invalid_times
from caiman_pipeline.nwb.run import run_record
from caiman_pipeline.nwb.segmentation import fill_masks, segment, summary_images
from caiman_pipeline.nwb.series import add_series, fill_series, motion_series
from caiman_pipeline.nwb.session import add_imaging_plane, describe_session
from caiman_pipeline.outcome import Outcome
from caiman_pipeline.results.atomic import whole_file
from caiman_pipeline.results.records import LONG_TABLES
from caiman_pipeline.results.stored_rows import row_blocks

# Every series keeps its cache while the file is open, and each chunk is written once: no more than two of them.
CHUNK_CACHE_BYTES = 2**21


def write_nwb(path: Path | str, outcome: Outcome, table: Mapping[str, AnyArray], *, facts: RecordingSettings) -> None:
    """Write one recording's results as an NWB file, whole or not at all.

    Parameters
    ----------
    path : path
        The file to make.
    outcome : Outcome
        Results of a recording.
    table : dict of arrays (K,)
        What ``component_table`` lays out, one row per component of ``outcome``.
    facts : RecordingSettings
        What is known of the recording, for the file's metadata.

    Raises
    ------
    PipelineError
        If the disk is full or the folder cannot be written.

    Notes
    -----
    The same results give the same bytes: identifiers are derived from the recording's id and the content, and dates
    from the session's start or, where that is not known, from the raw files' modification times (said in `notes`).
    A recording without components has an empty table and series of zero columns.

    References
    ----------
    Rübel et al. 2022, 10.7554/eLife.78362
    """
    with whole_file(path) as temporary:
        identifier = f"{outcome.info.recording}-{content_digest(outcome)}"
        nwbfile = describe_session(outcome, identifier, facts)
        info = outcome.info
        plane = add_imaging_plane(nwbfile, facts, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
        _add_results(nwbfile, plane, outcome, table)
        add_invalid_times(nwbfile, outcome)
        _derive_object_ids(nwbfile)
        with h5py.File(temporary, "w", rdcc_nbytes=CHUNK_CACHE_BYTES) as file:
            NWBHDF5IO(file=file, mode="w").write(nwbfile)
            _fill(file["processing/ophys"], outcome)


def content_digest(outcome: Outcome) -> str:
    """Return 32 hexadecimal digits that stand for the footprints, traces, measures and selection.

    Parameters
    ----------
    outcome : Outcome
        Results of a recording.

    Returns
    -------
    str
        The digits.
    """
    digest = hashlib.blake2b(digest_size=16)
    footprints, traces = outcome.components.footprints, outcome.traces
    arrays = [footprints.indptr, footprints.indices, footprints.data, outcome.components.residual]
    arrays += [getattr(traces, name) for name in LONG_TABLES["traces"]] + [outcome.quality.snr, outcome.quality.r_value]
    arrays += [outcome.components.denoised, outcome.selection.accepted, outcome.shifts.rigid]
    for array in arrays:
        digest.update(str(array.shape).encode())
        for rows in row_blocks(array):
            digest.update(np.ascontiguousarray(array[rows]).data)
    digest.update(json.dumps([outcome.selection.reasons, run_record(outcome)], sort_keys=True).encode())
    return digest.hexdigest()


def _add_results(nwbfile: NWBFile, plane: ImagingPlane, outcome: Outcome, table: Mapping[str, AnyArray]) -> None:
    module = nwbfile.create_processing_module("ophys", f"results of caiman_pipeline {__version__}")
    rois = segment(plane, outcome.components, table)
    module.add(ImageSegmentation(plane_segmentations=rois))
    add_series(module, outcome, rois)
    module.add(motion_series(outcome))
    module.add(Images(name="SegmentationImages", images=summary_images(outcome), description="summary images"))


def _fill(ophys: h5py.Group, outcome: Outcome) -> None:
    if outcome.components.n_components:
        fill_masks(ophys["ImageSegmentation/PlaneSegmentation/image_mask"], outcome.components)
        fill_series(ophys, outcome)


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
