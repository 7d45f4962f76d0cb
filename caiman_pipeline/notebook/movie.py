"""Open movies, and hand arrays to what reads movies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.model.arrays import BoolArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Reading
from caiman_pipeline.movies.lazy import ArrayPart, ArrayReader, Movie, RawFrames, StoredFrames
from caiman_pipeline.movies.left_out import kept_parts, record_left_out
from caiman_pipeline.movies.metadata import read_metadata
from caiman_pipeline.movies.modelled import CorrectedMovie
from caiman_pipeline.movies.readers.open import RawMovie, open_movie_files
from caiman_pipeline.movies.store.bounds import part_bounds
from caiman_pipeline.movies.store.parts import MovieStore, open_store


def open_movie(
    path: Path | str | Sequence[Path | str],
    *,
    axes: str | None = None,
    dataset: str | None = None,
    channel: str | int | None = None,
    planes: str | None = None,
) -> Movie:
    """Open a movie without reading its frames.

    Parameters
    ----------
    path : path or list of paths
        TIFF, HDF5, Zarr, NumPy, MATLAB, NWB, Scanbox and other files, see the page on movies. Several are one movie, in
        the order given. The ``movie.json`` of a recording's
        results is its corrected movie.
    axes : str, optional
        Order of the file's axes, like ``TYX``, where it does not say so itself.
    dataset : str, optional
        Path of the movie inside an HDF5 or Zarr file that holds several.
    channel : str or int, optional
        The channel to read of a file that holds several, by its name or number.
    planes : str, optional
        The planes to read, counted from 1, like ``1-3``.

    Returns
    -------
    Movie
        Indexed like an array (T, [D,] H, W), in the file's own type and unit. Of a corrected movie float32; frames that
        take no part in the analysis are NaN.

    Raises
    ------
    PipelineError
        If a file is missing, damaged or of an unknown format, or if its axes, dataset or channel must be named.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> np.save("m.npy", np.zeros((20, 30, 40), np.uint16))
    >>> movie = cp.open_movie("m.npy", axes="TYX")
    >>> movie.shape
    (20, 30, 40)
    >>> movie[5:8, :10, ::2].shape
    (3, 10, 20)
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]
    if len(paths) == 1 and paths[0].suffix == ".json":
        store = open_store(paths[0])
        return Movie(StoredFrames(store), store.frame_rate_hz)
    named = None if channel is None else str(channel)
    raw = open_movie_files(paths, Reading(axes, dataset, named, planes))
    step = RecordingSettings(planes=planes).plane_step()
    facts = {read_metadata(p, dataset).every_nth_plane(step) for p in paths}
    # What the files do not agree about is not known.
    rate, size, spacing = (
        values.pop() if len(values := {getattr(f, name) for f in facts}) == 1 else None
        for name in ("frame_rate_hz", "pixel_size_um", "plane_spacing_um")
    )
    return Movie(RawFrames(raw), rate, size, spacing, raw.notes)


def as_movie(movie: Any) -> Movie:
    """Return a movie as it is, and an array (T, [D,] H, W) as a movie.

    Raises
    ------
    PipelineError
        If the array has no such shape, or its values are no numbers.
    """
    return movie if isinstance(movie, Movie) else Movie(RawFrames(RawMovie((ArrayReader(movie),))))


def as_raw(movie: Movie) -> RawMovie:
    """Return a movie as the motion correction reads it."""
    if isinstance(movie.frames, StoredFrames):
        return RawMovie((CorrectedMovie(movie.frames.store),))
    return movie.frames.movie if isinstance(movie.frames, RawFrames) else RawMovie((ArrayReader(movie),))


def as_store(movie: Movie, frame_rate_hz: float) -> MovieStore:
    """Return a movie as the extraction reads it, part by part; nothing is copied.

    Frames without a finite pixel are left out.
    """
    if isinstance(movie.frames, StoredFrames):
        return replace(movie.frames.store, frame_rate_hz=frame_rate_hz)
    bounds = part_bounds(movie.n_frames, movie.dims)
    parts = [ArrayPart(movie, start, stop) for start, stop in bounds]
    empty = np.concatenate([_without_value(movie, start, stop) for start, stop in bounds])
    if empty.all():
        raise PipelineError("no pixel of any frame is a finite number. Is this the right array?")
    left_out = record_left_out(movie.n_frames, {"empty": np.flatnonzero(empty)})
    valid = np.ones(movie.dims, bool)
    return MovieStore(movie.dims, frame_rate_hz, kept_parts(parts, ~empty), valid, left_out)


def _without_value(movie: Movie, start: int, stop: int) -> BoolArray:
    """Return which frames have no finite pixel, bool (stop - start,)."""
    if movie.dtype.kind != "f":
        return np.zeros(stop - start, bool)
    return np.all(~np.isfinite(movie[start:stop]).reshape(stop - start, -1), axis=1)
