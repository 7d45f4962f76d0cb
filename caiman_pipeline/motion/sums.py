"""Sums over frames that come out the same in whatever order they are added, and each frame's likeness to an image."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

# Share of a frame's power that float32 sums may make up.
FLAT = 1e-4
# Noise standard deviations to which a pixel's distance from the image is cut where activity is not to count, and the
# fewest pairs of neighbouring frames that tell its noise.
CLIP_SD, FEWEST_PAIRS = 2.0, 8


@compiled(fastmath={"contract", "nsz", "reassoc"}, forceinline=True)
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


@compiled
def _add_rounded(row: FloatArray, scale: float, out: IntArray) -> None:
    for x in range(len(row)):
        out[x] += np.int64(np.rint(row[x] * scale))


@compiled
def _time_first(
    begin: int,
    end: int,
    frames: FloatArray,
    good: BoolArray,
    image: FloatArray,
    mask: FloatArray,
    level: float,
    scale: float,
    total: IntArray,
    moments: FloatArray,
) -> None:
    count = len(frames)
    for y in range(begin, end):
        for t in range(count):
            _row_moments(frames[t, y], image[y], mask[y], level, moments[y, t])
            if good[t]:
                _add_rounded(frames[t, y], scale, total[y])


@compiled
def _pixel_sum(series: FloatArray, good: BoolArray, scale: float) -> int:
    """Sum the good frames; a value that is not a number counts for nothing."""
    total = np.int64(0)
    for t in range(len(series)):
        value = series[t]
        if good[t] and value == value:
            total += np.int64(np.rint(value * scale))
    return total  # type: ignore[return-value]  # numba's integers


@compiled
def _time_last(
    begin: int,
    end: int,
    part: FloatArray,
    good: BoolArray,
    image: FloatArray,
    mask: FloatArray,
    level: float,
    scale: float,
    total: IntArray,
    moments: FloatArray,
) -> None:
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


@compiled
def _time_last_holes(
    begin: int,
    end: int,
    part: FloatArray,
    good: BoolArray,
    image: FloatArray,
    mask: FloatArray,
    level: float,
    scale: float,
    total: IntArray,
    moments: FloatArray,
) -> None:
    """As ``_time_last``, over the pixels of each frame that are numbers: their count and the image's moments, too."""
    _, width, count = part.shape
    for y in range(begin, end):
        sums = np.zeros((6, count), np.float32)
        for x in range(width):
            series = part[y, x]
            total[y, x] += _pixel_sum(series, good, scale)
            if mask[y, x] > 0:
                weight = image[y, x]
                for t in range(count):
                    value = series[t] - level
                    if value == value:
                        sums[0, t] += value
                        sums[1, t] += value * value
                        sums[2, t] += value * weight
                        sums[3, t] += np.float32(1.0)
                        sums[4, t] += weight
                        sums[5, t] += weight * weight
        moments[y] = sums.T


@compiled(fastmath={"contract", "nsz", "reassoc"}, forceinline=True)
def _reach(series: FloatArray, pair: BoolArray) -> float:
    """Return how far a pixel may lie from the image before it is cut, by its noise from frame to frame."""
    total, pairs = np.float32(0.0), np.float32(0.0)
    for t in range(1, len(series)):
        step = abs(series[t] - series[t - 1])
        there = step == step
        total += pair[t] * step if there else np.float32(0.0)
        pairs += pair[t] if there else np.float32(0.0)
    if pairs < FEWEST_PAIRS:
        return np.float32(np.inf)  # type: ignore[return-value]  # numba's floats
    return np.float32(CLIP_SD * 0.5 * np.sqrt(np.pi)) * total / pairs  # type: ignore[return-value]


@compiled
def _time_last_cut(
    begin: int,
    end: int,
    part: FloatArray,
    pair: BoolArray,
    image: FloatArray,
    mask: FloatArray,
    level: float,
    moments: FloatArray,
) -> None:
    _, width, count = part.shape
    for y in range(begin, end):
        first, second, product = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.float32)
        for x in range(width):
            if mask[y, x] > 0:
                series, weight = part[y, x], image[y, x]
                reach, centre = _reach(series, pair), level + weight
                for t in range(count):
                    beyond = series[t] - centre
                    beyond = beyond if beyond == beyond else np.float32(0.0)
                    beyond = reach if beyond > reach else beyond
                    value = weight + (-reach if beyond < -reach else beyond)
                    first[t] += value
                    second[t] += value * value
                    product[t] += value * weight
        moments[y, :, 0], moments[y, :, 1], moments[y, :, 2] = first, second, product


