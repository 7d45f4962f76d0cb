"""What is known of a session, its subject and its imaging plane, as NWB wants it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime

from pynwb import NWBFile
from pynwb.file import Subject
from pynwb.ophys import ImagingPlane, OpticalChannel

from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.nwb.run import run_record, software
from caiman_pipeline.outcome import Outcome

UNKNOWN = "unknown"


def describe_session(outcome: Outcome, identifier: str, facts: RecordingSettings) -> NWBFile:
    """Return a file with the session, its subject and how it was made.

    Parameters
    ----------
    outcome : Outcome
        Of a recording.
    identifier : str
        What the file is known by.
    facts : RecordingSettings
        What is known of subject and session.

    Returns
    -------
    NWBFile
        Without data.

    Notes
    -----
    Where the session's start is not known, it is the earliest modification time of the raw files, and `notes` say so.
    """
    info = outcome.info
    changed = [datetime.fromtimestamp(f.modified_ns / 1e9, UTC).replace(microsecond=0) for f in info.files]
    start = facts.session_start or min(changed)
    surrogate = "The session's start is not known: it is the earliest modification time of the raw files."
    return NWBFile(
        session_description=facts.session_description,
        identifier=identifier,
        session_start_time=start,
        file_create_date=max(*changed, start),
        session_id=info.recording,
        experimenter=[e.strip() for e in facts.experimenter.split(";")] if facts.experimenter else None,
        lab=facts.lab,
        institution=facts.institution,
        keywords=["calcium imaging", *([facts.indicator] if facts.indicator else [])],
        notes=surrogate if facts.session_start is None else None,
        data_collection=json.dumps(run_record(outcome), sort_keys=True),
        was_generated_by=software(outcome),
        subject=subject_of(facts),
    )


def subject_of(facts: RecordingSettings) -> Subject | None:
    """Return what is known of the subject, none where nothing is; NWB has a letter for an unknown sex."""
    if not (facts.subject_id or facts.species or facts.age or facts.sex):
        return None
    return Subject(subject_id=facts.subject_id, species=facts.species, age=facts.age, sex=facts.sex or "U")


def add_imaging_plane(nwbfile: NWBFile, facts: RecordingSettings, *, dims: Dims, frame_rate_hz: float) -> ImagingPlane:
    """Add what was imaged and how: frames of ``dims`` pixels, [planes x] rows x columns.

    Parameters
    ----------
    nwbfile : NWBFile
        The file that is laid out.
    facts : RecordingSettings
        Size of a pixel, um, indicator, wavelengths, nm, and location.
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.
    frame_rate_hz : float
        Frames (or volumes) per second.

    Returns
    -------
    ImagingPlane
        What the table of components refers to.

    Notes
    -----
    NWB asks for a text on indicator and location and for both wavelengths: what is not known says so, or is NaN.
    """
    pixel_um = facts.pixel_um()
    known = pixel_um is not None and len(pixel_um) == len(dims)
    axes = "planes x rows x columns" if len(dims) == 3 else "rows x columns"
    emitted = facts.emission_nm if facts.emission_nm is not None else math.nan
    return nwbfile.create_imaging_plane(
        name="ImagingPlane",
        description=f"field of view of {' x '.join(map(str, dims))} pixels ({axes})",
        optical_channel=OpticalChannel(
            name="OpticalChannel",
            description=f"emission of {facts.indicator or 'the indicator'}",
            emission_lambda=emitted,
        ),
        device=nwbfile.create_device(name="Microscope", description="calcium imaging microscope"),
        excitation_lambda=facts.excitation_nm if facts.excitation_nm is not None else math.nan,
        indicator=facts.indicator or UNKNOWN,
        location=facts.location or UNKNOWN,
        imaging_rate=frame_rate_hz,
        grid_spacing=[float(s) for s in pixel_um[::-1]] if pixel_um is not None and known else None,
        grid_spacing_unit="micrometers",
    )
