"""Resample frames so that the scene stands still: bicubic between pixels, written with time last."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import Bounds, Dims
from caiman_pipeline.motion.field import extend_field
from caiman_pipeline.motion.nodes import interpolation_weights
from caiman_pipeline.motion.resampling import MARGIN_PX, Moved, Raster, corrected_row, row_work
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.numerics.cubic import cubic_weights
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

Border = Literal["nearest", "min", "nan"]
# Pixels taken at a time, which changes no result; and how far a cubic may swing beyond its nodes along each axis.
LANES, OVERSHOOT = 16, 1.25


class Scratch:
    """Arrays that are used again: giving memory back and asking for it anew costs as much as filling it."""

    def __init__(self) -> None:
        self._flat: dict[str, FloatArray] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return a float32 array of ``shape``, with whatever it held before.

        Parameters
        ----------
        name : str
            Arrays of different names do not share memory.
        shape : tuple of int
            Its shape.

        Returns
        -------
        float32 (*shape)
            The array.
        """
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
    base: tuple[IntArray, IntArray]
    taps: tuple[FloatArray, FloatArray]
    along: FloatArray
    box: IntArray
    fill: float
    replace: bool


def plan_warp(dims: Dims, nodes: tuple[FloatArray, ...], *, inside: Bounds, border: Border, minimum: float) -> WarpPlan:
    """Prepare for resampling frames of ``dims`` by fields on ``nodes`` (one per axis for rigid shifts).

    Parameters
    ----------
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.
    nodes : tuple of float32 (k,)
        Pixel coordinates of the field's nodes along each axis; one each for rigid shifts.
    inside : tuple of (int, int)
        Part of the frame that may be read, first pixel and the one after the last along each axis.
    border : str
        What pixels from outside it become: ``nearest`` pixel, ``min`` or ``nan``.
    minimum : float
        Value of pixels from outside with ``min``, in raw pixel values.

    Returns
    -------
    WarpPlan
        What ``warp`` needs besides frames and shifts.
    """
    lead = 3 - len(dims)
    shape = as_volume(dims)
    full = (np.zeros(1, np.float32),) * lead + tuple(nodes)
    (bz, tz), (by, ty) = (_taps_along(n, k) for n, k in zip(shape[:2], full[:2], strict=True))
    along = np.ascontiguousarray(interpolation_weights(np.arange(shape[2]), full[2]).T, np.float32)
    box = np.array(((0, 1),) * lead + tuple(inside), np.int64)
    fill = {"nearest": 0.0, "min": minimum, "nan": np.nan}[border]
    return WarpPlan(shape, len(dims), (bz, by), (tz, ty), along, box, fill, border != "nearest")


