"""Noise of pixels and traces: from the high frequencies of their power, or from the values below their quiet level.

Activity is slow and goes up: high frequencies are nearly free of it, and so are the lowest values.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.threads import value_slabs

# Frames of a segment of Welch's periodogram: its lowest frequency is far below the band of noise.
SEGMENT = 256
# Values that are transformed at a time, so that memory stays small; changes no result.
BLOCK_VALUES = 2**22
# Of a Gaussian's standard deviation to the median distance from its median.
DEVIATION_OF_MEDIAN = 1.4826


def noise_power(signals: FloatArray, *, band: tuple[float, float], method: str) -> FloatArray:
    """Return the noise variance of each row from its power spectrum.

    Parameters
    ----------
    signals : float32 (N, t)
        Any unit, no gaps.
    band : tuple of float
        Lowest and highest frequency to average over, cycles per sample (0.5 is the highest there is).
    method : str
        ``mean``, ``median`` or ``logmexp`` (exponential of the mean logarithm), corrected for its bias.

    Returns
    -------
    float64 (N,)
        Variance per sample of white noise of that power, in the square of the signals' unit.

    Notes
    -----
    Where no frequency lies in the band, the highest one is taken.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037
    """
    n_samples = signals.shape[1]
    centred = signals - signals.mean(1, keepdims=True)
    frequencies = np.fft.rfftfreq(n_samples)
    inside = (frequencies >= band[0]) & (frequencies <= band[1]) & (frequencies > 0)
    if not inside.any():
        inside[-1] = True
    spectrum = scipy.fft.rfft(centred, axis=1)[:, inside]
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float64) / n_samples
    if n_samples % 2 == 0 and frequencies[-1] <= band[1] and power.shape[1] > 1:
        power = power[:, :-1]  # the Nyquist bin has one degree of freedom, the others two
    return _average_power(power, method, periodograms=1.0)


def _average_power(power: FloatArray, average: str, *, periodograms: float) -> FloatArray:
    """Average the power (N, frequencies) of noise by ``mean``, ``median`` or ``logmexp``, without the average's bias.

    Each value is the mean of so many independent periodograms, a gamma distribution: its median is approximated as
    Wilson and Hilferty 1931 do, 10.1073/pnas.17.12.684; that of a single one is known.
    """
    if average == "median":
        bias = np.log(2) if periodograms == 1 else (1.0 - 1.0 / (9.0 * periodograms)) ** 3
        return np.median(power, axis=1) / bias
    if average == "logmexp":
        from scipy.special import digamma  # most jobs do without it

        tiny = np.finfo(np.float64).tiny
        return np.exp(np.log(np.maximum(power, tiny)).mean(1) - digamma(periodograms) + np.log(periodograms))
    return power.mean(1)


def noise_level(traces: FloatArray, *, band: tuple[float, float], average: str, threads: int = 1) -> FloatArray:
    """Estimate each trace's noise from its power at high frequencies, where signal is small.

    Parameters
    ----------
    traces : array (K, T)
        Any unit; values that are not finite are left out.
    band : tuple of float
        Lowest and highest frequency, cycles per frame (0.5 is the highest there is).
    average : str
        ``mean``, ``median`` or ``logmexp`` (exponential of the mean logarithm) over the band.
    threads : int
        Threads for the Fourier transforms.

    Returns
    -------
    float32 (K,)
        Standard deviation per frame, in the traces' unit; 0 for a trace without a finite value.

    Notes
    -----
    Welch's periodogram over segments of 256 frames. The bias of the median and of the mean logarithm, known for
    averaged periodograms, is removed. Missing frames are cut out: bridged, they would have less noise than the others.

    References
    ----------
    Welch 1967, The use of fast Fourier transform for the estimation of power spectra. doi:10.1109/TAU.1967.1161901

    Examples
    --------
    >>> import numpy as np
    >>> traces = np.random.default_rng(0).normal(0, 3, (1, 5000))
    >>> bool(abs(noise_level(traces, band=(0.25, 0.5), average="logmexp")[0] - 3) < 0.2)
    True
    """
    noise = np.zeros(len(traces), np.float32)
    for rows, present in _alike(np.isfinite(traces)):
        if present.all() and len(rows) == len(traces):
            return _noise_of_whole(traces, band, average, threads)
        if present.any():
            noise[rows] = _noise_of_whole(traces[rows][:, present], band, average, threads)
    return noise


def _alike(finite: BoolArray) -> list[tuple[IntArray, BoolArray]]:
    """Return the rows of bool (K, T) that are equal, and what they are, bool (T,)."""
    if finite.all():
        return [(np.arange(len(finite)), np.ones(finite.shape[1], bool))]
    _, first, owner = np.unique(np.packbits(finite, axis=1), axis=0, return_index=True, return_inverse=True)
    return [(np.flatnonzero(owner.ravel() == group), finite[row]) for group, row in enumerate(first)]


def _noise_of_whole(traces: FloatArray, band: tuple[float, float], average: str, threads: int) -> FloatArray:
    """Return the noise of traces without gaps, some of them at a time, float32 (K,)."""
    whole, noise = np.ascontiguousarray(traces, dtype=np.float32), np.zeros(len(traces), np.float32)
    step = max(1, BLOCK_VALUES // max(whole.shape[1], 1))
    for start in range(0, len(whole), step):
        rows = slice(start, start + step)
        noise[rows] = np.sqrt(_welch_power(whole[rows], band, average, threads))
    return noise


def _welch_power(traces: FloatArray, band: tuple[float, float], average: str, threads: int) -> FloatArray:
    length = min(SEGMENT, traces.shape[1])
    if length < 4:
        return traces.var(1)
    segments = np.lib.stride_tricks.sliding_window_view(traces, length, axis=1)[:, :: length // 2]
    window = np.hanning(length + 1)[:length].astype(np.float32)
    windowed = (segments - segments.mean(2, keepdims=True)) * window
    frequency = scipy.fft.rfftfreq(length)
    inside = (frequency > band[0]) & (frequency <= band[1]) & (frequency < 0.5)
    spectrum = scipy.fft.rfft(windowed, axis=2, workers=threads)[:, :, inside]
    power = (spectrum.real**2 + spectrum.imag**2).mean(1, dtype=np.float64) / np.square(window, dtype=np.float64).sum()
    independent = max(1.0, segments.shape[1] * 9.0 / 11.0)
    return _average_power(power, average, periodograms=independent)


def noise_below(traces: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return level and noise of each trace, from the side of the median that activity spares.

    Parameters
    ----------
    traces : array (K, T)
        Any unit, no gaps.

    Returns
    -------
    level : float64 (K,)
        Quiet level, in the traces' unit.
    noise : float64 (K,)
        Standard deviation, in the traces' unit.

    Notes
    -----
    The level starts as the median and moves to where the lower half is that of a Gaussian, so that a trace that
    is active half of the time still has its quiet level as reference.
    """
    low, middle = np.percentile(traces, [15.865, 50.0], axis=1)
    bottom = np.percentile(traces, 2.275, axis=1)
    noise = np.maximum(low - bottom, 0)
    level = np.minimum(middle, low + noise)
    return level, noise


