"""Running baselines: a quantile over a window around each frame, and the quantile that fits each trace."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from caiman_pipeline.types import FloatArray

FAST_HOPS = 4
FAST_SAMPLES = 256
BUCKET = 64
MODE_BINS = 128
TREND_PARTS = 8
LOWEST_QUANTILE, HIGHEST_QUANTILE = 0.02, 0.5


@njit(cache=True, nogil=True)
def window_quantile(values: FloatArray, fraction: float) -> float:
    """Return a quantile of finite values, linear between order statistics; NaN if there are none."""
    kept = np.sort(values[np.isfinite(values)])
    if len(kept) == 0:
        return np.nan
    position = fraction * (len(kept) - 1)
    low = int(position)
    high = min(low + 1, len(kept) - 1)
    return kept[low] + (kept[high] - kept[low]) * (position - low)


@njit(cache=True, nogil=True)
def _rank(values: FloatArray, ranks: FloatArray, ordered: FloatArray) -> int:
    """Write each frame's place in ascending order (-1 where not finite) and the ordered values; return their number."""
    n = 0
    for t in np.argsort(values, kind="mergesort"):
        if np.isfinite(values[t]):
            ranks[t] = n
            ordered[n] = values[t]
            n += 1
        else:
            ranks[t] = -1
    return n


