"""Resample frames so that the scene stands still: bicubic between pixels, written with time last.

A row is taken in stretches over which the displacement's whole part does not change: there the taps of neighbouring
pixels are neighbours in memory too, and the loop over the stretch is plain vector code.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numba import njit

from caiman_pipeline.motion.field import extend_field
from caiman_pipeline.motion.grid import cubic_weights, interpolation_weights
from caiman_pipeline.motion.spread import spread
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.types import Bounds, Dims, FloatArray, Shifts

Border = Literal["nearest", "min", "nan"]
OUTSIDE_TOLERANCE_PX = 0.5
U = np.uint64
LANES, MARGIN_PX, OVERSHOOT = 16, 4, 1.25


class Scratch:
    """Arrays that are used again: giving memory back and asking for it anew costs as much as filling it."""

    def __init__(self) -> None:
        self._flat: dict[str, FloatArray] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return a float32 array of ``shape``, with whatever it held before."""
        size = prod(shape)
        if name not in self._flat or self._flat[name].size < size:
            self._flat.pop(name, None)
            self._flat[name] = np.empty(size, np.float32)
        return self._flat[name][:size].reshape(shape)


@dataclass(frozen=True)
class WarpPlan:
    """What does not change from frame to frame; over three axes.

    Attributes
    ----------
    base : int64 (D,), (H,), first extended node that matters at each plane and row
    taps : float32 (D, 4), (H, 4), weights of four nodes there
    along : float32 (nodes, W), weights of the nodes at each column
    box : int64 (3, 2), pixels of the raw frame that may be read, (start, stop) per axis
    fill : value for pixels from outside, ignored if ``replace`` is False
    """

    dims: tuple[int, int, int]
    ndim: int
    base: tuple[FloatArray, FloatArray]
    taps: tuple[FloatArray, FloatArray]
    along: FloatArray
    box: FloatArray
    fill: float
    replace: bool


def plan_warp(dims: Dims, nodes: tuple[FloatArray, ...], *, inside: Bounds, border: Border, minimum: float) -> WarpPlan:
    """Prepare for resampling frames of ``dims`` by fields on ``nodes`` (one per axis for rigid shifts).

    Parameters
    ----------
    inside : part of the frame that may be read, (start, stop) per axis
    border : what pixels from outside it become: the nearest pixel, ``minimum``, or NaN
    """
    lead = 3 - len(dims)
    shape = as_volume(dims)
    full = (np.zeros(1, np.float32),) * lead + tuple(nodes)
    (bz, tz), (by, ty) = (_taps_along(n, k) for n, k in zip(shape[:2], full[:2], strict=True))
    along = np.ascontiguousarray(interpolation_weights(np.arange(shape[2]), full[2]).T, np.float32)
    box = np.array(((0, 1),) * lead + tuple(inside), np.int64)
    fill = {"nearest": 0.0, "min": minimum, "nan": np.nan}[border]
    return WarpPlan(shape, len(dims), (bz, by), (tz, ty), along, box, fill, border != "nearest")


def _taps_along(size: int, nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each pixel of an axis the first of four extended nodes, and their weights."""
    if len(nodes) == 1:
        return np.zeros(size, np.int64), np.tile(np.array([1, 0, 0, 0], np.float32), (size, 1))
    position = np.arange(size) / (size - 1) * (len(nodes) - 1)
    base = np.clip(np.floor(position), 0, len(nodes) - 2).astype(np.int64)
    return base, np.ascontiguousarray(cubic_weights(position - base).T, np.float32)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, forceinline=True)
def _add_four(
    across: FloatArray, z: int, y: int, axis: int, weight: float, taps: FloatArray, target: int, out: FloatArray
) -> None:
    """Add four neighbouring lines of the displacement, weighed, to one axis of a row's."""
    a, b, c, d = weight * taps[0], weight * taps[1], weight * taps[2], weight * taps[3]
    for x in range(U(across.shape[3])):
        value = a * across[z, y, axis, x] + b * across[z, y + U(1), axis, x]
        out[target, x] += value + c * across[z, y + U(2), axis, x] + d * across[z, y + U(3), axis, x]


@njit(cache=True, nogil=True, forceinline=True)
def _row_displacement(
    across: FloatArray, z: int, along_z: FloatArray, y: int, along_y: FloatArray, out: FloatArray
) -> None:
    """Fill ``out`` (3, W) with a row's displacement, from one frame's at its rows of nodes."""
    out[:] = np.float32(0.0)
    lead = 3 - across.shape[2]
    for i in range(4):
        if along_z[i] != 0.0:
            for axis in range(across.shape[2]):
                _add_four(across, U(z + i), U(y), U(axis), along_z[i], along_y, U(lead + axis), out)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, forceinline=True)
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


