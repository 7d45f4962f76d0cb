"""One trace at a time: from its samples to penalty, baseline, calcium and activity."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.traces.ar_model import ar_roots
from caiman_pipeline.traces.oasis_ar1 import decay_powers, fit_pools, write_pools
from caiman_pipeline.traces.oasis_ar2 import GAP_WEIGHT, MAX_PIVOTS, fit_pivots, gram_bands, prepare, write_calcium

# What may be the matter with a trace, one bit each; the names in the same order.
ZERO, CONSTANT, NO_DATA, GAP, AR_FALLBACK, UNREACHABLE, NO_ACTIVITY, NOT_CONVERGED = 1, 2, 4, 8, 16, 32, 64, 128
FLAG_NAMES = ("zero", "constant", "no_data", "gap", "ar_fallback", "noise_unreachable", "no_activity", "not_converged")
# Quantile of the trace at which the search for its baseline begins; it does not change where it ends.
FIRST_LEVEL = 0.2
# Samples that tell that quantile.
LEVEL_SAMPLES = 300


@dataclass(frozen=True)
class Problem:
    """What is to be solved for a trace.

    Attributes
    ----------
    ar : (0,), (1,) or (2,) coefficients; ``noise`` : standard deviation
    penalty : l1, l0 or nonnegative; ``s_min`` : smallest event with l0, see ``foopsi.DeconvolutionMethod``
    bounds : smallest and largest penalty that the noise constraint may set
    busy_share : no l1 penalty remains where calcium exceeds the noise in more than this share of the frames
    baseline : free, nonnegative or fixed; ``level`` : where it is fixed
    sparsity : the penalty where it is given, else negative
    guess : (T,) activity to begin from, or None
    """

    ar: tuple[float, ...]
    noise: float
    penalty: str
    s_min: float
    bounds: tuple[float, float]
    busy_share: float
    baseline: str
    level: float
    sparsity: float
    guess: FloatArray | None

    @property
    def decay(self) -> float:
        """Slow decay per frame; 0 without dynamics."""
        return float(ar_roots(*self.ar)[0]) if len(self.ar) == 2 else float(sum(self.ar))

    @property
    def threshold(self) -> float:
        """Smallest event in the trace's unit; a negative ``s_min`` is in units of noise x sqrt(1 - decay)."""
        return self.s_min if self.s_min >= 0 else -self.s_min * self.noise * np.sqrt(1 - self.decay)

    @property
    def transient_norm(self) -> float:
        """Euclidean norm of the calcium that one unit of activity leaves."""
        g1, g2 = (*self.ar, 0.0, 0.0)[:2]
        square = (1 - g2) / ((1 + g2) * ((1 - g2) ** 2 - g1 * g1))
        return float(np.sqrt(square)) if square > 0 else np.inf

    @property
    def penalty_limits(self) -> tuple[float, float]:
        """Smallest and largest penalty, in the trace's unit."""
        unit = self.noise * self.transient_norm
        return self.bounds[0] * unit, self.bounds[1] * unit


@dataclass(frozen=True)
class Samples:
    """A trace without its mean, weights of its frames (0 or tiny where missing), and what the baseline may be.

    Attributes
    ----------
    y, w : float64 (T,)
    lowest : the baseline's lower bound; ``start`` : where the search for it begins; both without the mean
    target : squared residual that the noise allows, negative where it sets nothing
    """

    y: FloatArray
    w: FloatArray
    lowest: float
    start: float
    target: float


@dataclass(frozen=True)
class Solution:
    """Penalty, baseline, flags (bits), and float64 (T,) calcium and activity."""

    sparsity: float
    baseline: float
    flags: int
    calcium: FloatArray
    activity: FloatArray


