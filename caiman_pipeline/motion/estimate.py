"""Estimate the displacement of frames: of the whole frame, of windows of it, and at last everywhere in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.agreement import square_agreement
from caiman_pipeline.motion.filters import band_pass
from caiman_pipeline.motion.in_pixels import MotionPlan
from caiman_pipeline.motion.mode_values import mode_values, modes_at_squares, times
from caiman_pipeline.motion.modes import Modes, make_modes
from caiman_pipeline.motion.nodes import Grid, interpolation_weights, make_grid, mean_of_nodes, middle_nodes
from caiman_pipeline.motion.peaks import frame_gain, linearise, square_gain, window_peaks
from caiman_pipeline.motion.rigid import CoarseTemplate, bin_frames, choose_bins, coarse_shifts, prepare_coarse
from caiman_pipeline.motion.surfaces import TemplateInSquares, prepare_squares

# Newton steps on the log-likelihood: it is nearly a parabola within a plane. Across planes it is not, and more steps of
# a part of the length are taken.
ROUNDS, ROUNDS_ACROSS, STEP_ACROSS = 3, 6, 0.6
# Pixels around the displacement of its window at which each square is compared.
FINE_REACH_PX = 3
# Half the width of the mean that is taken from frames, as a share of the window spacing.
FLAT_SHARE = 0.5
# Rigid motion is the mean of a field whose nodes lie that many window spacings apart, and are at least so many along an
# axis.
RIGID_SPACING, RIGID_NODES = 2.0, 3


@dataclass(frozen=True)
class Registration:
    """All that is needed to register frames to one template.

    Attributes
    ----------
    template : float32 dims, as registration sees it (high-passed if the plan says so)
    weight : float32 dims, inverse variance of the noise per pixel
    bins : pixels per bin along each axis, for the first two steps
    coarse, wide, squares : the template prepared for the whole frame, for windows of it (both binned), and for squares
    members : int64 (windows, most), squares of ``wide`` in each window, filled up with -1
    to_squares : float32 (squares, windows), from the displacement of windows to that of squares
    rigid : of the field that is estimated, give only the mean
    """

    plan: MotionPlan
    grid: Grid
    template: FloatArray
    weight: FloatArray
    bins: tuple[int, ...]
    coarse: CoarseTemplate
    wide: TemplateInSquares
    squares: TemplateInSquares
    modes: Modes
    members: IntArray
    to_squares: FloatArray
    rigid: bool
    threads: int

    @property
    def nodes(self) -> tuple[FloatArray, ...]:
        """Nodes of the displacement that is given, one array per axis."""
        return middle_nodes(self.grid.dims) if self.rigid else self.grid.nodes


@dataclass(frozen=True)
class Estimate:
    """What one chunk of frames says about its motion.

    Attributes
    ----------
    whole : int64 (T, ndim), first rigid shift, whole pixels
    values : float32 (T, modes), what remains, mode by mode, neither shrunk nor smoothed
    at_limit : bool (T,), the rigid shift may be larger than allowed
    """

    whole: IntArray
    values: FloatArray
    at_limit: BoolArray


def prepare_registration(
    template: FloatArray, weight: FloatArray, plan: MotionPlan, *, modes: Modes | None, threads: int
) -> Registration:
    """Prepare for registering frames to ``template`` (float32 dims, raw pixel values); modes are made if not given.

    What tells most about displacement is not spread evenly over the frame: where the scene bends, a displacement fitted
    to all of it would be that of its brightest part. Rigid motion is therefore the mean of a field with a few nodes.

    Parameters
    ----------
    template : float32 (*dims)
        Image to register to, in raw pixel values, finite.
    weight : float32 (*dims)
        Inverse variance of the noise; 0 for pixels that do not count.
    plan : MotionPlan
        What to estimate, in pixels.
    modes : Modes or None
        Modes learned from the recording; None to make them from the template alone.
    threads : int
        Threads for Fourier transforms.

    Returns
    -------
    Registration
        All that ``estimate`` needs.
    """
    local, bins = plan.spacing is not None, choose_bins(plan.dims)
    grid = make_grid(plan.dims, spacing=plan.spacing or _wide_spacing(plan), local=True, bins=bins)
    seen = band_pass(template[None], plan.high_pass)[0]
    small, small_weight = (bin_frames(i[None], bins)[0] for i in (seen, weight))
    limits = [-(-limit // b) for limit, b in zip(plan.max_shift, bins, strict=True)]
    deviations = [-(-d // b) + 1 if local else 1 for d, b in zip(plan.max_deviation, bins, strict=True)]
    wide_reach = tuple(min(d, r) for d, r in zip(deviations, limits, strict=True))
    fine_reach = tuple(FINE_REACH_PX if limit else 0 for limit in plan.max_shift)
    squares = prepare_squares(seen, weight, grid, lags=fine_reach)
    windows = make_grid(plan.dims, spacing=plan.patch_size, local=local, bins=bins)
    small_grid = windows.binned(bins)
    wide = prepare_squares(
        small.reshape(small_grid.dims), small_weight.reshape(small_grid.dims), small_grid, lags=wide_reach
    )
    limits3 = (0, limits[0], limits[1]) if len(limits) == 2 else (limits[0], limits[1], limits[2])
    rows, columns = (max(2, round(FLAT_SHARE * s / b)) for s, b in zip(plan.patch_spacing[-2:], bins[-2:], strict=True))
    coarse = prepare_coarse(small, small_weight, limits=limits3, radius=(rows, columns))
    members, to_squares = _search_windows(windows, grid, plan.patch_size if local else None)
    return Registration(
        plan,
        grid,
        seen,
        weight,
        bins,
        coarse,
        wide,
        squares,
        modes or make_modes(squares, grid),
        members,
        to_squares,
        not local,
        threads,
    )


def _wide_spacing(plan: MotionPlan) -> tuple[float, ...]:
    """Return the distance of nodes along each axis where only the mean of their displacement is wanted."""
    widest = [n / (RIGID_NODES - 1) for n in plan.dims]
    return tuple(max(s, min(RIGID_SPACING * s, most)) for s, most in zip(plan.patch_spacing, widest, strict=True))


def _search_windows(blocks: Grid, grid: Grid, size: tuple[float, ...] | None) -> tuple[IntArray, FloatArray]:
    """Return the blocks of windows half overlapping each other, and how the squares of ``grid`` follow from windows."""
    lines, inside = [], []
    for axis, (n, places, centres) in enumerate(
        zip(grid.dims, blocks.square_centres, grid.square_centres, strict=True)
    ):
        width = n if size is None else min(size[axis], n)
        count = max(1, round(2 * n / width) - 1)
        middles = np.linspace(width / 2, n - width / 2, count) - 0.5 if count > 1 else np.array([(n - 1) / 2])
        near = np.abs(places[None] - middles[:, None])
        inside.append((near <= width / 2) | (near == near.min(axis=1, keepdims=True)))
        lines.append(interpolation_weights(np.clip(centres, middles[0], middles[-1]), middles))
    flags = reduce(np.kron, [i.astype(np.int64) for i in inside])
    members = np.full((len(flags), flags.sum(1).max()), -1)
    for row, flag in zip(members, flags, strict=True):
        found = np.flatnonzero(flag)
        row[: len(found)] = found
    return members, reduce(np.kron, lines).astype(np.float32)


def window_shifts(seen: FloatArray, registration: Registration) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the displacement of each window and of the whole frame, pixels, and whether it is at the limit.

    Parameters
    ----------
    seen : float32 (T, *dims)
        Frames as registration sees them.
    registration : Registration
        What to register to.

    Returns
    -------
    windows : float32 (T, windows, 3)
        Displacement of each window, pixels.
    rigid : float32 (T, 3)
        Displacement of the whole frame, pixels.
    at_limit : bool (T,)
        Whether the whole frame's displacement is the largest that was looked for.
    """
    small = bin_frames(seen, registration.bins)
    rigid, at_limit = coarse_shifts(small, registration.coarse, threads=registration.threads)
    whole, wide = np.rint(rigid).astype(np.int64), registration.wide
    offsets = np.repeat(whole[:, None], wide.n_squares, axis=1)
    surfaces = square_agreement(small, offsets, wide)
    windows = window_peaks(surfaces, wide, registration.members, frame_gain(surfaces, wide))
    scale = np.ones(3, np.float32)
    scale[3 - len(registration.bins) :] = registration.bins
    return (windows + whole[:, None]) * scale, rigid * scale, at_limit