def quiet_level(traces: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the quiet level and the noise of traces, from their lower part; the last axis is kept, with length one.

    Parameters
    ----------
    traces : float32 (..., T)
        Any unit, no gaps.

    Returns
    -------
    level : float32 (..., 1)
        Quiet level, in the traces' unit.
    noise : float32 (..., 1)
        Standard deviation, in the traces' unit.

    Notes
    -----
    A Gaussian's quantiles 0.31 and 0.07 lie half a and one and a half standard deviations below its mean: where
    activity fills up to two thirds of the time, these are still the quiet part's.
    """
    length = traces.shape[-1]
    low, high = (min(round(q * (length - 1)), length - 1) for q in (0.0668, 0.3085))
    flat = traces.reshape(-1, length)
    ends = np.empty((2, len(flat), 1), np.float32)
    for a, b in value_slabs(*flat.shape):
        # One place after the other: both at once take numpy ten times as long.
        lower = np.partition(flat[a:b], high, axis=-1)[:, : high + 1]
        ends[1, a:b, 0] = lower[:, high]
        ends[0, a:b, 0] = np.partition(lower, low, axis=-1)[:, low]
    bottom, top = ends.reshape(2, *traces.shape[:-1], 1)
    return top + np.float32(0.5) * (top - bottom), top - bottom


def robust_deviation(values: FloatArray) -> float:
    """Return the standard deviation of values that are mostly Gaussian, from their median distance to the median.

    Parameters
    ----------
    values : float (...)
        Any unit; no gaps, at least one value.

    Returns
    -------
    float
        Standard deviation, in the values' unit.

    Examples
    --------
    >>> import numpy as np
    >>> round(robust_deviation(np.array([1.0, 2.0, 3.0, 4.0, 100.0])), 4)     # the outlier does not count
    1.4826
    """
    return float(DEVIATION_OF_MEDIAN * np.median(np.abs(values - np.median(values))))
