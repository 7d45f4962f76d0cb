"""A movie as an NWB file of its own: a series of two-photon or one-photon images with its imaging plane."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ophys import OnePhotonSeries, TwoPhotonSeries

from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.open import FrameReader
from caiman_pipeline.movies.writers.open import blocks
from caiman_pipeline.movies.writers.values import Conversion
from caiman_pipeline.numerics.threads import stream_ordered
from caiman_pipeline.nwb.session import add_imaging_plane, subject_of
from caiman_pipeline.results.atomic import whole_file

SERIES = {"TwoPhotonSeries": TwoPhotonSeries, "OnePhotonSeries": OnePhotonSeries}
# What the file cannot do without.
NEEDED = ("frame_rate_hz", "session_start")


def write_nwb_movie(
    path: Path | str,
    movie: FrameReader,
    *,
    facts: RecordingSettings,
    series: str,
    conversion: Conversion,
    progress: Callable[[int, int], None],
) -> None:
    """Write a movie as an NWB file, whole or not at all; frames are (t, columns, rows[, planes]), as NWB asks.

    Parameters
    ----------
    path : file to write
    movie : frames on demand
    facts : what is known of the recording: frame rate and the session's start must be
    series : ``TwoPhotonSeries`` or ``OnePhotonSeries``
    conversion : how pixels are turned into those of the file
    progress : is told the frames done and in all

    Raises
    ------
    PipelineError
        If a fact is missing that the file cannot do without, or a frame cannot be read or written.
    """
    missing = [name for name in NEEDED if getattr(facts, name) is None]
    if missing:
        raise PipelineError(f"{path}: an NWB file needs {' and '.join(f'`{m}`' for m in missing)}; give it as a fact.")
    with whole_file(path) as temporary:
        nwbfile = _describe(movie, facts, series, conversion.dtype)
        with h5py.File(temporary, "w") as file:
            NWBHDF5IO(file=file, mode="w").write(nwbfile)
            data = file[f"acquisition/{series}/data"]
            for start, stop, frames in _converted(movie, conversion):
                data[start:stop] = frames.transpose(0, *reversed(range(1, frames.ndim)))
                progress(stop, movie.n_frames)


def _converted(movie: FrameReader, conversion: Conversion) -> Any:
    def block(span: tuple[int, int]) -> tuple[int, int, Any]:
        return *span, conversion.apply(movie.read(*span), first=span[0])

    return stream_ordered(block, blocks(movie), 2)


def _describe(movie: FrameReader, facts: RecordingSettings, series: str, dtype: np.dtype) -> NWBFile:
    assert facts.frame_rate_hz is not None
    words = f"{facts.session_start} {movie.n_frames} {movie.dims} {facts.subject_id} {series}"
    nwbfile = NWBFile(
        session_description=facts.session_description,
        identifier=hashlib.blake2b(words.encode(), digest_size=16).hexdigest(),
        session_start_time=facts.session_start,
        experimenter=[e.strip() for e in facts.experimenter.split(";")] if facts.experimenter else None,
        lab=facts.lab,
        institution=facts.institution,
        subject=subject_of(facts),
    )
    shape = (movie.n_frames, *reversed(movie.dims))
    nwbfile.add_acquisition(
        SERIES[series](
            name=series,
            description="movie, frames of columns x rows" + (" x planes" if len(movie.dims) == 3 else ""),
            imaging_plane=add_imaging_plane(nwbfile, facts, dims=movie.dims, frame_rate_hz=facts.frame_rate_hz),
            data=H5DataIO(shape=shape, dtype=dtype, chunks=(1, *shape[1:]), compression="gzip", compression_opts=1),
            rate=facts.frame_rate_hz,
            unit="a.u.",
        )
    )
    return nwbfile
