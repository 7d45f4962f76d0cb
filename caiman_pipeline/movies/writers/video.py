"""Videos to look at, or without loss: 8 bits of brightness, through OpenCV's FFmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.writers.target import Append, Target

# FFV1 keeps every bit and is what Miniscopes write; MP4's are small, to be looked at.
LOSSLESS, TO_LOOK_AT = "FFV1", "mp4v"
# Players need some rate; a video shows frames one after the other, not how fast they were taken.
RATE_IF_UNKNOWN_HZ = 30.0
HIGHEST_RATE_HZ = 120.0


@contextmanager
def write_avi(path: Path, target: Target) -> Iterator[Append]:
    """Write AVI with FFV1, without loss."""
    _require_even(path, target)
    with _video(path, target, LOSSLESS, ".avi") as append:
        yield append


@contextmanager
def write_mkv(path: Path, target: Target) -> Iterator[Append]:
    """Write MKV with FFV1, without loss."""
    _require_even(path, target)
    with _video(path, target, LOSSLESS, ".mkv") as append:
        yield append


@contextmanager
def write_mp4(path: Path, target: Target) -> Iterator[Append]:
    """Write MP4 with MPEG-4, which loses a little; the last row or column comes twice where their number is odd."""
    with _video(path, target, TO_LOOK_AT, ".mp4") as append:
        yield append


def _require_even(path: Path, target: Target) -> None:
    """Refuse sizes of which OpenCV would drop the last row or column."""
    if len(target.dims) == 2 and any(n % 2 for n in target.dims):
        raise PipelineError(
            f"{path}: OpenCV writes videos of an even number of rows and columns, not {target.dims}. Crop the movie "
            "(`--rows`, `--columns`), or write another format."
        )


@contextmanager
def _video(path: Path, target: Target, codec: str, suffix: str) -> Iterator[Append]:
    """Write a video under a name with its suffix, which FFmpeg goes by, and rename it."""
    import cv2

    _require_grey_bytes(path, target)
    height, width = (n + n % 2 for n in target.dims)
    rate = min(target.facts.frame_rate_hz or RATE_IF_UNKNOWN_HZ, HIGHEST_RATE_HZ)
    working = path.with_name(path.name + suffix)
    writer = cv2.VideoWriter(str(working), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, (width, height), False)

    def append(frames: NumberArray) -> None:
        margins = [(0, 0), (0, height - frames.shape[1]), (0, width - frames.shape[2])]
        for frame in np.pad(frames, margins, mode="edge"):
            writer.write(np.ascontiguousarray(frame))

    try:
        if not writer.isOpened():
            raise PipelineError(f"{path}: OpenCV cannot write {codec} videos of {width} x {height} pixels here.")
        yield append
        writer.release()
        working.replace(path)
    finally:
        writer.release()
        working.unlink(missing_ok=True)


def _require_grey_bytes(path: Path, target: Target) -> None:
    if len(target.dims) != 2:
        raise PipelineError(f"{path}: a video has no planes, but this movie has {target.dims[0]}. Choose one of them.")
    if target.dtype != np.uint8:
        raise PipelineError(f"{path}: a video holds pixels of 8 bits, not {target.dtype}. Use `--dtype uint8`.")
