"""Time constants from large, isolated events."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from caiman_pipeline.traces.ar_model import ar_roots, fill_gaps
from caiman_pipeline.types import FloatArray

GOLDEN = 0.6180339887498949
SEARCH_STEPS = 24
SEARCH_FACTOR = 4.0
EVENT_DECAYS = 3.0
MERGE_FRAMES = 2
LEAD_FRAMES = 5
MINOR = 0.15


@njit(cache=True, nogil=True)
def find_isolated(s: FloatArray, finite: FloatArray, span: int, starts: FloatArray) -> int:
    """Write the first frames of the largest events that no other follows or precedes within ``span`` frames.

    Neighbouring frames of activity count as one event; activity below 15% of the event does not disturb it.
    Returns how many were found, at most the length of ``starts``.
    """
    n = len(s)
    onsets, sizes, count, t = np.empty(n, np.int64), np.empty(n), 0, 1
    while t < n:
        if s[t] > 0.0:
            onsets[count], sizes[count] = t, 0.0
            quiet = 0
            while t < n and quiet < MERGE_FRAMES:
                sizes[count] += s[t]
                quiet = 0 if s[t] > 0.0 else quiet + 1
                t += 1
            count += 1
        t += 1
    found = 0
    for i in np.argsort(-sizes[:count]):
        if found == len(starts):
            break
        start = onsets[i]
        if start + span > n or not finite[start : start + span].all():
            continue
        before = i == 0 or start - onsets[i - 1] >= span or sizes[i - 1] < MINOR * sizes[i]
        after = i + 1 == count or onsets[i + 1] - start >= span or sizes[i + 1] < MINOR * sizes[i]
        if before and after:
            starts[found] = start
            found += 1
    return found


@njit(cache=True, nogil=True)
def event_misfit(
    y: FloatArray, b: float, starts: FloatArray, count: int, span: int, decay: float, rise: float
) -> float:
    """Return the squared residual of the events, each of its own size and on the remainder of what came before."""
    total = 0.0
    for i in range(count):
        yy, yk, ye, kk, ke, ee = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        slow, fast, rest = decay, rise, 1.0
        for t in range(max(0, starts[i] - LEAD_FRAMES), starts[i] + span):
            value = y[t] - b
            kernel = slow - fast if t >= starts[i] else 0.0
            yy += value * value
            yk += value * kernel
            ye += value * rest
            kk += kernel * kernel
            ke += kernel * rest
            ee += rest * rest
            rest *= decay
            if t >= starts[i]:
                slow *= decay
                fast *= rise
        determinant = kk * ee - ke * ke
        if determinant > 1e-9 * kk * ee:
            total += yy - (yk * (yk * ee - ye * ke) + ye * (ye * kk - yk * ke)) / determinant
        else:
            total += yy - yk * yk / kk
    return total


@njit(cache=True, nogil=True)
def _search(
    y: FloatArray, b: float, starts: FloatArray, count: int, span: int, decay: float, rise: float, of_rise: bool
) -> float:
    """Return the decay (or rise) factor of least misfit, by golden section on the logarithm of its time."""
    centre = np.log(-1.0 / np.log(rise if of_rise else decay))
    low, high = centre - np.log(SEARCH_FACTOR), centre + np.log(SEARCH_FACTOR)
    for _ in range(SEARCH_STEPS):
        a, c = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        fa, fc = np.exp(-1.0 / np.exp(a)), np.exp(-1.0 / np.exp(c))
        if of_rise:
            better_low = event_misfit(y, b, starts, count, span, decay, fa) < event_misfit(
                y, b, starts, count, span, decay, fc
            )
        else:
            better_low = event_misfit(y, b, starts, count, span, fa, rise) < event_misfit(
                y, b, starts, count, span, fc, rise
            )
        if better_low:
            high = c
        else:
            low = a
    return np.exp(-1.0 / np.exp(0.5 * (low + high)))


@njit(cache=True, nogil=True, parallel=True)
def _optimise_rows(
    traces: FloatArray,
    finite: FloatArray,
    activity: FloatArray,
    baseline: FloatArray,
    ar: FloatArray,
    n_events: int,
    used: FloatArray,
) -> None:
    for k in prange(len(traces)):
        order = ar.shape[1]
        decay, rise = ar_roots(ar[k, 0], ar[k, 1]) if order == 2 else (ar[k, 0], 0.0)
        if not 0.0 < decay < 1.0:
            continue
        span = max(4, int(EVENT_DECAYS * -1.0 / np.log(decay)))
        starts = np.empty(n_events, np.int64)
        used[k] = find_isolated(activity[k], finite[k], span, starts)
        if used[k] == 0:
            continue
        for _ in range(3 if order == 2 and rise > 1e-6 else 1):
            decay = _search(traces[k], baseline[k], starts, used[k], span, decay, rise, False)
            if order == 2 and rise > 1e-6:
                rise = min(_search(traces[k], baseline[k], starts, used[k], span, decay, rise, True), decay)
        ar[k, 0] = decay + rise if order == 2 else decay
        if order == 2:
            ar[k, 1] = -decay * rise


def optimise_on_events(
    traces: FloatArray, activity: FloatArray, baseline: FloatArray, ar: FloatArray, *, n_events: int
) -> tuple[FloatArray, FloatArray]:
    """Fit each trace's time constants to its largest isolated events.

    Parameters
    ----------
    traces, activity : (K, T), the traces and a first deconvolution of them
    baseline : (K,); ``ar`` : (K, order), where the search begins; it goes up to a factor of 4 either way
    n_events : events to use, at most

    Returns
    -------
    float64 (K, order), unchanged where there is no isolated event, and int64 (K,), the events used.
    """
    filled, finite = fill_gaps(traces)
    coefficients, used = np.array(ar, np.float64), np.zeros(len(traces), np.int64)
    if coefficients.shape[1]:
        _optimise_rows(filled, finite, np.nan_to_num(activity), baseline, coefficients, n_events, used)
    return coefficients, used
