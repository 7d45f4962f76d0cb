"""Resample frames so that the scene stands still: bicubic between pixels, written with time last.

Pixels are taken in blocks of a row. Where the displacement's whole part does not change within a block, the sixteen
taps of each pixel are contiguous in memory, and the loop over the block is plain vector code; where it does, the block
is passed once for each value.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numba import njit

from caiman_pipeline.motion.field import extend_field
from caiman_pipeline.motion.grid import cubic_weights
from caiman_pipeline.motion.spread import spread
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.types import Bounds, Dims, FloatArray, Shifts

Border = Literal["nearest", "min", "nan"]
OUTSIDE_TOLERANCE_PX = 0.5
U = np.uint64
LANES, FIELD_OVERSHOOT = 16, 1.25


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
    base : int64 (D,), (H,), (W,), first extended node that matters at each plane, row and column
    taps : float32 (4, D), (4, H), (4, W), weights of four nodes there
    box : int64 (3, 2), pixels of the raw frame that may be read, (start, stop) per axis
    fill : value for pixels from outside, ignored if ``replace`` is False
    """

    dims: tuple[int, int, int]
    ndim: int
    base: tuple[FloatArray, FloatArray, FloatArray]
    taps: tuple[FloatArray, FloatArray, FloatArray]
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
    (bz, tz), (by, ty), (bx, tx) = (_taps_along(n, k) for n, k in zip(shape, full, strict=True))
    box = np.array(((0, 1),) * lead + tuple(inside), np.int64)
    fill = {"nearest": 0.0, "min": minimum, "nan": np.nan}[border]
    return WarpPlan(shape, len(dims), (bz, by, bx), (tz, ty, tx), box, fill, border != "nearest")


