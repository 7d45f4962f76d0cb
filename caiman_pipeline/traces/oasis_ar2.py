"""Exact non-negative deconvolution of an AR(2) trace by pivoting on its banded optimality conditions.

With s = G c (G banded) the problem ``min 1/2 sum w (y - b - c)^2 + lam sum s, s >= 0`` has the multipliers nu of
``s >= 0`` as the solution of a linear complementarity problem in M = G W^-1 G^T, which has five diagonals. Frames
without a spike stay an ordered subset, so each trial set costs one banded factorisation. For a fixed set, nu is linear
in the baseline and the penalty, and the squared residual is a constant plus Q lam^2: penalty, baseline and set are
updated together.

References
----------
Friedrich, Zhou & Paninski (2017), PLoS Comput Biol, 10.1371/journal.pcbi.1005423 (the problem);
Portugal, Judice & Vicente (1994), Math Comput, 10.1090/S0025-5718-1994-1250776-4 (block pivoting).
"""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray
from caiman_pipeline.numerics.kernels import compiled

# Trial sets; a search that needs more is flagged as not converged.
MAX_PIVOTS = 1000
# Trials of all violated frames at once that may bring nothing before fewer are swapped.
PATIENCE = 5
# Share of the largest violation below which a frame is within rounding of its bound.
ROUNDING = 1e-9
# Frames within which only the worst of the violated ones is swapped at first.
FIRST_REACH = 3
# Weight of a missing frame: the conditions divide by weights, and so little moves no result.
GAP_WEIGHT = 1e-4


@compiled
def gram_bands(w: FloatArray, g1: float, g2: float, d: float, bands: FloatArray) -> None:
    """Write the three lower diagonals of M = G W^-1 G^T, one row per frame."""
    for t in range(len(w)):
        a1 = g1 if t > 1 else (d if t == 1 else 0.0)
        a2 = g2 if t > 1 else 0.0
        a1_before = g1 if t > 2 else (d if t == 2 else 0.0)
        v1 = 1.0 / w[t - 1] if t > 0 else 0.0
        v2 = 1.0 / w[t - 2] if t > 1 else 0.0
        bands[t, 0] = 1.0 / w[t] + a1 * a1 * v1 + a2 * a2 * v2
        bands[t, 1] = -a1 * v1 + a2 * a1_before * v2
        bands[t, 2] = -a2 * v2


@compiled
def solve_quiet(bands: FloatArray, spike: BoolArray, data: FloatArray, work: FloatArray, h: FloatArray) -> None:
    """Solve M_AA h_A = (-data[:, 0], -data[:, 1], M_AF 1)_A for the frames A that hold no spike, F the others.

    ``h`` is (T, 3) and left alone on F; ``work`` (T, 3) receives 1 / pivot and the two multipliers of each row.
    """
    n = len(bands)
    before, before2 = -9, -9
    for t in range(n):
        if spike[t]:
            continue
        pivot, u1, l1, l2 = bands[t, 0], 0.0, 0.0, 0.0
        x0, x1, x2 = -data[t, 0], -data[t, 1], 0.0
        if before2 == t - 2:
            u2 = bands[t, 2]
            l2 = u2 * work[before2, 0]
            pivot -= l2 * u2
            u1 = -u2 * work[before, 1]
            x0 -= l2 * h[before2, 0]
            x1 -= l2 * h[before2, 1]
            x2 -= l2 * h[before2, 2]
        elif t > 1 and spike[t - 2]:
            x2 += bands[t, 2]
        if before >= t - 2:
            u1 += bands[t, t - before]
            l1 = u1 * work[before, 0]
            pivot -= l1 * u1
            x0 -= l1 * h[before, 0]
            x1 -= l1 * h[before, 1]
            x2 -= l1 * h[before, 2]
        if t > 0 and spike[t - 1]:
            x2 += bands[t, 1]
        if t + 1 < n and spike[t + 1]:
            x2 += bands[t + 1, 1]
        if t + 2 < n and spike[t + 2]:
            x2 += bands[t + 2, 2]
        work[t, 0], work[t, 1], work[t, 2] = 1.0 / pivot, l1, l2
        h[t, 0], h[t, 1], h[t, 2] = x0, x1, x2
        before2, before = before, t
    _substitute_back(spike, work, h)


