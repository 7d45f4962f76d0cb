"""Look at a recording's files: sizes, range, saturation, and frames that hold nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from caiman_pipeline.config.bad_frames import frames_listed
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Bounds, MovieInfo, Reading, SourceFile
from caiman_pipeline.movies.borders import border_warnings, confirmed_border, filled_depths
from caiman_pipeline.movies.brightness import brightness_steps, step_text
from caiman_pipeline.movies.identity import Checksums, identify, require_past
from caiman_pipeline.movies.metadata import RATE_TOLERANCE, differs, read_metadata
from caiman_pipeline.movies.readers.open import RawMovie, open_movie_files
from caiman_pipeline.movies.saturation import saturated_counts
from caiman_pipeline.numerics.threads import stream_ordered

# Bytes of frames that are looked at together; changes no result.
CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class FrameStats:
    """What one look at every frame tells.

    Attributes
    ----------
    mean, minimum, maximum, saturated : float64 (T,), the last one a count of pixels at the frame's largest value, and
        of saturated ones once that is known
    finite_always, finite_ever : bool dims
    depths : int32 (T, ndim, 2), lines that were filled in at each end of each axis
    """

    mean: FloatArray
    minimum: FloatArray
    maximum: FloatArray
    saturated: FloatArray
    finite_always: BoolArray
    finite_ever: BoolArray
    depths: IntArray


def inspect_recording(
    recording: str,
    files: list[str],
    *,
    reading: Reading,
    frame_rate_hz: float,
    min_frames: int,
    max_bad_fraction: float,
    checksums: bool = False,
    threads: int,
    progress: Callable[[int, int], None],
    listed: Sequence[str] = (),
) -> tuple[MovieInfo, FrameStats]:
    """Open a recording's files, read every frame once, and describe what is there.

    Parameters
    ----------
    recording : str
        Its name.
    files : list of str
        In the order in which they were recorded.
    reading : Reading
        What sheet and config say of how to read them.
    frame_rate_hz : float
        Frames (or volumes) per second.
    min_frames : int
        Fewest frames to go on with.
    max_bad_fraction : float
        Share of frames that may be constant, black or not finite, 0 to 1.
    checksums : bool
        Note the SHA-256 of the files.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames read so far, and all of them.
    listed : sequence of str
        Frames that the user names as bad, see ``config.bad_frames``: they count for nothing here either.

    Returns
    -------
    info : MovieInfo
        The description.
    stats : FrameStats
        Statistics of every frame, in raw pixel values.

    Raises
    ------
    PipelineError
        If a file is missing, damaged or does not fit the others, if there are too few frames or too many that are
        constant, if frames are listed that the recording does not have, or if pixels inside the image are not finite.
    """
    require_past(files)
    movie = open_movie_files(list(files), reading)
    _require_frames(files[0], movie, min_frames)
    counts = [reader.n_frames for reader in movie.readers]
    known = tuple(identify(path, n, n_files=len(files)) for path, n in zip(files, counts, strict=True))
    return inspect_frames(
        recording,
        movie,
        known,
        reading=reading,
        frame_rate_hz=frame_rate_hz,
        min_frames=min_frames,
        max_bad_fraction=max_bad_fraction,
        checksums=checksums,
        threads=threads,
        progress=progress,
        listed=listed,
        stated=_stated_rates(files, reading.dataset),
    )


def _require_frames(path: str, movie: RawMovie, min_frames: int) -> None:
    if movie.n_frames < min_frames:
        raise PipelineError(
            f"{path}: {movie.n_frames} frames of {movie.dims}, at least {min_frames} are needed "
            "(`inspect.min_frames`). Are the axes right, and all files listed?"
        )


def inspect_frames(
    recording: str,
    movie: RawMovie,
    known: tuple[SourceFile, ...],
    *,
    reading: Reading,
    frame_rate_hz: float,
    min_frames: int,
    max_bad_fraction: float,
    checksums: bool,
    threads: int,
    progress: Callable[[int, int], None],
    listed: Sequence[str],
    stated: Mapping[str, float | None],
) -> tuple[MovieInfo, FrameStats]:
    """Read every frame of an open movie once, and describe what is there; see ``inspect_recording``.

    Parameters
    ----------
    recording : str
        Its name.
    movie : RawMovie
        Its frames.
    known : tuple of SourceFile
        The movie's files, or one entry that stands for an array.
    reading : Reading
        What sheet and config say of how to read them.
    frame_rate_hz : float
        Frames (or volumes) per second.
    min_frames : int
        Fewest frames to go on with.
    max_bad_fraction : float
        Share of frames that may be constant, black or not finite, 0 to 1.
    checksums : bool
        Note the SHA-256 of the files.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames read so far, and all of them.
    listed : sequence of str
        Frames that the user names as bad.
    stated : dict of str to float or None
        Frame rate that each file states, Hz, by path.

    Returns
    -------
    info : MovieInfo
        The description.
    stats : FrameStats
        Statistics of every frame, in raw pixel values.

    Raises
    ------
    PipelineError
        If there are too few frames or too many that are constant, if frames are listed that the recording does not
        have, or if pixels inside the image are not finite.
    """
    files = [file.path for file in known]
    _require_frames(files[0], movie, min_frames)
    named = frames_listed(listed, [(file.path, file.n_frames) for file in known])
    with Checksums(known if checksums else ()) as following:
        stats = scan_frames(movie, threads=threads, progress=following.follow(progress))
        known = following.finished() or known
    bad = np.flatnonzero(~(stats.maximum > stats.minimum))
    if len(bad) > max_bad_fraction * movie.n_frames:
        raise PipelineError(
            f"{files[0]}: {len(bad)} of {movie.n_frames} frames are constant, black or not finite "
            f"(allowed: {max_bad_fraction:.0%}, `inspect.max_bad_fraction`). Is this the right file?"
        )
    if not np.isfinite(stats.maximum).any():
        raise PipelineError(f"{files[0]}: no pixel of any frame is a finite number. Is this the right file?")
    kept = _frames_kept(files[0], bad, named, n_frames=movie.n_frames, min_frames=min_frames)
    stats = replace(
        stats,
        saturated=saturated_counts(movie, stats.saturated, stats.maximum, kept=kept),
        depths=np.where(kept[:, None, None], stats.depths, 0),
    )
    info = MovieInfo(
        recording=recording,
        files=known,
        axes=reading.axes,
        dataset=reading.dataset,
        dims=movie.dims,
        dtype=str(movie.dtype),
        frame_rate_hz=frame_rate_hz,
        value_min=float(np.nanmin(stats.minimum[kept])),
        value_max=float(np.nanmax(stats.maximum[kept])),
        saturated_fraction=float(stats.saturated.sum() / (np.count_nonzero(kept) * prod(movie.dims))),
        bad_frames=tuple(int(i) for i in bad),
        border_px=border_px(files[0], movie, stats),
        warnings=(),
        channel=reading.channel,
        planes=reading.planes,
    )
    steps = brightness_steps([f.n_frames for f in info.files], stats.mean, np.flatnonzero(~kept).tolist())
    told = [step_text(info, *step) for step in steps]
    warnings = (*movie.notes, *_warnings(info, stated), *told, *border_warnings(info, stats.depths))
    return replace(info, warnings=warnings), stats


def _frames_kept(path: str, bad: IntArray, named: tuple[int, ...], *, n_frames: int, min_frames: int) -> BoolArray:
    """Return which frames take part, bool (T,): all where none holds anything.

    Raises
    ------
    PipelineError
        If fewer are left than are worth analysing.
    """
    kept = np.ones(n_frames, bool)
    kept[[*bad, *named]] = False
    if len(bad) == n_frames:
        return ~kept
    if kept.sum() < min_frames:
        raise PipelineError(
            f"{path}: {kept.sum()} of {n_frames} frames are left without those that are listed as bad "
            f"({len(named)}, `motion.bad_frames`) or hold nothing ({len(bad)}); at least {min_frames} are needed "
            "(`inspect.min_frames`)."
        )
    return kept


def _stated_rates(files: list[str], dataset: str | None) -> dict[str, float | None]:
    return {path: read_metadata(path, dataset).frame_rate_hz for path in files}


def _warnings(info: MovieInfo, rates: Mapping[str, float | None]) -> list[str]:
    warnings = []
    other = [path for path, rate in rates.items() if differs(info.frame_rate_hz, rate, RATE_TOLERANCE)]
    if other:
        warnings.append(
            f"`frame_rate_hz` is {info.frame_rate_hz:g}, but {Path(other[0]).name} says {rates[other[0]]:g}"
        )
    if info.ceiling is not None:
        warnings.append(f"{info.saturated_fraction:.2%} of pixel values are saturated at {info.ceiling:g}")
    if info.bad_frames:
        shown = ", ".join(map(str, info.bad_frames[:10])) + (" ..." if len(info.bad_frames) > 10 else "")
        warnings.append(f"{len(info.bad_frames)} frames are constant, black or not finite: {shown}")
    return warnings


def scan_frames(movie: RawMovie, *, threads: int, progress: Callable[[int, int], None]) -> FrameStats:
    """Read every frame once, in chunks of bounded size, and collect its statistics.

    Parameters
    ----------
    movie : RawMovie
        The frames.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames read so far, and all of them.

    Returns
    -------
    FrameStats
        Statistics of every frame, in raw pixel values.
    """
    frame_bytes = prod(movie.dims) * np.dtype(movie.dtype).itemsize
    length = int(np.clip(CHUNK_BYTES // frame_bytes, 1, 2048))
    starts = range(0, movie.n_frames, length)
    is_float = np.dtype(movie.dtype).kind == "f"

    def scan(start: int) -> tuple[IntArray, FloatArray, BoolArray | None, BoolArray | None]:
        frames = movie.read(start, min(start + length, movie.n_frames))
        return filled_depths(frames), *_scan_chunk(frames, is_float)

    rows, depths, always, ever = [], [], np.ones(movie.dims, bool), np.zeros(movie.dims, bool)
    scanned = stream_ordered(scan, starts, threads)
    for start, (chunk_depths, table, chunk_always, chunk_ever) in zip(starts, scanned, strict=True):
        rows.append(table)
        depths.append(chunk_depths)
        always &= True if chunk_always is None else chunk_always
        ever |= True if chunk_ever is None else chunk_ever
        progress(min(start + length, movie.n_frames), movie.n_frames)
    mean, low, high, saturated = np.concatenate(rows, axis=1)
    return FrameStats(mean, low, high, saturated, always, ever, np.concatenate(depths))


def _scan_chunk(frames: NumberArray, is_float: bool) -> tuple[FloatArray, BoolArray | None, BoolArray | None]:
    flat = frames.reshape(len(frames), -1)
    if not is_float:
        high = flat.max(1)
        at_top = np.zeros(len(frames))
        suspects = np.flatnonzero(high == high.max())
        at_top[suspects] = np.count_nonzero(flat[suspects] == high.max(), axis=1)
        return np.stack([flat.mean(1, dtype=np.float64), flat.min(1), high, at_top]).astype(np.float64), None, None
    finite = np.isfinite(frames)
    whole = finite.reshape(len(frames), -1).any(1)
    masked = np.where(finite, frames, np.nan).reshape(len(frames), -1)
    masked[~whole] = 0.0
    high = np.nanmax(masked, axis=1)
    table = np.stack([np.nanmean(masked, axis=1), np.nanmin(masked, axis=1), high, (masked == high[:, None]).sum(1)])
    table = table.astype(np.float64)
    table[:3, ~whole] = np.nan
    return table, np.all(finite[whole], axis=0), np.any(finite[whole], axis=0)


def border_px(path: str, movie: RawMovie, stats: FrameStats) -> Bounds:
    """Return how many pixels at each end of each axis are not finite or filled in, in some frame.

    Parameters
    ----------
    path : str
        The file, for messages.
    movie : RawMovie
        The frames.
    stats : FrameStats
        What a look at every frame told.

    Returns
    -------
    tuple of (int, int)
        Pixels before and after along each axis.

    Raises
    ------
    PipelineError
        If pixels inside that border are not finite either, or nothing is inside of it.
    """
    finite = finite_border(path, stats.finite_always, stats.finite_ever)
    filled = confirmed_border(movie.read_frames, stats.depths)
    border = tuple((max(a, c), max(b, d)) for (a, b), (c, d) in zip(finite, filled, strict=True))
    if any(before + after >= n for (before, after), n in zip(border, movie.dims, strict=True)):
        raise PipelineError(
            f"{path}: edges without an image (constant or repeated lines, {border} pixels at the ends of the axes) "
            f"leave nothing of frames of {movie.dims}. Is this the right file, and are its axes right?"
        )
    return border


def finite_border(path: str, always: BoolArray, ever: BoolArray) -> Bounds:
    """Return how many pixels at each end of each axis are not always finite.

    Parameters
    ----------
    path : str
        The file, for messages.
    always : bool (*dims)
        Pixels that are finite in every frame.
    ever : bool (*dims)
        Pixels that are finite in some frame.

    Returns
    -------
    tuple of (int, int)
        Pixels before and after along each axis.

    Raises
    ------
    PipelineError
        If pixels inside that border are not finite either.
    """
    if always.all():
        return ((0, 0),) * always.ndim
    rows_ok = [always.mean(axis=tuple(j for j in range(always.ndim) if j != i)) for i in range(always.ndim)]
    best = [row >= 0.5 * row.max() if row.max() > 0 else row > 0 for row in rows_ok]
    border = tuple((int(np.argmax(ok)), int(np.argmax(ok[::-1]))) for ok in best)
    inside = always[tuple(slice(a, n - b) for (a, b), n in zip(border, always.shape, strict=True))]
    if not inside.size or not inside.all():
        count = int(np.count_nonzero(~inside)) if inside.size else int(always.size)
        raise PipelineError(
            f"{path}: {count} pixels inside the image are NaN or infinite in some frame (a border of such pixels is "
            "fine, holes are not). Fill or crop them before the analysis."
        )
    return border
