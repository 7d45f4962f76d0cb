"""All sessions in one frame: a tree of the best pairwise alignments, then each session to all others at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from caiman_pipeline.model.sessions import Placement
from caiman_pipeline.sessions.bend import fit_placement
from caiman_pipeline.sessions.pairs import PairAlignment
from caiman_pipeline.sessions.points import PointSet

# From how far counterparts are taken in each round, in cell radii.
ROUNDS_RADII = (2.5, 2.0, 1.7, 1.5, 1.5)
PAIRS_TO_BEND = 20
# Fewer tell less than what placed the session first.
PAIRS_TO_REFINE = 8

Edges = Mapping[tuple[int, int], PairAlignment]


@dataclass(frozen=True)
class Frame:
    """Where each session lies, in the units of its points; None for those without a place.

    Attributes
    ----------
    reference : the session whose field the frame is
    """

    reference: int
    placements: tuple[Placement | None, ...]


def connected(n_sessions: int, edges: Edges) -> list[list[int]]:
    """Return sessions that alignments lead between, the largest set first, then by strength and by number."""
    groups = [{s} for s in range(n_sessions)]
    for a, b in edges:
        one, other = (next(g for g in groups if s in g) for s in (a, b))
        if one is not other:
            groups.remove(other)
            one |= other
    strength = {id(g): sum(e.excess for (a, _), e in edges.items() if a in g) for g in groups}
    return [sorted(g) for g in sorted(groups, key=lambda g: (-len(g), -strength[id(g)], min(g)))]


def most_central(group: Sequence[int], edges: Edges) -> int:
    """Return the session that shares most with the others of its group."""
    shared = {s: sum(e.excess for pair, e in edges.items() if s in pair) for s in group}
    return min(group, key=lambda s: (-shared[s], s))


def place_all(points: Sequence[PointSet], group: Sequence[int], edges: Edges, reference: int) -> Frame:
    """Return the places of a group's sessions in the frame of one of them."""
    ndim = points[reference].at.shape[1]
    placed: dict[int, Placement] = {reference: Placement.identity(ndim)}
    while len(placed) < len(group):
        following = _nearest_to_place(group, placed, edges)
        placed[following] = _by_edges(points, following, placed, edges)
    for tolerance in ROUNDS_RADII:
        placed = _each_to_all(points, placed, reference, tolerance * points[reference].radius)
    return Frame(reference, tuple(placed.get(s) for s in range(len(points))))


def _nearest_to_place(group: Sequence[int], placed: Mapping[int, Placement], edges: Edges) -> int:
    """Return the session that shares most with those that are placed."""
    shared = {s: sum(edges[p].excess for t in placed if (p := _key(s, t)) in edges) for s in group if s not in placed}
    return min(shared, key=lambda s: (-shared[s], s))


def _key(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)


def _by_edges(points: Sequence[PointSet], session: int, placed: Mapping[int, Placement], edges: Edges) -> Placement:
    """Fit a session to the places of its counterparts in all sessions that have one."""
    own, there = [], []
    for other, placement in placed.items():
        edge = edges.get(_key(session, other))
        if edge is not None:
            one, two = edge.anchors or (
                points[min(session, other)].at[edge.first],
                points[max(session, other)].at[edge.second],
            )
            own.append(one if session < other else two)
            there.append(placement(two if session < other else one))
    first, second = np.concatenate(own), np.concatenate(there)
    bend = len(first) > PAIRS_TO_BEND
    return fit_placement(first, second, np.ones(len(first)), radius=points[session].radius, bend=bend).placement


def _each_to_all(
    points: Sequence[PointSet], placed: Mapping[int, Placement], reference: int, tolerance: float
) -> dict[int, Placement]:
    """Fit each session anew to the mean place of its cells' counterparts in the others; the frame's own stays."""
    where = {s: placement(points[s].at) for s, placement in placed.items()}
    trees = {s: cKDTree(at) for s, at in where.items() if len(at)}
    better = {}
    for s in placed:
        total, count = np.zeros_like(where[s]), np.zeros(len(where[s]))
        for t in sorted(trees.keys() - {s}) if s in trees else ():
            there, to_other = trees[t].query(where[s])
            back = trees[s].query(where[t])[1]
            good = (back[to_other] == np.arange(len(to_other))) & (there <= tolerance)
            total[good] += where[t][to_other[good]]
            count[good] += 1
        rows = np.flatnonzero(count)
        if s == reference or len(rows) < PAIRS_TO_REFINE:
            better[s] = placed[s]
            continue
        # The mean of n counterparts scatters less than one, the session's own cell as much as before.
        weight = 2 * count[rows] / (count[rows] + 1)
        better[s] = fit_placement(
            points[s].at[rows],
            total[rows] / count[rows, None],
            weight,
            radius=points[s].radius,
            bend=len(rows) > PAIRS_TO_BEND,
        ).placement
    return better
