"""Motion correction of a movie or an array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from caiman_pipeline import __version__
from caiman_pipeline.config.inspect import InspectSettings
from caiman_pipeline.config.motion import MotionSettings
from caiman_pipeline.config.root import settings_for
from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import MotionMeasures, Shifts
from caiman_pipeline.model.movie import MovieInfo, Reading, SourceFile
from caiman_pipeline.motion.correct import correct_block
from caiman_pipeline.motion.in_pixels import make_plan
from caiman_pipeline.motion.join import Joined, find_parts, join_recording
from caiman_pipeline.motion.make import build
from caiman_pipeline.motion.saved import make_correction, open_source
from caiman_pipeline.movies.inspect import inspect_frames
from caiman_pipeline.movies.lazy import ArrayPart, Movie, StoredFrames
from caiman_pipeline.movies.left_out import kept_parts
from caiman_pipeline.movies.readers.open import RawMovie
from caiman_pipeline.movies.store.bounds import block_parts
from caiman_pipeline.movies.store.parts import MovieStore, write_index
from caiman_pipeline.notebook.movie import as_movie, as_raw, open_movie
from caiman_pipeline.notebook.settings import Settings, config_of, threads_of, unreported
from caiman_pipeline.results.atomic import whole_folder
from caiman_pipeline.results.files import save_result
from caiman_pipeline.results.records import motion_to_arrays

PARTS, INDEX, MOTION = "parts", "movie.json", "motion.h5"


@dataclass(frozen=True)
class CorrectedMotion:
    """A movie without its motion.

    Attributes
    ----------
    movie : corrected, float32 (T, [D,] H, W); frames that are left out are NaN
    shifts : displacement of the scene in each frame, pixels
    template : float32 (*dims), the image that frames were registered to
    method : how frames were corrected: none, rigid or piecewise
    measures : what the stage measured
    warnings : what is to be looked at
    """

    movie: Movie
    shifts: Shifts
    template: FloatArray
    method: str
    measures: MotionMeasures
    warnings: tuple[str, ...]


def correct_motion(
    movie: Any,
    *,
    frame_rate_hz: float | None = None,
    settings: Settings = None,
    folder: Path | str | None = None,
    threads: int = 0,
) -> CorrectedMotion:
    """Find how the scene moves, and undo it.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W), any integer or float type and unit.
    frame_rate_hz : float, optional
        Frames (or volumes) per second, where the movie does not state it.
    settings : mapping or path, optional
        Sections `inspect`, `motion` and `recording` as in config.yaml, like ``{"motion": {"max_shift": "10 px"}}``, or
        the path of a config. What is not named has its default.
    folder : path, optional
        New folder for the corrected movie. Where none is given it is kept in memory, 4 bytes per pixel and frame.
    threads : int, optional
        Threads to use; 0 for all cores that were granted.

    Returns
    -------
    CorrectedMotion
        The corrected movie, the displacement of each frame in pixels, and what was measured.

    Raises
    ------
    PipelineError
        If the movie is too short, most of its frames hold nothing, or a setting does not fit.

    References
    ----------
    Pnevmatikakis & Giovannucci (2017), J Neurosci Methods, https://doi.org/10.1016/j.jneumeth.2017.07.031.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> rng = np.random.default_rng(0)
    >>> scene = np.kron(rng.normal(size=(18, 24)), np.ones((3, 3)))     # 54 x 72 pixels
    >>> steps = rng.integers(-2, 3, size=(60, 2))                       # rows, columns
    >>> raw = np.stack([np.roll(scene, s, (0, 1)) for s in steps]) + rng.normal(0, 0.1, (60, 54, 72))
    >>> found = cp.correct_motion(100 + 20 * raw, frame_rate_hz=10)
    >>> error = found.shifts.rigid - steps
    >>> bool(np.abs(error - np.median(error, axis=0)).max() < 0.2)
    True
    """
    opened = as_movie(movie)
    config, rate = config_of(opened, settings, {"frame_rate_hz": frame_rate_hz})
    used = threads_of(threads)
    own, _ = settings_for(config, MotionSettings)
    raw = as_raw(opened)
    info = _look(raw, settings_for(config, InspectSettings)[0], rate, listed=own.bad_frames, threads=used)
    if folder is None:
        with TemporaryDirectory() as temporary:
            joined = _correct(raw, info, own, Path(temporary), threads=used)
            corrected = _in_memory(Path(temporary), info, joined)
    else:
        if Path(folder).exists():
            raise PipelineError(f"{folder}: is there already, and would be written over. Give a new folder.")
        with whole_folder(folder) as temporary_folder:
            joined = _correct(raw, info, own, temporary_folder / PARTS, threads=used)
            _write(temporary_folder, info, joined, own)
        corrected = open_movie(Path(folder) / INDEX)
    return CorrectedMotion(
        movie=corrected,
        shifts=joined.shifts,
        template=joined.measures.template,
        method=joined.measures.method,
        measures=joined.measures,
        warnings=(*info.warnings, *joined.warnings),
    )


def _look(raw: RawMovie, settings: InspectSettings, rate: float, *, listed: tuple[str, ...], threads: int) -> MovieInfo:
    """Inspect a movie that is opened already."""
    info, _ = inspect_frames(
        "the movie",
        raw,
        (SourceFile("the movie", raw.n_frames, 0, 0),),
        reading=Reading(),
        frame_rate_hz=rate,
        min_frames=settings.min_frames,
        max_bad_fraction=settings.max_bad_fraction,
        checksums=False,
        threads=threads,
        progress=unreported,
        listed=listed,
        stated={},
    )
    return info


def _correct(raw: RawMovie, info: MovieInfo, settings: MotionSettings, folder: Path, *, threads: int) -> Joined:
    """Make the template, write the corrected movie's parts into a folder, and bring the measures together."""
    folder.mkdir(exist_ok=True)
    plan = make_plan(settings, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
    template = build(info, plan, settings, threads=threads, progress=unreported, movie=raw)
    source = open_source(info, plan, settings, scan_offset_px=template.scan_offset_px, movie=raw)
    values = (info.value_min, info.value_max)
    correction = make_correction(source, template, plan, settings=settings, values=values, threads=threads)
    parts = block_parts(info.n_frames, plan.dims, 0, 1)
    block = correct_block(source, parts, folder, correction=correction, progress=unreported)
    return join_recording([block], template, info, settings)


def _in_memory(folder: Path, info: MovieInfo, joined: Joined) -> Movie:
    """Return the corrected movie as one that is held in memory, float32."""
    dims, kept = joined.measures.valid.shape, joined.measures.left_out == 0
    frames, parts = np.empty((info.n_frames, *dims), np.float32), []
    for part in find_parts([folder], n_frames=info.n_frames, dims=dims):
        frames[part.start : part.stop] = np.moveaxis(part.read(), -1, 0)
        parts.append(ArrayPart(frames, part.start, part.stop))
    valid, left_out = joined.measures.valid, joined.measures.left_out
    store = MovieStore(dims, info.frame_rate_hz, kept_parts(parts, kept), valid, left_out)
    return Movie(StoredFrames(store), info.frame_rate_hz)


def _write(folder: Path, info: MovieInfo, joined: Joined, settings: MotionSettings) -> None:
    """Write the corrected movie's index and what was measured, as the stage does."""
    stored, dims = settings.model_dump(mode="json"), joined.measures.valid.shape
    write_index(
        folder / INDEX,
        dims=dims,
        frame_rate_hz=info.frame_rate_hz,
        parts=find_parts([folder / PARTS], n_frames=info.n_frames, dims=dims),
        valid=joined.measures.valid,
        source={"version": __version__, "settings": stored},
        left_out=joined.measures.left_out,
    )
    arrays = {**motion_to_arrays(joined.shifts, joined.measures), "warnings": joined.warnings}
    save_result(folder / MOTION, kind="motion", arrays=arrays, settings=stored, source={})
