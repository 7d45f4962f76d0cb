"""Components of two or more sessions that are the same cells: on arrays, in the shape of CaImAn's functions."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.sparse import csc_matrix, issparse

from caiman_pipeline.config.root import Config
from caiman_pipeline.config.sessions import SessionsSettings
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.sessions import Alignment, Registration, Session
from caiman_pipeline.sessions.images import Onto
from caiman_pipeline.sessions.points import moments
from caiman_pipeline.sessions.register import register
from caiman_pipeline.sessions.tracks import best_pairs
from caiman_pipeline.sessions.warp import Canvas, cropped, warp

Order = Literal["C", "F"]


class RoiMatches(NamedTuple):
    """Components of two sessions that are the same cells.

    Attributes
    ----------
    matched_1, matched_2 : int64 (M,), components of both sessions, pair by pair
    non_matched_1, non_matched_2 : int64, components without counterpart
    performance : precision, recall, accuracy and f1_score with the first session as truth
    aligned : sparse float32 (P, K2), the second session's footprints in the first's field, unit norm; empty where the
        fields are not the same
    probability : float64 (M,), that each pair is one cell
    alignments : how well each session's place is known, and why not
    """

    matched_1: IntArray
    matched_2: IntArray
    non_matched_1: IntArray
    non_matched_2: IntArray
    performance: dict[str, float]
    aligned: csc_matrix
    probability: FloatArray
    alignments: tuple[Alignment, ...]


class MultisessionMatches(NamedTuple):
    """Components of several sessions that are the same cells.

    Attributes
    ----------
    union : sparse float32 (P, cells), mean footprint of every cell in the field of ``registration.reference``
    assignments : float64 (cells, S), the component of each session that is the cell; NaN where there is none
    matchings : for each session int64 (K,), the cell of each component; -1 where the session has no place
    registration : probabilities, runners-up, places of sessions and pairs
    """

    union: csc_matrix
    assignments: FloatArray
    matchings: list[IntArray]
    registration: Registration


def register_rois(
    A1: Any,
    A2: Any,
    dims: Dims | Sequence[Dims],
    *,
    template1: Any = None,
    template2: Any = None,
    align_flag: bool = True,
    D: Any = None,
    use_opt_flow: bool | None = None,
    max_thr: float | None = None,
    thresh_cost: float | None = None,
    max_dist: float | None = None,
    enclosed_thr: float | None = None,
    order: Order = "C",
) -> RoiMatches:
    """Find which components of two sessions are the same cells.

    Parameters
    ----------
    A1, A2 : array or sparse matrix
        Footprints of both sessions, (P, K1) and (P, K2). They are not changed.
    dims : (H, W) or (D, H, W), or one for each session
        Size of the field.
    template1, template2 : array, optional
        Image of each session, (*dims): second witness of the alignment, needed where `use_opt_flow` is given.
    align_flag : bool, optional
        Bring the sessions into one frame; else pixels are taken to be the same.
    D : array, optional
        Distances of all pairs (K1, K2) of your own, which are then assigned as they are; needs `thresh_cost`.
    use_opt_flow : bool, optional
        Align by the templates, with dense optical flow (True) or shifts by phase correlation (False). By default
        the footprints are aligned, which holds where images mislead.
    max_thr : float, optional
        A footprint's area is where it is above this share of its peak.
    thresh_cost : float, optional
        Pairs with a larger 1 - intersection / union of the areas are no match (of `D`: with a larger distance).
    max_dist : float, optional
        Pairs with centres farther apart are no match, pixels.
    enclosed_thr : float, optional
        The cost of pairs of which one's area lies within the other's is at most this.
    order : "C" or "F", optional
        In which order footprints count pixels; CaImAn's is "F".

    Returns
    -------
    RoiMatches
        The first six fields are those of CaImAn's function.

    Raises
    ------
    PipelineError
        If sizes do not fit, or an alignment by images is asked for without them.

    Notes
    -----
    CaImAn's `print_assignment`, `plot_results`, `Cn` and `cmap` have no counterpart: what they print and plot is
    returned. Without limits of yours a pair is judged by a probability from the data: `thresh_cost` and `max_dist`
    only narrow that down.

    References
    ----------
    Sheintuch et al. (2017), Cell Rep, https://doi.org/10.1016/j.celrep.2017.10.013, for probabilities of pairs.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> y, x = np.mgrid[:60, :80]
    >>> at = np.random.default_rng(1).uniform((5, 5), (55, 75), (30, 2))
    >>> first = np.stack([np.exp(-((y - r) ** 2 + (x - c) ** 2) / 8).ravel() for r, c in at], 1)
    >>> second = np.stack([np.exp(-((y - r - 3) ** 2 + (x - c + 2) ** 2) / 8).ravel() for r, c in at[::-1]], 1)
    >>> found = cp.register_rois(first, second, (60, 80))
    >>> len(found.matched_1), bool((found.matched_1 + found.matched_2 == 29).all())
    (30, True)
    """
    align_by = _align_by(align_flag, use_opt_flow)
    settings = _settings(align_by, max_thr, thresh_cost, max_dist, enclosed_thr)
    sessions = _sessions((A1, A2), dims, (template1, template2), order)
    found = register(sessions, settings)
    if D is None:
        pairs = _pairs_of(found)
    else:
        pairs = _assigned(np.asarray(D, float), thresh_cost, (sessions[0].n_components, sessions[1].n_components))
    return _as_matches(found, sessions, pairs, order)


def register_multisession(
    A: Sequence[Any],
    dims: Dims | Sequence[Dims],
    *,
    templates: Sequence[Any] = (),
    align_flag: bool = True,
    use_opt_flow: bool | None = None,
    max_thr: float | None = None,
    thresh_cost: float | None = None,
    max_dist: float | None = None,
    enclosed_thr: float | None = None,
    order: Order = "C",
) -> MultisessionMatches:
    """Find which components of several sessions are the same cells, all sessions at once.

    Parameters
    ----------
    A : sequence of arrays or sparse matrices
        Footprints of each session, (P, K). They are not changed.
    dims : (H, W) or (D, H, W), or one for each session
        Size of the field.
    templates : sequence of arrays, optional
        Image of each session, (*dims), or None.
    align_flag, use_opt_flow, max_thr, thresh_cost, max_dist, enclosed_thr, order : optional
        As in `register_rois`.

    Returns
    -------
    MultisessionMatches
        The first three fields are those of CaImAn's function.

    Raises
    ------
    PipelineError
        If sizes do not fit, or an alignment by images is asked for without them.

    Notes
    -----
    Sessions are not aligned in a chain, and no session comes before another: another order gives the same cells.
    A session that does not show the field of the others has matchings of -1, and `registration.alignments` says why.

    Examples
    --------
    >>> import numpy as np
    >>> import caiman_pipeline as cp
    >>> y, x = np.mgrid[:60, :80]
    >>> at = np.random.default_rng(1).uniform((8, 8), (52, 72), (30, 2))
    >>> def seen(shift):
    ...     return np.stack([np.exp(-((y - r - shift) ** 2 + (x - c) ** 2) / 8).ravel() for r, c in at], 1)
    >>> found = cp.register_multisession([seen(0), seen(4), seen(-3)], (60, 80))
    >>> found.assignments.shape, int((found.registration.n_found == 3).sum())
    ((30, 3), 30)
    """
    settings = _settings(_align_by(align_flag, use_opt_flow), max_thr, thresh_cost, max_dist, enclosed_thr)
    sessions = _sessions(A, dims, templates or [None] * len(A), order)
    found = register(sessions, settings)
    assignments = np.full((found.n_cells, len(sessions)), np.nan)
    for s, cells in enumerate(found.cells):
        rows = np.flatnonzero(cells >= 0)
        assignments[cells[rows], s] = rows
    field = sessions[max(found.reference, 0)].dims
    union = cropped(found.union, Canvas(found.canvas_low, found.canvas_dims), field)
    return MultisessionMatches(_ordered(union, field, order), assignments, list(found.cells), found)


def com(A: Any, d1: int, d2: int, d3: int | None = None, *, order: Order = "C") -> FloatArray:
    """Return the centre of mass of each footprint.

    Parameters
    ----------
    A : array or sparse matrix
        Footprints, (P, K).
    d1, d2, d3 : int
        Size of the field along each axis, (H, W) or (D, H, W).
    order : "C" or "F", optional
        In which order footprints count pixels; CaImAn's is "F".

    Returns
    -------
    array
        float64 (K, 2 or 3), pixels along each axis; NaN for empty footprints.

    Raises
    ------
    PipelineError
        If the footprints have another number of pixels.

    Examples
    --------
    >>> import caiman_pipeline as cp
    >>> cp.com([[0.0], [1.0], [0.0], [0.0], [0.0], [3.0]], 2, 3).tolist()
    [[0.75, 1.75]]
    """
    dims = (d1, d2) if d3 is None else (d1, d2, d3)
    return moments(_sparse(A, dims, order, "A"), dims).centre


def _align_by(align_flag: bool, use_opt_flow: bool | None) -> str:
    if not align_flag:
        return "nothing"
    return "footprints" if use_opt_flow is None else "optical_flow" if use_opt_flow else "phase_correlation"


def _settings(align_by: str, *given: float | None) -> SessionsSettings:
    names = ("max_thr", "thresh_cost", "max_dist_px", "enclosed_thr")
    values = {n: v for n, v in zip(names, given, strict=True) if v is not None}
    return validate(Config, {"sessions": {"align_by": align_by, **values}}, "register").sessions


def _sessions(footprints: Sequence[Any], dims: Any, images: Sequence[Any], order: Order) -> list[Session]:
    if len(images) != len(footprints):
        raise PipelineError(f"{len(images)} templates for {len(footprints)} sessions: give one each, or None.")
    sizes = [tuple(d) for d in dims] if np.ndim(dims[0]) else [tuple(dims)] * len(footprints)
    if len(sizes) != len(footprints):
        raise PipelineError(f"{len(sizes)} sizes for {len(footprints)} sessions: give one size, or one for each.")
    found = []
    for s, (given, size, image) in enumerate(zip(footprints, sizes, images, strict=True)):
        matrix = _sparse(given, size, order, f"session {s}")
        template = None if image is None else np.array(image, np.float32)
        if template is not None and template.shape != size:
            raise PipelineError(f"session {s}: its template has the shape {template.shape}, its field {size}.")
        found.append(Session(f"session_{s}", size, np.arange(matrix.shape[1]), matrix, template))
    return found


def _sparse(footprints: Any, dims: Dims, order: Order, name: str) -> csc_matrix:
    matrix = csc_matrix(footprints if issparse(footprints) else np.asarray(footprints), dtype=np.float32, copy=True)
    if matrix.shape[0] != prod(dims):
        raise PipelineError(f"{name}: footprints of {matrix.shape[0]} pixels do not fit a field of {dims}.")
    if order == "C":
        return matrix
    rows = matrix.tocoo()
    flat = np.ravel_multi_index(np.unravel_index(rows.row, dims, order="F"), dims)
    return csc_matrix((rows.data, (flat, rows.col)), shape=matrix.shape)


def _ordered(footprints: csc_matrix, dims: Dims, order: Order) -> csc_matrix:
    """Return footprints with pixels in the caller's order."""
    if order == "C":
        return footprints
    rows = footprints.tocoo()
    flat = np.ravel_multi_index(np.unravel_index(rows.row, dims), dims, order="F")
    return csc_matrix((rows.data, (flat, rows.col)), shape=footprints.shape)


