"""Exact non-negative deconvolution of an AR(1) trace by merging pools, with the penalty set by the noise constraint.

A pool is a run of frames over which calcium decays without a spike. Merging pools is exact because the optimality
conditions are a linear complementarity problem with an M-matrix: as the penalty or the baseline grows, pools only
merge, so the search for the penalty goes on from the pools that it has.

References
----------
Friedrich, Zhou & Paninski (2017), PLoS Comput Biol, 10.1371/journal.pcbi.1005423.
"""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled

# Changes of penalty and baseline at most: each is exact for the pools at hand, and few merge after the first ones.
MAX_STEPS = 100
# Powers of the decay below this are taken for zero: they would only lose themselves among denormal numbers.
TINY_POWER = 1e-60


@compiled
def decay_powers(g: float, n_frames: int) -> FloatArray:
    """Return g**0 ... g**T, zero once negligible (denormal numbers are slow)."""
    powers = np.zeros(n_frames + 1)
    value = 1.0
    for t in range(n_frames + 1):
        powers[t] = value
        value *= g
        if value < TINY_POWER:
            break
    return powers


@compiled
def single_frames(y: FloatArray, w: FloatArray, first: IntArray, sums: FloatArray) -> int:
    """Start with one pool for each frame; ``sums`` rows are sum g^k w y, sum g^k w, sum g^2k w and the value."""
    for t in range(len(y)):
        first[t] = t
        sums[0, t] = w[t] * y[t]
        sums[1, t] = w[t]
        sums[2, t] = w[t]
    return len(y)


@compiled
def merge_pools(
    first: IntArray, sums: FloatArray, count: int, powers: FloatArray, lam: float, b: float, s_min: float
) -> int:
    """Merge neighbouring pools until every spike between them is at least ``s_min`` (and positive).

    Works in place on the first ``count`` pools and returns how many remain. ``first[count]`` must hold the number of
    frames. Row 3 of ``sums`` receives the calcium at each pool's first frame.
    """
    end = first[count]
    n = 0
    for i in range(count):
        start, sy, s1, s2 = first[i], sums[0, i], sums[1, i], sums[2, i]
        stop = first[i + 1]
        while True:
            value = 0.0
            if s2 > 0.0:
                tail = 0.0 if stop == end else powers[stop - start]
                value = (sy - b * s1 - lam * (1.0 - tail)) / s2
            if n == 0:
                value = max(value, 0.0)
                break
            length = start - first[n - 1]
            decayed = sums[3, n - 1] * powers[length]
            if s2 > 0.0 and value > decayed and value >= decayed + s_min:
                break
            n -= 1
            shift = powers[length]
            start = first[n]
            sy = sums[0, n] + shift * sy
            s1 = sums[1, n] + shift * s1
            s2 = sums[2, n] + shift * shift * s2
        first[n], sums[0, n], sums[1, n], sums[2, n], sums[3, n] = start, sy, s1, s2, value
        n += 1
    first[n] = end
    return n


@compiled
def pool_moments(
    first: IntArray, sums: FloatArray, count: int, powers: FloatArray, b: float
) -> tuple[float, float, float, float, float]:
    """Return, for the present pools, what the residual and its response to penalty and baseline need.

    (sum w r, sum w r^2) without the terms of the data alone, then Q, E and A of ``solve_step``.
    """
    end = first[count]
    residual, square, response, cross, absorbed = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(count):
        value, sy, s1, s2 = sums[3, i], sums[0, i], sums[1, i], sums[2, i]
        if value <= 0.0:
            continue
        tail = 0.0 if first[i + 1] == end else powers[first[i + 1] - first[i]]
        penalty = 1.0 - tail
        residual -= value * s1
        square += value * (value * s2 - 2.0 * (sy - b * s1))
        response += penalty * penalty / s2
        cross += s1 * penalty / s2
        absorbed += s1 * s1 / s2
    return residual, square, response, cross, absorbed


@compiled
def data_moments(y: FloatArray, w: FloatArray) -> tuple[float, float, float]:
    """Return sum w, sum w y and sum w y^2."""
    total, first, second = 0.0, 0.0, 0.0
    for t in range(len(y)):
        total += w[t]
        first += w[t] * y[t]
        second += w[t] * y[t] * y[t]
    return total, first, second


@compiled
def fit_pools(
    y: FloatArray,
    w: FloatArray,
    g: float,
    b: float,
    lam: float,
    free_b: bool,
    b_min: float,
    target: float,
    first: IntArray,
    sums: FloatArray,
) -> tuple[int, float, float, bool]:
    """Find pools, penalty and baseline that meet ``sum w r^2 = target``, or the baseline alone where ``target`` < 0.

    For fixed pools the squared residual is a constant plus Q lam^2 (+ the baseline's share), so each step solves the
    constraint exactly for the pools at hand, then merges.

    Returns
    -------
    number of pools, penalty, baseline, and whether the constraint could be met.
    """
    powers = decay_powers(g, len(y))
    total, sum_y, sum_yy = data_moments(y, w)
    first[len(y)] = len(y)
    count = merge_pools(first, sums, single_frames(y, w, first, sums), powers, lam, b, 0.0)
    reached = True
    for _ in range(MAX_STEPS):
        residual, square, q, cross, absorbed = pool_moments(first, sums, count, powers, b)
        residual += sum_y - b * total
        square += sum_yy - 2.0 * b * sum_y + b * b * total
        stiffness = total - absorbed if free_b else 0.0
        step_b = residual / stiffness if stiffness > 1e-9 * total else 0.0
        if free_b and b + step_b <= b_min:
            step_b, stiffness = b_min - b, 0.0
        new_lam, reached = lam, True
        if target >= 0.0:
            square += step_b * (step_b * (total - absorbed) - 2.0 * (residual - lam * cross))
            slope = q + (cross * cross / stiffness if stiffness > 1e-9 * total else 0.0)
            lam_sq = (
                lam * lam + (target - square) / slope if slope > 1e-300 else (lam * lam if square <= target else 0.0)
            )
            reached = lam_sq >= 0.0
            new_lam = np.sqrt(max(lam_sq, 0.0))
        new_b = b + step_b
        if stiffness > 1e-9 * total:
            new_b = max(new_b + (new_lam - lam) * cross / stiffness, b_min)
        shrinks = new_lam < lam or new_b < b
        before, moved = count, abs(new_lam - lam) > 1e-9 * (lam + 1e-300) or abs(new_b - b) > 1e-9 * (abs(b) + 1e-300)
        lam, b = new_lam, new_b
        count = len(y) if shrinks and moved else count
        if shrinks and moved:
            single_frames(y, w, first, sums)
            first[len(y)] = len(y)
        count = merge_pools(first, sums, count, powers, lam, b, 0.0)
        if not moved and count == before:
            break
    return count, lam, b, reached


@compiled
def write_pools(
    first: IntArray, sums: FloatArray, count: int, powers: FloatArray, c: FloatArray, s: FloatArray
) -> None:
    """Write calcium and spikes of the pools; the calcium of the first frame is a starting value, not a spike."""
    s[:] = 0.0
    for i in range(count):
        value = sums[3, i]
        for t in range(first[i], first[i + 1]):
            c[t] = value * powers[t - first[i]]
        if i > 0:
            s[first[i]] = value - sums[3, i - 1] * powers[first[i] - first[i - 1]]
