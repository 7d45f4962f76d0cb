"""Which points of two sets have alike surroundings, up to rotation and magnification: votes of neighbour pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.sessions.points import neighbourhoods

N_NEIGHBOURS = 14
N_ANGLES = 48
# Magnifications from 0.5 to 2, in steps of 9 percent.
N_SCALES = 16
LARGEST_LOG_SCALE = float(np.log(2.0))
KEPT_PER_POINT = 3
LEAST_VOTES = 3
MOST_CANDIDATES = 2500
DEPTH_RADII = 2.0


@dataclass(frozen=True)
class Candidates:
    """Pairs of points with alike surroundings.

    Attributes
    ----------
    first, second : int64 (C,), rows of the two sets
    angle, log_scale : float64 (C,), the turn and magnification that their surroundings tell
    votes : float64 (C,), how many neighbours agree
    """

    first: IntArray
    second: IntArray
    angle: FloatArray
    log_scale: FloatArray
    votes: FloatArray


def candidates(first: FloatArray, second: FloatArray, *, radius: float, n_anchors: int) -> Candidates:
    """Return the pairs of points (K1, N), (K2, N) whose surroundings are most alike.

    Parameters
    ----------
    radius : of a cell; neighbours whose depth differs by twice as much are not the same
    n_anchors : so many points of the first set are looked at, with all their neighbours
    """
    anchors = _spread_out(first, n_anchors)
    around = tuple(part[anchors] for part in neighbourhoods(first, N_NEIGHBOURS))
    votes, angle, scale = _votes(*around, *neighbourhoods(second, N_NEIGHBOURS), DEPTH_RADII * radius)
    kept = np.zeros(votes.shape, bool)
    # Where few of one set are looked at, most of the other have no counterpart among them.
    for axis in (0, 1) if len(anchors) == len(first) else (1,):
        n = min(KEPT_PER_POINT, votes.shape[axis])
        best = np.argsort(-votes, axis=axis, kind="stable")
        np.put_along_axis(kept, np.take(best, np.arange(n), axis=axis), True, axis=axis)
    rows, columns = np.nonzero(kept & (votes >= LEAST_VOTES))
    strongest = np.argsort(-votes[rows, columns], kind="stable")[:MOST_CANDIDATES]
    rows, columns = rows[strongest], columns[strongest]
    step = 2 * np.pi / N_ANGLES
    log_step = 2 * LARGEST_LOG_SCALE / N_SCALES
    return Candidates(
        anchors[rows],
        columns,
        (angle[rows, columns].astype(float) + 1.0) * step,
        scale[rows, columns].astype(float) * log_step - LARGEST_LOG_SCALE,
        votes[rows, columns].astype(float),
    )


def _spread_out(points: FloatArray, most: int) -> IntArray:
    """Return rows of at most ``most`` points, spread over the field: every so many, from one end to the other."""
    order = np.lexsort(points.T)
    n = min(len(points), most)
    return np.sort(order[(np.arange(n) * len(points)) // max(n, 1)])


@compiled
def _votes(
    depth_1: Any, length_1: Any, angle_1: Any, depth_2: Any, length_2: Any, angle_2: Any, depth_tolerance: Any
) -> Any:
    """For each pair of points, the fullest cell of turn and magnification: votes, and the cell's number along both.

    Cells are two steps wide and overlap by one, so each vote is in four.
    """
    n_1, n_2 = len(length_1), len(length_2)
    votes = np.zeros((n_1, n_2), np.int16)
    best_angle = np.zeros((n_1, n_2), np.int8)
    best_scale = np.zeros((n_1, n_2), np.int8)
    counts = np.zeros((N_ANGLES, N_SCALES + 1), np.int16)
    log_1, log_2 = np.log(np.maximum(length_1, 1e-9)), np.log(np.maximum(length_2, 1e-9))
    per_scale, per_angle = N_SCALES / (2 * LARGEST_LOG_SCALE), N_ANGLES / (2 * np.pi)
    for i in range(n_1):
        for k in range(n_2):
            counts[:] = 0
            most, where_angle, where_scale = 0, 0, 0
            for a in range(length_1.shape[1]):
                for b in range(length_2.shape[1]):
                    at_scale = (log_2[k, b] - log_1[i, a] + LARGEST_LOG_SCALE) * per_scale
                    if at_scale < 0 or at_scale >= N_SCALES:
                        continue
                    if abs(depth_1[i, a] - depth_2[k, b]) > depth_tolerance:
                        continue
                    turn = (angle_2[k, b] - angle_1[i, a]) * per_angle
                    turn += N_ANGLES if turn < 0 else 0
                    u = min(int(turn), N_ANGLES - 1)
                    s = int(at_scale)
                    before = u - 1 if u else N_ANGLES - 1
                    for v in (before, u):
                        for r in (s, s + 1):
                            counts[v, r] += 1
                            if counts[v, r] > most:
                                most, where_angle, where_scale = counts[v, r], v, r
            votes[i, k], best_angle[i, k], best_scale[i, k] = most, where_angle, where_scale
    return votes, best_angle, best_scale
