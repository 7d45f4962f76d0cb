"""Motion of a simulated scene: slow drift, bouts of fast movement, and a smooth non-rigid part."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi
from scipy.interpolate import make_interp_spline

from caiman_pipeline.model.arrays import FloatArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.simulation.fields import smooth_signal, stream
from caiman_pipeline.simulation.settings import SimulationSettings

# Points of the displacement's grid along rows and columns.
GRID_POINTS = 5
# Bouts of movement that begin in a second, 1 / s.
BOUTS_PER_S = 0.2
# Movement along columns, as a share of that along rows.
ACROSS = 0.6


def simulate_motion(settings: SimulationSettings) -> Shifts:
    """Draw the displacement of the scene in each frame.

    Parameters
    ----------
    settings : SimulationSettings
        Largest displacements, pixels and planes, and the seed.

    Returns
    -------
    Shifts
        Rigid displacement float32 (T, ndim) and its field float32 (T, *grid, ndim), pixels.
    """
    rng, n = stream(settings, "motion"), settings.frames
    bouts = _bouts(rng, settings)
    amplitude = np.array([settings.rigid_planes, settings.rigid_px, ACROSS * settings.rigid_px][-settings.ndim :])
    rigid = np.empty((n, settings.ndim))
    for axis, peak in enumerate(amplitude):
        drift = smooth_signal(rng, n, 6 * settings.frame_rate_hz)
        fast = smooth_signal(rng, n, max(0.05 * settings.frame_rate_hz, 0.5))
        course = 0.4 * drift + bouts * fast
        rigid[:, axis] = peak * course / max(np.abs(course).max(), 1e-9)
    counts = (1, GRID_POINTS, GRID_POINTS)[-settings.ndim :]
    bent = np.zeros((n, *counts, settings.ndim))
    for place in np.ndindex(*counts, 2):
        index = (slice(None), *place[:-1], settings.ndim - 2 + place[-1])
        bent[index] = smooth_signal(rng, n, settings.frame_rate_hz) * (0.3 + 0.7 * bouts)
    bent -= bent.mean(axis=tuple(range(1, settings.ndim + 1)), keepdims=True)
    bent *= settings.nonrigid_px / max(np.abs(bent).max(), 1e-9)
    field = rigid.reshape(n, *[1] * settings.ndim, settings.ndim) + bent
    return Shifts(rigid.astype(np.float32), field.astype(np.float32), grid_points(settings.dims))


def _bouts(rng: np.random.Generator, settings: SimulationSettings) -> FloatArray:
    """Return how strongly the animal moves in each frame, float64 (T,), between 0 and 1."""
    starts = (rng.random(settings.frames) < BOUTS_PER_S / settings.frame_rate_hz).astype(float)
    strength = ndi.gaussian_filter1d(starts, 0.4 * settings.frame_rate_hz)
    return strength / max(strength.max(), 1e-9)


def grid_points(dims: Dims) -> tuple[FloatArray, ...]:
    """Return the pixel coordinates of the displacement's grid along each axis; planes share one.

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W).

    Returns
    -------
    tuple of float64 (n,)
        Coordinates along each axis, pixels.

    Examples
    --------
    >>> [points.tolist() for points in grid_points((9, 13))]
    [[0.0, 2.0, 4.0, 6.0, 8.0], [0.0, 3.0, 6.0, 9.0, 12.0]]
    """
    plane = tuple(np.linspace(0, n - 1, GRID_POINTS) for n in dims[-2:])
    return plane if len(dims) == 2 else (np.array([(dims[0] - 1) / 2]), *plane)


def spline_matrix(points: FloatArray, n_pixels: int) -> FloatArray:
    """Return the matrix that takes values at grid points to every pixel: a natural cubic spline.

    Parameters
    ----------
    points : float64 (n,)
        Coordinates of the grid points along one axis, pixels.
    n_pixels : int
        Pixels along it.

    Returns
    -------
    float32 (n_pixels, n)
        Each row adds up to 1.
    """
    if len(points) == 1:
        return np.ones((n_pixels, 1), np.float32)
    spline = make_interp_spline(points, np.eye(len(points)), k=3, bc_type="natural")
    return spline(np.arange(n_pixels)).astype(np.float32)


def displacement(field: FloatArray, matrices: tuple[FloatArray, ...]) -> FloatArray:
    """Spread one frame's displacement over all pixels.

    Parameters
    ----------
    field : float32 (*grid, ndim)
        Displacement at the grid points, pixels.
    matrices : tuple of float32 (n_pixels, n)
        What ``spline_matrix`` returns along each axis.

    Returns
    -------
    float32 (ndim, *dims)
        Displacement, pixels.
    """
    dense = np.moveaxis(field, -1, 0)
    for axis, matrix in enumerate(matrices, 1):
        dense = np.moveaxis(np.tensordot(dense, matrix, axes=(axis, 1)), -1, axis)
    return np.ascontiguousarray(dense, dtype=np.float32)
