"""Running baselines: a quantile over a window around each frame, and the quantile that fits each trace."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import map_ordered

# Windows of the fast quantile begin a quarter of a window apart.
FAST_HOPS = 4
# Samples of a thinned window: its median is known to a sixteenth of the samples' spread.
FAST_SAMPLES = 256
# Ranks that are counted together, so that a quantile is found in few steps; changes no result.
BUCKET = 64
# Bins of the histogram in which the most frequent value is looked for.
MODE_BINS = 128
# Parts of a trace between whose quantiles slopes are taken: their median withstands two active parts.
TREND_PARTS = 8
# A resting level is no single lowest frame, and not above the median.
LOWEST_QUANTILE, HIGHEST_QUANTILE = 0.02, 0.5


def running_quantile(
    traces: FloatArray, fractions: FloatArray, *, half_frames: int, fast: bool, threads: int
) -> FloatArray:
    """Return the running quantile of each trace.

    Parameters
    ----------
    traces : float (K, T)
        Any unit; frames that are not finite are left out.
    fractions : float (K,)
        Each trace's quantile, 0 to 1.
    half_frames : int
        The window is this many frames on either side, cut off at the ends.
    fast : bool
        Approximate: thinned windows at intervals, straight lines between.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    float32 (K, T)
        The quantile, in the traces' unit; NaN where a window has no finite frame.

    Examples
    --------
    >>> import numpy as np
    >>> running_quantile(np.array([[1.0, 9.0, 2.0, 3.0]]), np.array([0.5]), half_frames=1, fast=False, threads=1)
    array([[5. , 2. , 3. , 2.5]], dtype=float32)
    """
    row = _sparse_quantile if fast else _exact_quantile
    result = np.empty(traces.shape, np.float32)

    def fill(k: int) -> None:
        values = np.where(np.isfinite(traces[k]), traces[k], np.nan).astype(np.float64)
        row(values, half_frames, float(fractions[k]), result[k])

    map_ordered(fill, range(len(traces)), threads)
    return result


def running_baseline(
    traces: FloatArray, fractions: FloatArray, *, half_frames: int, fast: bool, threads: int
) -> FloatArray:
    """Return the running quantile of each trace about its trend.

    A straight trend is taken off before and put back after, without which the cut-off windows at the ends would see the
    trend from one side only.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are left out.
    fractions : float (K,)
        Each trace's quantile, 0 to 1.
    half_frames : int
        The window is this many frames on either side, cut off at the ends.
    fast : bool
        Approximate: thinned windows at intervals, straight lines between.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    float32 (K, T)
        The baseline, in the traces' unit.
    """
    trend = trend_slopes(traces, fractions)[:, None] * np.arange(traces.shape[1])
    level = running_quantile(traces - trend, fractions, half_frames=half_frames, fast=fast, threads=threads)
    return (level + trend).astype(np.float32)


def _exact_quantile(values: FloatArray, half: int, fraction: float, out: FloatArray) -> None:
    order = np.argsort(values)
    running_quantile_row(values, order, int(np.isfinite(values).sum()), half, fraction, out)


@compiled
def _step(present: IntArray, buckets: IntArray, rank: int, direction: int) -> int:
    """Return the next present rank in a direction; there must be one."""
    rank += direction
    while present[rank] == 0:
        at_edge = rank % BUCKET == (0 if direction > 0 else BUCKET - 1)
        if at_edge and buckets[rank // BUCKET] == 0:
            rank += direction * BUCKET
        else:
            rank += direction
    return rank


@compiled
def _enter(present: IntArray, buckets: IntArray, rank: int, state: IntArray) -> None:
    """Mark a rank as in the window; ``state`` is (ranks present, pointer or -1, ranks below the pointer)."""
    present[rank] = 1
    buckets[rank // BUCKET] += 1
    state[0] += 1
    if state[1] < 0:
        state[1], state[2] = rank, 0
    elif rank < state[1]:
        state[2] += 1


@compiled
def _leave(present: IntArray, buckets: IntArray, rank: int, state: IntArray) -> None:
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


@compiled
def _read_quantile(
    present: IntArray, buckets: IntArray, values: FloatArray, order: IntArray, state: IntArray, fraction: float
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
    value = values[order[state[1]]]
    if position > low:
        value += (values[order[_step(present, buckets, state[1], 1)]] - value) * (position - low)
    return value


@compiled
def running_quantile_row(
    values: FloatArray, order: IntArray, n_finite: int, half: int, fraction: float, out: FloatArray
) -> None:
    """Write the quantile over frames t - half to t + half, as far as they exist and are finite.

    ``order`` sorts the values, those that are not finite last. The frames of the window are marked in a table ordered
    by value, in which a pointer follows the quantile: the cost does not depend on the window.
    """
    n_frames = len(values)
    ranks = np.empty(n_frames, np.int64)
    for rank in range(n_frames):
        ranks[order[rank]] = rank if rank < n_finite else -1
    present, buckets = np.zeros(n_finite + 2 * BUCKET, np.uint8), np.zeros(n_finite // BUCKET + 3, np.int64)
    state = np.zeros(3, np.int64)
    state[1] = -1
    for t in range(-half, n_frames):
        if 0 <= t + half < n_frames and ranks[t + half] >= 0:
            _enter(present, buckets, ranks[t + half], state)
        if t - half - 1 >= 0 and ranks[t - half - 1] >= 0:
            _leave(present, buckets, ranks[t - half - 1], state)
        if t >= 0:
            out[t] = _read_quantile(present, buckets, values, order, state, fraction)


def _sparse_quantile(values: FloatArray, half: int, fraction: float, out: FloatArray) -> None:
    """Write quantiles of thinned windows a fraction of a window apart, joined by straight lines."""
    n_frames, window = len(values), 2 * half + 1
    stride = max(1, window // FAST_SAMPLES)
    knots = np.append(np.arange(0, n_frames - 1, max(1, window // FAST_HOPS)), n_frames - 1)
    windows = [np.sort(values[max(0, t - half) : t + half + 1 : stride])[None] for t in knots]
    levels = np.array([float(sorted_quantile(w, fraction)[0]) for w in windows])
    known = np.isfinite(levels)
    out[:] = np.interp(np.arange(n_frames), knots[known], levels[known]) if known.any() else np.nan


def sorted_quantile(ascending: FloatArray, fraction: FloatArray | float) -> FloatArray:
    """Return the quantile along the last axis of sorted values, NaN last and left out.

    Parameters
    ----------
    ascending : float (..., n)
        Sorted, any unit.
    fraction : float or float (...)
        Quantile, 0 to 1, between samples by a straight line.

    Returns
    -------
    float64 (...)
        The quantile; NaN where nothing is left.

    Examples
    --------
    >>> import numpy as np
    >>> float(sorted_quantile(np.array([1.0, 2.0, 4.0, np.nan]), np.float64(0.25)))
    1.5
    """
    count = np.isfinite(ascending).sum(-1)
    position = fraction * np.maximum(count - 1, 0)
    low = position.astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    below, above = (np.take_along_axis(ascending, i[..., None], -1)[..., 0] for i in (low, high))
    return np.where(count > 0, below + (above - below) * (position - low), np.nan)


def _parts(traces: FloatArray, n_parts: int, stride: int) -> FloatArray:
    """Cut traces (K, T) into equal parts, each thinned and sorted: (K, parts, n), the rest of T left out."""
    length = traces.shape[1] // n_parts
    cut = traces[:, : n_parts * length].reshape(len(traces), n_parts, length)[:, :, ::stride]
    return np.sort(np.where(np.isfinite(cut), cut, np.nan), axis=-1)


def trend_slopes(traces: FloatArray, fractions: FloatArray) -> FloatArray:
    """Return the slope of each trace's quantile: the median over pairs of parts of the trace.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are left out.
    fractions : float (K,)
        Each trace's quantile, 0 to 1.

    Returns
    -------
    float64 (K,)
        Slope, in the traces' unit per frame.

    References
    ----------
    Sen 1968, Estimates of the regression coefficient based on Kendall's tau. doi:10.1080/01621459.1968.10480934
    """
    length = traces.shape[1] // TREND_PARTS
    if length < 4:
        return np.zeros(len(traces))
    levels = sorted_quantile(_parts(traces, TREND_PARTS, max(1, length // FAST_SAMPLES)), fractions[:, None])
    later, earlier = np.tril_indices(TREND_PARTS, -1)
    slopes = np.sort((levels[:, later] - levels[:, earlier]) / ((later - earlier) * length), axis=1)
    return np.nan_to_num(sorted_quantile(slopes, 0.5))


@compiled
def mode_fraction(ascending: FloatArray, n: int) -> float:
    """Return the share of the first ``n`` sorted values below the mode of their smoothed histogram; NaN if too few."""
    if n < 8 or ascending[0] == ascending[n - 1]:
        return np.nan
    low, high = ascending[0], ascending[int(0.98 * (n - 1))]
    total, square = 0.0, 0.0
    for i in range(n):
        total += ascending[i] - low
        square += (ascending[i] - low) ** 2
    deviation = np.sqrt(max(square / n - (total / n) ** 2, 0.0))
    scale = min(deviation, (ascending[3 * n // 4] - ascending[n // 4]) / 1.34)
    if high <= low or scale <= 0.0:
        return np.nan
    width = (high - low) / MODE_BINS
    histogram, bandwidth = np.zeros(MODE_BINS), max(0.9 * scale * n ** (-0.2) / width, 0.5)
    for i in range(n):
        if ascending[i] <= high:
            histogram[min(int((ascending[i] - low) / width), MODE_BINS - 1)] += 1.0
    reach, best, at = int(3.0 * bandwidth) + 1, -1.0, 0
    for i in range(MODE_BINS):
        density = 0.0
        for j in range(max(0, i - reach), min(MODE_BINS, i + reach + 1)):
            density += histogram[j] * np.exp(-0.5 * ((i - j) / bandwidth) ** 2)
        if density > best:
            best, at = density, i
    below, level = 0, low + (at + 0.5) * width
    while below < n and ascending[below] < level:
        below += 1
    return below / n


def baseline_quantile(traces: FloatArray, window_frames: int, *, threads: int) -> FloatArray:
    """Return for each trace the quantile at which its quiet level lies.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; frames that are not finite are left out.
    window_frames : int
        Length of the windows that a trace is cut into.
    threads : int
        Traces to work on at a time.

    Returns
    -------
    float64 (K,)
        Quantile, 0 to 1, at least 0.02 and at most 0.5; 0.5 for a trace without a finite frame.

    Notes
    -----
    The quiet level is the most frequent value. It is looked for in each of the windows that the trace is cut into, and
    the median over windows is taken, so that one active window (the first, say) does not decide.
    """
    parts = _parts(traces, max(1, traces.shape[1] // max(window_frames, 1)), 1).astype(np.float64)
    counts = np.isfinite(parts).sum(-1)

    def shares(k: int) -> list[float]:
        return [mode_fraction(part, int(n)) for part, n in zip(parts[k], counts[k], strict=True)]

    found = np.array(map_ordered(shares, range(len(traces)), threads)).reshape(counts.shape)
    middle = sorted_quantile(np.sort(found, axis=1), 0.5)
    return np.clip(np.where(np.isfinite(middle), middle, 0.5), LOWEST_QUANTILE, HIGHEST_QUANTILE)
