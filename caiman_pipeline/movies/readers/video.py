"""Videos (AVI, MP4 and others that FFmpeg decodes), as miniscopes write them: grey frames, one after the other."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims, Reading
from caiman_pipeline.movies.readers.choices import Channel, choose_channel, choose_planes

if TYPE_CHECKING:
    import cv2

# FFmpeg's names of grey pixels, which are handed over as they are stored: 8 and 16 bits.
GREY: dict[bytes, np.dtype] = {b"Y800": np.dtype(np.uint8), b"Y1\x00\x10": np.dtype(np.uint16)}
COLOURS = (Channel(1, "red"), Channel(2, "green"), Channel(3, "blue"))
# Frames by which containers count too many without being cut short: those that only others are made from.
UNCOUNTED = 2
# Frames looked at to tell a grey video from one in colour.
LOOKED_AT = 16
# Values by which the colours of a grey video may differ once they were stored as brightness and two differences.
ALMOST_GREY = 2


class VideoReader:
    """A video, decoded from the front: the only way that finds the same frame in every container and codec.

    Notes
    -----
    Going on from where the last reading ended decodes nothing twice; going back starts again. Frames are counted when
    the file is opened, by decoding it once: what containers say is often wrong, and their seeking by time misses frames
    where some were dropped.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self._path, self._lock = str(path), Lock()
        _check_reading(self._path, reading)
        self._capture, self._next = _opened(self._path), 0
        self.dtype: np.dtype = GREY.get(_pixel_format(self._capture), np.dtype(np.uint8))
        self.n_frames, self._colour = self._look(reading)
        self.dims: Dims = (_number(self._capture, "FRAME_HEIGHT"), _number(self._capture, "FRAME_WIDTH"))
        claimed = _number(self._capture, "FRAME_COUNT")
        if claimed - self.n_frames > UNCOUNTED:
            raise PipelineError(
                f"{path}: the video is cut short: it says that it has {claimed} frames, {self.n_frames} can be "
                "decoded. "
                "Copy it again from its source, or save the frames that are there as a video of their own."
            )
        self._restart()

    def read(self, start: int, stop: int) -> NumberArray:
        """Return frames ``start`` to ``stop`` as (t, H, W)."""
        frames = np.empty((stop - start, *self.dims), self.dtype)
        with self._lock:
            if start < self._next:
                self._restart()
            while self._next < start:
                self._advance()
            for place in range(stop - start):
                self._advance()
                frames[place] = self._decoded()
        return frames

    def _look(self, reading: Reading) -> tuple[int, int]:
        """Return how many frames can be decoded, and which colour (blue, green, red) is read."""
        grey, count = True, 0
        while self._capture.grab():
            if count < LOOKED_AT:
                image = self._capture.retrieve()[1]
                grey = grey and (image.ndim == 2 or int(np.ptp(image, axis=-1).max()) <= ALMOST_GREY)
            count += 1
        if count == 0:
            raise PipelineError(f"{self._path}: no frame can be decoded. Is it a whole video? Copy it from its source.")
        channels = (Channel(1, "grey"),) if grey else COLOURS
        chosen = choose_channel(self._path, channels, reading.channel)
        return count, 1 if grey else 2 - chosen

    def _restart(self) -> None:
        self._capture.release()
        self._capture, self._next = _opened(self._path), 0

    def _advance(self) -> None:
        if not self._capture.grab():
            raise PipelineError(f"{self._path}: frame {self._next} cannot be decoded. Was the file changed meanwhile?")
        self._next += 1

    def _decoded(self) -> NumberArray:
        image = self._capture.retrieve()[1]
        return image if image.ndim == 2 else image[..., self._colour]


def _check_reading(path: str, reading: Reading) -> None:
    if reading.axes not in (None, "TYX"):
        raise PipelineError(f"{path}: `axes` is {reading.axes!r}, but the frames of a video follow one another: TYX.")
    choose_planes(path, 1, reading.planes)


def _opened(path: str) -> cv2.VideoCapture:
    """Open a video; grey pixels are handed over as they are stored, others as 8-bit blue, green, red."""
    import cv2

    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise PipelineError(
            f"{path}: cannot be decoded as a video. Is it whole, and its codec known to FFmpeg? "
            "Copy it again, or convert it by `ffmpeg -i`."
        )
    if _pixel_format(capture) in GREY:
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    return capture


def _pixel_format(capture: cv2.VideoCapture) -> bytes:
    return _number(capture, "CODEC_PIXEL_FORMAT").to_bytes(4, "little", signed=True)


def _number(capture: cv2.VideoCapture, name: str) -> int:
    import cv2

    return int(capture.get(getattr(cv2, f"CAP_PROP_{name}")))
