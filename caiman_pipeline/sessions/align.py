"""All sessions of a group in one frame, by footprints with images as second witness, or by images alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.sessions import Alignment, Placement, Session
from caiman_pipeline.sessions.images import match_images, plane
from caiman_pipeline.sessions.joint import Edges, connected, most_central, place_all
from caiman_pipeline.sessions.pairs import PairAlignment, align_pair, by_chance, grow, mutual
from caiman_pipeline.sessions.points import PointSet, depth_ratio, point_set

# Where images say how fields lie, so few cells are not asked; of more, this many more than by chance must agree.
FEW_CELLS = 8
LEAST_Z_BY_IMAGES = 3.0
TOLERANCE_RADII = 2.5
# With fewer components chance cannot be told from sameness.
LEAST_TO_TELL = 12


@dataclass(frozen=True)
class Aligned:
    """The sessions in one frame.

    Attributes
    ----------
    reference : the session whose pixels the frame's are, -1 where nothing is placed
    placements : pixels of each session to pixels of the reference; None without a place
    alignments : how well each is known (without agreement of images)
    radius_px : float64 (N,), standard deviation of typical footprints, pixels of the reference
    """

    reference: int
    placements: tuple[Placement | None, ...]
    alignments: tuple[Alignment, ...]
    radius_px: FloatArray


def align_sessions(sessions: Sequence[Session]) -> Aligned:
    """Bring sessions into one frame by their footprints; images where these do not tell."""
    use_um = all(s.pixel_um is not None for s in sessions)
    ratio = depth_ratio(list(sessions))
    points = [point_set(s, depth_ratio=ratio, use_um=use_um) for s in sessions]
    pairs = combinations(range(len(sessions)), 2)
    edges = {pair: found for pair in pairs if (found := align_pair(points[pair[0]], points[pair[1]])).found}
    by_image = {
        pair: seen for pair in _unconnected(len(sessions), edges) if (seen := _by_images(sessions, points, pair))
    }
    edges |= by_image
    group = connected(len(sessions), edges)[0]
    if len(sessions) == 1:
        return _alone(sessions[0], radius_in_pixels(points[0], ratio))
    if len(group) < 2:
        nobody = tuple(_left_out(points, edges, s, []) for s in range(len(sessions)))
        return Aligned(-1, (None,) * len(sessions), nobody, np.ones(len(sessions[0].dims)))
    reference = most_central(group, edges)
    frame = place_all(points, group, edges, reference)
    unit = points[reference].unit
    placements = tuple(
        None if p is None else in_pixels(p, points[s].unit, unit) for s, p in enumerate(frame.placements)
    )
    alignments = tuple(
        _known(points, edges, s, s == reference, by_image) if s in group else _left_out(points, edges, s, group)
        for s in range(len(sessions))
    )
    return Aligned(reference, placements, alignments, radius_in_pixels(points[reference], ratio))


def _alone(session: Session, radius_px: FloatArray) -> Aligned:
    given = Alignment(True, "given", 0, 0.0, 1.0, float("nan"), "the only recording of its field")
    return Aligned(0, (Placement.identity(len(session.dims)),), (given,), radius_px)


def radius_in_pixels(points: PointSet, ratio: float) -> FloatArray:
    """Return the standard deviation of typical footprints along each axis, in pixels."""
    radius = points.radius / points.unit
    if len(radius) == 3:
        radius[0] = max(points.radius / points.unit[-1] / ratio, 0.5)
    return radius


def in_pixels(placement: Placement, own: FloatArray, frame: FloatArray) -> Placement:
    """Return a placement between units as one between pixels."""
    return Placement(
        placement.matrix * own / frame[:, None],
        placement.shift / frame,
        placement.centres / own,
        placement.weights / frame,
        placement.width / own,
    )


def _unconnected(n_sessions: int, edges: Edges) -> list[tuple[int, int]]:
    groups = connected(n_sessions, edges)
    of = {s: i for i, g in enumerate(groups) for s in g}
    return [pair for pair in combinations(range(n_sessions), 2) if of[pair[0]] != of[pair[1]]]


def _by_images(sessions: Sequence[Session], points: Sequence[PointSet], pair: tuple[int, int]) -> PairAlignment | None:
    """Return the counterparts where images bring two fields together, if the cells do not speak against it."""
    a, b = pair
    one, other = plane(sessions[a]), plane(sessions[b])
    if one is None or other is None or not np.allclose(points[a].unit, points[b].unit):
        return None
    match = match_images(one, other)
    if not match.found:
        return None
    unit = points[a].unit
    matrix, shift = np.eye(len(unit)), np.zeros(len(unit))
    matrix[-2:, -2:], shift[-2:] = match.turn, match.shift
    moved = (points[a].at / unit @ matrix.T + shift) * unit
    tolerance = TOLERANCE_RADII * max(points[a].radius, points[b].radius)
    rows, columns = mutual(moved, points[b].at, tolerance, np.ones(len(moved), bool))
    beyond = len(rows) - (chance := by_chance(moved, points[b].at, tolerance))
    many = min(len(moved), len(points[b].at)) >= FEW_CELLS
    if many and beyond < LEAST_Z_BY_IMAGES * np.sqrt(chance + 1):
        return None
    grown = grow(points[a], points[b], rows, columns) if many else None
    if grown is not None and grown.excess >= beyond:
        return grown
    # Too few cells to fit to: points on a grid over the field stand for them.
    axes = [np.linspace(0, n - 1, 6) for n in sessions[a].dims]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(unit))
    return PairAlignment(rows, columns, len(rows) + 1.0, chance, None, (grid * unit, (grid @ matrix.T + shift) * unit))


def _known(
    points: Sequence[PointSet], edges: Edges, session: int, is_reference: bool, by_image: Collection[tuple[int, int]]
) -> Alignment:
    """Say how well a placed session's place is known: by its best neighbour, beside the same cells mirrored."""
    own = {pair: edge for pair, edge in edges.items() if session in pair}
    best = min(own, key=lambda pair: (-own[pair].excess, pair))
    edge = own[best]
    images_only = all(pair in by_image for pair in own)
    other = best[1] if best[0] == session else best[0]
    chance = max(align_pair(_mirrored(points[session]), points[other], thorough=False).excess, 0.0)
    share = float(np.clip(1.0 - chance / max(edge.excess, 1e-9), 0.0, 1.0))
    few = f"only {len(points[session].at)} components: placed by images" if images_only else ""
    return Alignment(
        placed=True,
        by="images" if images_only else "given" if is_reference else "footprints",
        n_agreeing=len(edge.first),
        n_by_chance=edge.by_chance,
        confidence=min(share, 0.5) if images_only else share,
        image_agreement=float("nan"),
        reason=few,
    )


