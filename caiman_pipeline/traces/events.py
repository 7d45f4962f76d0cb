"""Events of a smallest size (the L0 problem): pools or spikes below a threshold are merged away."""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.traces.oasis_ar1 import (
    data_moments,
    decay_powers,
    merge_pools,
    pool_moments,
    single_frames,
)
from caiman_pipeline.traces.oasis_ar2 import choose_level, moments, solve_quiet

# Halvings of the range of the smallest event: it is found to a millionth of the largest.
BISECTIONS = 20
# Times that the baseline is fitted again to the pools that are left.
LEVEL_ROUNDS = 3


@compiled
def _squared_residual(
    y: FloatArray, w: FloatArray, b: float, first: IntArray, sums: FloatArray, count: int, powers: FloatArray
) -> float:
    total, sum_y, sum_yy = data_moments(y, w)
    square = pool_moments(first, sums, count, powers, b)[1]
    return square + sum_yy - 2.0 * b * sum_y + b * b * total


@compiled
def largest_threshold(
    y: FloatArray, w: FloatArray, powers: FloatArray, b: float, target: float, first: IntArray, sums: FloatArray
) -> float:
    """Return the largest smallest event for which the squared residual stays within ``target``, by bisection.

    Merging goes on from the pools without a threshold, so that a trial costs their number, not the frames'.
    """
    first[len(y)] = len(y)
    count = merge_pools(first, sums, single_frames(y, w, first, sums), powers, 0.0, b, 0.0)
    pools, values = first[: count + 1].copy(), sums[:, :count].copy()
    low, high = 0.0, 0.0
    for i in range(count):
        high = max(high, 2.0 * values[3, i])
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        first[: count + 1] = pools
        sums[:, :count] = values
        merged = merge_pools(first, sums, count, powers, 0.0, b, middle)
        if _squared_residual(y, w, b, first, sums, merged, powers) <= target:
            low = middle
        else:
            high = middle
    return low


@compiled
def threshold_pools(
    y: FloatArray,
    w: FloatArray,
    g: float,
    b: float,
    s_min: float,
    free_b: bool,
    b_min: float,
    target: float,
    first: IntArray,
    sums: FloatArray,
) -> tuple[int, float]:
    """Find AR(1) pools whose events are all at least ``s_min``; return their number and the baseline.

    Where ``target`` is not negative, the threshold is the largest one whose squared residual stays within it.
    """
    powers = decay_powers(g, len(y))
    if target >= 0.0:
        s_min = largest_threshold(y, w, powers, b, target, first, sums)
    total, sum_y, _ = data_moments(y, w)
    count = 0
    for step in range(LEVEL_ROUNDS + 1):
        first[len(y)] = len(y)
        count = merge_pools(first, sums, single_frames(y, w, first, sums), powers, 0.0, b, s_min)
        residual, _, _, _, absorbed = pool_moments(first, sums, count, powers, b)
        if not free_b or step == LEVEL_ROUNDS or total - absorbed <= 1e-9 * total:
            break
        b = max(b + (residual + sum_y - b * total) / (total - absorbed), b_min)
    return count, b


@compiled
def _drop_small(spike: BoolArray, h: FloatArray, b: float, s_min: float) -> int:
    """Clear the spikes below ``s_min`` that are the smallest of their near neighbours; return how many were cleared."""
    cleared, smallest, at, last = 0, np.inf, -1, -9
    for t in range(1 if spike[0] and h[0, 0] - b * h[0, 1] >= 0.0 else 0, len(spike)):
        if not spike[t]:
            continue
        size = h[t, 0] - b * h[t, 1]
        if size >= s_min and size > 0.0:
            continue
        if at >= 0 and t - last <= 4:
            if size < smallest:
                smallest, at = size, t
        else:
            if at >= 0:
                spike[at] = False
                cleared += 1
            smallest, at = size, t
        last = t
    if at >= 0:
        spike[at] = False
        cleared += 1
    return cleared


@compiled
def _prune(
    bands: FloatArray,
    spike: BoolArray,
    b: float,
    s_min: float,
    free_b: bool,
    b_min: float,
    data: FloatArray,
    work: FloatArray,
    h: FloatArray,
) -> tuple[float, float]:
    """Drop spikes and refit until all are at least ``s_min``; return the baseline and the squared residual."""
    while True:
        solve_quiet(bands, spike, data, work, h)
        alpha, beta, gamma, epsilon, q = moments(bands, spike, data, h)
        _, b, _ = choose_level(alpha, beta, gamma, epsilon, q, 0.0, b, free_b, b_min, -1.0)
        if _drop_small(spike, h, b, s_min) == 0:
            return b, alpha - 2.0 * b * beta + b * b * gamma


@compiled
def threshold_pivots(
    bands: FloatArray,
    spike: BoolArray,
    b: float,
    s_min: float,
    free_b: bool,
    b_min: float,
    target: float,
    data: FloatArray,
    work: FloatArray,
    h: FloatArray,
) -> float:
    """Reduce AR(2) spikes to those of at least ``s_min``, in place; return the baseline.

    Where ``target`` is not negative, the threshold grows until the squared residual would exceed it.
    """
    if target < 0.0:
        return _prune(bands, spike, b, s_min, free_b, b_min, data, work, h)[0]
    largest = 0.0
    for t in range(len(spike)):
        if spike[t]:
            largest = max(largest, h[t, 0] - b * h[t, 1])
    kept = spike.copy()
    threshold = largest * 1e-3
    while threshold < 2.0 * largest:
        level, square = _prune(bands, spike, b, threshold, free_b, b_min, data, work, h)
        if square > target:
            break
        b = level
        kept[:] = spike
        threshold *= 1.15
    spike[:] = kept
    return _prune(bands, spike, b, 0.0, free_b, b_min, data, work, h)[0]
