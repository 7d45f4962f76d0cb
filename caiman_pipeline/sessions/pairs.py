"""Alignment of two sessions by their footprints alone: a common map, grown to all cells, then bent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.sessions.bend import Fit, fit_placement
from caiman_pipeline.sessions.consensus import consensuses
from caiman_pipeline.sessions.constellations import candidates
from caiman_pipeline.sessions.points import PointSet

# How near counterparts must be while the alignment grows, in cell radii (standard deviations of a footprint).
TOLERANCES_RADII = (3.0, 2.3, 1.8, 1.5)
# Growing stays within this distance, in cell radii, of cells that already agree.
REACH_RADII = 30.0
LEAST_PAIRS = 4
MOST_TRIES = 4
# So many cells of the first session mostly suffice to find the map; else more are asked.
ANCHORS = (150, 600)
# Counterparts beyond chance, as a number and against the scatter of chance, from which fields are the same. In
# simulated sessions of 100 to 300 cells mirrored fields reached 5.4 of that scatter, the same fields 11 and more.
LEAST_EXCESS = 6.0
LEAST_Z = 7.0


@dataclass(frozen=True)
class PairAlignment:
    """Counterparts among two sessions' cells.

    Attributes
    ----------
    first, second : int64 (M,), rows of the two point sets
    excess : counterparts beyond those that would lie there by chance
    by_chance : how many these would be
    fit : the map from the first to the second session's units, None where none was found
    anchors : points (A, N) of both sessions that lie on each other, where images told so and cells were too few
    """

    first: IntArray
    second: IntArray
    excess: float
    by_chance: float
    fit: Fit | None
    anchors: tuple[FloatArray, FloatArray] | None = None

    @property
    def z(self) -> float:
        """How far the number of counterparts is from chance, in standard deviations of chance."""
        return self.excess / float(np.sqrt(self.by_chance + 1.0))

    @property
    def found(self) -> bool:
        """Whether it is the same field, as far as these two sessions tell."""
        return self.fit is not None and self.excess >= LEAST_EXCESS and self.z >= LEAST_Z


def align_pair(first: PointSet, second: PointSet, *, thorough: bool = True) -> PairAlignment:
    """Return the counterparts of two sessions' cells, as far as one map brings them together.

    Parameters
    ----------
    thorough : where some cells' surroundings tell of no map, look at those of more cells
    """
    best = PairAlignment(np.zeros(0, np.int64), np.zeros(0, np.int64), 0.0, 0.0, None)
    if min(len(first.at), len(second.at)) < LEAST_PAIRS:
        return best
    for n_anchors in ANCHORS:
        found = candidates(first.at, second.at, radius=first.radius, n_anchors=n_anchors)
        for start in consensuses(first.at, second.at, found, radius=first.radius, most=MOST_TRIES):
            if len(start) < LEAST_PAIRS:
                break
            best = max(best, grow(first, second, start.first, start.second), key=lambda a: a.excess)
            if best.found:
                return best
        if len(first.at) <= n_anchors or not thorough:
            break
    return best


def grow(first: PointSet, second: PointSet, rows: IntArray, columns: IntArray) -> PairAlignment:
    """Return the counterparts under the map that given ones tell, found again as the map gets better."""
    fit = fit_placement(
        first.at[rows], second.at[columns], np.ones(len(rows)), radius=first.radius, bend=len(rows) > 20
    )
    chance = 0.0
    for tolerance in TOLERANCES_RADII:
        inside = _within_reach(first.at, first.at[rows], REACH_RADII * first.radius)
        moved = fit.placement(first.at)
        rows, columns = mutual(moved, second.at, tolerance * second.radius, inside)
        if len(rows) < LEAST_PAIRS:
            return PairAlignment(rows, columns, 0.0, 0.0, None)
        chance = by_chance(moved[inside], second.at, tolerance * second.radius)
        fit = fit_placement(
            first.at[rows], second.at[columns], np.ones(len(rows)), radius=first.radius, bend=len(rows) > 20
        )
    return PairAlignment(rows, columns, len(rows) - chance, chance, fit)


def mutual(first: FloatArray, second: FloatArray, tolerance: float, inside: BoolArray) -> tuple[IntArray, IntArray]:
    """Return rows of two point sets that are each other's nearest, not farther than ``tolerance``."""
    if not len(first) or not len(second):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    there, to_second = cKDTree(second).query(first)
    _, to_first = cKDTree(first).query(second)
    rows = np.flatnonzero((to_first[to_second] == np.arange(len(first))) & (there <= tolerance) & inside)
    return rows, to_second[rows]


def _within_reach(points: FloatArray, known: FloatArray, reach: float) -> BoolArray:
    return cKDTree(known).query(points)[0] <= reach


def by_chance(points: FloatArray, others: FloatArray, tolerance: float) -> float:
    """Return how many points would have another within tolerance if these lay anywhere around: by their density."""
    if not len(points) or not len(others):
        return 0.0
    tree = cKDTree(others)
    wide = 5.0 * tolerance
    around = tree.query_ball_point(points, wide, return_length=True)
    expected = around * (tolerance / wide) ** points.shape[1]
    return float((1.0 - np.exp(-expected)).sum())