def _taps_along(size: int, nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each pixel of an axis the first of four extended nodes, and their weights."""
    if len(nodes) == 1:
        return np.zeros(size, np.int64), np.repeat(np.array([[1], [0], [0], [0]], np.float32), size, axis=1)
    position = np.arange(size) / (size - 1) * (len(nodes) - 1)
    base = np.clip(np.floor(position), 0, len(nodes) - 2).astype(np.int64)
    return base, cubic_weights(position - base).astype(np.float32)


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _row_displacement(
    field: FloatArray, z: int, wz: FloatArray, y: int, wy: FloatArray, base: FloatArray, taps: FloatArray,
    lead: int, line: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill ``out`` (3, W) with the displacement along a row, axes from ``lead`` on, from a frame's extended nodes."""
    line[:] = 0.0
    for i in range(4):
        for j in range(4):
            w = wz[i] * wy[j]
            if w != 0.0:
                for a in range(lead, 3):
                    source, target = field[z + i, y + j, a], line[a]
                    for k in range(len(target)):
                        target[k] += w * source[k]
    start, width = 0, len(base)
    while start < width:
        b = base[start]
        stop = start + 1
        while stop < width and base[stop] == b:
            stop += 1
        for a in range(lead, 3):
            _between_nodes(taps, line, U(a), U(b), U(start), U(stop - start), out)
        start = stop


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _between_nodes(
    taps: FloatArray, line: FloatArray, axis: int, node: int, start: int, count: int, out: FloatArray
) -> None:
    """Interpolate one axis of the displacement between two nodes of a row."""
    v0, v1, v2, v3 = line[axis, node], line[axis, node + U(1)], line[axis, node + U(2)], line[axis, node + U(3)]
    for x in range(count):
        at = start + x
        out[axis, at] = taps[U(0), at] * v0 + taps[U(1), at] * v1 + taps[U(2), at] * v2 + taps[U(3), at] * v3


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


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
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


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _lanes(
    plane: FloatArray, rows: tuple[int, int, int, int], first: int, start: int, begin: int, end: int, wx: FloatArray,
    wy: FloatArray, wz: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """As ``_span``, for the pixels from ``begin`` to ``end`` of one block."""
    r0, r1, r2, r3 = rows
    for x in range(U(LANES)):
        at = start + x
        p, q, r, s = wx[U(0), at], wx[U(1), at], wx[U(2), at], wx[U(3), at]
        value = wy[U(0), at] * _tap(plane, r0, first, x, p, q, r, s)
        value += wy[U(1), at] * _tap(plane, r1, first, x, p, q, r, s)
        value += wy[U(2), at] * _tap(plane, r2, first, x, p, q, r, s)
        value += wy[U(3), at] * _tap(plane, r3, first, x, p, q, r, s)
        out[at] += wz[at] * value if (x >= begin) & (x < end) else np.float32(0)


@njit(cache=True, nogil=True)
def _four_rows(y: int, top: int, bottom: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return four neighbouring rows, kept between ``top`` and ``bottom``."""
    return (
        U(min(max(y - 1, top), bottom)), U(min(max(y, top), bottom)), U(min(max(y + 1, top), bottom)),
        U(min(max(y + 2, top), bottom)),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _row(
    frame: FloatArray, z: int, y: int, box: FloatArray, padding: int, whole: FloatArray, wz: FloatArray,
    wy: FloatArray, wx: FloatArray, out: FloatArray,
) -> None:  # fmt: skip
    """Fill ``out`` with one row of the corrected frame.

    Pixels whose displacement has the same whole part read from neighbouring memory and are taken together; a block in
    which it changes is passed once for each stretch.
    """
    out[:] = 0.0
    planes = range(4) if box[0, 1] - box[0, 0] > 1 else range(1, 2)
    start, width = 0, len(out)
    while start < width:
        begin, stop = start, start + LANES
        while begin < start + LANES:
            bz, by, bx = whole[0, begin], whole[1, begin], whole[2, begin]
            end = begin + 1
            while end < stop and whole[0, end] == bz and whole[1, end] == by and whole[2, end] == bx:
                end += 1
            alone = end - begin == LANES
            while alone and stop < width and _same(whole, stop, bz, by, bx):
                stop += LANES
            first = U(start + bx - 1 + padding)
            rows = _four_rows(y + by, box[1, 0], box[1, 1] - 1)
            for i in planes:
                plane = frame[min(max(z + bz + i - 1, box[0, 0]), box[0, 1] - 1)]
                if alone:
                    _span(plane, rows, first, U(start), U(stop - start), wx, wy, wz[i], out)
                else:
                    _lanes(plane, rows, first, U(start), U(begin - start), U(end - start), wx, wy, wz[i], out)
            begin = end
        start = stop


@njit(cache=True, nogil=True)
def _same(whole: FloatArray, start: int, bz: int, by: int, bx: int) -> bool:
    """Return whether the whole part of the displacement is the same for a block of pixels."""
    first, second, third = whole[0][start:], whole[1][start:], whole[2][start:]
    different = 0
    for x in range(LANES):
        different |= (first[x] ^ bz) | (second[x] ^ by) | (third[x] ^ bx)
    return different == 0


@njit(cache=True, nogil=True)
def _all_inside(displacement: FloatArray, place: float, low: float, high: float) -> bool:
    """Return whether ``place`` + displacement stays between ``low`` and ``high`` along a row."""
    least, most = displacement[0], displacement[0]
    for x in range(len(displacement)):
        least = min(least, displacement[x])
        most = max(most, displacement[x])
    return place + least >= low and place + most <= high


@njit(cache=True, nogil=True)
def _mark_outside(
    displacement: FloatArray, z: int, y: int, box: FloatArray, fill: float, replace: bool, counts: int,
    out: FloatArray, outside: FloatArray,
) -> None:  # fmt: skip
    """Add ``counts`` to ``outside`` (W,) for pixels of a row from outside the box, and fill them if asked."""
    tolerance = np.float32(OUTSIDE_TOLERANCE_PX)
    low, high = box[:, 0] - tolerance, box[:, 1] - 1 + tolerance
    across = _all_inside(displacement[0], z, low[0], high[0]) and _all_inside(displacement[1], y, low[1], high[1])
    width = len(out)
    first, last = width, width
    if across:
        first = 0
        while first < width and first + displacement[2, first] < low[2]:
            first += 1
        last = width
        while last > first and last - 1 + displacement[2, last - 1] > high[2]:
            last -= 1
    for item in range(first + width - last):
        x = item if item < first else item + last - first
        pz, py, px = z + displacement[0, x], y + displacement[1, x], x + displacement[2, x]
        if not (low[0] <= pz <= high[0] and low[1] <= py <= high[1] and low[2] <= px <= high[2]):
            outside[x] += counts
            if replace:
                out[x] = fill


@njit(cache=True, nogil=True)
def _transpose(rows: FloatArray, position: int, out: FloatArray) -> None:
    """Write ``rows`` (T, W + more) into ``out`` (W, part), a few pixels at a time so that both stay in the cache."""
    width, count = len(out), len(rows)
    for first in range(0, width, LANES):
        for t in range(count):
            for x in range(first, min(first + LANES, width)):
                out[x, position + t] = rows[t, x]


@njit(cache=True, nogil=True)
def _warp(
    begin: int, end: int, frames: FloatArray, padding: int, fields: FloatArray, base_z: FloatArray,
    base_y: FloatArray, base_x: FloatArray, taps_z: FloatArray, taps_y: FloatArray, taps_x: FloatArray,
    box: FloatArray, fill: float, replace: bool, counts: FloatArray, position: int, out: FloatArray,
    outside: FloatArray,
) -> None:  # fmt: skip
    depth, height, width, _ = out.shape
    count, lead = len(frames), 0 if depth > 1 else 1
    full = (width + LANES - 1) // LANES * LANES
    line, displacement = np.empty((3, fields.shape[4]), np.float32), np.zeros((3, full), np.float32)
    whole, result = np.zeros((3, full), np.int32), np.empty((count, full + LANES), np.float32)
    wz, wy, wx = np.ones((4, full), np.float32), np.empty((4, full), np.float32), np.empty((4, full), np.float32)
    for item in range(begin, end):
        z, y = item // height, item % height
        along_z, along_y = taps_z[:, z], taps_y[:, y]
        for t in range(count):
            _row_displacement(
                fields[t], base_z[z], along_z, base_y[y], along_y, base_x, taps_x, lead, line, displacement
            )
            _limit(displacement[2], np.float32(padding - LANES - 4))
            if lead == 0:
                _split(displacement[0], whole[0], wz)
            _split(displacement[1], whole[1], wy)
            _split(displacement[2], whole[2], wx)
            _row(frames[t], z, y, box, padding, whole, wz, wy, wx, result[t][:full])
            _mark_outside(displacement, z, y, box, fill, replace, counts[t], result[t][:width], outside[z, y])
        _transpose(result, position, out[z, y])


@njit(cache=True, nogil=True)
def _limit(values: FloatArray, most: float) -> None:
    for x in range(len(values)):
        values[x] = min(max(values[x], -most), most)


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
    ndim, (depth, height, width) = plan.ndim, plan.dims
    field = shifts.field if shifts.field is not None else shifts.rigid.reshape(-1, *(1,) * ndim, ndim)
    reach = float(np.abs(field[..., -1]).max(initial=0.0)) * FIELD_OVERSHOOT
    padding = int(min(reach, width)) + 2 * LANES
    wide = scratch.array("wide", (len(frames), depth, height, width + 2 * padding))
    volumes = np.ascontiguousarray(frames, np.float32).reshape(-1, *plan.dims)
    fields = np.ascontiguousarray(np.moveaxis(extend_field(field), -1, -2))
    spread(_pad, len(frames) * depth, volumes, *plan.box[2], padding, wide)
    spread(
        _warp, depth * height, wide, padding, fields, *plan.base, *plan.taps, plan.box, plan.fill, plan.replace,
        good.astype(np.int32), position, out.reshape(*plan.dims, -1), outside.reshape(plan.dims),
    )  # fmt: skip