def solve_row(trace: FloatArray, finite: BoolArray, problem: Problem) -> Solution:
    """Deconvolve one trace, gaps bridged, with ``finite`` (T,) marking the frames that are present.

    Parameters
    ----------
    trace : float32 (T,)
        Any unit, gaps bridged.
    finite : bool (T,)
        Frames that are present.
    problem : Problem
        What is known of the trace, and what is to be found.

    Returns
    -------
    Solution
        Calcium, activity and baseline in the trace's unit; NaN penalty and baseline where no frame is present.

    References
    ----------
    Friedrich, Zhou & Paninski 2017, 10.1371/journal.pcbi.1005423
    """
    zeros, count = np.zeros(len(trace)), int(finite.sum())
    flags = 0 if count == len(trace) else GAP
    if count == 0:
        return Solution(np.nan, np.nan, NO_DATA, zeros, zeros)
    values = trace[finite].astype(np.float64) if flags else trace.astype(np.float64)
    mean, low = float(values.mean()), float(values.min())
    if low == values.max():
        level = {"fixed": problem.level, "nonnegative": max(low, 0.0), "free": low}[problem.baseline]
        return Solution(0.0, level, flags | (ZERO if low == 0 else CONSTANT), zeros, zeros)
    samples = _prepare(trace, finite, values, problem)
    silent = samples.start if problem.baseline == "fixed" else max(0.0, samples.lowest)
    silencing = _silencing_penalty(samples, silent, problem)
    if silencing is not None and silencing <= problem.penalty_limits[1]:
        return Solution(silencing, silent + mean, flags | NO_ACTIVITY, zeros, zeros)
    if silencing is not None:
        samples = Samples(samples.y, samples.w, samples.lowest, samples.start, -1.0)
    given = problem.penalty_limits[1] if silencing is not None else max(problem.sparsity, 0.0)
    solve = (_solve_without_dynamics, _solve_ar1, _solve_ar2)[len(problem.ar)]
    sparsity, baseline, more = solve(samples, problem, given, zeros, activity := np.zeros(len(trace)))
    return Solution(sparsity, baseline + mean, flags | more, zeros, activity)


