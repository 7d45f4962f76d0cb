"""Time constants from large, isolated events."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.traces.ar_model import ar_roots, fill_gaps

# The golden section: of two trials one serves again in the next, smaller range.
GOLDEN = 0.6180339887498949
# Steps of the golden section: the range shrinks to a hundred-thousandth.
SEARCH_STEPS = 24
# Factor either way, from where the search begins, up to which a time constant is looked for.
SEARCH_FACTOR = 4.0
# Frames of an event that are fitted, in its decay times: after three, a twentieth is left.
EVENT_DECAYS = 3.0
# Rounds of decay and rise in turn; either hardly changes the other's best value.
ROUNDS = 3
# Rise factor per frame below which the rise is taken for instant and not fitted.
SHORTEST_RISE = 1e-6
# Share of the decay factor up to which the rise factor may come: where they are equal, a transient has no two
# constants.
APART = 0.98
# Frames before an event that are fitted too, and must be present.
LEAD_FRAMES = 5
# Share of an event's height up to which activity around it leaves it isolated.
MINOR = 0.15


@compiled
def _find_rises(calcium: FloatArray, onsets: IntArray, heights: FloatArray) -> int:
    """Write the first frame and the height of each rise from a minimum to the next maximum; return their number."""
    count, t, n = 0, 1, len(calcium)
    while t < n:
        if calcium[t] > calcium[t - 1]:
            onsets[count] = t
            while t < n and calcium[t] > calcium[t - 1]:
                t += 1
            heights[count] = calcium[t - 1] - calcium[onsets[count] - 1]
            count += 1
        t += 1
    return count


@compiled
def find_isolated(calcium: FloatArray, finite: BoolArray, span: int, starts: IntArray) -> int:
    """Write the first frames of the largest rises of calcium that have ``span`` frames either way to themselves.

    All other rises around may together have 15% of the height. Returns how many were found, at most the length of
    ``starts``.
    """
    n, found = len(calcium), 0
    onsets, heights = np.empty(n // 2 + 1, np.int64), np.empty(n // 2 + 1)
    count = _find_rises(calcium, onsets, heights)
    for i in np.argsort(-heights[:count]):
        start = onsets[i]
        if found == len(starts):
            break
        if start + span > n or not finite[max(0, start - LEAD_FRAMES) : start + span].all():
            continue
        around = 0.0
        for j in range(count):
            if j != i and abs(onsets[j] - start) < span:
                around += heights[j]
        if around <= MINOR * heights[i]:
            starts[found] = start
            found += 1
    return found


@compiled
def event_misfit(y: FloatArray, b: float, starts: IntArray, span: int, decay: float, rise: float) -> float:
    """Return the squared residual of the events, each of its own size and on the remainder of what came before."""
    total = 0.0
    for start in starts:
        yy, yk, ye, kk, ke, ee = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        slow, fast, rest = decay, rise, 1.0
        for t in range(max(0, start - LEAD_FRAMES), start + span):
            value = y[t] - b
            kernel = slow - fast if t >= start else 0.0
            yy += value * value
            yk += value * kernel
            ye += value * rest
            kk += kernel * kernel
            ke += kernel * rest
            ee += rest * rest
            rest *= decay
            if t >= start:
                slow *= decay
                fast *= rise
        determinant = kk * ee - ke * ke
        if determinant > 1e-9 * kk * ee:
            total += yy - (yk * (yk * ee - ye * ke) + ye * (ye * kk - yk * ke)) / determinant
        else:
            total += yy - yk * yk / kk
    return total


@compiled
def _search(
    y: FloatArray, b: float, starts: IntArray, span: int, decay: float, rise: float, centre: float, of_rise: bool
) -> float:
    """Return the decay (or rise) factor of least misfit around ``centre``, by golden section on its log time."""
    middle = np.log(-1.0 / np.log(centre))
    low, high = middle - np.log(SEARCH_FACTOR), middle + np.log(SEARCH_FACTOR)
    for _ in range(SEARCH_STEPS):
        trials = np.exp(-1.0 / np.exp(np.array([high - GOLDEN * (high - low), low + GOLDEN * (high - low)])))
        misfit = np.empty(2)
        for i in range(2):
            slow, fast = (decay, min(trials[i], APART * decay)) if of_rise else (trials[i], rise)
            misfit[i] = event_misfit(y, b, starts, span, slow, fast)
        if misfit[0] < misfit[1]:
            high = low + GOLDEN * (high - low)
        else:
            low = high - GOLDEN * (high - low)
    return np.exp(-1.0 / np.exp(0.5 * (low + high)))


def _optimise(
    trace: FloatArray, calcium: FloatArray, finite: BoolArray, *, baseline: float, ar: FloatArray, n_events: int
) -> tuple[FloatArray, int]:
    """Return one trace's coefficients and the number of events that they were fitted to."""
    first_decay, first_rise = ar_roots(*ar) if len(ar) == 2 else (float(ar[0]), 0.0)
    if not 0.0 < first_decay < 1.0:
        return ar, 0
    span = max(4, int(-EVENT_DECAYS / np.log(first_decay)))
    starts = np.empty(n_events, np.int64)
    used = find_isolated(calcium, finite, span, starts)
    if used == 0:
        return ar, 0
    decay, rise, fits_rise = first_decay, first_rise, first_rise > SHORTEST_RISE
    for _ in range(ROUNDS if fits_rise else 1):
        decay = _search(trace, baseline, starts[:used], span, decay, rise, first_decay, False)
        if fits_rise:
            rise = min(_search(trace, baseline, starts[:used], span, decay, rise, first_rise, True), APART * decay)
    return np.array([decay] if len(ar) == 1 else [decay + rise, -decay * rise]), used


def optimise_on_events(
    traces: FloatArray, calcium: FloatArray, baseline: FloatArray, ar: FloatArray, *, n_events: int
) -> tuple[FloatArray, IntArray]:
    """Fit each trace's time constants to its largest isolated events.

    Parameters
    ----------
    traces : float32 (K, T)
        Any unit; an event with a missing frame is not used.
    calcium : float32 (K, T)
        What a first deconvolution made of them.
    baseline : float (K,)
        Level of each trace, in the same unit.
    ar : float (K, order)
        Coefficients where the search begins; it goes up to a factor of 4 in time either way.
    n_events : int
        Events to use, at most.

    Returns
    -------
    coefficients : float64 (K, order)
        Coefficients per frame, unchanged where there is no isolated event.
    used : int64 (K,)
        Events that were used.
    """
    filled, finite = fill_gaps(traces)
    calcium = np.nan_to_num(calcium).astype(np.float32)
    coefficients, used = np.array(ar, np.float64), np.zeros(len(traces), np.int64)
    for k in range(len(traces) if coefficients.shape[1] else 0):
        coefficients[k], used[k] = _optimise(
            filled[k], calcium[k], finite[k], baseline=float(baseline[k]), ar=coefficients[k], n_events=n_events
        )
    return coefficients, used
