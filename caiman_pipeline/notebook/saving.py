"""Write movies to files of any format, and make movies relative to their resting level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.baseline import RESTING_QUANTILE, RelativeKind, RelativeMovie
from caiman_pipeline.movies.lazy import Movie, RawFrames
from caiman_pipeline.movies.metadata import FileMetadata
from caiman_pipeline.movies.pieces import Piece
from caiman_pipeline.movies.readers.open import FrameReader, RawMovie
from caiman_pipeline.movies.writers.open import VIDEOS, format_of, write_movie
from caiman_pipeline.movies.writers.values import Conversion, quantile_limits
from caiman_pipeline.notebook.movie import as_movie, as_raw
from caiman_pipeline.notebook.settings import make_config, unreported

NWB, NWB_SERIES = "nwb", "TwoPhotonSeries"
# Between these quantiles a video is stretched where nothing is said: a few hot pixels do not make it dark.
VIDEO_QUANTILES = (0.005, 0.998)
Span = tuple[int, int] | None


def save_movie(
    movie: Any,
    path: Path | str,
    *,
    format: str | None = None,
    dtype: str | None = None,
    quantiles: tuple[float, float] | None = None,
    frames: Span = None,
    rows: Span = None,
    columns: Span = None,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = unreported,
) -> None:
    """Write a movie to a file, block by block; memory does not grow with its length.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W).
    path : path
        File to write, or folder for Zarr. Its suffix says the format: TIFF (OME), HDF5, Zarr (OME-NGFF), NPY, NPZ, MAT
        (7.3), NWB, AVI and MKV (8 bits without loss), MP4 (to look at).
    format : str, optional
        The format, where the suffix does not say it: ``imagej`` for a TIFF hyperstack of ImageJ.
    dtype : str, optional
        Type of the pixels, like ``uint16``; that of the movie where nothing is said, of videos ``uint8``.
    quantiles : (float, float), optional
        Stretch values between these quantiles of the movie over the type's range. Videos of other than 8 bits are
        stretched between 0.005 and 0.998 where nothing is said.
    frames, rows, columns : (int, int), optional
        Write only these, the second not included.
    facts : mapping, optional
        What is known of the recording, by the keys of `recording`: ``frame_rate_hz``, ``pixel_size_um`` and others.
        They are taken before those that the movie states itself.
    overwrite : bool, optional
        Write over a file that is there.
    progress : callable, optional
        Is told the frames done and in all.

    Raises
    ------
    PipelineError
        If the format is not known or cannot hold the movie, a fact does not fit, a value does not fit the type, or the
        file is there already.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> frames = np.random.default_rng(0).integers(0, 4000, (50, 20, 30), dtype=np.uint16)
    >>> cp.save_movie(frames, "noise.tif", facts={"frame_rate_hz": 30}, overwrite=True)
    >>> cp.open_movie("noise.tif")
    Movie of 50 frames of 20 x 30 pixels, uint16, 30 Hz
    """
    opened, path = as_movie(movie), Path(path)
    known = _known(opened, facts)
    name = NWB if path.suffix.lower() == ".nwb" or format == NWB else format_of(path, format)
    if path.exists() and not overwrite:
        raise PipelineError(f"{path}: is there already. Write elsewhere, or say that it may be written over.")
    source = _piece(as_raw(opened), frames, rows, columns)
    conversion = _conversion(source, dtype, quantiles, video=name in VIDEOS)
    if name == NWB:
        from caiman_pipeline.nwb.movie import write_nwb_movie

        write_nwb_movie(path, source, facts=known, series=NWB_SERIES, conversion=conversion, progress=progress)
        return
    written = FileMetadata(known.frame_rate_hz, _in_plane(known), known.plane_spacing_um)
    write_movie(path, source, facts=written, name=name, conversion=conversion, progress=progress)


def relative_movie(
    movie: Any,
    *,
    kind: RelativeKind = "dff",
    frame_rate_hz: float | None = None,
    window_s: float | None = None,
    quantile: float | None = None,
    dark_level: float | None = None,
) -> Movie:
    """Return a movie relative to the resting level F0 of each pixel, made frame by frame as it is indexed.

    Parameters
    ----------
    movie : array or Movie
        (T, [D,] H, W).
    kind : str, optional
        ``dff``: (F - F0) / F0; ``dff_sqrt``: (F - F0) / sqrt(F0), whose noise is alike where light is much and little;
        ``difference``: F - F0.
    frame_rate_hz : float, optional
        Frames per second, where the movie does not state it.
    window_s : float, optional
        Length of the windows in which the level is looked for, seconds; that of `traces.f0_window_s` where nothing is
        said.
    quantile : float, optional
        Of a window's values, between 0 and 1, that is its level; 0.08 where nothing is said.
    dark_level : float, optional
        Pixel value without light; that of `traces.dark_level` where nothing is said.

    Returns
    -------
    Movie
        float32 (T, [D,] H, W). NaN where F0 is not above 0.

    Raises
    ------
    PipelineError
        If the frame rate is not known, or a number is out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> light = np.full((100, 4, 6), 50.0)
    >>> light[40] *= 3
    >>> dff = cp.relative_movie(light, frame_rate_hz=10)
    >>> float(dff[40, 0, 0]), float(dff[7, 1, 1])
    (2.0, 0.0)
    """
    opened, own = as_movie(movie), TraceSettings()
    rate = frame_rate_hz or opened.frame_rate_hz
    if not rate or rate <= 0:
        raise PipelineError("`frame_rate_hz` must be given and above 0: the movie does not state it.")
    made = RelativeMovie(
        as_raw(opened),
        window_frames=round((own.f0_window_s if window_s is None else window_s) * rate),
        quantile=RESTING_QUANTILE if quantile is None else quantile,
        kind=kind,
        dark_level=own.dark_level if dark_level is None else dark_level,
    )
    return replace(opened, frames=RawFrames(RawMovie((made,))), frame_rate_hz=rate)


def with_facts(movie: Movie, facts: Mapping[str, Any]) -> Movie:
    """Return a movie with what is known of it, by the keys of ``recording``, before what it states itself.

    Raises
    ------
    PipelineError
        If a fact does not fit.
    """
    known = _known(movie, facts)
    return replace(
        movie,
        frame_rate_hz=known.frame_rate_hz,
        pixel_size_um=_in_plane(known),
        plane_spacing_um=known.plane_spacing_um,
    )


def _known(movie: Movie, facts: Mapping[str, Any] | None) -> RecordingSettings:
    """Return what is said of a recording, and where nothing is said what its movie states."""
    size = movie.pixel_size_um
    stated = {
        "frame_rate_hz": movie.frame_rate_hz,
        "pixel_size_um": list(size) if size else None,
        "plane_spacing_um": movie.plane_spacing_um,
    }
    return make_config(None, {**stated, **(facts or {})}).recording


def _in_plane(facts: RecordingSettings) -> tuple[float, float] | None:
    size = facts.pixel_size_um
    if size is None:
        return None
    sizes = size.in_plane
    return float(sizes[0]), float(sizes[-1])


def _piece(movie: FrameReader, frames: Span, rows: Span, columns: Span) -> FrameReader:
    if frames is None and rows is None and columns is None:
        return movie
    whole = [(0, n) for n in movie.dims]
    bounds = (*whole[:-2], rows or whole[-2], columns or whole[-1])
    return Piece(movie, frames or (0, movie.n_frames), bounds)


def _conversion(
    movie: FrameReader, dtype: str | None, quantiles: tuple[float, float] | None, *, video: bool
) -> Conversion:
    """Return how pixels are written; videos are stretched to 8 bits where they are of another type."""
    if video and np.dtype(movie.dtype) != np.uint8 and quantiles is None:
        quantiles = VIDEO_QUANTILES
    try:
        wanted = np.dtype(dtype or ("uint8" if video else movie.dtype))
    except TypeError as error:
        raise PipelineError(
            f"no type of pixels is called {dtype!r}. There are uint8, uint16, int16, float32 ..."
        ) from error
    if wanted.kind not in "iuf":
        raise PipelineError(f"pixels are written as whole numbers or floats, not as {wanted}.")
    return Conversion(wanted, quantile_limits(movie, *quantiles) if quantiles else None)
