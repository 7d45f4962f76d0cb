"""A movie relative to its resting level: DF/F, DF/sqrt(F), or what is above the level, pixel by pixel."""

from __future__ import annotations

from itertools import pairwise
from threading import Lock
from typing import Literal, get_args

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.readers.open import FrameReader

RelativeKind = Literal["dff", "dff_sqrt", "difference"]
# A window's level is a quantile over averages of its neighbouring frames: so many at least and at most, and as few as
# these bytes hold.
FEWEST, MOST, WINDOW_BYTES = 8, 128, 2**28
# A level below most of what transients reach; averages of frames have little noise to pull it further down.
RESTING_QUANTILE = 0.08


class RelativeMovie:
    """A movie less its resting level F0, over F0 or its square root, float32.

    Parameters
    ----------
    movie : frames on demand
    window_frames : frames in a window
    quantile : of a window's values, between 0 and 1, that is its level
    kind : ``dff``: (F - F0) / F0; ``dff_sqrt``: (F - F0) / sqrt(F0); ``difference``: F - F0
    dark_level : pixel value without light, taken off first

    Raises
    ------
    PipelineError
        If the window or the quantile is out of bounds.

    Notes
    -----
    The movie is cut into windows of about equal length. The level in the middle of a window is the quantile of its
    values after neighbouring frames were averaged (into 128 averages at most, so that memory is bounded); between the
    middles it runs in straight lines, before the first and after the last it is constant. Pixels whose level is not
    above 0 are NaN in ``dff`` and ``dff_sqrt``; frames that are NaN do not count.
    """

    def __init__(
        self, movie: FrameReader, *, window_frames: int, quantile: float, kind: RelativeKind, dark_level: float
    ) -> None:
        if kind not in get_args(RelativeKind):
            raise PipelineError(f"no relative movie of kind {kind!r}. There are {', '.join(get_args(RelativeKind))}.")
        if not 0 <= quantile <= 1 or window_frames < 1:
            raise PipelineError(f"a window of {window_frames} frames and quantile {quantile:g} make no resting level.")
        self._movie, self._quantile, self._kind, self._dark = movie, quantile, kind, dark_level
        self.n_frames, self.dims, self.dtype = movie.n_frames, movie.dims, np.dtype(np.float32)
        self.block_frames = int(getattr(movie, "block_frames", 0))
        n_windows = max(1, round(movie.n_frames / window_frames))
        edges = np.linspace(0, movie.n_frames, n_windows + 1).round().astype(np.int64)
        self._windows = [(int(a), int(b)) for a, b in pairwise(edges)]
        self._middles = (edges[:-1] + edges[1:] - 1) / 2
        self._levels: dict[int, FloatArray] = {}
        self._lock = Lock()

    def read(self, start: int, stop: int) -> FloatArray:
        """Return frames ``start`` to ``stop``, float32 (t, [D,] H, W)."""
        frames = self._movie.read(start, stop).astype(np.float32) - np.float32(self._dark)
        # Frame by frame, so that levels are not held for all of them.
        for place, time in enumerate(range(start, stop)):
            frames[place] = self._relative(frames[place], self._level_at(time))
        return frames

    def _relative(self, frame: FloatArray, level: FloatArray) -> FloatArray:
        if self._kind == "difference":
            return frame - level
        level = np.where(level > 0, level, np.float32(np.nan))
        return (frame - level) / (level if self._kind == "dff" else np.sqrt(level))

    def _level_at(self, time: int) -> FloatArray:
        """Return the level at a frame, float32 (*dims), between those of the windows around it."""
        place = float(np.interp(time, self._middles, np.arange(len(self._middles))))
        before = int(place)
        share = np.float32(place - before)
        if share == 0:
            return self._level(before)
        return (1 - share) * self._level(before) + share * self._level(before + 1)

    def _level(self, window: int) -> FloatArray:
        with self._lock:
            if window not in self._levels:
                # Only neighbours are needed at a time.
                self._levels = {w: level for w, level in self._levels.items() if abs(w - window) <= 1}
                self._levels[window] = self._measure(*self._windows[window])
            return self._levels[window]

    def _measure(self, start: int, stop: int) -> FloatArray:
        frame_bytes = 4 * int(np.prod(self.dims, dtype=np.int64))
        most = int(np.clip(WINDOW_BYTES // frame_bytes, FEWEST, MOST))
        edges = np.linspace(start, stop, min(most, stop - start) + 1).round().astype(np.int64)
        averages = [_average(self._movie.read(int(a), int(b))) for a, b in pairwise(edges)]
        seen = np.stack(averages)
        seen = seen[np.isfinite(seen).any(axis=tuple(range(1, seen.ndim)))]
        if not len(seen):
            return np.full(self.dims, np.nan, np.float32)
        level = (
            np.quantile(seen, self._quantile, axis=0)
            if np.isfinite(seen).all()
            else _nan_quantile(seen, self._quantile)
        )
        return level.astype(np.float32) - np.float32(self._dark)


def _average(frames: NumberArray) -> FloatArray:
    """Return the mean of frames, float32 (*dims), of those that have a finite pixel."""
    if frames.dtype.kind == "f":
        frames = frames[np.isfinite(frames).any(axis=tuple(range(1, frames.ndim)))]
    if not len(frames):
        return np.full(frames.shape[1:], np.nan, np.float32)
    return frames.mean(axis=0, dtype=np.float64).astype(np.float32)


def _nan_quantile(seen: FloatArray, quantile: float) -> FloatArray:
    """Return quantiles over the first axis without what is not a number; NaN where nothing is left."""
    known = np.isfinite(seen).any(axis=0)
    filled = np.where(known, seen, 0)
    return np.where(known, np.nanquantile(filled, quantile, axis=0), np.nan)