class Likeness:
    """Correlation of frames with an image over a mask, and exact sums of frames."""

    def __init__(self, image: FloatArray, mask: BoolArray, scale: float) -> None:
        """Prepare for an image (float32 dims), over the pixels of ``mask`` (bool dims)."""
        rows = (-1, image.shape[-1])
        self._level = np.float32(image[mask].mean() if mask.any() else 0.0)
        self._mask = mask.astype(np.float32).reshape(rows)
        centred = np.where(mask, image - self._level, 0.0)
        self._norm = float(np.sqrt((centred.astype(np.float64) ** 2).sum()))
        self._image = centred.astype(np.float32).reshape(rows)
        self._scale = np.float32(scale)

    def of_frames(self, frames: FloatArray, good: BoolArray, total: IntArray) -> FloatArray:
        """Return the correlation of frames with the image, and add the good ones to a sum.

        Parameters
        ----------
        frames : float32 (T, *dims)
            Raw pixel values, finite.
        good : bool (T,)
            Frames to add.
        total : int64 (*dims)
            Sum that they are added to, in units of 1 / scale.

        Returns
        -------
        float32 (T,)
            Correlation over the mask; 0 for a frame that is flat.
        """
        rows, width = self._image.shape
        moments = np.zeros((rows, len(frames), 3))
        run_parallel(
            _time_first,
            rows,
            frames.reshape(len(frames), rows, width),
            good,
            self._image,
            self._mask,
            self._level,
            self._scale,
            total.reshape(rows, width),
            moments,
        )
        return self._correlation(moments)

    def of_part(
        self, part: FloatArray, good: BoolArray, total: IntArray, *, holes: bool
    ) -> tuple[FloatArray, FloatArray]:
        """As ``of_frames``, for frames with time last; also how strong the image is in each.

        Parameters
        ----------
        part : float32 (*dims, T)
            Raw pixel values.
        good : bool (T,)
            Frames to add.
        total : int64 (*dims)
            Sum that they are added to, in units of 1 / scale.
        holes : bool
            Some pixels may be NaN: they are left out of both, frame by frame.

        Returns
        -------
        correlation : float32 (T,)
            Over the mask; 0 for a frame that is flat.
        gain : float32 (T,)
            How strong the image is in each frame, 1 as in the image.
        """
        rows, width = self._image.shape
        moments = np.zeros((rows, part.shape[-1], 6 if holes else 3))
        run_parallel(
            _time_last_holes if holes else _time_last,
            rows,
            part.reshape(rows, width, -1),
            good,
            self._image,
            self._mask,
            self._level,
            self._scale,
            total.reshape(rows, width),
            moments,
        )
        if holes:
            return self._partly(moments)
        product = moments[..., 2].sum(0)
        return self._correlation(moments), (product / max(self._norm**2, 1e-30)).astype(np.float32)

    def of_quiet(self, part: FloatArray, good: BoolArray) -> FloatArray:
        """Return each frame's correlation with the image where activity counts little.

        Each pixel is cut to ``CLIP_SD`` deviations of its noise about the image: light of active cells, however bright,
        takes little away from it, a damaged frame does.

        Parameters
        ----------
        part : float32 (*dims, T)
            Raw pixel values; NaN counts as the image's own value.
        good : bool (T,)
            Flags; noise is told from pairs of neighbouring frames that both are good.

        Returns
        -------
        float32 (T,)
            Correlation over the mask; 0 for a frame that is flat.
        """
        rows, width = self._image.shape
        moments = np.zeros((rows, part.shape[-1], 3))
        run_parallel(
            _time_last_cut, rows, part.reshape(rows, width, -1), good, self._image, self._mask, self._level, moments
        )
        return self._correlation(moments)

    def _correlation(self, moments: FloatArray) -> FloatArray:
        first, second, product = np.moveaxis(moments.sum(0), -1, 0)
        pixels = max(float(self._mask.sum()), 1.0)
        variance = second - first**2 / pixels
        # Of a constant frame only rounding errors are left, which are no likeness to anything.
        flat = variance <= FLAT * second
        norm = np.sqrt(np.where(flat, 1.0, variance)) * self._norm
        return np.where(flat | (norm == 0), 0.0, product / np.maximum(norm, 1e-30)).astype(np.float32)

    def _partly(self, moments: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return correlation and gain over the pixels that each frame has."""
        first, second, product, count, weight, weights = np.moveaxis(moments.sum(0), -1, 0)
        pixels = np.maximum(count, 1.0)
        variance, own = second - first**2 / pixels, np.maximum(weights - weight**2 / pixels, 0.0)
        shared = product - first * weight / pixels
        flat = (variance <= FLAT * second) | (own <= 0)
        norm = np.sqrt(np.where(flat, 1.0, variance * own))
        found = np.where(flat, 0.0, shared / norm), shared / np.maximum(own, 1e-30)
        return found[0].astype(np.float32), found[1].astype(np.float32)
