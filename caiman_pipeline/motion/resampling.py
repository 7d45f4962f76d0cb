"""One row of a corrected frame: where each pixel comes from, and bicubic interpolation there.

Where displacement varies, a row is taken in stretches over which its whole part does not change: there the taps of
neighbouring pixels are neighbours in memory too, and the loop over the stretch is plain vector code. Where it is the
same everywhere, rows are weighed and added first, and then the pixels along the sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from caiman_pipeline.model.arrays import FloatArray, IntArray, NumberArray
from caiman_pipeline.numerics.cubic import catmull_rom
from caiman_pipeline.numerics.kernels import compiled

# A pixel from up to half a pixel beyond the border still lies over the border's own pixel.
OUTSIDE_TOLERANCE_PX = 0.5
U = np.uint64
# Pixels kept free at the ends of a line, and samples of cubic interpolation along each axis.
MARGIN_PX, TAPS = 4, 4


class Moved(NamedTuple):
    """Frames, and where their scene lies, as kernels take them.

    Attributes
    ----------
    frames : float32 (T, D, H, W), rows with ``padding`` pixels more at either end where displacement varies
    padding : int, pixels; 0 where displacement is the same all over a frame
    across : float32 (T, planes, rows, axes, W), displacement along the rows of nodes
    reach : float32 (T, 3), largest displacement along each axis, pixels
    counts : int32 (T,), what each frame adds to the number of times that a pixel came from outside
    """

    frames: FloatArray
    padding: int
    across: FloatArray
    reach: FloatArray
    counts: IntArray


class Raster(NamedTuple):
    """What does not change from frame to frame, as kernels take it.

    Attributes
    ----------
    base_z, base_y : int64 (D,), (H,), first of four nodes that matter at each plane and row
    taps_z, taps_y : float32 (D, 4), (H, 4), weights of the four
    box : int64 (3, 2), pixels of the raw frame that may be read, (start, stop) per axis
    fill, replace : value for pixels from outside, and whether they get it
    """

    base_z: IntArray
    base_y: IntArray
    taps_z: FloatArray
    taps_y: FloatArray
    box: IntArray
    fill: float
    replace: bool


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _add_four(
    across: FloatArray, z: int, y: int, axis: int, weight: float, taps: FloatArray, target: int, out: FloatArray
) -> None:
    """Add four neighbouring lines of the displacement, weighed, to one axis of a row's."""
    a, b, c, d = weight * taps[0], weight * taps[1], weight * taps[2], weight * taps[3]
    for x in range(U(across.shape[3])):
        value = a * across[z, y, axis, x] + b * across[z, y + U(1), axis, x]
        out[target, x] += value + c * across[z, y + U(2), axis, x] + d * across[z, y + U(3), axis, x]


@compiled(forceinline=True)
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


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _split(displacement: FloatArray, whole: IntArray, weights: FloatArray) -> None:
    """Split displacements (W,) into whole pixels and the four weights (4, W) of the rest."""
    for x in range(len(displacement)):
        floor = np.floor(displacement[x])
        f = displacement[x] - floor
        whole[x] = np.int32(floor)
        weights[0, x], weights[1, x], weights[2, x], weights[3, x] = catmull_rom(f)


@compiled(fastmath={"contract", "nsz"}, inline="always")
def _tap(plane, row, first, x, p, q, r, s):  # type: ignore[no-untyped-def]  # inlined: numba infers
    at = first + x
    return p * plane[row, at] + q * plane[row, at + U(1)] + r * plane[row, at + U(2)] + s * plane[row, at + U(3)]


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _span(
    plane: FloatArray,
    rows: tuple[int, int, int, int],
    first: int,
    start: int,
    count: int,
    wx: FloatArray,
    wy: FloatArray,
    wz: FloatArray,
    out: FloatArray,
) -> None:
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


