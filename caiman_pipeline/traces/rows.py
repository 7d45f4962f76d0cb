"""Deconvolution of each row of a table, in parallel: the compiled part of ``foopsi.deconvolve``."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from caiman_pipeline.traces.ar_model import ar_roots
from caiman_pipeline.traces.events import threshold_pivots, threshold_pools
from caiman_pipeline.traces.oasis_ar1 import decay_powers, fit_pools, write_pools
from caiman_pipeline.traces.oasis_ar2 import GAP_WEIGHT, MAX_PIVOTS, fit_pivots, gram_bands, write_calcium

L1, L0, NONNEGATIVE = 0, 1, 2
FREE, NONNEGATIVE_LEVEL, FIXED = 0, 1, 2
ZERO, CONSTANT, NO_DATA, GAP, AR_FALLBACK, UNREACHABLE, NO_ACTIVITY, NOT_CONVERGED = 1, 2, 4, 8, 16, 32, 64, 128
FLAG_NAMES = ("zero", "constant", "no_data", "gap", "ar_fallback", "noise_unreachable", "no_activity", "not_converged")


@njit(cache=True, nogil=True)
def largest_penalty(y, w, b, g1, g2):
    """Return the smallest penalty for which no calcium at all is optimal."""
    ahead, ahead2, best = 0.0, 0.0, 0.0
    for t in range(len(y) - 1, -1, -1):
        gradient = w[t] * (y[t] - b) + g1 * ahead + g2 * ahead2
        best = max(best, gradient)
        ahead2, ahead = ahead, gradient
    return best


@njit(cache=True, nogil=True)
def silent_residual(y, w, b):
    """Return the squared residual of the baseline alone."""
    total = 0.0
    for t in range(len(y)):
        total += w[t] * (y[t] - b) ** 2
    return total


@njit(cache=True, nogil=True)
def low_level(y, w):
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
def solve_ar1(y, w, g, lam, b, penalty, s_min, free_b, b_min, target, noise, c, s):
    """Solve one AR(1) trace; return penalty, baseline and flags."""
    first = np.empty(len(y) + 1, np.int64)
    sums = np.empty((4, len(y)))
    count, lam, b, reached = fit_pools(
        y, w, g, b, lam, free_b=free_b, b_min=b_min, target=target, first=first, sums=sums
    )
    if penalty == L0:
        unit = noise * np.sqrt(1.0 - g)
        count, b = threshold_pools(
            y, w, g, b, s_min=-s_min * unit if s_min < 0.0 else s_min, free_b=free_b, b_min=b_min, target=target,
            first=first, sums=sums,
        )  # fmt: skip
        lam = 0.0
    write_pools(first, sums, count, decay_powers(g, len(y)), c, s)
    return lam, b, 0 if reached else UNREACHABLE


@njit(cache=True, nogil=True)
def solve_ar2(y, w, g1, g2, lam, b, penalty, s_min, free_b, b_min, target, noise, spike, c, s):
    """Solve one AR(2) trace from a first guess of the frames with spikes; return penalty, baseline and flags."""
    n = len(y)
    d = ar_roots(g1, g2)[0]
    bands, data, work, h = np.empty((n, 3)), np.empty((n, 2)), np.empty((n, 3)), np.empty((n, 3))
    gram_bands(w, g1, g2, d, bands)
    lam, b, reached, steps = fit_pivots(
        y, bands, spike, g1=g1, g2=g2, d=d, lam=lam, b=b, free_b=free_b, b_min=b_min, target=target,
        data=data, work=work, h=h,
    )  # fmt: skip
    if penalty == L0:
        unit = noise * np.sqrt(1.0 - d)
        b = threshold_pivots(
            bands, spike, b, s_min=-s_min * unit if s_min < 0.0 else s_min, free_b=free_b, b_min=b_min,
            target=target, data=data, work=work, h=h,
        )  # fmt: skip
        lam = 0.0
    write_calcium(spike, h, lam, b, g1=g1, g2=g2, d=d, c=c, s=s)
    return lam, b, (0 if reached else UNREACHABLE) | (NOT_CONVERGED if steps >= MAX_PIVOTS else 0)


@njit(cache=True, nogil=True)
def prepare_row(trace, finite, gap_weight, y, w):
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
def solve_row(trace, finite, noise, ar, lam, level, guess, c, s, penalty, s_min, baseline):
    """Deconvolve one trace; return penalty, baseline and flags.

    ``lam`` is the penalty where it is given, negative where the noise constraint sets it; ``level`` the baseline where
    it is fixed; ``guess`` the activity to begin from (AR(2)).
    """
    n, order = len(trace), len(ar)
    y, w = np.empty(n), np.empty(n)
    mean, count, low, high = prepare_row(trace, finite, GAP_WEIGHT if order == 2 else 0.0, y, w)
    flags = 0 if count == n else GAP
    c[:] = 0.0
    s[:] = 0.0
    b_min = -mean if baseline == NONNEGATIVE_LEVEL else -np.inf
    if count == 0:
        return np.nan, np.nan, NO_DATA
    if low == high:
        b = level if baseline == FIXED else (max(mean, 0.0) if baseline == NONNEGATIVE_LEVEL else mean)
        return 0.0, b, flags | (ZERO if low == 0.0 else CONSTANT)
    g1, g2 = ar[0], ar[1] if order == 2 else 0.0
    free_b = baseline != FIXED
    silent = max(0.0, b_min) if free_b else level - mean
    target = -1.0 if lam >= 0.0 or penalty == NONNEGATIVE or (penalty == L0 and s_min != 0.0) else noise * noise * count
    if target >= 0.0 and silent_residual(y, w, silent) <= target:
        return largest_penalty(y, w, silent, g1, g2), silent + mean, flags | NO_ACTIVITY
    b = max(low_level(y, w), b_min) if free_b else silent
    lam = max(lam, 0.0) if penalty != NONNEGATIVE else 0.0
    if order == 1:
        lam, b, more = solve_ar1(
            y, w, g1, lam, b, penalty=penalty, s_min=s_min, free_b=free_b, b_min=b_min, target=target, noise=noise,
            c=c, s=s,
        )  # fmt: skip
    else:
        spike = guess > 0.0
        lam, b, more = solve_ar2(
            y, w, g1, g2, lam, b, penalty=penalty, s_min=s_min, free_b=free_b, b_min=b_min, target=target, noise=noise,
            spike=spike, c=c, s=s,
        )  # fmt: skip
    return lam, b + mean, flags | more


@njit(cache=True, nogil=True, parallel=True)
def solve_rows(traces, finite, noise, ar, lam, level, guess, denoised, deconvolved, codes, penalty, s_min, baseline):
    """Deconvolve each row; ``lam``, ``level`` and ``codes`` are read and overwritten."""
    n_traces, n_frames = traces.shape
    warm = guess.shape[0] == n_traces and n_traces > 0
    for k in prange(n_traces):
        c, s = np.zeros(n_frames), np.zeros(n_frames)
        first_guess = guess[k] if warm else np.zeros(n_frames, np.float32)
        lam[k], level[k], flags = solve_row(
            traces[k], finite[k], noise[k], ar[k], lam[k], level[k], first_guess, c, s,
            penalty=penalty, s_min=s_min, baseline=baseline,
        )  # fmt: skip
        codes[k] |= flags
        for t in range(n_frames):
            denoised[k, t] = c[t] if finite[k, t] else np.nan
            deconvolved[k, t] = s[t] if finite[k, t] else np.nan
