"""The similarity map between two point sets that most pairs with alike surroundings agree on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.sessions.constellations import Candidates

# Pairs agree if one's map brings the other's points together, to this many cell radii ...
TOLERANCE_RADII = 2.5
# ... and this share of the way between them: tissue bends.
TOLERANCE_SHARE = 0.08
ANGLE_TOLERANCE = float(np.deg2rad(16.0))
SCALE_TOLERANCE = 0.2


@dataclass(frozen=True)
class Consensus:
    """Pairs of points (rows of the two sets) that agree on one map."""

    first: IntArray
    second: IntArray

    def __len__(self) -> int:
        return len(self.first)


def consensuses(
    first: FloatArray, second: FloatArray, found: Candidates, *, radius: float, most: int
) -> Iterator[Consensus]:
    """Yield sets of candidates that agree on one map of the plane, the largest first, each point in one pair at most.

    Parameters
    ----------
    first, second : float64 (K1, N), (K2, N)
    radius : of a cell, units of the points
    most : how many sets to look for; each candidate is in one of them
    """
    at_1, at_2 = first[found.first], second[found.second]
    tolerance = TOLERANCE_RADII * radius
    support = _support(at_1, at_2, found.angle, found.log_scale, found.votes, tolerance)
    for _ in range(most if len(support) else 0):
        top = int(np.argmax(support))
        if support[top] <= 0:
            return
        agreeing = _agreeing(at_1, at_2, found.angle, found.log_scale, top, tolerance)
        yield _one_to_one(found, np.flatnonzero(agreeing))
        support[agreeing] = 0


def _one_to_one(found: Candidates, rows: IntArray) -> Consensus:
    """Keep the pairs with most votes where a point is in several."""
    order = rows[np.argsort(-found.votes[rows], kind="stable")]
    seen_1: set[int] = set()
    seen_2: set[int] = set()
    kept = []
    for row in order:
        i, k = int(found.first[row]), int(found.second[row])
        if i not in seen_1 and k not in seen_2:
            kept.append((i, k))
            seen_1.add(i)
            seen_2.add(k)
    pairs = np.array(kept, np.int64).reshape(-1, 2)
    return Consensus(pairs[:, 0], pairs[:, 1])


@compiled
def _agree(at_1: Any, at_2: Any, angle: Any, log_scale: Any, c: Any, e: Any, tolerance: Any) -> Any:
    """Tell whether the map of pair c brings the points of pair e together, and their surroundings tell the same."""
    turn = abs(angle[c] - angle[e]) % (2 * np.pi)
    turn = min(turn, 2 * np.pi - turn)
    if turn > ANGLE_TOLERANCE or abs(log_scale[c] - log_scale[e]) > SCALE_TOLERANCE:
        return False
    n = at_1.shape[1]
    y, x = at_1[e, n - 2] - at_1[c, n - 2], at_1[e, n - 1] - at_1[c, n - 1]
    s = np.exp(log_scale[c])
    cos, sin = s * np.cos(angle[c]), s * np.sin(angle[c])
    dy = at_2[e, n - 2] - at_2[c, n - 2] - (cos * y + sin * x)
    dx = at_2[e, n - 1] - at_2[c, n - 1] - (cos * x - sin * y)
    limit = tolerance + TOLERANCE_SHARE * s * np.hypot(y, x)
    if n == 3 and abs(at_2[e, 0] - at_2[c, 0] - (at_1[e, 0] - at_1[c, 0])) > tolerance:
        return False
    return dy * dy + dx * dx <= limit * limit


@compiled
def _support(at_1: Any, at_2: Any, angle: Any, log_scale: Any, votes: Any, tolerance: Any) -> Any:
    support = np.zeros(len(angle))
    for c in range(len(angle)):
        for e in range(len(angle)):
            if _agree(at_1, at_2, angle, log_scale, c, e, tolerance):
                support[c] += votes[e]
    return support


@compiled
def _agreeing(at_1: Any, at_2: Any, angle: Any, log_scale: Any, c: Any, tolerance: Any) -> Any:
    found = np.zeros(len(angle), np.bool_)
    for e in range(len(angle)):
        found[e] = _agree(at_1, at_2, angle, log_scale, c, e, tolerance)
    return found
