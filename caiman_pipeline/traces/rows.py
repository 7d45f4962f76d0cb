"""Deconvolution of each row of a table, in parallel: the compiled part of ``foopsi.deconvolve``."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from caiman_pipeline.traces.ar_model import ar_roots
from caiman_pipeline.traces.events import threshold_pivots, threshold_pools
from caiman_pipeline.traces.oasis_ar1 import decay_powers, fit_pools, write_pools
from caiman_pipeline.traces.oasis_ar2 import GAP_WEIGHT, MAX_PIVOTS, fit_pivots, gram_bands, prepare, write_calcium
from caiman_pipeline.types import FloatArray

L1, L0, NONNEGATIVE = 0, 1, 2
FREE, NONNEGATIVE_LEVEL, FIXED = 0, 1, 2
ZERO, CONSTANT, NO_DATA, GAP, AR_FALLBACK, UNREACHABLE, NO_ACTIVITY, NOT_CONVERGED = 1, 2, 4, 8, 16, 32, 64, 128
FLAG_NAMES = ("zero", "constant", "no_data", "gap", "ar_fallback", "noise_unreachable", "no_activity", "not_converged")


@njit(cache=True, nogil=True)
def largest_penalty(y: FloatArray, w: FloatArray, b: float, g1: float, g2: float) -> float:
    """Return the smallest penalty for which no calcium at all is optimal."""
    ahead, ahead2, best = 0.0, 0.0, 0.0
    for t in range(len(y) - 1, -1, -1):
        gradient = w[t] * (y[t] - b) + g1 * ahead + g2 * ahead2
        best = max(best, gradient)
        ahead2, ahead = ahead, gradient
    return best


@njit(cache=True, nogil=True)
def silent_residual(y: FloatArray, w: FloatArray, b: float) -> float:
    """Return the squared residual of the baseline alone."""
    total = 0.0
    for t in range(len(y)):
        total += w[t] * (y[t] - b) ** 2
    return total


@njit(cache=True, nogil=True)
def low_level(y: FloatArray, w: FloatArray) -> float:
    """Return a low quantile of up to 301 evenly spaced present frames: where the search for the baseline begins."""
    step = max(1, len(y) // 301)
    sample = np.empty(len(y) // step + 1)
    n = 0
    for t in range(0, len(y), step):
        if w[t] > 0.5:
            sample[n] = y[t]
            n += 1
    if n == 0:
        return 0.0
    return np.sort(sample[:n])[n // 5]


@njit(cache=True, nogil=True)
def threshold_of(s_min: float, noise: float, decay: float) -> float:
    """Return the smallest event in the trace's unit; a negative one is in units of noise x sqrt(1 - decay)."""
    return s_min if s_min >= 0.0 else -s_min * noise * np.sqrt(1.0 - decay)


@njit(cache=True, nogil=True)
def transient_norm(g1: float, g2: float) -> float:
    """Return the Euclidean norm of the calcium that one unit of activity leaves."""
    square = (1.0 - g2) / ((1.0 + g2) * ((1.0 - g2) ** 2 - g1 * g1))
    return np.sqrt(square) if square > 0.0 else np.inf


@njit(cache=True, nogil=True)
def solve_ar1(
    y: FloatArray,
    w: FloatArray,
    g: float,
    lam: float,
    b: float,
    penalty: int,
    threshold: float,
    free_b: bool,
    b_min: float,
    target: float,
    lowest: float,
    highest: float,
    c: FloatArray,
    s: FloatArray,
) -> tuple[float, float, int]:
    """Solve one AR(1) trace; return penalty, baseline (of the L1 problem, refitted for L0) and flags."""
    first, sums = np.empty(len(y) + 1, np.int64), np.empty((4, len(y)))
    count, lam, b, reached = fit_pools(y, w, g, b, lam, free_b, b_min, target, first, sums)
    if target >= 0.0 and not lowest <= lam <= highest:
        reached, lam = True, min(max(lam, lowest), highest)
        count, lam, b, _ = fit_pools(y, w, g, b, lam, free_b, b_min, -1.0, first, sums)
    if penalty == NONNEGATIVE:
        lam = 0.0
        count, _, _, _ = fit_pools(y, w, g, b, 0.0, False, b_min, -1.0, first, sums)
    elif penalty == L0:
        lam = 0.0
        count, b = threshold_pools(
            y, w, g, b, threshold, free_b, b_min, target if threshold == 0.0 else -1.0, first, sums
        )
    write_pools(first, sums, count, decay_powers(g, len(y)), c, s)
    return lam, b, 0 if reached else UNREACHABLE


@njit(cache=True, nogil=True)
def solve_ar2(
    y: FloatArray,
    w: FloatArray,
    g1: float,
    g2: float,
    lam: float,
    b: float,
    penalty: int,
    threshold: float,
    free_b: bool,
    b_min: float,
    target: float,
    lowest: float,
    highest: float,
    spike: FloatArray,
    c: FloatArray,
    s: FloatArray,
) -> tuple[float, float, int]:
    """Solve one AR(2) trace from a first guess of the frames with spikes; return penalty, baseline and flags."""
    n, d = len(y), ar_roots(g1, g2)[0]
    bands, data, work, h = np.empty((n, 3)), np.empty((n, 2)), np.empty((n, 3)), np.empty((n, 3))
    gram_bands(w, g1, g2, d, bands)
    prepare(y, g1, g2, d, data)
    lam, b, reached, steps = fit_pivots(bands, spike, data, lam, b, free_b, b_min, target, work, h)
    if target >= 0.0 and not lowest <= lam <= highest:
        reached, lam = True, min(max(lam, lowest), highest)
        lam, b, _, steps = fit_pivots(bands, spike, data, lam, b, free_b, b_min, -1.0, work, h)
    if penalty != L1:
        lam = 0.0
        _, _, _, more = fit_pivots(bands, spike, data, 0.0, b, False, b_min, -1.0, work, h)
        steps = max(steps, more)
    if penalty == L0:
        b = threshold_pivots(
            bands, spike, b, threshold, free_b, b_min, target if threshold == 0.0 else -1.0, data, work, h
        )
    write_calcium(spike, h, lam, b, g1, g2, d, c, s)
    return lam, b, (0 if reached else UNREACHABLE) | (NOT_CONVERGED if steps >= MAX_PIVOTS else 0)


