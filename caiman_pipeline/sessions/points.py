"""Footprints as points: where each lies, how large it is, and what lies around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix
from scipy.spatial import cKDTree

from caiman_pipeline.model.arrays import FloatArray, IntArray
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.model.sessions import Session

# A footprint in one plane is taken to be as deep as half a plane.
LEAST_RADIUS_PX = 0.5


@dataclass(frozen=True)
class Moments:
    """Centre (K, N) and deviation (K, N) of each footprint along each axis, in pixels; NaN where it is empty."""

    centre: FloatArray
    spread: FloatArray


def moments(footprints: csc_matrix, dims: Dims) -> Moments:
    """Return the first two moments of each footprint (P, K)."""
    matrix = csc_matrix(footprints, dtype=np.float64)
    weight = np.asarray(matrix.sum(0)).ravel()
    total = np.where(weight > 0, weight, np.nan)
    where = np.stack(np.unravel_index(np.arange(matrix.shape[0]), dims), 1).astype(np.float64)
    centre = (matrix.T @ where) / total[:, None]
    square = (matrix.T @ where**2) / total[:, None]
    return Moments(centre, np.sqrt(np.maximum(square - centre**2, 0.0)))


@dataclass(frozen=True)
class PointSet:
    """Centres of one session's cells in units in which a cell is as long as it is wide and deep.

    Attributes
    ----------
    at : float64 (K, N), last axes are rows and columns
    unit : float64 (N,), units per pixel along each axis
    radius : typical standard deviation of a footprint in the plane, units
    """

    at: FloatArray
    unit: FloatArray
    radius: float


def point_set(session: Session, *, depth_ratio: float, use_um: bool) -> PointSet:
    """Return a session's cells as points.

    Parameters
    ----------
    depth_ratio : radius of cells in pixels of the plane over that in planes, the same for all sessions (1 for planes)
    use_um : units are micrometres in the plane, else pixels
    """
    found = moments(session.footprints, session.dims)
    ndim = len(session.dims)
    unit = np.ones(ndim)
    if use_um and session.pixel_um is not None:
        unit = np.array(session.pixel_um, float)
    if ndim == 3 and not use_um:
        unit[0] = depth_ratio
    spread = found.spread[:, -2:] * unit[-2:]
    radius = float(np.median(np.sqrt((spread**2).mean(1)))) if len(spread) else 0.0
    return PointSet(found.centre * unit, unit, max(radius, LEAST_RADIUS_PX * float(unit[-1])))


def depth_ratio(sessions: list[Session]) -> float:
    """Return how many pixels of the plane a plane stands for, judged by cells being as deep as they are wide."""
    spreads = [moments(s.footprints, s.dims).spread for s in sessions if s.n_components and len(s.dims) == 3]
    if not spreads:
        return 1.0
    typical = np.maximum(np.median(np.concatenate(spreads), 0), LEAST_RADIUS_PX)
    return float(np.sqrt(typical[1] * typical[2]) / typical[0])


def neighbourhoods(at: FloatArray, n_neighbours: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return depth difference, length and angle in the plane of the way to each point's nearest others, each (K, n).

    Missing neighbours have length -1.
    """
    n_points = len(at)
    n = min(n_neighbours, max(n_points - 1, 0))
    depth, length, angle = np.zeros((n_points, n)), np.full((n_points, n), -1.0), np.zeros((n_points, n))
    if n:
        _, near = cKDTree(at).query(at, k=n + 1)
        way = at[_without_self(near)] - at[:, None]
        length, angle = np.hypot(way[..., -2], way[..., -1]), np.arctan2(way[..., -2], way[..., -1])
        depth = way[..., 0] if at.shape[1] == 3 else depth
    return depth, length, angle


def _without_self(near: IntArray) -> IntArray:
    """Drop each row's own number (another's where two points coincide, which stands for the same place)."""
    own = near == np.arange(len(near))[:, None]
    own[~own.any(1), -1] = True
    return near[~own].reshape(len(near), -1)