@njit(cache=True, nogil=True)
def _step(present: FloatArray, buckets: FloatArray, rank: int, direction: int) -> int:
    """Return the next present rank in a direction; there must be one."""
    rank += direction
    while present[rank] == 0:
        at_edge = rank % BUCKET == (0 if direction > 0 else BUCKET - 1)
        if at_edge and buckets[rank // BUCKET] == 0:
            rank += direction * BUCKET
        else:
            rank += direction
    return rank


@njit(cache=True, nogil=True)
def _enter(present: FloatArray, buckets: FloatArray, rank: int, state: FloatArray) -> None:
    """Mark a rank as in the window; ``state`` is (ranks present, pointer or -1, ranks below the pointer)."""
    present[rank] = 1
    buckets[rank // BUCKET] += 1
    state[0] += 1
    if state[1] < 0:
        state[1], state[2] = rank, 0
    elif rank < state[1]:
        state[2] += 1


@njit(cache=True, nogil=True)
def _leave(present: FloatArray, buckets: FloatArray, rank: int, state: FloatArray) -> None:
    """Take a rank out of the window; a pointer at it moves to a neighbour."""
    state[0] -= 1
    if rank < state[1]:
        state[2] -= 1
    elif rank == state[1]:
        if state[0] == 0:
            state[1] = -1
        elif state[2] < state[0]:
            state[1] = _step(present, buckets, rank, 1)
        else:
            state[1] = _step(present, buckets, rank, -1)
            state[2] -= 1
    present[rank] = 0
    buckets[rank // BUCKET] -= 1


@njit(cache=True, nogil=True)
def _read_quantile(
    present: FloatArray, buckets: FloatArray, ordered: FloatArray, state: FloatArray, fraction: float
) -> float:
    """Move the pointer to the quantile and return its value; NaN for an empty window."""
    if state[0] == 0:
        return np.nan
    position = fraction * (state[0] - 1)
    low = int(position)
    while state[2] > low:
        state[1] = _step(present, buckets, state[1], -1)
        state[2] -= 1
    while state[2] < low:
        state[1] = _step(present, buckets, state[1], 1)
        state[2] += 1
    value = ordered[state[1]]
    if position > low:
        value += (ordered[_step(present, buckets, state[1], 1)] - value) * (position - low)
    return value


@njit(cache=True, nogil=True)
def running_quantile_row(values: FloatArray, half: int, fraction: float, out: FloatArray) -> None:
    """Write the quantile over frames t - half to t + half, as far as they exist and are finite.

    The frames of the window are marked in a table ordered by value, in which a pointer follows the quantile: the cost
    does not depend on the window.
    """
    n_frames = len(values)
    ranks, ordered = np.empty(n_frames, np.int64), np.empty(n_frames, np.float64)
    n = _rank(values, ranks, ordered)
    present, buckets = np.zeros(n + 2 * BUCKET, np.uint8), np.zeros(n // BUCKET + 3, np.int64)
    state = np.array([0, -1, 0])
    for t in range(min(half, n_frames)):
        if ranks[t] >= 0:
            _enter(present, buckets, ranks[t], state)
    for t in range(n_frames):
        if t + half < n_frames and ranks[t + half] >= 0:
            _enter(present, buckets, ranks[t + half], state)
        if t - half - 1 >= 0 and ranks[t - half - 1] >= 0:
            _leave(present, buckets, ranks[t - half - 1], state)
        out[t] = _read_quantile(present, buckets, ordered, state, fraction)


@njit(cache=True, nogil=True)
def sparse_quantile_row(values: FloatArray, half: int, fraction: float, out: FloatArray) -> None:
    """Write an approximation: quantiles of thinned windows a fraction of a window apart, joined by straight lines."""
    n_frames = len(values)
    hop = max(1, (2 * half + 1) // FAST_HOPS)
    stride = max(1, (2 * half + 1) // FAST_SAMPLES)
    before, level_before = -1, np.nan
    for knot in range(0, n_frames + hop, hop):
        t = min(knot, n_frames - 1)
        level = window_quantile(values[max(0, t - half) : t + half + 1 : stride], fraction)
        if before < 0:
            out[0] = level
        for u in range(before + 1, t + 1):
            share = (u - before) / (t - before) if before >= 0 else 1.0
            out[u] = level if np.isnan(level_before) else level_before + share * (level - level_before)
        before, level_before = t, level
        if t == n_frames - 1:
            break


@njit(cache=True, nogil=True, parallel=True)
def running_quantile(traces: FloatArray, half_frames: int, fractions: FloatArray, fast: bool) -> FloatArray:
    """Return float32 (K, T), the running quantile of each trace.

    Parameters
    ----------
    traces : (K, T); frames that are not finite are left out
    half_frames : the window is this many frames on either side, cut off at the ends
    fractions : (K,), each trace's quantile, 0 to 1
    fast : approximate: thinned windows at intervals, straight lines between
    """
    result = np.empty(traces.shape, np.float32)
    for k in prange(traces.shape[0]):
        if fast:
            sparse_quantile_row(traces[k], half_frames, fractions[k], result[k])
        else:
            running_quantile_row(traces[k], half_frames, fractions[k], result[k])
    return result


@njit(cache=True, nogil=True)
def trend_slope(values: FloatArray, fraction: float) -> float:
    """Return the slope per frame of a quantile: the median over pairs of parts of the trace, 0 if it cannot be told."""
    n_frames = len(values)
    if n_frames < 4 * TREND_PARTS:
        return 0.0
    levels, slopes, n = np.empty(TREND_PARTS), np.empty(TREND_PARTS * TREND_PARTS), 0
    length = n_frames // TREND_PARTS
    for i in range(TREND_PARTS):
        stride = max(1, length // FAST_SAMPLES)
        levels[i] = window_quantile(values[i * length : (i + 1) * length : stride], fraction)
        for j in range(i):
            slopes[n] = (levels[i] - levels[j]) / ((i - j) * length)
            n += 1
    slope = window_quantile(slopes[:n], 0.5)
    return slope if np.isfinite(slope) else 0.0


@njit(cache=True, nogil=True, parallel=True)
def running_baseline(traces: FloatArray, half_frames: int, fractions: FloatArray, fast: bool) -> FloatArray:
    """Return float32 (K, T), the running quantile of each trace about its trend.

    Parameters are those of ``running_quantile``. A straight trend is taken off before and put back after, without which
    the cut-off windows at the ends would see the trend from one side only.
    """
    result = np.empty(traces.shape, np.float32)
    n_frames = traces.shape[1]
    for k in prange(traces.shape[0]):
        slope = trend_slope(traces[k], fractions[k])
        flat, level = np.empty(n_frames), np.empty(n_frames)
        for t in range(n_frames):
            flat[t] = traces[k, t] - slope * t
        if fast:
            sparse_quantile_row(flat, half_frames, fractions[k], level)
        else:
            running_quantile_row(flat, half_frames, fractions[k], level)
        for t in range(n_frames):
            result[k, t] = level[t] + slope * t
    return result


@njit(cache=True, nogil=True)
def mode_fraction(values: FloatArray) -> float:
    """Return the share of values below the mode of their smoothed histogram; NaN for too few or constant values."""
    kept = np.sort(values[np.isfinite(values)])
    n = len(kept)
    if n < 8 or kept[0] == kept[-1]:
        return np.nan
    low, high = kept[0], kept[int(0.98 * (n - 1))]
    spread = min(np.std(kept), (kept[3 * n // 4] - kept[n // 4]) / 1.34)
    if high <= low or spread <= 0.0:
        return np.nan
    width = (high - low) / MODE_BINS
    histogram = np.zeros(MODE_BINS)
    for value in kept:
        if value <= high:
            histogram[min(int((value - low) / width), MODE_BINS - 1)] += 1.0
    bandwidth = max(0.9 * spread * n ** (-0.2) / width, 0.5)
    reach = int(3.0 * bandwidth) + 1
    best, at = -1.0, 0
    for i in range(MODE_BINS):
        density = 0.0
        for j in range(max(0, i - reach), min(MODE_BINS, i + reach + 1)):
            density += histogram[j] * np.exp(-0.5 * ((i - j) / bandwidth) ** 2)
        if density > best:
            best, at = density, i
    return np.searchsorted(kept, low + (at + 0.5) * width) / n


@njit(cache=True, nogil=True, parallel=True)
def baseline_quantile(traces: FloatArray, window_frames: int) -> FloatArray:
    """Return float64 (K,), for each trace the quantile (0 to 1) at which its quiet level lies.

    Notes
    -----
    The quiet level is the most frequent value. It is looked for in each of the windows that the trace is cut into, and
    the median over windows is taken, so that one active window (the first, say) does not decide.
    """
    n_frames = traces.shape[1]
    n_windows = max(1, n_frames // max(window_frames, 1))
    result = np.full(traces.shape[0], 0.5)
    for k in prange(traces.shape[0]):
        shares = np.empty(n_windows)
        for i in range(n_windows):
            shares[i] = mode_fraction(traces[k, i * n_frames // n_windows : (i + 1) * n_frames // n_windows])
        share = window_quantile(shares, 0.5)
        if np.isfinite(share):
            result[k] = min(max(share, LOWEST_QUANTILE), HIGHEST_QUANTILE)
    return result