@compiled
def _substitute_back(spike: BoolArray, work: FloatArray, h: FloatArray) -> None:
    after, after2 = -1, -1
    for t in range(len(h) - 1, -1, -1):
        if spike[t]:
            continue
        scale = work[t, 0]
        l1 = work[after, 1] if after >= 0 and after <= t + 2 else 0.0
        l2 = work[after2, 2] if after2 == t + 2 else 0.0
        for k in range(3):
            x = h[t, k] * scale
            if l1 != 0.0:
                x -= l1 * h[after, k]
            if l2 != 0.0:
                x -= l2 * h[after2, k]
            h[t, k] = x
        after2, after = after, t


@compiled
def spike_rows(bands: FloatArray, spike: BoolArray, t: int, h: FloatArray) -> tuple[float, float, float]:
    """Return row ``t`` (a spike's) of M (h0, h1, h2 - 1_F), h taken as zero on frames with a spike."""
    n = len(bands)
    p0, p1, p2 = 0.0, 0.0, -bands[t, 0]
    for k in (-2, -1, 1, 2):
        i = t + k
        if i < 0 or i >= n:
            continue
        m = bands[t, -k] if k < 0 else bands[i, k]
        if spike[i]:
            p2 -= m
        else:
            p0 += m * h[i, 0]
            p1 += m * h[i, 1]
            p2 += m * h[i, 2]
    return p0, p1, p2


@compiled
def moments(
    bands: FloatArray, spike: BoolArray, data: FloatArray, h: FloatArray
) -> tuple[float, float, float, float, float]:
    """Return alpha, beta, gamma, epsilon, Q: the squared residual is alpha - 2 b beta + b^2 gamma + lam^2 Q.

    On frames with a spike ``h`` is filled with the rows that give the spike's size.
    """
    alpha, beta, gamma, epsilon, q = 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(len(bands)):
        if spike[t]:
            epsilon -= data[t, 1]
        else:
            alpha -= data[t, 0] * h[t, 0]
            beta -= data[t, 0] * h[t, 1]
            gamma -= data[t, 1] * h[t, 1]
            epsilon += data[t, 1] * h[t, 2]
    for t in range(len(bands)):
        if spike[t]:
            p0, p1, p2 = spike_rows(bands, spike, t, h)
            h[t, 0], h[t, 1], h[t, 2] = p0 + data[t, 0], p1 + data[t, 1], p2
            q -= p2
    return alpha, beta, gamma, epsilon, q


@compiled
def choose_level(
    alpha: float,
    beta: float,
    gamma: float,
    epsilon: float,
    q: float,
    lam: float,
    b: float,
    free_b: bool,
    b_min: float,
    target: float,
) -> tuple[float, float, bool]:
    """Return penalty and baseline that meet the constraint for the present set, and whether it can be met."""
    new_b, reached = b, True
    for attempt in range(2):
        free = free_b and attempt == 0 and gamma > 1e-12
        if target >= 0.0:
            rest = alpha - beta * beta / gamma if free else alpha - 2.0 * new_b * beta + new_b * new_b * gamma
            slope = q + (epsilon * epsilon / gamma if free else 0.0)
            lam_sq = (target - rest) / slope if slope > 1e-300 else lam * lam
            reached = lam_sq >= 0.0
            lam = np.sqrt(max(lam_sq, 0.0))
        if not free:
            break
        new_b = (beta - lam * epsilon) / gamma
        if new_b >= b_min:
            break
        new_b = b_min
    return lam, new_b, reached


@compiled
def _excess(spike: BoolArray, h: FloatArray, t: int, lam: float, b: float) -> float:
    """Return by how much frame ``t`` violates its condition, spike or multiplier not negative; negative if it holds."""
    if spike[t]:
        return -(h[t, 0] - b * h[t, 1] + lam * h[t, 2])
    return -(h[t, 0] - b * h[t, 1] + lam * (h[t, 2] + 1.0)) - 1e-10 * lam


