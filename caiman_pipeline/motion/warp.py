"""Resample frames so that the scene stands still: bicubic between pixels, written with time last.

A row of the corrected frame reads runs of neighbouring pixels of the raw frame: where the displacement's whole part does
not change, the sixteen taps of each pixel are contiguous in memory, and the loop over the run is plain vector code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit, prange

from caiman_pipeline.motion.field import extend_field
from caiman_pipeline.motion.grid import cubic_weights, interpolation_weights
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.types import Bounds, Dims, FloatArray, Shifts

Border = Literal["nearest", "min", "nan"]
OUTSIDE_TOLERANCE_PX = 0.5
BLOCK, PADDING = 16, 16


@dataclass(frozen=True)
class WarpPlan:
    """What does not change from frame to frame; over three axes.

    Attributes
    ----------
    across : float64 (planes, nodes), (rows, nodes), interpolation of the field along the first two axes
    base : int64 (W,), first extended node that matters at each column
    taps : float32 (4, W), weights of four nodes at each column
    box : int64 (3, 2), pixels of the raw frame that may be read, (start, stop) per axis
    fill : value for pixels from outside, ignored if ``replace`` is False
    """

    dims: tuple[int, int, int]
    ndim: int
    across: tuple[FloatArray, FloatArray]
    base: FloatArray
    taps: FloatArray
    box: FloatArray
    fill: float
    replace: bool


def plan_warp(dims: Dims, nodes: tuple[FloatArray, ...], *, finite: Bounds, border: Border, minimum: float) -> WarpPlan:
    """Prepare for resampling frames of ``dims`` by fields on ``nodes`` (one per axis for rigid shifts).

    Parameters
    ----------
    finite : part of the frame that may be read, (start, stop) per axis
    border : what pixels from outside it become: the nearest pixel, ``minimum``, or NaN
    """
    lead = 3 - len(dims)
    shape = as_volume(dims)
    full = (np.zeros(1, np.float32),) * lead + tuple(nodes)
    across = tuple(_extended_weights(np.arange(n), k) for n, k in zip(shape[:2], full[:2], strict=True))
    base, taps = _column_taps(shape[2], full[2])
    box = np.array(((0, 1),) * lead + tuple(finite), np.int64)
    fill = {"nearest": 0.0, "min": minimum, "nan": np.nan}[border]
    return WarpPlan(shape, len(dims), (across[0], across[1]), base, taps, box, fill, border != "nearest")


def _extended_weights(points: FloatArray, nodes: FloatArray) -> FloatArray:
    """Return float32 (points, extended nodes): a node more at each end has no weight of its own."""
    weights = interpolation_weights(points, nodes)
    extra = (0, 3) if len(nodes) == 1 else (1, 1)
    return np.pad(weights, ((0, 0), extra)).astype(np.float32)


def _column_taps(width: int, nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
    if len(nodes) == 1:
        return np.zeros(width, np.int64), np.repeat(np.float32([[1], [0], [0], [0]]), width, axis=1)
    position = np.arange(width) / (width - 1) * (len(nodes) - 1)
    base = np.clip(np.floor(position), 0, len(nodes) - 2).astype(np.int64)
    return base, cubic_weights(position - base).astype(np.float32)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _row_displacement(
    field: FloatArray, wz: FloatArray, wy: FloatArray, base: FloatArray, taps: FloatArray, line: FloatArray,
    out: FloatArray,
) -> None:  # fmt: skip
    """Fill ``out`` (3, W) with the displacement along one row, from one frame's extended nodes, columns last."""
    line[:] = 0.0
    for i in range(len(wz)):
        for j in range(len(wy)):
            w = wz[i] * wy[j]
            if w != 0.0:
                for a in range(3):
                    source, target = field[i, j, a], line[a]
                    for k in range(len(target)):
                        target[k] += w * source[k]
    start, width = 0, out.shape[1]
    while start < width:
        b = base[start]
        stop = start + 1
        while stop < width and base[stop] == b:
            stop += 1
        t0, t1, t2, t3 = taps[0][start:stop], taps[1][start:stop], taps[2][start:stop], taps[3][start:stop]
        for a in range(3):
            v0, v1, v2, v3 = line[a, b], line[a, b + 1], line[a, b + 2], line[a, b + 3]
            target = out[a][start:stop]
            for x in range(len(target)):
                target[x] = t0[x] * v0 + t1[x] * v1 + t2[x] * v2 + t3[x] * v3
        start = stop


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _split(displacement: FloatArray, whole: FloatArray, weights: FloatArray) -> None:
    """Split displacements (W,) into whole pixels and the four weights (4, W) of the rest."""
    for x in range(len(displacement)):
        floor = np.floor(displacement[x])
        f = displacement[x] - floor
        whole[x] = np.int32(floor)
        weights[0, x] = ((np.float32(-0.5) * f + np.float32(1)) * f - np.float32(0.5)) * f
        weights[1, x] = (np.float32(1.5) * f - np.float32(2.5)) * f * f + np.float32(1)
        weights[2, x] = ((np.float32(-1.5) * f + np.float32(2)) * f + np.float32(0.5)) * f
        weights[3, x] = (np.float32(0.5) * f - np.float32(0.5)) * f * f


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _run(
    source: FloatArray, wx: FloatArray, wy: FloatArray, wz: FloatArray, start: int, stop: int, out: FloatArray
) -> None:
    """Add one row's four taps to pixels ``start`` to ``stop``; ``source`` starts at the first tap of the first pixel."""
    s0, s1, s2, s3 = source, source[1:], source[2:], source[3:]
    w0, w1, w2, w3 = wx[0][start:stop], wx[1][start:stop], wx[2][start:stop], wx[3][start:stop]
    across, over, target = wy[start:stop], wz[start:stop], out[start:stop]
    for x in range(len(target)):
        target[x] += over[x] * across[x] * (w0[x] * s0[x] + w1[x] * s1[x] + w2[x] * s2[x] + w3[x] * s3[x])