def _taps_along(size: int, nodes: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return for each pixel of an axis the first of four extended nodes, and their weights."""
    if len(nodes) == 1:
        return np.zeros(size, np.int64), np.tile(np.array([1, 0, 0, 0], np.float32), (size, 1))
    position = np.arange(size) / (size - 1) * (len(nodes) - 1)
    base = np.clip(np.floor(position), 0, len(nodes) - 2).astype(np.int64)
    return base, np.ascontiguousarray(cubic_weights(position - base).T, np.float32)


@compiled
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


@compiled
def _transpose(rows: FloatArray, position: int, out: FloatArray) -> None:
    """Write ``rows`` (T, W) into ``out`` (W, part), a few pixels at a time so that both stay in the cache."""
    width, count = len(out), len(rows)
    for first in range(0, width, LANES):
        for t in range(count):
            for x in range(first, min(first + LANES, width)):
                out[x, position + t] = rows[t, x]


@compiled
def _warp(
    begin: int, end: int, moved: Moved, raster: Raster, position: int, out: FloatArray, outside: IntArray
) -> None:
    _, height, width, _ = out.shape
    n_frames = len(moved.frames)
    work, result = row_work(width, raster.box), np.empty((n_frames, width + LANES), np.float32)
    for item in range(begin, end):
        z, y = item // height, item % height
        for t in range(n_frames):
            corrected_row(moved, t, raster, z, y, work, result[t, :width], outside[z, y])
        _transpose(result, position, out[z, y])


@compiled
def _warp_sum(begin: int, end: int, moved: Moved, raster: Raster, total: FloatArray, outside: IntArray) -> None:
    _, height, width = total.shape
    work, result = row_work(width, raster.box), np.empty(width, np.float32)
    for item in range(begin, end):
        z, y = item // height, item % height
        for t in range(len(moved.frames)):
            if moved.counts[t] == 0:
                continue
            corrected_row(moved, t, raster, z, y, work, result, outside[z, y])
            for x in range(width):
                total[z, y, x] += result[x]


def _common(
    frames: FloatArray, shifts: Shifts, plan: WarpPlan, good: BoolArray, scratch: Scratch
) -> tuple[Moved, Raster]:
    """Return what both kernels take of frames and plan.

    Frames are padded along their rows where displacement varies.
    """
    ndim, (depth, height, width) = plan.ndim, plan.dims
    field = shifts.field if shifts.field is not None else shifts.rigid.reshape(-1, *(1,) * ndim, ndim)
    nodes = extend_field(field)[..., 3 - ndim :]
    nodes = nodes[:, :, :, 1:-1] if len(plan.along) > 1 else nodes[:, :, :, :1]
    across = np.matmul(np.ascontiguousarray(np.moveaxis(nodes, 3, 4)), plan.along)
    reach = np.zeros((len(field), 3), np.float32)
    most = np.abs(nodes).max(axis=tuple(range(1, nodes.ndim - 1)), initial=0.0)
    reach[:, 3 - ndim :] = most * OVERSHOOT ** sum(n > 1 for n in field.shape[1:-1])
    wide, padding = np.ascontiguousarray(frames, np.float32).reshape(-1, *plan.dims), 0
    if max(field.shape[1:-1]) > 1:
        padding = int(min(reach[:, 2].max(initial=0.0), width)) + 2 * MARGIN_PX
        volumes, wide = wide, scratch.array("wide", (len(frames), depth, height, width + 2 * padding))
        run_parallel(_pad, len(frames) * depth, volumes, *plan.box[2], padding, wide)
    moved = Moved(wide, padding, across, reach, good.astype(np.int32))
    return moved, Raster(*plan.base, *plan.taps, plan.box, plan.fill, plan.replace)


def warp(
    frames: FloatArray,
    shifts: Shifts,
    plan: WarpPlan,
    *,
    good: BoolArray,
    position: int,
    out: FloatArray,
    outside: IntArray,
    scratch: Scratch,
) -> None:
    """Write frames with their displacement undone.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Raw pixel values.
    shifts : Shifts
        Displacement of the scene in these frames, pixels.
    plan : WarpPlan
        Made for these dims and the shifts' nodes.
    good : bool (T,)
        Frames that count in ``outside``.
    position : int
        Where in ``out`` the first frame goes.
    out : float32 (*dims, T_part)
        Written.
    outside : int32 (*dims)
        Raised by one wherever a pixel of a good corrected frame comes from outside.
    scratch : Scratch
        Memory that is used again from call to call.

    References
    ----------
    Keys 1981, Cubic convolution interpolation for digital image processing. doi:10.1109/TASSP.1981.1163711
    """
    run_parallel(
        _warp,
        plan.dims[0] * plan.dims[1],
        *_common(frames, shifts, plan, good, scratch),
        position,
        out.reshape(*plan.dims, -1),
        outside.reshape(plan.dims),
    )


def warp_sum(
    frames: FloatArray,
    shifts: Shifts,
    plan: WarpPlan,
    *,
    good: BoolArray,
    total: FloatArray,
    outside: IntArray,
    scratch: Scratch,
) -> None:
    """Add the good frames, with their displacement undone, to a sum.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Raw pixel values.
    shifts : Shifts
        Displacement of the scene in these frames, pixels.
    plan : WarpPlan
        Made for these dims and the shifts' nodes.
    good : bool (T,)
        Frames that are added.
    total : float64 (*dims)
        Sum that they are added to.
    outside : int32 (*dims)
        Raised by one wherever a pixel of a good corrected frame comes from outside.
    scratch : Scratch
        Memory that is used again from call to call.
    """
    run_parallel(
        _warp_sum,
        plan.dims[0] * plan.dims[1],
        *_common(frames, shifts, plan, good, scratch),
        total.reshape(plan.dims),
        outside.reshape(plan.dims),
    )
