"""Alignment by images only: the methods of CaImAn (phase correlation, dense optical flow), or none at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.sessions import Alignment, Placement, Session
from caiman_pipeline.sessions.align import Aligned, radius_in_pixels
from caiman_pipeline.sessions.bend import fit_placement
from caiman_pipeline.sessions.images import best_shift, plane, structure
from caiman_pipeline.sessions.points import depth_ratio, point_set

FLOW_POINTS = 24


def align_by_images(sessions: Sequence[Session], method: str) -> Aligned:
    """Bring every session to the one with most components by its image: shifts, a smooth flow with them, or nothing.

    Raises
    ------
    PipelineError
        If a session has no image, or shows nothing on it, or sizes differ.
    """
    reference = min(range(len(sessions)), key=lambda s: (-sessions[s].n_components, s))
    ratio = depth_ratio(list(sessions))
    radius = radius_in_pixels(point_set(sessions[reference], depth_ratio=ratio, use_um=False), ratio)
    if odd := [s.name for s in sessions if s.dims != sessions[reference].dims]:
        raise PipelineError(
            f"{odd[0]}: its field has another size than {sessions[reference].name}'s: align by footprints."
        )
    placements = [_placement(s, sessions[reference], method, float(radius[-1])) for s in sessions]
    given = Alignment(True, "given" if method == "nothing" else "images", 0, 0.0, float("nan"), float("nan"))
    return Aligned(reference, tuple(placements), (given,) * len(sessions), radius)


def _placement(session: Session, reference: Session, method: str, radius: float) -> Placement:
    straight = Placement.identity(len(session.dims))
    if session is reference or method == "nothing":
        return straight
    one, other = (_seen(s) for s in (session, reference))
    shift = np.zeros(len(session.dims))
    shift[-2:] = best_shift(structure(one), structure(other))[1]
    straight = straight.followed_by(np.eye(len(shift)), shift)
    return straight if method == "phase_correlation" else _with_flow(straight, one, other, radius)


def _seen(session: Session) -> FloatArray:
    image = plane(session)
    if image is None:
        raise PipelineError(f"{session.name}: its image is missing or shows nothing: align by footprints.")
    return image


def _with_flow(straight: Placement, one: FloatArray, other: FloatArray, radius: float) -> Placement:
    """Add the smooth part of a dense flow (Farneback, 10.1007/3-540-45103-X_50) from the shifted image to the other."""
    import cv2

    shift = straight.shift[-2:]
    moved = cv2.warpAffine(
        _bytes(structure(one)), np.array([[1, 0, shift[1]], [0, 1, shift[0]]]), (other.shape[1], other.shape[0])
    )
    flow = cv2.calcOpticalFlowFarneback(moved, _bytes(structure(other)), None, 0.5, 4, 33, 5, 7, 1.5, 0)
    axes = [np.linspace(0, n - 1, min(n, FLOW_POINTS)).astype(int) for n in other.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    there = grid + flow[grid[:, 0], grid[:, 1]][:, ::-1]
    fit = fit_placement((grid - shift), there.astype(float), np.ones(len(grid)), radius=radius, bend=True).placement
    return fit if len(straight.shift) == 2 else _in_every_plane(fit)


def _in_every_plane(flat: Placement) -> Placement:
    """Return a volume's placement that moves each plane as a flat one, and no depth; its bend is left straight."""
    matrix, shift = np.eye(3), np.zeros(3)
    matrix[1:, 1:], shift[1:] = flat.matrix, flat.shift
    nothing = np.zeros((0, 3))
    return Placement(matrix, shift, nothing, nothing, np.ones(3))


def _bytes(image: FloatArray) -> FloatArray:
    low, high = np.percentile(image, (1, 99))
    return np.clip((image - low) / max(float(high - low), 1e-12) * 255, 0, 255).astype(np.uint8)