@njit(cache=True, nogil=True)
def prepare_row(
    trace: FloatArray, finite: FloatArray, gap_weight: float, y: FloatArray, w: FloatArray
) -> tuple[float, int, float, float]:
    """Copy one trace without its mean; return mean, finite frames, smallest and largest value."""
    total, count, low, high = 0.0, 0, np.inf, -np.inf
    for t in range(len(trace)):
        if finite[t]:
            value = float(trace[t])
            total += value
            count += 1
            low, high = min(low, value), max(high, value)
    mean = total / max(count, 1)
    for t in range(len(trace)):
        y[t] = trace[t] - mean
        w[t] = 1.0 if finite[t] else gap_weight
    return mean, count, low, high


@njit(cache=True, nogil=True)
def solve_row(
    trace: FloatArray,
    finite: FloatArray,
    noise: float,
    ar: FloatArray,
    lam: float,
    level: float,
    guess: FloatArray,
    c: FloatArray,
    s: FloatArray,
    penalty: int,
    bounds: tuple[float, float],
    s_min: float,
    baseline: int,
) -> tuple[float, float, int]:
    """Deconvolve one trace; return penalty, baseline and flags.

    ``lam`` is the penalty where it is given, negative where the noise constraint sets it, within ``bounds`` (in units
    of noise times the norm of a transient); ``level`` the baseline where it is fixed; ``guess`` the activity to begin
    from (AR(2)).
    """
    n, order = len(trace), len(ar)
    y, w = np.empty(n), np.empty(n)
    mean, count, low, high = prepare_row(trace, finite, GAP_WEIGHT if order == 2 else 0.0, y, w)
    flags = 0 if count == n else GAP
    c[:] = 0.0
    s[:] = 0.0
    b_min = -mean if baseline == NONNEGATIVE_LEVEL else low - mean
    if count == 0:
        return np.nan, np.nan, NO_DATA
    if low == high:
        b = level if baseline == FIXED else (max(mean, 0.0) if baseline == NONNEGATIVE_LEVEL else mean)
        return 0.0, b, flags | (ZERO if low == 0.0 else CONSTANT)
    g1, g2 = ar[0], ar[1] if order == 2 else 0.0
    threshold = threshold_of(s_min, noise, ar_roots(g1, g2)[0])
    free_b = baseline != FIXED
    silent = max(0.0, b_min) if free_b else level - mean
    if penalty == NONNEGATIVE and not free_b:
        lam = 0.0
    target = noise * noise * count if lam < 0.0 else -1.0
    unit = noise * transient_norm(g1, g2)
    lowest, highest = bounds[0] * unit, bounds[1] * unit
    silence_allowed = penalty == L1 or (penalty == L0 and threshold == 0.0)
    if target >= 0.0 and silence_allowed and silent_residual(y, w, silent) <= target:
        silencing = largest_penalty(y, w, silent, g1, g2)
        if silencing <= highest:
            return silencing, silent + mean, flags | NO_ACTIVITY
        target, lam = -1.0, highest
    b = max(low_level(y, w), b_min) if free_b else silent
    lam = max(lam, 0.0)
    if order == 1:
        lam, b, more = solve_ar1(y, w, g1, lam, b, penalty, threshold, free_b, b_min, target, lowest, highest, c, s)
    else:
        lam, b, more = solve_ar2(
            y, w, g1, g2, lam, b, penalty, threshold, free_b, b_min, target, lowest, highest, guess > 0.0, c, s
        )
    return lam, b + mean, flags | more


@njit(cache=True, nogil=True, parallel=True)
def solve_rows(
    traces: FloatArray,
    finite: FloatArray,
    noise: FloatArray,
    ar: FloatArray,
    lam: FloatArray,
    level: FloatArray,
    guess: FloatArray,
    denoised: FloatArray,
    deconvolved: FloatArray,
    codes: FloatArray,
    penalty: int,
    bounds: tuple[float, float],
    s_min: float,
    baseline: int,
) -> None:
    """Deconvolve each row; ``lam``, ``level`` and ``codes`` are read and overwritten."""
    n_traces, n_frames = traces.shape
    warm = guess.shape[0] == n_traces and n_traces > 0
    for k in prange(n_traces):
        c, s = np.zeros(n_frames), np.zeros(n_frames)
        first_guess = guess[k] if warm else np.zeros(n_frames, np.float32)
        lam[k], level[k], flags = solve_row(
            traces[k], finite[k], noise[k], ar[k], lam[k], level[k], first_guess, c, s, penalty, bounds, s_min, baseline
        )
        codes[k] |= flags
        for t in range(n_frames):
            denoised[k, t] = c[t] if finite[k, t] else np.nan
            deconvolved[k, t] = s[t] if finite[k, t] else np.nan