def estimate(frames: FloatArray, registration: Registration) -> Estimate:
    """Estimate the motion of frames, float32 (T, *dims), finite.

    Parameters
    ----------
    frames : float32 (T, *dims)
        Raw frames, finite.
    registration : Registration
        What to register to.

    Returns
    -------
    Estimate
        Whole-pixel shifts and mode values, neither shrunk nor smoothed over time.

    References
    ----------
    Pnevmatikakis & Giovannucci 2017, NoRMCorre. doi:10.1016/j.jneumeth.2017.07.031
    """
    return estimate_seen(band_pass(frames, registration.plan.high_pass), registration)


def estimate_seen(seen: FloatArray, registration: Registration) -> Estimate:
    """Estimate the motion of frames as registration sees them.

    Parameters
    ----------
    seen : float32 (T, *dims)
        Frames as registration sees them: high-passed if the plan says so.
    registration : Registration
        What to register to.

    Returns
    -------
    Estimate
        Whole-pixel shifts and mode values, neither shrunk nor smoothed over time.
    """
    squares, modes = registration.squares, registration.modes
    windows, rigid, at_limit = window_shifts(seen, registration)
    whole = np.rint(rigid)
    start = np.einsum("cp,tpa->tca", registration.to_squares, windows, optimize=True)
    offsets = np.rint(start)
    surfaces = square_agreement(seen, offsets, squares)
    gain = frame_gain(surfaces, squares)
    at, moved = start - whole[:, None], offsets - whole[:, None]
    from_squares = np.ascontiguousarray(modes.to_squares.T)
    across, values = squares.lags[0] > 0, np.zeros(0, np.float32)
    for step in range(ROUNDS_ACROSS if across else ROUNDS):
        gains = square_gain(surfaces, squares, at - moved, gain)
        slopes = linearise(surfaces, squares, at - moved, gains)[..., 1:]
        fresh = mode_values(slopes, at, modes, from_squares)
        # Between planes the likelihood bends more than its information says: full steps would swing around its top.
        values = fresh if step == 0 or not across else values + np.float32(STEP_ACROSS) * (fresh - values)
        at = modes_at_squares(values * modes.gain, modes)
    ndim = len(registration.plan.dims)
    return Estimate(whole[:, 3 - ndim :].astype(np.int64), values, at_limit)