@njit(cache=True, nogil=True)
def _pad(begin: int, end: int, frames: FloatArray, low: int, high: int, padding: int, out: FloatArray) -> None:
    """Copy frames into the middle of wider ones, columns before ``low`` and from ``high`` on repeating the nearest."""
    _, depth, height, _ = frames.shape
    for item in range(begin, end):
        t, z = item // depth, item % depth
        for y in range(height):
            row, target = frames[t, z, y], out[t, z, y]
            target[: padding + low] = row[low]
            target[padding + low : padding + high] = row[low:high]
            target[padding + high :] = row[high - 1]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, inline="always")
def _tap(plane, row, first, x, p, q, r, s):  # type: ignore[no-untyped-def]  # inlined: numba infers
    at = first + x
    return p * plane[row, at] + q * plane[row, at + U(1)] + r * plane[row, at + U(2)] + s * plane[row, at + U(3)]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"}, forceinline=True)
def _span(
    plane: FloatArray, rows: tuple[int, int, int, int], first: int, start: int, count: int, wx: FloatArray,
    wy: FloatArray, wz: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Add the taps of four rows to ``count`` pixels from ``start`` on; the first one's first tap is at ``first``.

    All numbers are unsigned, which spares the check for indices from the end and lets the loop run on vectors.
    """
    r0, r1, r2, r3 = rows
    for x in range(count):
        at = start + x
        p, q, r, s = wx[U(0), at], wx[U(1), at], wx[U(2), at], wx[U(3), at]
        value = wy[U(0), at] * _tap(plane, r0, first, x, p, q, r, s)
        value += wy[U(1), at] * _tap(plane, r1, first, x, p, q, r, s)
        value += wy[U(2), at] * _tap(plane, r2, first, x, p, q, r, s)
        value += wy[U(3), at] * _tap(plane, r3, first, x, p, q, r, s)
        out[at] += wz[at] * value


@njit(cache=True, nogil=True)
def _four_rows(y: int, top: int, bottom: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return four neighbouring rows, kept between ``top`` and ``bottom``."""
    return (
        U(min(max(y - 1, top), bottom)), U(min(max(y, top), bottom)), U(min(max(y + 1, top), bottom)),
        U(min(max(y + 2, top), bottom)),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _mark_changes(whole: FloatArray, out: FloatArray) -> int:
    """Mark the pixels of a row whose whole displacement is not that of the pixel before, and count them."""
    total = 0
    for x in range(U(1), U(len(out))):
        before = x - U(1)
        change = (whole[U(0), x] ^ whole[U(0), before]) | (whole[U(1), x] ^ whole[U(1), before])
        out[x] = change | (whole[U(2), x] ^ whole[U(2), before])
        total += out[x] != 0
    return total


@njit(cache=True, nogil=True)
def _next_change(changes: FloatArray, start: int) -> int:
    """Return the first marked pixel from ``start`` on, or the row's length."""
    for x in range(start, U(len(changes))):
        if changes[x] != 0:
            return x
    return len(changes)


@njit(cache=True, nogil=True, forceinline=True)
def _row(
    frame: FloatArray, z: int, y: int, box: FloatArray, padding: int, whole: FloatArray, changes: FloatArray,
    wz: FloatArray, wy: FloatArray, wx: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill ``out`` with one row of the corrected frame, stretch by stretch of the same whole displacement."""
    out[:] = np.float32(0.0)
    planes = range(4) if box[0, 1] - box[0, 0] > 1 else range(1, 2)
    left, start, width = _mark_changes(whole, changes), 0, len(out)
    while start < width:
        stop = int(_next_change(changes, U(start + 1))) if left else width
        left -= 1
        first = U(start + whole[2, start] - 1 + padding)
        rows = _four_rows(y + whole[1, start], box[1, 0], box[1, 1] - 1)
        for i in planes:
            plane = frame[min(max(z + whole[0, start] + i - 1, box[0, 0]), box[0, 1] - 1)]
            _span(plane, rows, first, U(start), U(stop - start), wx, wy, wz[i], out)
        start = stop


@njit(cache=True, nogil=True)
def _mark_outside(
    displacement: FloatArray, reach: FloatArray, z: int, y: int, low: FloatArray, high: FloatArray, fill: float,
    replace: bool, counts: int, out: FloatArray, outside: FloatArray,
) -> None:  # fmt: skip
    """Add ``counts`` to ``outside`` (W,) for pixels from below ``low`` or above ``high``, and fill them if asked.

    ``reach`` is the largest displacement along each axis: where it does not lead across, only the row's ends matter.
    """
    width = len(out)
    within = z - reach[0] >= low[0] and z + reach[0] <= high[0] and y - reach[1] >= low[1] and y + reach[1] <= high[1]
    left = min(int(np.ceil(low[2] + reach[2])) + 1, width) if within else width
    right = max(int(np.floor(high[2] - reach[2])), left) if within else width
    for item in range(left + max(width - right, 0)):
        x = item if item < left else item - left + right
        pz, py, px = z + displacement[0, x], y + displacement[1, x], x + displacement[2, x]
        if not (low[0] <= pz <= high[0] and low[1] <= py <= high[1] and low[2] <= px <= high[2]):
            outside[x] += counts
            if replace:
                out[x] = fill


@njit(cache=True, nogil=True)
def _limit(values: FloatArray, most: float) -> None:
    for x in range(len(values)):
        values[x] = min(max(values[x], -most), most)


@njit(cache=True, nogil=True, forceinline=True)
def _corrected_row(
    frame: FloatArray, padding: int, across: FloatArray, reach: FloatArray, z: int, base_z: int, taps_z: FloatArray,
    y: int, base_y: int, taps_y: FloatArray, box: FloatArray, fill: float, replace: bool, counts: int,
    work: tuple[FloatArray, ...], out: FloatArray, outside: FloatArray,
) -> None:  # fmt: skip
    """Fill ``out`` with one row of one corrected frame, and mark what comes from outside."""
    displacement, whole, changes, wz, wy, wx, low, high = work
    _row_displacement(across, base_z, taps_z, base_y, taps_y, displacement)
    _limit(displacement[2], np.float32(padding - MARGIN_PX))
    if across.shape[2] == 3:
        _split(displacement[0], whole[0], wz)
    _split(displacement[1], whole[1], wy)
    _split(displacement[2], whole[2], wx)
    _row(frame, z, y, box, padding, whole, changes, wz, wy, wx, out)
    _mark_outside(displacement, reach, z, y, low, high, fill, replace, counts, out, outside)


@njit(cache=True, nogil=True)
def _work(width: int, box: FloatArray) -> tuple[FloatArray, ...]:
    """Return memory for one row: displacement, whole part, its changes, weights per axis; and what is inside."""
    weights = np.ones((3, 4, width), np.float32)
    displacement, whole = np.zeros((3, width), np.float32), np.zeros((3, width), np.int32)
    low, high = box[:, 0] - OUTSIDE_TOLERANCE_PX, box[:, 1] - 1 + OUTSIDE_TOLERANCE_PX
    return displacement, whole, np.zeros(width, np.int32), weights[0], weights[1], weights[2], low, high


@njit(cache=True, nogil=True)
def _transpose(rows: FloatArray, position: int, out: FloatArray) -> None:
    """Write ``rows`` (T, W) into ``out`` (W, part), a few pixels at a time so that both stay in the cache."""
    width, count = len(out), len(rows)
    for first in range(0, width, LANES):
        for t in range(count):
            for x in range(first, min(first + LANES, width)):
                out[x, position + t] = rows[t, x]


@njit(cache=True, nogil=True)
def _warp(
    begin: int, end: int, frames: FloatArray, padding: int, across: FloatArray, reach: FloatArray, base_z: FloatArray,
    base_y: FloatArray, taps_z: FloatArray, taps_y: FloatArray, box: FloatArray, fill: float, replace: bool,
    counts: FloatArray, position: int, out: FloatArray, outside: FloatArray,
) -> None:  # fmt: skip
    _, height, width, _ = out.shape
    work, result = _work(width, box), np.empty((len(frames), width + LANES), np.float32)
    for item in range(begin, end):
        z, y = item // height, item % height
        for t in range(len(frames)):
            _corrected_row(
                frames[t], padding, across[t], reach[t], z, base_z[z], taps_z[z], y, base_y[y], taps_y[y], box, fill,
                replace, counts[t], work, result[t, :width], outside[z, y],
            )  # fmt: skip
        _transpose(result, position, out[z, y])


@njit(cache=True, nogil=True)
def _warp_sum(
    begin: int, end: int, frames: FloatArray, padding: int, across: FloatArray, reach: FloatArray, base_z: FloatArray,
    base_y: FloatArray, taps_z: FloatArray, taps_y: FloatArray, box: FloatArray, fill: float, replace: bool,
    counts: FloatArray, total: FloatArray, outside: FloatArray,
) -> None:  # fmt: skip
    _, height, width = total.shape
    work, result = _work(width, box), np.empty(width, np.float32)
    for item in range(begin, end):
        z, y = item // height, item % height
        for t in range(len(frames)):
            if counts[t] == 0:
                continue
            _corrected_row(
                frames[t], padding, across[t], reach[t], z, base_z[z], taps_z[z], y, base_y[y], taps_y[y], box, fill,
                replace, counts[t], work, result, outside[z, y],
            )  # fmt: skip
            for x in range(width):
                total[z, y, x] += result[x]


def _common(
    frames: FloatArray, shifts: Shifts, plan: WarpPlan, good: FloatArray, scratch: Scratch
) -> tuple[FloatArray | int | float, ...]:
    """Return what both kernels take: padded frames, displacement along the rows of nodes, and the plan's parts."""
    ndim, (depth, height, width) = plan.ndim, plan.dims
    field = shifts.field if shifts.field is not None else shifts.rigid.reshape(-1, *(1,) * ndim, ndim)
    nodes = extend_field(field)[..., 3 - ndim :]
    nodes = nodes[:, :, :, 1:-1] if len(plan.along) > 1 else nodes[:, :, :, :1]
    across = np.matmul(np.ascontiguousarray(np.moveaxis(nodes, 3, 4)), plan.along)
    reach = np.zeros((len(field), 3), np.float32)
    most = np.abs(nodes).max(axis=tuple(range(1, nodes.ndim - 1)), initial=0.0)
    reach[:, 3 - ndim :] = most * OVERSHOOT ** sum(n > 1 for n in field.shape[1:-1])
    padding = int(min(reach[:, 2].max(initial=0.0), width)) + 2 * MARGIN_PX
    wide = scratch.array("wide", (len(frames), depth, height, width + 2 * padding))
    volumes = np.ascontiguousarray(frames, np.float32).reshape(-1, *plan.dims)
    spread(_pad, len(frames) * depth, volumes, *plan.box[2], padding, wide)
    return (
        wide, padding, across, reach, *plan.base, *plan.taps, plan.box, plan.fill, plan.replace, good.astype(np.int32)
    )  # fmt: skip


def warp(
    frames: FloatArray,
    shifts: Shifts,
    plan: WarpPlan,
    *,
    good: FloatArray,
    position: int,
    out: FloatArray,
    outside: FloatArray,
    scratch: Scratch,
) -> None:
    """Write frames with their displacement undone.

    Parameters
    ----------
    frames : float32 (T, *dims)
    good : bool (T,), frames that count in ``outside``
    position : where in ``out`` the first frame goes
    out : float32 (*dims, T_part)
    outside : int32 dims, raised by one wherever a pixel of a good corrected frame comes from outside
    scratch : memory that is used again from call to call
    """
    spread(
        _warp, plan.dims[0] * plan.dims[1], *_common(frames, shifts, plan, good, scratch), position,
        out.reshape(*plan.dims, -1), outside.reshape(plan.dims),
    )  # fmt: skip


def warp_sum(
    frames: FloatArray,
    shifts: Shifts,
    plan: WarpPlan,
    *,
    good: FloatArray,
    total: FloatArray,
    outside: FloatArray,
    scratch: Scratch,
) -> None:
    """Add the good frames, with their displacement undone, to ``total`` (float64 dims); the rest as in ``warp``."""
    spread(
        _warp_sum, plan.dims[0] * plan.dims[1], *_common(frames, shifts, plan, good, scratch),
        total.reshape(plan.dims), outside.reshape(plan.dims),
    )  # fmt: skip