@compiled
def exchange_all(spike: BoolArray, h: FloatArray, lam: float, b: float) -> int:
    """Swap all frames whose condition is violated; return their number."""
    violated = 0
    for t in range(len(spike)):
        if _excess(spike, h, t, lam, b) > 0.0:
            spike[t] = not spike[t]
            violated += 1
    return violated


@compiled
def exchange_worst(spike: BoolArray, h: FloatArray, lam: float, b: float, reach: int) -> int:
    """Swap the worst violated frame of each group no more than ``reach`` frames apart; return how many are violated.

    What is within rounding of its bound does not count as violated.
    """
    spikes, multipliers = 0.0, 0.0
    for t in range(len(spike)):
        excess = -_excess(spike, h, t, lam, b)
        if spike[t]:
            spikes = max(spikes, excess)
        else:
            multipliers = max(multipliers, excess)
    violated, worst, at, last = 0, 0.0, -1, 0
    for t in range(len(spike)):
        excess = _excess(spike, h, t, lam, b)
        if excess <= ROUNDING * (spikes if spike[t] else multipliers):
            continue
        violated += 1
        if at >= 0 and t - last > reach:
            spike[at] = not spike[at]
            at = -1
        if at < 0 or excess > worst:
            worst, at = excess, t
        last = t
    if at >= 0:
        spike[at] = not spike[at]
    return violated


@compiled
def prepare(y: FloatArray, g1: float, g2: float, d: float, data: FloatArray) -> None:
    """Write G y and G 1 as the two columns of ``data``."""
    for t in range(len(y)):
        a1 = g1 if t > 1 else (d if t == 1 else 0.0)
        a2 = g2 if t > 1 else 0.0
        data[t, 0] = y[t] - (a1 * y[t - 1] if t > 0 else 0.0) - (a2 * y[t - 2] if t > 1 else 0.0)
        data[t, 1] = 1.0 - a1 - a2


@compiled
def fit_pivots(
    bands: FloatArray,
    spike: BoolArray,
    data: FloatArray,
    lam: float,
    b: float,
    free_b: bool,
    b_min: float,
    target: float,
    work: FloatArray,
    h: FloatArray,
) -> tuple[float, float, bool, int]:
    """Find the spikes' frames, penalty and baseline that meet ``sum w r^2 = target`` (the baseline where target < 0).

    ``spike`` (T,) holds the first guess and receives the solution's set. All violated frames change sides at once; when
    that stops to help, only the worst of each neighbourhood, in ever larger ones, then all again.

    Returns
    -------
    penalty, baseline, whether the constraint could be met, and the trial sets used.
    """
    fewest, patience, reach, reached, step = len(spike) + 1, PATIENCE, 0, True, 0
    for step in range(MAX_PIVOTS):
        solve_quiet(bands, spike, data, work, h)
        alpha, beta, gamma, epsilon, q = moments(bands, spike, data, h)
        lam, b, reached = choose_level(alpha, beta, gamma, epsilon, q, lam, b, free_b, b_min, target)
        if step + 1 == MAX_PIVOTS:
            break
        violated = exchange_worst(spike, h, lam, b, reach) if reach else exchange_all(spike, h, lam, b)
        if violated == 0:
            break
        patience = PATIENCE if violated < fewest else patience - 1
        fewest = min(fewest, violated)
        if patience == 0:
            reach, patience = max(2 * reach, FIRST_REACH) if reach < len(spike) else 0, PATIENCE
    return lam, b, reached, step + 1


@compiled
def write_calcium(
    spike: BoolArray, h: FloatArray, lam: float, b: float, g1: float, g2: float, d: float, c: FloatArray, s: FloatArray
) -> None:
    """Write spikes and calcium of the solution; the calcium of the first frame is a starting value, not a spike."""
    for t in range(len(s)):
        s[t] = max(h[t, 0] - b * h[t, 1] + lam * h[t, 2], 0.0) if spike[t] else 0.0
        c[t] = s[t]
        if t == 1:
            c[t] += d * c[0]
        elif t > 1:
            c[t] += g1 * c[t - 1] + g2 * c[t - 2]
    s[0] = 0.0
