"""Registration of all sessions of one field: alignment, probabilities, sets of components that are one cell."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from scipy.sparse import csc_matrix
from scipy.special import logit

from caiman_pipeline.config.sessions import SessionsSettings
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.names import natural_key
from caiman_pipeline.model.sessions import Alignment, Placement, Registration, Session
from caiman_pipeline.sessions.align import Aligned, align_sessions
from caiman_pipeline.sessions.by_images import align_by_images
from caiman_pipeline.sessions.images import agreement, in_frame
from caiman_pipeline.sessions.likeness import Likeness, likeness
from caiman_pipeline.sessions.members import membership, union_of
from caiman_pipeline.sessions.probability import SURE_LOG_ODDS, log_odds, one_counterpart
from caiman_pipeline.sessions.tracks import assign
from caiman_pipeline.sessions.warp import Canvas, Warped, canvas_around, warp

Key = tuple[int, int]


def register(sessions: Sequence[Session], settings: SessionsSettings) -> Registration:
    """Find which components of several sessions of one field are the same cell.

    The order of the sessions changes nothing: cells are numbered by their first component in the natural order of the
    sessions' names. The caller's arrays stay as they are.

    Parameters
    ----------
    sessions : with names of their own; of any size and pixel size
    settings : what the config's section ``sessions`` says

    Raises
    ------
    PipelineError
        If there are no sessions, names are repeated, or planes and volumes are mixed.
    """
    _check(sessions)
    order = sorted(range(len(sessions)), key=lambda s: (_digest(sessions[s]), sessions[s].name))
    found = _register([_cleaned(sessions[s]) for s in order], settings)
    return _in_order(found, order, sessions)


def _check(sessions: Sequence[Session]) -> None:
    if not sessions:
        raise PipelineError("No sessions to register.")
    names = [s.name for s in sessions]
    if len(set(names)) < len(names):
        raise PipelineError(f"Sessions need names of their own, found {names}.")
    if len({len(s.dims) for s in sessions}) > 1:
        kinds = ", ".join(f"{s.name} {s.dims}" for s in sessions)
        raise PipelineError(f"Planes and volumes cannot be registered to each other: {kinds}.")
    for s in sessions:
        if s.n_components and not np.isfinite(csc_matrix(s.footprints).data).all():
            raise PipelineError(f"{s.name}: footprints have values that are not finite numbers.")


def _digest(session: Session) -> bytes:
    """Return what stands for a session's content, whatever it is called."""
    matrix = csc_matrix(session.footprints, dtype=np.float64, copy=True)
    matrix.sort_indices()
    found = hashlib.sha256(repr((session.dims, session.pixel_um)).encode())
    for part in (matrix.data, matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)):
        found.update(np.ascontiguousarray(part).data)
    if session.image is not None:
        found.update(np.ascontiguousarray(session.image, dtype=np.float64).data)
    return found.digest()


def _cleaned(session: Session) -> Session:
    """Return a session with a matrix of its own, without negative values and without empty footprints' zeros."""
    matrix = csc_matrix(session.footprints, dtype=np.float32, copy=True)
    matrix.sum_duplicates()
    matrix.data = np.maximum(matrix.data, 0)
    matrix.eliminate_zeros()
    image = None if session.image is None else np.array(session.image, np.float32)
    return replace(session, footprints=matrix, image=image)


def _with_light(session: Session) -> tuple[Session, IntArray]:
    """Return a session without empty footprints, which lie nowhere, and the rows of the others."""
    kept = np.flatnonzero(np.diff(session.footprints.indptr) > 0)
    return replace(session, ids=session.ids[kept], footprints=session.footprints[:, kept]), kept


def _register(sessions: list[Session], settings: SessionsSettings) -> Registration:
    light = [_with_light(s) for s in sessions]
    whole, sessions = sessions, [s for s, _ in light]
    aligned = _aligned(sessions, settings)
    placed = [s for s, p in enumerate(aligned.placements) if p is not None]
    if not placed:
        return _nothing(whole, aligned)
    places = [p for p in aligned.placements if p is not None]
    canvas = canvas_around([sessions[s] for s in placed], places, sessions[aligned.reference].dims)
    warped = [warp(sessions[s], p, canvas, radius_px=aligned.radius_px) for s, p in zip(placed, places, strict=True)]
    pairs, odds = _pairs(warped, aligned.radius_px, settings)
    n_cells = [w.footprints.shape[1] for w in warped]
    level = float(logit(settings.least_probability))
    enough = {key: o - level for key, o in odds.items()}
    labels = np.split(assign(pairs, enough, n_cells), np.cumsum(n_cells)[:-1])
    member = membership(pairs, odds, labels)
    cells = [np.full(s.n_components, -1, np.int64) for s in whole]
    empty = [np.full(s.n_components, np.nan) for s in whole]
    probability, beside_p = [e.copy() for e in empty], [np.zeros(s.n_components) for s in whole]
    runner_up = [c.copy() for c in cells]
    for i, s in enumerate(placed):
        cells[s][light[s][1]] = labels[i]
        probability[s][light[s][1]] = member.probability[i]
        runner_up[s][light[s][1]] = member.runner_up[i]
        beside_p[s][light[s][1]] = member.runner_up_probability[i]
    return Registration(
        sessions=tuple(s.name for s in whole),
        cells=tuple(cells),
        probability=tuple(probability),
        runner_up=tuple(runner_up),
        runner_up_probability=tuple(beside_p),
        n_cells=int(max((int(x.max()) for x in labels if len(x)), default=-1) + 1),
        alignments=_with_images(sessions, aligned, canvas),
        placements=aligned.placements,
        reference=aligned.reference,
        canvas_low=canvas.low,
        canvas_dims=canvas.dims,
        union=union_of(warped, labels),
        pairs=_pair_table(pairs, member.pairs, placed, [kept for _, kept in light]),
    )


