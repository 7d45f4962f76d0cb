"""Images that sum up a movie, from one pass: mean, deviation, maximum, correlation, peak-to-noise, noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.movies.store.parts import MovieStore
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.noise import noise_power
from caiman_pipeline.numerics.threads import map_ordered, row_slabs, run_parallel

if TYPE_CHECKING:
    from caiman_pipeline.config.recording import RecordingSettings
    from caiman_pipeline.config.summary_images import ImageSettings

# Frames, at least, that the noise is taken from: its standard error is then a few percent.
NOISE_FRAMES = 1024


@dataclass(frozen=True)
class SummaryImages:
    """Images of a movie, float32 (*dims).

    Attributes
    ----------
    mean, std, max : over all frames that take part; where a pixel is not a number in some, over the others
    correlation : mean correlation of a pixel with its neighbours (8 in a plane), on short averages of time; those that
        lie beyond the image, never change or are not a number in some frame are no neighbours, and have 0 themselves
    peak_to_noise : highest short average above the mean, over its noise
    noise : standard deviation per frame, 0 for a pixel that is not a number in some frame
    """

    mean: FloatArray
    std: FloatArray
    max: FloatArray
    correlation: FloatArray
    peak_to_noise: FloatArray
    noise: FloatArray


@dataclass
class _Sums:
    """Sums over one part, float64 (*dims) unless said otherwise, of values relative to a reference image."""

    frames: FloatArray
    bins: int
    total: FloatArray
    squares: FloatArray
    highest: FloatArray
    binned: FloatArray
    binned_squares: FloatArray
    binned_highest: FloatArray
    neighbours: FloatArray  # (offsets, *dims)
    noise: FloatArray | None


def neighbour_offsets(ndim: int) -> list[tuple[int, ...]]:
    """Return half of the 8 neighbours in a plane (and one across planes); the other half mirrors it.

    Parameters
    ----------
    ndim : int
        2 or 3.

    Returns
    -------
    list of tuple of int
        Steps along each axis, pixels.

    Examples
    --------
    >>> neighbour_offsets(2)
    [(0, 1), (1, 0), (1, 1), (1, -1)]
    """
    in_plane: list[tuple[int, ...]] = [(0, 1), (1, 0), (1, 1), (1, -1)]
    return in_plane if ndim == 2 else [(0, *o) for o in in_plane] + [(1, 0, 0)]


def summarise(
    movie: MovieStore,
    *,
    bin_frames: int,
    noise_band: tuple[float, float],
    noise_method: str,
    threads: int,
    progress: Callable[[int, int], None],
) -> SummaryImages:
    """Make the summary images in one pass; memory is that of a few parts.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    bin_frames : int
        Frames averaged for correlation and peak-to-noise.
    noise_band : tuple of float
        See ``noise_power``; the noise is taken from evenly spaced parts, at least 1024 frames.
    noise_method : str
        See ``noise_power``.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    SummaryImages
        Images in raw pixel values; correlation and peak-to-noise have no unit.

    References
    ----------
    Smith & Häusser 2010, 10.1038/nn.2620 (the correlation image); Zhou et al. 2018, 10.7554/eLife.28728
    (peak-to-noise).
    """
    reference = _reference(movie.parts[0].read())
    chosen, sums = _noise_parts(movie), None
    for index, (_, stop, pixels) in enumerate(movie.read_parts()):
        band = noise_band if index in chosen else None
        noise = _part_noise(pixels, band, noise_method, threads) if band else None
        more = _sum_part(pixels, reference, noise, bin_frames=bin_frames, threads=threads)
        sums = more if sums is None else _join(sums, more)
        progress(stop, movie.n_frames)
    assert sums is not None
    return _images(sums, reference, bin_frames, len(chosen))


def summarise_as_set(
    movie: MovieStore,
    settings: ImageSettings,
    recording: RecordingSettings,
    *,
    threads: int,
    progress: Callable[[int, int], None],
) -> SummaryImages:
    """Make the summary images of a movie as its settings say.

    Parameters
    ----------
    movie : MovieStore
        The corrected movie.
    settings : ImageSettings
        Section ``summary_images``.
    recording : RecordingSettings
        The frame rate.
    threads : int
        Threads to use.
    progress : callable
        Called with the frames that are done, and those in all.

    Returns
    -------
    SummaryImages
        Images in raw pixel values; correlation and peak-to-noise have no unit.
    """
    return summarise(
        movie,
        bin_frames=max(1, round(settings.average_s * (recording.frame_rate_hz or 0))),
        noise_band=settings.noise_band,
        noise_method=settings.noise_method,
        threads=threads,
        progress=progress,
    )


def _reference(frames: FloatArray) -> FloatArray:
    """Return about the mean of frames (*dims, T), what sums are taken relative to; of pixels that are no numbers, 0."""
    mean = frames.mean(-1)
    for pixel in zip(*np.nonzero(np.isnan(mean)), strict=True):
        values = frames[pixel]
        mean[pixel] = values[~np.isnan(values)].mean() if not np.isnan(values).all() else 0
    return mean


def _noise_parts(movie: MovieStore) -> set[int]:
    long = [i for i, p in enumerate(movie.parts) if p.stop - p.start >= 16] or [0]
    length = movie.parts[0].stop - movie.parts[0].start
    count = min(len(long), max(-(-NOISE_FRAMES // length), 1))
    return {long[round(i)] for i in np.linspace(0, len(long) - 1, count)}


def _sum_part(
    pixels: FloatArray, reference: FloatArray, noise: FloatArray | None, *, bin_frames: int, threads: int
) -> _Sums:
    dims, n = reference.shape, pixels.shape[1]
    width = min(bin_frames, n)
    binned = np.empty((len(pixels), n // width), np.float32)
    totals, base = np.empty((len(pixels), 7)), reference.ravel()
    run_parallel(_add_frames, len(pixels), pixels, base, width, binned, totals, threads=threads)
    total, squares, highest, binned_total, binned_squares, binned_highest, frames = (x.reshape(dims) for x in totals.T)
    neighbours = [_neighbour_products(binned, dims, o, threads) for o in neighbour_offsets(len(dims))]
    return _Sums(
        frames=frames,
        bins=n // width,
        total=total,
        squares=squares,
        highest=highest,
        binned=binned_total,
        binned_squares=binned_squares,
        binned_highest=binned_highest,
        neighbours=np.stack(neighbours),
        noise=None if noise is None else noise.reshape(dims),
    )


@compiled(fastmath={"contract", "reassoc"})
def _add_frames(
    start: int, stop: int, pixels: FloatArray, reference: FloatArray, width: int, binned: FloatArray, totals: FloatArray
) -> None:
    """Bin each pixel's frames less its reference; write sum, sum of squares and maximum of frames, of bins, and count.

    Bins with a value that is no number are none either; sums of frames leave such values out.
    """
    for p in range(start, stop):
        row, base = pixels[p], reference[p]
        total, squares, highest = np.float32(0.0), np.float32(0.0), np.float32(-np.inf)
        for t in range(len(row)):
            value = row[t] - base
            total += value
            squares += value * value
            highest = max(highest, value)
        count = float(len(row))
        if np.isnan(total):
            total, squares, highest, count = _add_numbers(row, base)
        short, short_squares, short_highest = np.float32(0.0), np.float32(0.0), np.float32(-np.inf)
        for b in range(binned.shape[1]):
            mean = np.float32(0.0)
            for t in range(b * width, (b + 1) * width):
                mean += row[t] - base
            mean /= np.float32(width)
            binned[p, b] = mean
            short += mean
            short_squares += mean * mean
            short_highest = max(short_highest, mean)
        totals[p, 0], totals[p, 1], totals[p, 2] = total, squares, highest
        totals[p, 3], totals[p, 4], totals[p, 5], totals[p, 6] = short, short_squares, short_highest, count


@compiled
def _add_numbers(row: FloatArray, base: float) -> tuple[float, float, float, float]:
    """Return sum, sum of squares, maximum and count of the values that are numbers."""
    total, squares, highest, count = np.float32(0.0), np.float32(0.0), np.float32(-np.inf), 0.0
    for t in range(len(row)):
        value = row[t] - base
        if not np.isnan(value):
            total += value
            squares += value * value
            highest = max(highest, value)
            count += 1.0
    return total, squares, highest, count  # type: ignore[return-value]  # numba's floats


def _part_noise(pixels: FloatArray, band: tuple[float, float], method: str, threads: int) -> FloatArray:
    def one(rows: tuple[int, int]) -> FloatArray:
        return noise_power(pixels[slice(*rows)], band=band, method=method)

    return np.concatenate(map_ordered(one, row_slabs(len(pixels), 2048), threads))


def _pair(offset: tuple[int, ...], dims: Dims) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    first = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, dims, strict=True))
    second = tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in zip(offset, dims, strict=True))
    return first, second


def _neighbour_products(binned: FloatArray, dims: Dims, offset: tuple[int, ...], threads: int) -> FloatArray:
    order = np.arange(len(binned)).reshape(dims)
    first, second = (np.ascontiguousarray(order[side]).ravel() for side in _pair(offset, dims))
    out = np.zeros(len(binned))
    run_parallel(_pair_products, len(first), binned, first, second, out, threads=threads)
    return out.reshape(dims)


@compiled(fastmath={"contract", "reassoc"})
def _pair_products(
    start: int, stop: int, binned: FloatArray, first: IntArray, second: IntArray, out: FloatArray
) -> None:
    for i in range(start, stop):
        a, b = binned[first[i]], binned[second[i]]
        total = np.float32(0.0)
        for t in range(len(a)):
            total += a[t] * b[t]
        out[first[i]] = total


def _join(a: _Sums, b: _Sums) -> _Sums:
    highest = {"highest", "binned_highest"}
    joined = {}
    for name in (f.name for f in fields(_Sums)):
        x, y = getattr(a, name), getattr(b, name)
        if name in highest:
            joined[name] = np.maximum(x, y)
        elif x is None or y is None:
            joined[name] = x if y is None else y
        else:
            joined[name] = x + y
    return _Sums(**joined)


def _images(sums: _Sums, reference: FloatArray, bin_frames: int, noise_parts: int) -> SummaryImages:
    frames = np.where(sums.frames > 0, sums.frames, np.nan)
    mean = sums.total / frames
    variance = np.maximum(sums.squares / frames - mean**2, 0)
    assert sums.noise is not None
    noise = np.nan_to_num(np.sqrt(sums.noise / noise_parts))
    peak = sums.binned_highest - sums.binned / sums.bins
    quiet = noise / np.sqrt(bin_frames)
    pnr = np.nan_to_num(np.divide(peak, quiet, out=np.zeros_like(quiet), where=quiet > 0))
    highest = np.where(sums.frames > 0, sums.highest, np.nan)
    images = (mean + reference, np.sqrt(variance), highest + reference, _correlation(sums), pnr, noise)
    return SummaryImages(*(i.astype(np.float32) for i in images))


def _correlation(sums: _Sums) -> FloatArray:
    """Average the correlations with all neighbours that there are: pixels that change and are numbers in all frames."""
    dims = sums.total.shape
    mean = sums.binned / sums.bins
    deviation = np.sqrt(np.maximum(sums.binned_squares / sums.bins - mean**2, 0))
    total, count = np.zeros(dims), np.zeros(dims)
    for offset, products in zip(neighbour_offsets(len(dims)), sums.neighbours, strict=True):
        first, second = _pair(offset, dims)
        covariance = products[first] / sums.bins - mean[first] * mean[second]
        scale = deviation[first] * deviation[second]
        both = scale > 0
        r = np.divide(covariance, scale, out=np.zeros_like(scale), where=both)
        for side in (first, second):
            total[side] += r
            count[side] += both
    return total / np.maximum(count, 1)
