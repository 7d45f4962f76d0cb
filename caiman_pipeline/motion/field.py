"""Displacement fields between their nodes, and between the coordinates of a frame and those of the template.

A frame shows at ``x`` what the template has at ``x - d(x)``; the corrected frame takes at ``y`` what the frame shows at
``y + u(y)``. Both name the same displacement, at different places: ``u(x - d(x)) = d(x)``. Stored fields are ``u``.
"""

from __future__ import annotations

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, NumberArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.numerics.cubic import catmull_rom
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

# Rounds of d = u(x - d): fields bend little over a pixel, and each round takes most of the rest away.
FIXED_POINT_ROUNDS = 6


def extend_field(field: FloatArray) -> FloatArray:
    """Return a field with a node more at each end, so that cubic interpolation goes on linearly.

    Parameters
    ----------
    field : float32 (T, *nodes, ndim)
        Displacement at the nodes, pixels.

    Returns
    -------
    float32 (T, *extended, 3)
        Over three axes; an axis with one node gets three copies more.
    """
    count, ndim = len(field), field.shape[-1]
    shape = as_volume(field.shape[1:-1])
    full = np.zeros((count, *shape, 3), np.float32)
    full[..., 3 - ndim :] = field.reshape(count, *shape, ndim)
    for axis, size in enumerate(shape, start=1):
        if size == 1:
            full = np.repeat(full, 4, axis=axis)
        else:
            first, second, last, before = (np.take(full, [i], axis=axis) for i in (0, 1, -1, -2))
            full = np.concatenate([2 * first - second, full, 2 * last - before], axis=axis)
    return np.ascontiguousarray(full)


@compiled
def _evaluate(
    extended: FloatArray, first: FloatArray, step: FloatArray, point: FloatArray, weights: FloatArray, out: FloatArray
) -> None:
    """Write the field of one frame (extended nodes) at ``point`` (3,), pixels; axes with one node have no step."""
    base = np.zeros(3, np.int64)
    for axis in range(3):
        position = (point[axis] - first[axis]) / step[axis] if step[axis] > 0 else 0.0
        base[axis] = min(max(int(np.floor(position)), 0), extended.shape[axis] - 4)
        own = weights[axis]
        own[0], own[1], own[2], own[3] = catmull_rom(position - base[axis])
    out[:] = 0.0
    for i in range(4):
        for j in range(4):
            for k in range(4):
                w = weights[0, i] * weights[1, j] * weights[2, k]
                if w != 0.0:
                    for a in range(3):
                        out[a] += w * extended[base[0] + i, base[1] + j, base[2] + k, a]


@compiled
def _displacement(
    begin: int,
    end: int,
    extended: FloatArray,
    first: FloatArray,
    step: FloatArray,
    points: FloatArray,
    rounds: int,
    out: FloatArray,
) -> None:
    """Write ``d`` with ``d = u(point - d)`` for the field ``u`` of each frame, by fixed-point iteration."""
    for t in range(begin, end):
        weights, place, found = np.zeros((3, 4)), np.zeros(3), np.zeros(3)
        for p in range(len(points)):
            found[:] = 0.0
            for _ in range(rounds):
                for a in range(3):
                    place[a] = points[p, a] - found[a]
                _evaluate(extended[t], first, step, place, weights, found)
            for a in range(3):
                out[t, p, a] = found[a]


def displacement_at(shifts: Shifts, *points: NumberArray) -> FloatArray:
    """Return the displacement of the scene at pixels of the raw frames.

    Parameters
    ----------
    shifts : Shifts
        As stored: where each pixel of the corrected frame comes from.
    points : arrays (n,)
        Pixel coordinates along each axis, one array per axis, for example rows and columns.

    Returns
    -------
    float32 (T, n_rows, n_columns, ndim)
        Displacement, pixels, at every combination of the coordinates; one axis more for volumes.

    Examples
    --------
    >>> import numpy as np
    >>> shifts = Shifts(np.array([[0.0, 0.0], [1.5, -2.0]], np.float32))       # two frames, rigid
    >>> displacement_at(shifts, np.arange(3), np.arange(4)).shape
    (2, 3, 4, 2)
    >>> displacement_at(shifts, np.arange(3), np.arange(4))[1, 0, 0].tolist()
    [1.5, -2.0]
    """
    ndim = shifts.rigid.shape[1]
    shape = (shifts.n_frames, *(len(p) for p in points), ndim)
    if shifts.field is None:
        return np.broadcast_to(shifts.rigid.reshape(-1, *(1,) * ndim, ndim), shape).astype(np.float32)
    lead = 3 - ndim
    mesh = np.stack(np.meshgrid(*points, indexing="ij"), axis=-1).reshape(-1, ndim)
    full, first, step = np.zeros((len(mesh), 3)), np.zeros(3), np.zeros(3)
    full[:, lead:] = mesh
    for axis, n in enumerate(shifts.grid, start=lead):
        first[axis] = n[0]
        step[axis] = (n[-1] - n[0]) / (len(n) - 1) if len(n) > 1 else 0.0
    out = np.empty((shifts.n_frames, len(full), 3), np.float32)
    run_parallel(_displacement, shifts.n_frames, extend_field(shifts.field), first, step, full, FIXED_POINT_ROUNDS, out)
    return out[..., lead:].reshape(shape)