def _pairs_of(found: Registration) -> tuple[IntArray, IntArray, FloatArray]:
    first, second = found.cells
    common = np.intersect1d(first[first >= 0], second[second >= 0])
    one, other = (np.array([np.flatnonzero(c == k)[0] for k in common], int) for c in (first, second))
    return one, other, found.probability[0][one] if len(one) else np.zeros(0)


def _assigned(
    distances: FloatArray, limit: float | None, shape: tuple[int, int]
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the pairs with the smallest sum of distances, none above the limit; how sure they are is not known."""
    if limit is None:
        raise PipelineError("`D` needs `thresh_cost`: the distance from which a pair is no match.")
    if distances.shape != shape:
        raise PipelineError(f"`D` has the shape {distances.shape}, for {shape[0]} and {shape[1]} components.")
    row, column = np.nonzero(distances <= limit)
    # A pair at the limit itself is still better than none.
    worth = limit - distances[row, column] + 1e-9 * max(limit, 1.0)
    pairs = np.array(best_pairs(row, column, worth, shape), int).reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0])]
    return pairs[:, 0], pairs[:, 1], np.full(len(pairs), np.nan)


def _as_matches(
    found: Registration, sessions: list[Session], pairs: tuple[IntArray, IntArray, FloatArray], order: Order
) -> RoiMatches:
    one, other, probability = pairs
    n_1, n_2 = (s.n_components for s in sessions)
    field = sessions[0].dims
    places = found.placements
    aligned = csc_matrix((prod(field), n_2), dtype=np.float32)
    if places[0] is not None and places[1] is not None and n_2:
        unit = np.ones(len(field))
        aligned = warp(
            sessions[1], Onto(places[1], places[0]), Canvas((0,) * len(field), field), radius_px=unit
        ).footprints
    return RoiMatches(
        one,
        other,
        np.setdiff1d(np.arange(n_1), one),
        np.setdiff1d(np.arange(n_2), other),
        _performance(len(one), n_1, n_2),
        _ordered(aligned, field, order),
        probability,
        found.alignments,
    )


def _performance(matched: int, n_1: int, n_2: int) -> dict[str, float]:
    every = n_1 + n_2 - matched
    return {
        "precision": matched / n_2 if n_2 else 0.0,
        "recall": matched / n_1 if n_1 else 0.0,
        "accuracy": matched / every if every else 0.0,
        "f1_score": 2 * matched / (n_1 + n_2) if n_1 + n_2 else 0.0,
    }