def shifts_of(whole: IntArray, values: FloatArray, registration: Registration) -> Shifts:
    """Return the shifts of frames from their whole-pixel part and their smoothed mode values.

    The rigid part is the field's mean over all pixels, at most ``max_shift``; deviations from it are limited to
    ``max_deviation``.

    Parameters
    ----------
    whole : int64 (T, ndim)
        Whole-pixel part of the shift.
    values : float32 (T, modes)
        Smoothed mode values of what remains.
    registration : Registration
        Where the modes and limits come from.

    Returns
    -------
    Shifts
        Displacement of the scene, pixels, with a field where motion is piecewise.
    """
    plan, modes, grid = registration.plan, registration.modes, registration.grid
    ndim, nodes = len(plan.dims), int(np.prod(grid.node_shape))
    local = np.zeros((len(values), nodes, 3), np.float32)
    local[..., list(modes.axes)] = times(values, modes.to_nodes).reshape(len(values), nodes, len(modes.axes))
    local = local[..., 3 - ndim :]
    mean = np.einsum("n,tna->ta", mean_of_nodes(grid).astype(np.float32), local)
    most = np.array(plan.max_shift, np.float32)
    rigid = np.clip(whole + mean, -most, most).astype(np.float32)
    if nodes == 1 or registration.rigid:
        return Shifts(rigid)
    limit = np.array(plan.max_deviation, np.float32)
    field = rigid[:, None] + np.clip(local - mean[:, None], -limit, limit)
    return Shifts(rigid, field.reshape(len(values), *grid.node_shape, ndim).astype(np.float32), grid.nodes)