@compiled
def _four_rows(y: int, top: int, bottom: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Return four neighbouring rows, kept between ``top`` and ``bottom``."""
    return (
        U(min(max(y - 1, top), bottom)),
        U(min(max(y, top), bottom)),
        U(min(max(y + 1, top), bottom)),
        U(min(max(y + 2, top), bottom)),
    )


@compiled
def _mark_changes(whole: IntArray, out: IntArray) -> int:
    """Mark the pixels of a row whose whole displacement is not that of the pixel before, and count them."""
    total = 0
    for x in range(U(1), U(len(out))):
        before = x - U(1)
        change = (whole[U(0), x] ^ whole[U(0), before]) | (whole[U(1), x] ^ whole[U(1), before])
        out[x] = change | (whole[U(2), x] ^ whole[U(2), before])
        total += out[x] != 0
    return total


@compiled
def _next_change(changes: IntArray, start: int) -> int:
    """Return the first marked pixel from ``start`` on, or the row's length."""
    for x in range(start, U(len(changes))):
        if changes[x] != 0:
            return x
    return len(changes)


@compiled(forceinline=True)
def _row(
    frame: FloatArray,
    z: int,
    y: int,
    box: IntArray,
    padding: int,
    whole: IntArray,
    changes: IntArray,
    wz: FloatArray,
    wy: FloatArray,
    wx: FloatArray,
    out: FloatArray,
) -> None:
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


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _add_rows(
    plane: FloatArray,
    rows: tuple[int, int, int, int],
    column: int,
    weights: FloatArray,
    scale: float,
    start: int,
    count: int,
    out: FloatArray,
) -> None:
    """Add ``count`` pixels of four rows, weighed, to ``out`` from ``start`` on."""
    a, b = scale * weights[0, 0], scale * weights[1, 0]
    c, d = scale * weights[2, 0], scale * weights[3, 0]
    r0, r1, r2, r3 = rows
    for x in range(count):
        at = column + x
        out[start + x] += a * plane[r0, at] + b * plane[r1, at] + c * plane[r2, at] + d * plane[r3, at]


@compiled(fastmath={"contract", "nsz"}, forceinline=True)
def _along_line(line: FloatArray, weights: FloatArray, out: FloatArray) -> None:
    a, b, c, d = weights[0, 0], weights[1, 0], weights[2, 0], weights[3, 0]
    for x in range(U(len(out))):
        out[x] = a * line[x] + b * line[x + U(1)] + c * line[x + U(2)] + d * line[x + U(3)]


@compiled(forceinline=True)
def _uniform_row(
    frame: FloatArray,
    z: int,
    y: int,
    box: IntArray,
    whole: IntArray,
    weights: FloatArray,
    line: FloatArray,
    out: FloatArray,
) -> None:
    """Fill ``out`` with one row of a corrected frame whose displacement is the same everywhere."""
    planes = range(4) if box[0, 1] - box[0, 0] > 1 else range(1, 2)
    first, rows = whole[2, 0] - 1, _four_rows(y + whole[1, 0], box[1, 0], box[1, 1] - 1)
    start = min(max(box[2, 0] - first, 0), len(line) - 1)
    stop = max(min(box[2, 1] - first, len(line)), start + 1)
    column = min(max(first + start, box[2, 0]), box[2, 1] - 1)
    line[:] = np.float32(0.0)
    for i in planes:
        plane = frame[min(max(z + whole[0, 0] + i - 1, box[0, 0]), box[0, 1] - 1)]
        _add_rows(plane, rows, U(column), weights[1], weights[0, i, 0], U(start), U(stop - start), line)
    line[:start] = line[start]
    line[stop:] = line[stop - 1]
    _along_line(line, weights[2], out)


@compiled
def _mark_outside(
    displacement: FloatArray,
    reach: FloatArray,
    z: int,
    y: int,
    low: FloatArray,
    high: FloatArray,
    fill: float,
    replace: bool,
    counts: int,
    out: FloatArray,
    outside: IntArray,
) -> None:
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


@compiled
def _limit(values: FloatArray, most: float) -> None:
    for x in range(len(values)):
        values[x] = min(max(values[x], -most), most)


@compiled(forceinline=True)
def corrected_row(
    moved: Moved,
    t: int,
    raster: Raster,
    z: int,
    y: int,
    work: tuple[NumberArray, ...],
    out: FloatArray,
    outside: IntArray,
) -> None:
    """Fill ``out`` with one row of corrected frame ``t``, and mark what comes from outside."""
    displacement, whole, changes, wz, wy, wx, few, line, low, high = work
    frame, across, box = moved.frames[t], moved.across[t], raster.box
    lead = 3 - across.shape[2]
    if moved.padding == 0:
        for axis in range(across.shape[2]):
            displacement[lead + axis, :] = across[0, 0, axis, 0]
        for axis in range(lead, 3):
            _split(displacement[axis, :1], whole[axis, :1], few[axis])
        _uniform_row(frame, z, y, box, whole, few, line, out)
    else:
        _row_displacement(across, raster.base_z[z], raster.taps_z[z], raster.base_y[y], raster.taps_y[y], displacement)
        _limit(displacement[2], np.float32(moved.padding - MARGIN_PX))
        if lead == 0:
            _split(displacement[0], whole[0], wz)
        _split(displacement[1], whole[1], wy)
        _split(displacement[2], whole[2], wx)
        _row(frame, z, y, box, moved.padding, whole, changes, wz, wy, wx, out)
    counts, reach = moved.counts[t], moved.reach[t]
    _mark_outside(displacement, reach, z, y, low, high, raster.fill, raster.replace, counts, out, outside)


@compiled
def row_work(width: int, box: IntArray) -> tuple[NumberArray, ...]:
    """Return memory for one row, and what is inside.

    For displacement, whole part, its changes, weights per axis, and of one pixel alone; and for a sum of rows.
    """
    weights, few = np.ones((3, TAPS, width), np.float32), np.ones((3, TAPS, 1), np.float32)
    line = np.empty(width + TAPS - 1, np.float32)
    displacement, whole = np.zeros((3, width), np.float32), np.zeros((3, width), np.int32)
    low, high = box[:, 0] - OUTSIDE_TOLERANCE_PX, box[:, 1] - 1 + OUTSIDE_TOLERANCE_PX
    return displacement, whole, np.zeros(width, np.int32), weights[0], weights[1], weights[2], few, line, low, high