def _prepare(trace: FloatArray, finite: BoolArray, values: FloatArray, problem: Problem) -> Samples:
    mean = values.mean()
    missing = GAP_WEIGHT if len(problem.ar) == 2 else 0.0
    w = np.ones(len(trace)) if len(values) == len(trace) else np.where(finite, 1.0, missing)
    lowest = -mean if problem.baseline == "nonnegative" else values.min() - mean
    if problem.baseline == "fixed":
        start = problem.level - mean
    else:
        sample = np.sort(values[:: max(1, len(values) // LEVEL_SAMPLES)])
        start = max(sample[int(FIRST_LEVEL * len(sample))] - mean, lowest)
    set_by_noise = problem.sparsity < 0 and not (problem.penalty == "nonnegative" and problem.baseline == "fixed")
    target = problem.noise**2 * len(values) if set_by_noise else -1.0
    return Samples(trace.astype(np.float64) - mean, w, float(lowest), float(start), float(target))


def _silencing_penalty(samples: Samples, silent: float, problem: Problem) -> float | None:
    """Return the smallest penalty without any calcium, where the noise allows that; else None."""
    silence_allowed = problem.penalty == "l1" or (problem.penalty == "l0" and problem.threshold == 0)
    if samples.target < 0 or not silence_allowed:
        return None
    residual = samples.w * (samples.y - silent)
    if residual @ (samples.y - silent) > samples.target:
        return None
    first, second = (*problem.ar, 0.0, 0.0)[:2]
    return max(0.0, _largest_gain(residual, first, second))


@compiled
def _largest_gain(residual: FloatArray, first: float, second: float) -> float:
    """Return the most that an event in any frame would gain: the residual run backwards through the autoregression."""
    largest, after, later = -np.inf, 0.0, 0.0
    for t in range(len(residual) - 1, -1, -1):
        now = residual[t] + first * after + second * later
        largest = max(largest, now)
        after, later = now, after
    return largest


def _within(problem: Problem, samples: Samples, sparsity: float) -> float | None:
    """Return the bounded penalty where the one that the noise set is out of bounds, else None."""
    low, high = problem.penalty_limits
    if samples.target < 0 or low <= sparsity <= high:
        return None
    return min(max(sparsity, low), high)


def _is_busy(calcium: FloatArray, samples: Samples, problem: Problem) -> bool:
    """Tell whether a trace is so full of activity that a penalty takes more from small events than from noise."""
    if problem.penalty != "l1" or samples.target < 0:
        return False
    return float((calcium[samples.w == 1.0] > problem.noise).mean()) > problem.busy_share


def _solve_ar1(
    samples: Samples, problem: Problem, sparsity: float, calcium: FloatArray, activity: FloatArray
) -> tuple[float, float, int]:
    """Solve an AR(1) trace; return penalty, baseline (of the l1 problem, refitted for l0) and flags."""
    y, w, g, free = samples.y, samples.w, problem.decay, problem.baseline != "fixed"
    first, sums = np.empty(len(y) + 1, np.int64), np.empty((4, len(y)))
    count, lam, b, reached = fit_pools(
        y, w, g, samples.start, sparsity, free, samples.lowest, samples.target, first, sums
    )
    bounded = _within(problem, samples, lam)
    if bounded is not None:
        count, lam, b, _ = fit_pools(y, w, g, b, bounded, free, samples.lowest, -1.0, first, sums)
        reached = True
    write_pools(first, sums, count, decay_powers(g, len(y)), calcium, activity)
    if problem.penalty == "nonnegative" or _is_busy(calcium, samples, problem):
        count, lam, b, _ = fit_pools(y, w, g, b, 0.0, False, samples.lowest, -1.0, first, sums)
    elif problem.penalty == "l0":
        from caiman_pipeline.traces.events import threshold_pools

        target = samples.target if problem.threshold == 0 else -1.0
        count, b = threshold_pools(y, w, g, b, problem.threshold, free, samples.lowest, target, first, sums)
        lam = 0.0
    write_pools(first, sums, count, decay_powers(g, len(y)), calcium, activity)
    return lam, b, 0 if reached else UNREACHABLE


def _solve_without_dynamics(
    samples: Samples, problem: Problem, sparsity: float, calcium: FloatArray, activity: FloatArray
) -> tuple[float, float, int]:
    """Solve for calcium that is gone in the next frame, as AR(1) without decay; return what ``_solve_ar1`` does.

    A frame without weight goes before the first, whose calcium then counts as activity like that of the others.
    """
    later = replace(samples, y=np.append(0.0, samples.y), w=np.append(0.0, samples.w))
    found = np.zeros((2, len(later.y)))
    result = _solve_ar1(later, problem, sparsity, *found)
    calcium[:] = activity[:] = found[1, 1:]
    return result


def _solve_ar2(
    samples: Samples, problem: Problem, sparsity: float, calcium: FloatArray, activity: FloatArray
) -> tuple[float, float, int]:
    """Solve an AR(2) trace; return penalty, baseline (of the l1 problem, refitted for l0) and flags."""
    n, (g1, g2), d, free = len(samples.y), problem.ar, problem.decay, problem.baseline != "fixed"
    bands, data, work, h = (np.empty((n, columns)) for columns in (3, 2, 3, 3))
    spike = np.zeros(n, bool) if problem.guess is None else problem.guess > 0
    gram_bands(samples.w, g1, g2, d, bands)
    prepare(samples.y, g1, g2, d, data)
    lam, b, reached, steps = fit_pivots(
        bands, spike, data, sparsity, samples.start, free, samples.lowest, samples.target, work, h
    )
    bounded = _within(problem, samples, lam)
    if bounded is not None:
        lam, b, _, steps = fit_pivots(bands, spike, data, bounded, b, free, samples.lowest, -1.0, work, h)
        reached = True
    write_calcium(spike, h, lam, b, g1, g2, d, calcium, activity)
    if problem.penalty != "l1" or _is_busy(calcium, samples, problem):
        lam, b, _, more = fit_pivots(bands, spike, data, 0.0, b, False, samples.lowest, -1.0, work, h)
        steps = max(steps, more)
    if problem.penalty == "l0":
        from caiman_pipeline.traces.events import threshold_pivots

        target = samples.target if problem.threshold == 0 else -1.0
        b = threshold_pivots(bands, spike, b, problem.threshold, free, samples.lowest, target, data, work, h)
    write_calcium(spike, h, lam, b, g1, g2, d, calcium, activity)
    return lam, b, (0 if reached else UNREACHABLE) | (NOT_CONVERGED if steps >= MAX_PIVOTS else 0)