def _aligned(sessions: list[Session], settings: SessionsSettings) -> Aligned:
    return (
        align_sessions(sessions) if settings.align_by == "footprints" else align_by_images(sessions, settings.align_by)
    )


def _nothing(sessions: list[Session], aligned: Aligned) -> Registration:
    dims = sessions[0].dims
    none = tuple(np.full(s.n_components, -1, np.int64) for s in sessions)
    zero = tuple(np.zeros(s.n_components) for s in sessions)
    return Registration(
        sessions=tuple(s.name for s in sessions),
        cells=none,
        probability=tuple(np.full(s.n_components, np.nan) for s in sessions),
        runner_up=none,
        runner_up_probability=zero,
        n_cells=0,
        alignments=aligned.alignments,
        placements=aligned.placements,
        reference=-1,
        canvas_low=(0,) * len(dims),
        canvas_dims=dims,
        union=csc_matrix((int(np.prod(dims)), 0), dtype=np.float32),
        pairs={},
    )


def _pairs(
    warped: list[Warped], radius_px: FloatArray, settings: SessionsSettings
) -> tuple[dict[Key, Likeness], dict[Key, FloatArray]]:
    """Return near pairs of cells for each two sessions, and the log-odds that they are one, less the threshold's."""
    pairs = {
        (a, b): likeness(warped[a], warped[b], radius_px=radius_px, max_thr=settings.max_thr)
        for a, b in combinations(range(len(warped)), 2)
    }
    alone = log_odds(pairs)
    for key, found in pairs.items():
        alone[key][excluded(found, settings)] = -SURE_LOG_ODDS
    return pairs, {key: one_counterpart(alone[key], p.first, p.second) for key, p in pairs.items()}


def excluded(pairs: Likeness, settings: SessionsSettings) -> BoolArray:
    """Tell which pairs the settings rule out: too far apart, or areas too different."""
    out = np.zeros(len(pairs), bool)
    if settings.max_dist_px is not None:
        out |= pairs.distance_px > settings.max_dist_px
    if settings.thresh_cost is not None:
        cost = pairs.union_cost
        if settings.enclosed_thr is not None:
            within = np.maximum(pairs.enclosed, pairs.enclosing) >= 1.0
            cost = np.where(within, np.minimum(cost, settings.enclosed_thr), cost)
        out |= cost > settings.thresh_cost
    return out


def _pair_table(
    pairs: dict[Key, Likeness], probability: dict[Key, FloatArray], placed: list[int], kept: list[IntArray]
) -> dict[Key, tuple[IntArray, FloatArray]]:
    table = {}
    for (a, b), p in pairs.items():
        s, t = placed[a], placed[b]
        table[s, t] = np.stack([kept[s][p.first], kept[t][p.second]], 1), probability[a, b]
    return table


def _with_images(sessions: list[Session], aligned: Aligned, canvas: Canvas) -> tuple[Alignment, ...]:
    """Return the alignments with how well each session's image agrees with the mean of the others' in the frame."""
    seen = {
        s: in_frame(session.image, p, canvas.low, canvas.dims)
        for s, (session, p) in enumerate(zip(sessions, aligned.placements, strict=True))
        if p is not None and session.image is not None
    }
    found = []
    for s, alignment in enumerate(aligned.alignments):
        others = [image for t, image in seen.items() if t != s]
        if s not in seen or not others:
            found.append(alignment)
            continue
        both = np.stack(others)
        known = np.isfinite(both)
        mean = np.where(known, both, 0.0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
        one, other = (i.mean(0) if i.ndim == 3 else i for i in (seen[s], mean))
        found.append(replace(alignment, image_agreement=agreement(one, other)))
    return tuple(found)


def _in_order(found: Registration, order: list[int], sessions: Sequence[Session]) -> Registration:
    """Return a registration with sessions in the caller's order, and cells numbered by their first component."""
    back = [order.index(s) for s in range(len(order))]
    cells = [found.cells[i] for i in back]
    by_name = sorted(range(len(sessions)), key=lambda s: (natural_key(sessions[s].name), sessions[s].name))
    number = np.full(found.n_cells + 1, -1, np.int64)
    every = np.concatenate([cells[s][np.argsort(sessions[s].ids, kind="stable")] for s in by_name])
    first = every[every >= 0]
    names = first[np.sort(np.unique(first, return_index=True)[1])]
    number[names] = np.arange(len(names))

    def turned(per_session: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
        return tuple(per_session[i] for i in back)

    pairs = {}
    for (a, b), (rows, p) in found.pairs.items():
        s, t = order[a], order[b]
        pairs[min(s, t), max(s, t)] = (rows if s < t else rows[:, ::-1], p)
    placements: tuple[Placement | None, ...] = tuple(found.placements[i] for i in back)
    return replace(
        found,
        sessions=tuple(s.name for s in sessions),
        cells=tuple(number[c] for c in cells),
        probability=turned(found.probability),
        runner_up=tuple(number[found.runner_up[i]] for i in back),
        runner_up_probability=turned(found.runner_up_probability),
        alignments=tuple(found.alignments[i] for i in back),
        placements=placements,
        reference=order[found.reference] if found.reference >= 0 else -1,
        union=found.union[:, names] if len(names) else found.union,
        pairs=dict(sorted(pairs.items())),
    )
