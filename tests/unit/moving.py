"""A scene of blobs that moves in a known way, for the tests of motion correction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter

from caiman_pipeline.model.arrays import FloatArray

DIMS = (72, 104)
PAD = 24


def make_scene(dims: tuple[int, ...] = DIMS, *, seed: int = 0, blur: float = 1.8) -> FloatArray:
    """Bright blobs on a dim ground, wider than the field of view by PAD pixels to every side of rows and columns."""
    rng = np.random.default_rng(seed)
    pads = (4,) * (len(dims) - 2) + (PAD, PAD)
    shape = tuple(n + 2 * p for n, p in zip(dims, pads, strict=True))
    points = (rng.random(shape) < 0.012 / max(len(dims) - 1, 1)) * rng.uniform(0.5, 2, shape)
    sharp = gaussian_filter(points, (blur * 0.6,) * (len(dims) - 2) + (blur, blur))
    slow = gaussian_filter(rng.normal(size=shape), 12)
    return (100 + 400 * sharp / sharp.max() + 40 * slow / np.abs(slow).max()).astype(np.float32)


def film(
    scene: FloatArray, displacement: Callable[[int], FloatArray], n_frames: int, *, noise: float = 8.0, seed: int = 1
) -> FloatArray:
    """Frames that show at ``x`` what the scene has at ``x - d(x)``; ``displacement(t)`` is (ndim,) or (*dims, ndim)."""
    ndim = scene.ndim
    pads = np.array((4,) * (ndim - 2) + (PAD, PAD))
    dims = tuple(np.array(scene.shape) - 2 * pads)
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*[np.arange(n) for n in dims], indexing="ij"), axis=-1)
    frames, spline = np.empty((n_frames, *dims), np.float32), spline_filter(scene.astype(np.float64), order=3)
    for t in range(n_frames):
        at = np.moveaxis(place - displacement(t) + pads, -1, 0)
        frames[t] = map_coordinates(spline, at, order=3, prefilter=False) + rng.normal(0, noise, dims)
    return frames


def wander(n_frames: int, ndim: int = 2, *, size: float = 3.0, seed: int = 5) -> FloatArray:
    """A smooth rigid motion, (T, ndim), with the largest shift about ``size`` along the last two axes."""
    rng = np.random.default_rng(seed)
    path = gaussian_filter(rng.normal(size=(n_frames, ndim)), (2.0, 0))
    return size * path / np.abs(path).max(0) * ((0.0,) * (ndim - 2) + (1.0, 0.7))