def _left_out(points: Sequence[PointSet], edges: Edges, session: int, group: Sequence[int]) -> Alignment:
    """Say why a session has no place."""
    n_cells = len(points[session].at)
    friends = sorted({s for pair in edges if session in pair for s in pair} - {session})
    if n_cells == 0:
        reason = "no components, and no image by which the field could be told"
    elif friends:
        reason = "not the field of most: it fits others of this group only, which need a field of their own"
    elif _is_mirror_image(points, session, group or [s for s in range(len(points)) if s != session]):
        reason = "mirrored: its mirror image fits the others; flip the movie, or set its axes right"
    elif n_cells < LEAST_TO_TELL:
        reason = f"too few components ({n_cells}) to tell the field by, and its image does not tell"
    else:
        reason = "not the same field: no more cells lie as in the others than by chance"
    return Alignment(False, "nothing", 0, 0.0, 0.0, float("nan"), reason)


def _mirrored(points: PointSet) -> PointSet:
    return replace(points, at=points.at * np.where(np.arange(points.at.shape[1]) == points.at.shape[1] - 1, -1.0, 1.0))


def _is_mirror_image(points: Sequence[PointSet], session: int, others: Sequence[int]) -> bool:
    mirrored = _mirrored(points[session])
    return any(align_pair(mirrored, points[s], thorough=False).found for s in others)
