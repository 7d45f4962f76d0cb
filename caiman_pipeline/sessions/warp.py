"""Footprints in the frame, and their form around their centre."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.sparse import csc_matrix

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.sessions import Placement, Session
from caiman_pipeline.sessions.points import moments

# Form is looked at on a grid of half a radius, three radii to each side.
FORM_STEP_RADII = 0.5
FORM_HALF = 6


@dataclass(frozen=True)
class Canvas:
    """The pixels of the frame: those of the reference session's field, and what other sessions see beyond it.

    Attributes
    ----------
    low : int (N,), the first pixel along each axis, as numbers of the reference's pixels
    dims : size along each axis
    """

    low: tuple[int, ...]
    dims: Dims


def canvas_around(sessions: list[Session], placements: list[Placement], reference: Dims) -> Canvas:
    """Return the canvas that holds the reference's field and every placed session's footprints."""
    low, high = np.zeros(len(reference)), np.array(reference, float)
    for session, placement in zip(sessions, placements, strict=True):
        axes = [np.linspace(0, n - 1, min(n, 9)) for n in session.dims]
        edge = placement(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes)))
        low, high = np.minimum(low, edge.min(0)), np.maximum(high, edge.max(0) + 1)
    first = np.floor(low).astype(int)
    dims = tuple(int(n) for n in np.ceil(high).astype(int) - first)
    return Canvas(tuple(int(n) for n in first), dims)


def _patches(session: Session) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield each footprint cut out, with a border of zeros, and the pixel where the cut begins."""
    matrix = csc_matrix(session.footprints)
    for k in range(matrix.shape[1]):
        part = slice(matrix.indptr[k], matrix.indptr[k + 1])
        where = np.stack(np.unravel_index(matrix.indices[part], session.dims), 1)
        begin = where.min(0) - 1 if len(where) else np.zeros(len(session.dims), int)
        size = where.max(0) - begin + 2 if len(where) else np.ones(len(session.dims), int)
        patch = np.zeros(tuple(size), np.float32)
        patch[tuple((where - begin).T)] = matrix.data[part]
        yield patch, begin


class Map(Protocol):
    """What brings points of a session elsewhere, and tells how it stretches there."""

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return where points (K, N) lie there."""

    def jacobian(self, points: FloatArray) -> FloatArray:
        """Return the local linear map (K, N, N) at points (K, N)."""


@dataclass(frozen=True)
class Warped:
    """One session's cells in the frame.

    Attributes
    ----------
    footprints : sparse float32 (P of the canvas, K), unit Euclidean norm
    centre : float64 (K, N), frame pixels (of the reference, not of the canvas)
    form : float32 (K, F), the footprint around its centre, unit Euclidean norm
    """

    footprints: csc_matrix
    centre: FloatArray
    form: FloatArray


def warp(session: Session, placement: Map, canvas: Canvas, *, radius_px: FloatArray) -> Warped:
    """Return a session's footprints where they lie in the frame.

    Parameters
    ----------
    radius_px : float64 (N,), standard deviation of typical footprints along each axis of the frame
    """
    own = moments(session.footprints, session.dims).centre
    centre, jacobian = placement(own), placement.jacobian(own)
    back = np.linalg.inv(jacobian)
    form_grid = _form_grid(radius_px)
    forms = np.zeros((session.n_components, len(form_grid)), np.float32)
    indices, values, counts = [], [], [0]
    for k, (patch, begin) in enumerate(_patches(session)):
        pixels, seen = _in_frame(patch, begin, (own[k], centre[k], jacobian[k], back[k]), canvas)
        indices.append(pixels)
        values.append(seen)
        counts.append(len(pixels))
        forms[k] = _sampled(patch, own[k] - begin + form_grid @ back[k].T)
    matrix = csc_matrix(
        (
            np.concatenate(values or [np.zeros(0, np.float32)]),
            np.concatenate(indices or [np.zeros(0, int)]),
            np.cumsum(counts),
        ),
        shape=(prod(canvas.dims), session.n_components),
    )
    return Warped(matrix, centre, forms / np.maximum(np.linalg.norm(forms, axis=1, keepdims=True), 1e-12))


def _in_frame(
    patch: FloatArray, begin: FloatArray, local: tuple[FloatArray, ...], canvas: Canvas
) -> tuple[FloatArray, FloatArray]:
    """Return the pixels of the canvas (flat) that a footprint covers, and its values there, unit norm.

    Over one cell the placement is taken to be linear.
    """
    own, centre, jacobian, back = local
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in patch.shape], indexing="ij"), -1).reshape(-1, patch.ndim)
    there = centre + (corners + begin - own) @ jacobian.T
    low = np.maximum(np.floor(there.min(0)).astype(int), canvas.low)
    high = np.minimum(np.ceil(there.max(0)).astype(int) + 1, np.add(canvas.low, canvas.dims))
    if (high <= low).any():
        return np.zeros(0, int), np.zeros(0, np.float32)
    grid = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, patch.ndim)
    seen = _sampled(patch, own - begin + (grid - centre) @ back.T)
    kept = seen > 1e-3 * max(float(seen.max()), 1e-30)
    flat = np.ravel_multi_index(tuple((grid[kept] - canvas.low).T), canvas.dims)
    return flat, seen[kept] / max(float(np.linalg.norm(seen[kept])), 1e-30)


def _sampled(patch: FloatArray, at: FloatArray) -> FloatArray:
    return map_coordinates(patch, at.T, order=1, mode="constant", prefilter=False)


def _form_grid(radius_px: FloatArray) -> FloatArray:
    """Return offsets from the centre, frame pixels; along the depth of a volume one step stands for two."""
    half = [FORM_HALF // 2] * (len(radius_px) - 2) + [FORM_HALF] * 2
    steps = [FORM_STEP_RADII * 2] * (len(radius_px) - 2) + [FORM_STEP_RADII] * 2
    axes = [np.arange(-h, h + 1) * s * r for h, s, r in zip(half, steps, radius_px, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def cropped(footprints: csc_matrix, canvas: Canvas, dims: Dims) -> csc_matrix:
    """Return footprints on a canvas (P of the canvas, K) on the pixels of a field (P, K); what is beyond is cut."""
    rows = footprints.tocoo()
    at = np.stack(np.unravel_index(rows.row, canvas.dims)) + np.array(canvas.low)[:, None]
    inside = ((at >= 0) & (at < np.array(dims)[:, None])).all(0)
    flat = np.ravel_multi_index(tuple(at[:, inside]), dims)
    return csc_matrix((rows.data[inside], (flat, rows.col[inside])), shape=(prod(dims), footprints.shape[1]))