@njit(cache=True, nogil=True)
def _edges(
    source: FloatArray, offset: int, low: int, high: int, wx: FloatArray, wy: FloatArray, wz: FloatArray, start: int,
    stop: int, out: FloatArray,
) -> None:  # fmt: skip
    """As ``_run``, with the nearest pixel repeated beyond ``low`` and ``high``."""
    for x in range(start, stop):
        value = np.float32(0.0)
        for k in range(4):
            value += wx[k, x] * source[min(max(x + offset + k - 1, low), high - 1)]
        out[x] += wz[x] * wy[x] * value


@njit(cache=True, nogil=True)
def _same(whole: FloatArray, start: int, stop: int, bz: int, by: int, bx: int) -> bool:
    """Return whether the whole part of the displacement is the same for a block of pixels."""
    first, second, third = whole[0][start:stop], whole[1][start:stop], whole[2][start:stop]
    different = 0
    for x in range(len(first)):
        different |= (first[x] ^ bz) | (second[x] ^ by) | (third[x] ^ bx)
    return different == 0


@njit(cache=True, nogil=True)
def _row(
    frame: FloatArray, z: int, y: int, box: FloatArray, whole: FloatArray, wz: FloatArray, wy: FloatArray,
    wx: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill ``out`` (W,) with one row of the corrected frame."""
    width = len(out)
    out[:] = 0.0
    planes = range(4) if box[0, 1] - box[0, 0] > 1 else range(1, 2)
    low, high = box[2, 0], box[2, 1]
    start = 0
    while start < width:
        bz, by, bx = whole[0, start], whole[1, start], whole[2, start]
        stop = start
        while stop < width and _same(whole, stop, min(stop + BLOCK, width), bz, by, bx):
            stop = min(stop + BLOCK, width)
        while stop < width and whole[0, stop] == bz and whole[1, stop] == by and whole[2, stop] == bx:
            stop += 1
        inner = min(max(start, low + 1 - bx), stop)
        outer = max(min(stop, high - 2 - bx), inner)
        for i in planes:
            sz = min(max(z + bz + i - 1, box[0, 0]), box[0, 1] - 1)
            for j in range(4):
                source = frame[sz, min(max(y + by + j - 1, box[1, 0]), box[1, 1] - 1)]
                _edges(source, bx, low, high, wx, wy[j], wz[i], start, inner, out)
                if outer > inner:
                    _run(source[inner + bx - 1 :], wx, wy[j], wz[i], inner, outer, out)
                _edges(source, bx, low, high, wx, wy[j], wz[i], outer, stop, out)
        start = stop


@njit(cache=True, nogil=True)
def _mark_outside(
    displacement: FloatArray, z: int, y: int, box: FloatArray, fill: float, replace: bool, counts: int,
    out: FloatArray, valid: FloatArray,
) -> None:  # fmt: skip
    """Add ``counts`` to ``valid`` (W,) for pixels of a row from inside the box, and fill the others if asked."""
    tolerance = np.float32(OUTSIDE_TOLERANCE_PX)
    for x in range(len(out)):
        pz, py, px = z + displacement[0, x], y + displacement[1, x], x + displacement[2, x]
        inside = (
            (pz >= box[0, 0] - tolerance) & (pz <= box[0, 1] - 1 + tolerance)
            & (py >= box[1, 0] - tolerance) & (py <= box[1, 1] - 1 + tolerance)
            & (px >= box[2, 0] - tolerance) & (px <= box[2, 1] - 1 + tolerance)
        )  # fmt: skip
        valid[x] += counts * inside
        if replace and not inside:
            out[x] = fill


@njit(cache=True, nogil=True)
def _transpose(rows: FloatArray, position: int, out: FloatArray) -> None:
    """Write ``rows`` (T, W + padding) into ``out`` (W, part), a few pixels at a time so that both stay in the cache."""
    width, count = len(out), len(rows)
    for first in range(0, width, BLOCK):
        for t in range(count):
            for x in range(first, min(first + BLOCK, width)):
                out[x, position + t] = rows[t, x]


@njit(cache=True, nogil=True, parallel=True)
def _warp(
    frames: FloatArray, fields: FloatArray, across_z: FloatArray, across_y: FloatArray, base: FloatArray,
    taps: FloatArray, box: FloatArray, fill: float, replace: bool, counts: FloatArray, position: int,
    out: FloatArray, valid: FloatArray,
) -> None:  # fmt: skip
    count, depth, height, width = frames.shape
    for item in prange(depth * height):
        z, y = item // height, item % height
        line = np.empty((3, fields.shape[4]), np.float32)
        displacement = np.empty((3, width), np.float32)
        whole = np.empty((3, width), np.int32)
        wz, wy, wx = (
            np.empty((4, width), np.float32),
            np.empty((4, width), np.float32),
            np.empty((4, width), np.float32),
        )
        result = np.empty((count, width + PADDING), np.float32)
        for t in range(count):
            _row_displacement(fields[t], across_z[z], across_y[y], base, taps, line, displacement)
            _split(displacement[0], whole[0], wz)
            _split(displacement[1], whole[1], wy)
            _split(displacement[2], whole[2], wx)
            _row(frames[t], z, y, box, whole, wz, wy, wx, result[t][:width])
            _mark_outside(displacement, z, y, box, fill, replace, counts[t], result[t][:width], valid[z, y])
        _transpose(result, position, out[z, y])


def warp(
    frames: FloatArray,
    shifts: Shifts,
    plan: WarpPlan,
    *,
    good: FloatArray,
    position: int,
    out: FloatArray,
    valid: FloatArray,
) -> None:
    """Write frames with their displacement undone.

    Parameters
    ----------
    frames : float32 (T, *dims)
    good : bool (T,), frames that count in ``valid``
    position : where in ``out`` the first frame goes
    out : float32 (*dims, T_part)
    valid : int32 dims, raised by one wherever a pixel of a good corrected frame comes from inside
    """
    ndim = plan.ndim
    field = shifts.field if shifts.field is not None else shifts.rigid.reshape(-1, *(1,) * ndim, ndim)
    _warp(
        np.ascontiguousarray(frames, np.float32).reshape(len(frames), *plan.dims),
        np.ascontiguousarray(np.moveaxis(extend_field(field), -1, -2)), *plan.across, plan.base,
        plan.taps, plan.box, plan.fill, plan.replace, good.astype(np.int32), position,
        out.reshape(*plan.dims, -1), valid.reshape(plan.dims),
    )  # fmt: skip
