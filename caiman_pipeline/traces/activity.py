"""From traces to activity: detrend, linearise, choose time constants, deconvolve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np

from caiman_pipeline.config.traces import TraceSettings
from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.numerics.noise import noise_level
from caiman_pipeline.traces.ar_model import ar_coefficients, nominal_coefficients
from caiman_pipeline.traces.baseline import running_baseline
from caiman_pipeline.traces.convex import deconvolve_convex
from caiman_pipeline.traces.foopsi import Deconvolution, DeconvolutionMethod, deconvolve
from caiman_pipeline.traces.indicator import (
    combined_coefficients,
    decay_frames_of,
    fit_to_trace,
    fluorescence_of,
    linearise,
)
from caiman_pipeline.traces.isolated import optimise_on_events
from caiman_pipeline.traces.timing import Timing

# Values of a block of traces, and traces at least: a matter of memory alone, since each row's result depends on that
# row.
BLOCK_VALUES, BLOCK_ROWS = 2**17, 4
# After the second round, the gain hardly changes any more.
GAIN_ROUNDS = 2
# A trace points down where it reaches below its median so many times its noise, and so many times further than above.
# So many samples tell its ends.
POLARITY_SAMPLES, FAR_SNR, FAR_RATIO = 4096, 4.0, 1.5


def method_from(settings: TraceSettings, timing: Timing) -> DeconvolutionMethod:
    """Turn settings in seconds into a deconvolution method in frames.

    Parameters
    ----------
    settings : TraceSettings
        Section ``traces``.
    timing : Timing
        Rate of the traces, and the indicator's decay.

    Returns
    -------
    DeconvolutionMethod
        The same in frames.
    """
    return DeconvolutionMethod(
        order=settings.order,
        penalty=settings.penalty,
        penalty_bounds=settings.penalty_bounds,
        busy_share=settings.busy_share,
        s_min=settings.s_min,
        baseline=settings.baseline,
        noise_band=settings.noise_band,
        noise_average=settings.noise_average,
        lags=_lags(settings, timing),
        fudge_factor=settings.fudge_factor,
        nominal_ar=nominal_coefficients(
            order=settings.order,
            decay_frames=timing.frames(timing.decay_time_s),
            rise_frames=timing.frames(settings.rise_time_s),
        ),
    )


def _lags(settings: TraceSettings, timing: Timing) -> int:
    return max(2, round(timing.frames(settings.autocovariance_s)))


@dataclass(frozen=True)
class Inference:
    """Activity behind some traces, the fluorescence that it stands for, and of this the transients, float32 (K, T)."""

    activity: Deconvolution
    fluorescence: FloatArray
    transients: FloatArray


def infer_activity(
    traces: FloatArray,
    settings: TraceSettings,
    timing: Timing,
    *,
    threads: int,
    progress: Callable[[int, int], None],
) -> Deconvolution:
    """Deconvolve fluorescence traces, block of rows by block of rows.

    Parameters
    ----------
    traces : float32 (K, T)
        Fluorescence in any unit; frames that are not finite are missing.
    settings : TraceSettings
        Section ``traces``.
    timing : Timing
        Rate of the traces, and the indicator's decay.
    threads : int
        Traces to work on at a time.
    progress : callable
        Called with the traces done so far, and all of them.

    Returns
    -------
    Deconvolution
        Of the detrended, linearised traces. Linearised calcium and its activity are scaled to the trace; the baseline
        contains the mean of the running quantile.

    Notes
    -----
    Each row's result depends on that row alone.

    References
    ----------
    Pnevmatikakis et al. 2016, 10.1016/j.neuron.2015.11.037; Friedrich, Zhou & Paninski 2017,
    10.1371/journal.pcbi.1005423.
    """
    step, blocks = rows_per_block(traces.shape[1]), []
    for start in range(0, max(len(traces), 1), step):
        blocks.append(infer_block(traces[start : start + step], settings, timing, threads=threads).activity)
        progress(min(start + step, len(traces)), len(traces))
    return join(blocks)


def rows_per_block(n_frames: int) -> int:
    """Return how many traces are worked on at a time: few of long ones, so that memory hardly grows with length.

    Parameters
    ----------
    n_frames : int
        Frames of each trace.

    Returns
    -------
    int
        Traces, at least 4.
    """
    return max(BLOCK_ROWS, BLOCK_VALUES // max(n_frames, 1))


def join(blocks: list[Deconvolution]) -> Deconvolution:
    """Stack the rows of several results.

    Parameters
    ----------
    blocks : list of Deconvolution
        Of some rows each, in order, of as many frames.

    Returns
    -------
    Deconvolution
        Of all rows.
    """
    columns = {f.name: [getattr(b, f.name) for b in blocks] for f in fields(Deconvolution)}
    flags = tuple(flag for block in columns.pop("flags") for flag in block)
    joined = {name: np.concatenate(parts) for name, parts in columns.items() if parts[0] is not None}
    return Deconvolution(**joined, flags=flags)


def infer_block(traces: FloatArray, settings: TraceSettings, timing: Timing, *, threads: int) -> Inference:
    """Deconvolve traces (K, T) that fit in memory together with some working arrays of their size.

    Parameters
    ----------
    traces : float32 (K, T)
        Fluorescence in any unit, few enough rows to fit in memory with some arrays of their size; frames that are not
        finite are missing.
    settings : TraceSettings
        Section ``traces``.
    timing : Timing
        Rate of the traces, and the indicator's decay.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    Inference
        Activity, the fluorescence that it stands for, and its transients, in the traces' unit; where the settings say
        that activity points down, so do the last two.
    """
    found = _infer_rising(settings.polarity * np.ascontiguousarray(traces, np.float32), settings, timing, threads)
    if settings.polarity > 0:
        return found
    activity = replace(found.activity, baseline=-found.activity.baseline)
    return Inference(activity, -found.fluorescence, -found.transients)


def _infer_rising(traces: FloatArray, settings: TraceSettings, timing: Timing, threads: int) -> Inference:
    """Deconvolve traces in which activity is upwards.

    Linearised calcium is smaller than the fluorescence that it stands for, and is multiplied by a gain in the end: by
    how much is to be known where events have a smallest size, and is known once calcium was found.
    """
    method = method_from(settings, timing)
    noise = noise_level(traces, band=method.noise_band, average=method.noise_average, threads=threads)
    detrended = detrend(traces, settings, timing, threads=threads)
    own = decay_frames_of(detrended, noise, lags=method.lags, fudge_factor=method.fudge_factor)
    ar, fallback = time_constants(detrended, noise, settings, timing, own=own)
    linear = linearise(detrended, noise, settings.linear_range)
    level = linearise(np.full((len(traces), 1), _fixed_level(settings), np.float32), noise, settings.linear_range)[:, 0]
    solve = partial(_solve, linear, noise, level=level, settings=settings, threads=threads)
    scaled = bool(settings.linear_range and settings.penalty == "l0" and settings.s_min)
    first = replace(method, penalty="l1") if scaled else method
    result, gain = solve(ar, first), None
    if settings.optimize_events and settings.order:
        ar, _ = optimise_on_events(linear, result.denoised, result.baseline, ar, n_events=settings.optimize_events)
        result = solve(ar, first)
    for _ in range(GAIN_ROUNDS if scaled else 0):
        gain, _ = fit_to_trace(result.denoised, detrended, offsets=_offsets(settings))
        result = solve(ar, method, gain=gain)
    notes = ("ar_fallback" if failed else "" for failed in fallback)
    signs = ("downward" if down else "" for down in points_down(detrended, noise))
    flags = tuple(" ".join(filter(None, words)) for words in zip(result.flags, notes, signs, strict=True))
    result = replace(result, flags=flags, own_decay=own.astype(np.float32))
    return _describe(result, traces, detrended, settings, gain=gain)


def points_down(traces: FloatArray, noise: FloatArray) -> BoolArray:
    """Return which traces reach further below their median than above, far beyond their noise.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite do not count.
    noise : float (K,)
        Standard deviation per frame, in the same unit.

    Returns
    -------
    bool (K,)
        False where the noise is 0 or not known.
    """
    down = np.zeros(len(traces), bool)
    for k in np.flatnonzero(noise > 0):
        seen = traces[k][np.isfinite(traces[k])]
        low, middle, high = np.percentile(seen[:: max(1, len(seen) // POLARITY_SAMPLES)], [0.5, 50.0, 99.5])
        down[k] = middle - low > max(FAR_SNR * noise[k], FAR_RATIO * (high - middle))
    return down


def _describe(
    result: Deconvolution,
    traces: FloatArray,
    detrended: FloatArray,
    settings: TraceSettings,
    *,
    gain: FloatArray | None,
) -> Inference:
    """Scale linearised calcium to the trace, put the mean of what was subtracted into the baseline, add the model.

    The scale is ``gain`` (K,) where it is known.
    """
    offsets = _offsets(settings)
    response = fluorescence_of(result.denoised, result.noise, settings.linear_range)
    size, offset = fit_to_trace(response, detrended, offsets=offsets)
    transients = (size[:, None] * response).astype(np.float32)
    fluorescence = transients + offset[:, None] + (traces - detrended)
    baseline: FloatArray = result.baseline.astype(np.float64)
    if settings.linear_range:
        gain, baseline = fit_to_trace(result.denoised, detrended, offsets=offsets, gain=gain)
        result = replace(
            result,
            denoised=(gain[:, None] * result.denoised).astype(np.float32),
            deconvolved=(gain[:, None] * result.deconvolved).astype(np.float32),
        )
    taken_off = np.where(np.isfinite(traces), traces - detrended, 0.0)
    baseline = baseline + taken_off.sum(1) / np.maximum(np.isfinite(traces).sum(1), 1)
    return Inference(replace(result, baseline=baseline.astype(np.float32)), fluorescence.astype(np.float32), transients)


def _fixed_level(settings: TraceSettings) -> float:
    return settings.polarity * settings.baseline_level


def _offsets(settings: TraceSettings) -> tuple[float, float]:
    """Return the smallest and largest level that may lie below the calcium of a detrended trace."""
    level = _fixed_level(settings)
    return {"free": (-np.inf, np.inf), "nonnegative": (0.0, np.inf), "fixed": (level, level)}[settings.baseline]


def detrend(traces: FloatArray, settings: TraceSettings, timing: Timing, *, threads: int) -> FloatArray:
    """Subtract the running quantile of each trace, as far as it is a baseline that is allowed.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are left out of the quantile and stay missing.
    settings : TraceSettings
        Window and quantile; where only a baseline above zero is allowed, no other is subtracted.
    timing : Timing
        Rate of the traces.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    float32 (K, T)
        The rest; the traces themselves where the window is 0.
    """
    if settings.detrend_window_s == 0:
        return traces
    half = max(1, round(timing.frames(settings.detrend_window_s) / 2))
    quantiles = np.full(len(traces), settings.detrend_quantile / 100.0)
    level = running_baseline(traces, quantiles, half_frames=half, fast=False, threads=threads)
    return traces - (np.maximum(level, np.float32(0)) if settings.baseline == "nonnegative" else level)


def time_constants(
    traces: FloatArray, noise: FloatArray, settings: TraceSettings, timing: Timing, *, own: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Return AR coefficients, and where an estimate failed.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are missing.
    noise : float (K,)
        Standard deviation per frame, in the same unit.
    settings : TraceSettings
        Order, and where time constants come from.
    timing : Timing
        Rate of the traces, and the indicator's decay.
    own : float (K,)
        Decay of each trace's autocovariance, frames; NaN where it is not known.

    Returns
    -------
    coefficients : float64 (K, order)
        Coefficients per frame.
    failed : bool (K,)
        Where the indicator's were taken because the trace gave none.
    """
    method = method_from(settings, timing)
    if settings.time_constants == "given" or settings.order == 0:
        return np.tile(method.nominal_ar, (len(traces), 1)), np.zeros(len(traces), bool)
    if settings.time_constants == "estimated":
        return ar_coefficients(
            traces,
            noise,
            order=method.order,
            lags=method.lags,
            fudge_factor=method.fudge_factor,
            nominal=method.nominal_ar,
        )
    return combined_coefficients(
        own,
        order=method.order,
        decay_frames=timing.frames(timing.decay_time_s),
        rise_frames=timing.frames(settings.rise_time_s),
        share=settings.estimate_share,
    )


def _solve(
    traces: FloatArray,
    noise: FloatArray,
    ar: FloatArray,
    method: DeconvolutionMethod,
    *,
    level: FloatArray,
    settings: TraceSettings,
    threads: int,
    gain: FloatArray | None = None,
) -> Deconvolution:
    """Deconvolve linearised traces, the fixed baseline of each at its ``level`` (K,)."""
    if settings.method == "convex":
        return deconvolve_convex(
            traces, noise=noise, ar=ar, baseline=settings.baseline, levels=level, solver=settings.solver
        )
    return deconvolve(traces, method, noise=noise, ar=ar, baseline=level, gain=gain, threads=threads)
