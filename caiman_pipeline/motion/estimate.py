"""Estimate the displacement of frames: whole frame first, then everywhere in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from caiman_pipeline.motion.field import to_template
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.grid import Grid, interpolation_weights, make_grid, mean_of_nodes
from caiman_pipeline.motion.modes import Modes, make_modes
from caiman_pipeline.motion.peaks import frame_gain, linearise, patch_peaks
from caiman_pipeline.motion.plan import MotionPlan
from caiman_pipeline.motion.rigid import CoarseTemplate, coarse_shifts, prepare_coarse
from caiman_pipeline.motion.surfaces import CellTemplate, cell_agreement, prepare_cells
from caiman_pipeline.types import FloatArray, Shifts

ROUNDS = 5
RIGID_REACH_PX = 3
UNLIKELY = 6.0


@dataclass(frozen=True)
class Registration:
    """All that is needed to register frames to one template.

    Attributes
    ----------
    template : float32 dims, as registration sees it (high-passed if the plan says so)
    weight : float32 dims, inverse variance of the noise per pixel
    members : int64 (patches, most), cells of each search window, filled up with -1
    spread : float32 (cells, patches), from search windows to cells
    """

    plan: MotionPlan
    grid: Grid
    template: FloatArray
    weight: FloatArray
    coarse: CoarseTemplate
    cells: CellTemplate
    modes: Modes
    members: FloatArray
    spread: FloatArray
    threads: int


@dataclass(frozen=True)
class Estimate:
    """What one chunk of frames says about its motion.

    Attributes
    ----------
    whole : int64 (T, ndim), first rigid shift, whole pixels
    values : float32 (T, modes), what remains, mode by mode, neither shrunk nor smoothed
    at_limit : bool (T,), the rigid shift may be larger than allowed
    agreement : float32 (T,), log-likelihood gained per pixel against a featureless frame
    """

    whole: FloatArray
    values: FloatArray
    at_limit: FloatArray
    agreement: FloatArray


def prepare_registration(
    template: FloatArray, weight: FloatArray, plan: MotionPlan, *, modes: Modes | None, threads: int
) -> Registration:
    """Prepare for registering frames to ``template`` (float32 dims, in raw pixel values); modes are made if not given."""
    grid = make_grid(plan.dims, spacing=plan.spacing)
    seen = band_pass(template[None], plan.high_pass, threads=threads)[0]
    reach = tuple(
        0 if limit == 0 else max(RIGID_REACH_PX, deviation + 1 if plan.spacing else 0)
        for limit, deviation in zip(plan.max_shift, plan.max_deviation, strict=True)
    )
    cells = prepare_cells(seen, weight, grid, lags=reach)
    members, spread = _search_windows(grid, plan.patch_size if plan.spacing else None)
    smooth = (plan.spacing or (32.0,))[-1] / 4
    return Registration(
        plan, grid, seen, weight, prepare_coarse(seen, weight, max_shift=plan.max_shift, smooth_px=smooth), cells,
        modes or make_modes(cells, grid), members, spread, threads,
    )  # fmt: skip


def _search_windows(grid: Grid, size: tuple[float, ...] | None) -> tuple[FloatArray, FloatArray]:
    """Return the cells of windows half overlapping each other, and how cells follow from windows."""
    lines, inside = [], []
    for axis, (n, centres) in enumerate(zip(grid.dims, grid.cell_centres, strict=True)):
        width = n if size is None else min(size[axis], n)
        count = max(1, round(2 * n / width) - 1)
        middles = np.linspace(width / 2, n - width / 2, count) - 0.5 if count > 1 else np.array([(n - 1) / 2])
        near = np.abs(centres[None] - middles[:, None])
        inside.append((near <= width / 2) | (near == near.min(axis=1, keepdims=True)))
        lines.append(interpolation_weights(np.clip(centres, middles[0], middles[-1]), middles))
    flags = reduce(np.kron, [i.astype(np.int64) for i in inside])
    members = np.full((len(flags), flags.sum(1).max()), -1)
    for row, flag in zip(members, flags, strict=True):
        found = np.flatnonzero(flag)
        row[: len(found)] = found
    return members, reduce(np.kron, lines).astype(np.float32)


def estimate(frames: FloatArray, registration: Registration) -> Estimate:
    """Estimate the motion of frames, float32 (T, *dims), finite."""
    seen = band_pass(frames, registration.plan.high_pass, threads=registration.threads)
    shifts, at_limit = coarse_shifts(seen, registration.coarse, threads=registration.threads)
    whole = np.rint(shifts).astype(np.int64)
    cells, modes = registration.cells, registration.modes
    surfaces = cell_agreement(seen, whole, cells)
    gain = frame_gain(surfaces, cells)
    windows = patch_peaks(surfaces, cells, registration.members, gain)
    at = np.einsum("cp,tpa->tca", registration.spread, windows, optimize=True)
    for _ in range(ROUNDS):
        found = linearise(surfaces, cells, at, gain)
        values = mode_values(found[..., 1:], at, modes)
        at = modes_at_cells(values * modes.gain, modes)
    agreement = linearise(surfaces, cells, at, gain)[..., 0].sum(1, dtype=np.float64) / registration.template.size
    return Estimate(whole, values, at_limit, agreement.astype(np.float32))


def mode_values(slopes: FloatArray, at: FloatArray, modes: Modes) -> FloatArray:
    """Return the value of each mode, float32 (T, modes), from the slopes (T, cells, 3) of the likelihood at ``at``."""
    axes = list(modes.axes)
    wanted = slopes[..., axes] + np.einsum("cab,tcb->tca", modes.information, at[..., axes])
    return wanted.reshape(len(at), -1) @ modes.to_cells


def modes_at_cells(values: FloatArray, modes: Modes) -> FloatArray:
    """Return displacement at the cells, float32 (T, cells, 3), from mode values (T, modes)."""
    flat = values @ modes.to_cells.T
    at = np.zeros((len(values), flat.shape[1] // len(modes.axes), 3), np.float32)
    at[..., list(modes.axes)] = flat.reshape(len(values), -1, len(modes.axes))
    return at


def smooth_values(values: FloatArray, good: FloatArray, modes: Modes) -> FloatArray:
    """Return mode values shrunk and smoothed over time, float32 (T - 2 reach, modes).

    Parameters
    ----------
    values : float32 (T, modes), with ``reach`` frames more on either side than wanted
    good : bool (T,), frames to use; the others are bridged from their neighbours
    """
    limit = UNLIKELY * np.sqrt(modes.signal + modes.noise)
    usable = np.clip(values, -limit, limit).astype(np.float32)
    if not good.all():
        usable = _bridge(usable, good)
    reach = modes.kernel.shape[1] // 2
    count = len(values) - 2 * reach
    result = np.zeros((count, values.shape[1]), np.float32)
    for lag in range(2 * reach + 1):
        result += modes.kernel[:, lag] * usable[lag : lag + count]
    return result


def _bridge(values: FloatArray, good: FloatArray) -> FloatArray:
    if not good.any():
        return np.zeros_like(values)
    known = np.flatnonzero(good)
    place = np.interp(np.arange(len(values)), known, np.arange(len(known)))
    low = np.floor(place).astype(int)
    part = (place - low)[:, None].astype(np.float32)
    return values[known[low]] * (1 - part) + values[known[np.minimum(low + 1, len(known) - 1)]] * part


def shifts_of(whole: FloatArray, values: FloatArray, registration: Registration) -> Shifts:
    """Return the shifts of frames from their whole-pixel part and their smoothed mode values.

    The rigid part is the field's mean over all pixels; deviations from it are limited to ``max_deviation``.
    """
    plan, modes, grid = registration.plan, registration.modes, registration.grid
    ndim, nodes = len(plan.dims), int(np.prod(grid.node_shape))
    local = np.zeros((len(values), nodes, 3), np.float32)
    local[..., list(modes.axes)] = (values @ modes.to_nodes.T).reshape(len(values), nodes, len(modes.axes))
    local = local[..., 3 - ndim :]
    mean = np.einsum("n,tna->ta", mean_of_nodes(grid).astype(np.float32), local)
    rigid = (whole + mean).astype(np.float32)
    if nodes == 1:
        return Shifts(rigid)
    limit = np.float32(plan.max_deviation)
    seen = whole[:, None] + mean[:, None] + np.clip(local - mean[:, None], -limit, limit)
    seen = seen.reshape(len(values), *grid.node_shape, ndim).astype(np.float32)
    return Shifts(rigid, to_template(seen, grid.nodes, whole), grid.nodes)
