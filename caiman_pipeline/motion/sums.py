"""Sums over frames that come out the same in whatever order they are added, and each frame's likeness to an image."""

from __future__ import annotations

import numpy as np
from numba import njit

from caiman_pipeline.parallel import spread
from caiman_pipeline.types import FloatArray

# Share of a frame's power that float32 sums may make up.
FLAT = 1e-4


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"}, forceinline=True)
def _row_moments(row: FloatArray, image: FloatArray, mask: FloatArray, level: float, out: FloatArray) -> None:
    first, second, product = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for x in range(len(row)):
        value = (row[x] - level) * mask[x]
        first += value
        second += value * value
        product += value * image[x]
    out[0] += first
    out[1] += second
    out[2] += product


@njit(cache=True, nogil=True)
def _add_rounded(row: FloatArray, scale: float, out: FloatArray) -> None:
    for x in range(len(row)):
        out[x] += np.int64(np.rint(row[x] * scale))


@njit(cache=True, nogil=True)
def _time_first(
    begin: int, end: int, frames: FloatArray, good: FloatArray, image: FloatArray, mask: FloatArray, level: float,
    scale: float, total: FloatArray, moments: FloatArray,
) -> None:  # fmt: skip
    count = len(frames)
    for y in range(begin, end):
        for t in range(count):
            _row_moments(frames[t, y], image[y], mask[y], level, moments[y, t])
            if good[t]:
                _add_rounded(frames[t, y], scale, total[y])


@njit(cache=True, nogil=True)
def _pixel_sum(series: FloatArray, good: FloatArray, scale: float) -> int:
    total = np.int64(0)
    for t in range(len(series)):
        total += good[t] * np.int64(np.rint(series[t] * scale))
    return total  # type: ignore[return-value]  # numba's integers


@njit(cache=True, nogil=True)
def _time_last(
    begin: int, end: int, part: FloatArray, good: FloatArray, image: FloatArray, mask: FloatArray, level: float,
    scale: float, total: FloatArray, moments: FloatArray,
) -> None:  # fmt: skip
    _, width, count = part.shape
    for y in range(begin, end):
        first, second, product = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
        for x in range(width):
            series = part[y, x]
            total[y, x] += _pixel_sum(series, good, scale)
            if mask[y, x] > 0:
                weight = image[y, x]
                for t in range(count):
                    value = series[t] - level
                    first[t] += value
                    second[t] += value * value
                    product[t] += value * weight
        moments[y, :, 0], moments[y, :, 1], moments[y, :, 2] = first, second, product


class Likeness:
    """Correlation of frames with an image over a mask, and exact sums of frames."""

    def __init__(self, image: FloatArray, mask: FloatArray, scale: float) -> None:
        """Prepare for an image (float32 dims), over the pixels of ``mask`` (bool dims)."""
        rows = (-1, image.shape[-1])
        self._level = np.float32(image[mask].mean() if mask.any() else 0.0)
        self._mask = mask.astype(np.float32).reshape(rows)
        centred = np.where(mask, image - self._level, 0.0)
        self._norm = float(np.sqrt((centred.astype(np.float64) ** 2).sum()))
        self._image = centred.astype(np.float32).reshape(rows)
        self._scale = np.float32(scale)

    def of_frames(self, frames: FloatArray, good: FloatArray, total: FloatArray) -> FloatArray:
        """Return the correlation of frames (T, *dims), float32 (T,); add the good ones to ``total`` (int64 dims)."""
        rows, width = self._image.shape
        moments = np.zeros((rows, len(frames), 3))
        spread(
            _time_first, rows, frames.reshape(len(frames), rows, width), good, self._image, self._mask, self._level,
            self._scale, total.reshape(rows, width), moments,
        )  # fmt: skip
        return self._correlation(moments)

    def of_part(self, part: FloatArray, good: FloatArray, total: FloatArray) -> FloatArray:
        """As ``of_frames``, for frames with time last, (*dims, T)."""
        rows, width = self._image.shape
        moments = np.zeros((rows, part.shape[-1], 3))
        spread(
            _time_last, rows, part.reshape(rows, width, -1), good, self._image, self._mask, self._level, self._scale,
            total.reshape(rows, width), moments,
        )  # fmt: skip
        return self._correlation(moments)

    def _correlation(self, moments: FloatArray) -> FloatArray:
        first, second, product = np.moveaxis(moments.sum(0), -1, 0)
        pixels = max(float(self._mask.sum()), 1.0)
        variance = second - first**2 / pixels
        # Of a constant frame only rounding errors are left, which are no likeness to anything.
        flat = variance <= FLAT * second
        norm = np.sqrt(np.where(flat, 1.0, variance)) * self._norm
        return np.where(flat | (norm == 0), 0.0, product / np.maximum(norm, 1e-30)).astype(np.float32)
