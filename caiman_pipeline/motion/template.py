"""The image that frames are registered to, learned from stretches of frames spread over the recording.

A start is averaged from the frames that are most alike. It is then refined: frames are registered to it, first as a
whole and then locally, moved back and averaged; what they leave unexplained gives the weight of each pixel, and how the
modes of local motion vary gives how much of each to believe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage as ndi
from scipy.ndimage import gaussian_filter1d

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.motion.estimate import (
    Estimate,
    Registration,
    estimate_seen,
    prepare_registration,
    shifts_of,
)
from caiman_pipeline.motion.filters import band_pass, smooth_image
from caiman_pipeline.motion.in_pixels import MotionPlan
from caiman_pipeline.motion.mode_values import smooth_values
from caiman_pipeline.motion.modes import Modes, learn, prune
from caiman_pipeline.motion.records import less_rigid
from caiman_pipeline.motion.rigid import bin_frames
from caiman_pipeline.motion.source import LONGEST_CHUNK, Source, read_ahead
from caiman_pipeline.motion.surfaces import as_volume
from caiman_pipeline.motion.warp import Scratch, plan_warp, warp_sum
from caiman_pipeline.numerics.kernels import compiled
from caiman_pipeline.numerics.threads import run_parallel

# Frames that are compared with each other, and those most alike of which the start is the mean.
START_FRAMES, GROUP = 128, 24
# Frames are binned to about this size to be compared.
START_SIZE_PX = 128
# Blur of the noise variance, pixels: that of single pixels is known badly from a sample.
WEIGHT_SMOOTHING_PX = 2.0
# Share of its mean below which no pixel's noise variance is believed.
LEAST_VARIANCE = 0.02
# Passes with local motion: the first learns the modes, the second registers with them.
LOCAL_ROUNDS = 2
# Share of sample frames in which a pixel of the mask may lie outside the field of view.
OUTSIDE_SHARE = 0.05
# Early passes leave out every other stretch of the sample only if twice as many remain.
FEWEST_STRETCHES = 6
Ranges = list[tuple[int, int]]


@dataclass(frozen=True)
class Sweep:
    """What one pass over the sample frames gives.

    Attributes
    ----------
    mean : float32 dims, average of the frames moved back, in the place that the sweep was told
    variance : float32 dims, mean square difference between template and frames moved back by whole pixels, there too
    outside : float64 dims, share of frames in which each pixel lies outside the field of view
    values : mode values of each stretch of frames
    middle : float32 (ndim,), median displacement from that place, pixels
    """

    mean: FloatArray
    variance: FloatArray
    outside: FloatArray
    values: list[FloatArray]
    middle: FloatArray


@dataclass(frozen=True)
class Refined:
    """A template, what registers frames to it, and the pixels inside the field of view in nearly all sample frames."""

    registration: Registration
    image: FloatArray
    inside: BoolArray


def choose_stretches(source: Source, *, count: int, reach: int) -> Ranges:
    """Return (start, stop) of stretches of neighbouring frames, spread over the recording, ``count`` frames in all.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    count : int
        Frames of the sample, about.
    reach : int
        Frames on either side over which local motion may be smoothed: stretches are at least twice as long, up to 32.

    Returns
    -------
    list of (int, int)
        First frame and the one after the last; all frames where the recording has no more than ``count``.
    """
    length = int(np.clip(2 * reach + 2, 16, LONGEST_CHUNK))
    if source.n_frames <= count:
        return [(a, min(a + length, source.n_frames)) for a in range(0, source.n_frames, length)]
    number = max(2, round(count / length))
    starts = np.linspace(0, source.n_frames - length, number).round().astype(int)
    return [(int(a), int(a) + length) for a in starts]


def start_image(source: Source, stretches: Ranges, *, high_pass: tuple[float, ...] | None) -> FloatArray:
    """Return the mean of the frames of the sample that are most alike.

    Parameters
    ----------
    source : Source
        The recording's raw frames, at least one of the sample good.
    stretches : list of (int, int)
        First frame of each stretch of the sample, and the one after its last.
    high_pass : tuple of float, or None
        Size of the structures that are compared, pixels.

    Returns
    -------
    float32 (*dims)
        Mean, in raw pixel values.
    """
    frames = np.concatenate([np.arange(a, b)[source.good(a, b)] for a, b in stretches])
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, min(START_FRAMES, len(frames))).round().astype(int))]
    bins = tuple(max(1, n // START_SIZE_PX) for n in source.dims)
    small = []
    for part in np.array_split(chosen, max(1, len(chosen) // 16)):
        seen = band_pass(source.read_frames(part), high_pass)
        small.append(bin_frames(seen, bins))
    views = np.concatenate(small)
    for axis in (2, 3):
        views = views - gaussian_filter1d(views, 8.0, axis=axis, mode="nearest")
    flat = views.reshape(len(views), -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
    likeness = flat @ flat.T
    group = min(GROUP, len(chosen))
    middle = np.argmax(np.sort(likeness, axis=1)[:, -group:].mean(1))
    members = np.sort(chosen[np.argsort(likeness[middle], kind="stable")[-group:]])
    return source.read_frames(members).mean(0, dtype=np.float64).astype(np.float32)


@compiled
def _residual_power(
    begin: int, end: int, frames: FloatArray, whole: IntArray, good: BoolArray, image: FloatArray, total: FloatArray
) -> None:
    depth, height, width = image.shape
    for item in range(begin, end):
        z, y = item // height, item % height
        for t in range(len(frames)):
            if good[t]:
                sz = min(max(z + whole[t, 0], 0), depth - 1)
                sy = min(max(y + whole[t, 1], 0), height - 1)
                for x in range(width):
                    sx = min(max(x + whole[t, 2], 0), width - 1)
                    total[z, y, x] += (frames[t, sz, sy, sx] - image[z, y, x]) ** 2


def _add_residual(frames: FloatArray, whole: IntArray, good: BoolArray, image: FloatArray, total: FloatArray) -> None:
    shape = as_volume(image.shape)
    shifts = np.zeros((len(frames), 3), np.int64)
    shifts[:, 3 - whole.shape[1] :] = whole
    run_parallel(
        _residual_power,
        shape[0] * shape[1],
        frames.reshape(-1, *shape),
        shifts,
        good,
        image.reshape(shape),
        total.reshape(shape),
    )


def sweep(source: Source, stretches: Ranges, registration: Registration, middle: FloatArray) -> Sweep:
    """Register the sample's frames, move them back to a place, and average them.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    stretches : list of (int, int)
        First frame of each stretch of the sample, and the one after its last.
    registration : Registration
        What to register to.
    middle : float32 (ndim,)
        Place that frames are moved back to, pixels from the template.

    Returns
    -------
    Sweep
        Mean, noise variance, mode values and the median displacement.
    """
    plan = registration.plan
    warping = plan_warp(plan.dims, registration.nodes, inside=source.inside, border="nearest", minimum=0.0)
    total, power = np.zeros(plan.dims), np.zeros(plan.dims)
    outside, values, used, scratch = np.zeros(plan.dims, np.int32), [], 0, Scratch()
    rigid, spare = [np.zeros((0, len(plan.dims)), np.float32)], list[FloatArray]()
    for start, stop, frames in read_ahead(source, stretches, spare):
        good = source.good(start, stop)
        frames[~good] = 0.0
        seen = band_pass(frames, plan.high_pass)
        found = estimate_seen(seen, registration)
        shifts = _smoothed(found, good, registration)
        shifts = less_rigid(shifts, middle)
        warp_sum(frames, shifts, warping, good=good, total=total, outside=outside, scratch=scratch)
        _add_residual(seen, found.whole, good, registration.template, power)
        values.append(found.values[good])
        rigid.append(shifts.rigid[good])
        used += int(good.sum())
        spare.append(frames)
    used = max(used, 1)
    everywhere = np.concatenate(rigid)
    rest = np.median(everywhere, axis=0) if len(everywhere) else np.zeros(len(plan.dims), np.float32)
    mean, variance = (total / used).astype(np.float32), _moved((power / used).astype(np.float32), middle)
    return Sweep(mean, variance, outside / used, values, rest)


def centred(result: Sweep) -> Sweep:
    """Move a sweep's images by whole pixels to the middle of the motion; what is left is for the next sweep.

    Parameters
    ----------
    result : Sweep
        Of the first pass.

    Returns
    -------
    Sweep
        Moved; what a pixel had outside the field of view is its edge.
    """
    mean, variance = _moved(result.mean, result.middle), _moved(result.variance, result.middle)
    outside = _moved(result.outside, result.middle, beyond=1.0)
    rest = result.middle - result.middle.round()
    return replace(result, mean=mean, variance=variance, outside=outside, middle=rest)


def _moved(image: FloatArray, by: FloatArray, *, beyond: float | None = None) -> FloatArray:
    """Move an image by whole pixels; what comes in is its edge, or the value of what is ``beyond``."""
    mode = "nearest" if beyond is None else "constant"
    return ndi.shift(image, np.round(by), order=0, mode=mode, cval=beyond or 0.0)


def _smoothed(found: Estimate, good: BoolArray, registration: Registration) -> Shifts:
    reach = registration.modes.kernel.shape[1] // 2
    padded = np.pad(found.values, ((reach, reach), (0, 0)), mode="symmetric")
    values = smooth_values(padded, np.pad(good, reach, mode="symmetric"), registration.modes)
    return shifts_of(found.whole, values, registration)


def weight_of(variance: FloatArray, source: Source) -> FloatArray:
    """Return the weight of each pixel, float32 dims: its inverse noise variance, zero where there is no data.

    Parameters
    ----------
    variance : float32 (*dims)
        Mean square difference between template and frames, raw pixel values squared.
    source : Source
        Which part of the frame holds data.

    Returns
    -------
    float32 (*dims)
        Weight, zero where there is no data.
    """
    smooth = smooth_image(variance, WEIGHT_SMOOTHING_PX)
    floor = max(LEAST_VARIANCE * float(smooth.mean()), 1e-12)
    weight = 1.0 / np.maximum(smooth, floor)
    inside = np.zeros(weight.shape, bool)
    inside[tuple(slice(a, b) for a, b in source.inside)] = True
    return np.where(inside, weight, 0.0).astype(np.float32)


def refine_template(
    source: Source,
    stretches: Ranges,
    start: FloatArray,
    *,
    plan: MotionPlan,
    rounds: int,
    fixed: bool,
    threads: int,
    progress: Callable[[int, int], None],
) -> Refined:
    """Refine a start image by registering the sample's frames to it and averaging them.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    stretches : list of (int, int)
        First frame of each stretch of the sample, and the one after its last.
    start : float32 (*dims)
        Image to begin with, in raw pixel values.
    plan : MotionPlan
        What to estimate, in pixels.
    rounds : int
        Passes with rigid motion, before those with local motion if the plan has any.
    fixed : bool
        Keep the start image as the template, and learn only weights and modes.
    threads : int
        Threads for Fourier transforms.
    progress : callable
        Called with the passes that are done, and those in all.

    Returns
    -------
    Refined
        The template, what registers frames to it, and pixels inside the field of view.
    """
    image, weight, modes = start, weight_of(np.ones(plan.dims), source), None
    middle = np.zeros(len(plan.dims), np.float32)
    schedule = [replace(plan, spacing=None)] * rounds + ([plan] * LOCAL_ROUNDS if plan.spacing else [])
    for step, current in enumerate(schedule):
        registration = prepare_registration(image, weight, current, modes=None, threads=threads)
        if modes is not None:
            registration = replace(registration, modes=inherit(registration.modes, modes))
        every = max(1, min(2, len(stretches) // FEWEST_STRETCHES)) if step < rounds - 1 or current != plan else 1
        result = sweep(source, stretches[::every], registration, middle)
        if not fixed:
            result = centred(result) if step == 0 else result
            middle = result.middle
        weight = weight_of(result.variance, source)
        image = image if fixed else result.mean
        if current == plan:
            modes = learn(registration.modes, result.values, reach=plan.reach)
        progress(step + 1, len(schedule))
    registration = prepare_registration(image, weight, plan, modes=None, threads=threads)
    if modes is not None:
        registration = replace(registration, modes=prune(inherit(registration.modes, modes)))
    return Refined(registration, image, (result.outside <= OUTSIDE_SHARE) & (weight > 0))


def inherit(fresh: Modes, learned: Modes) -> Modes:
    """Return fresh modes with the strength and smoothing learned for those of an earlier template.

    Parameters
    ----------
    fresh : Modes
        Modes of the new template.
    learned : Modes
        Modes of an earlier one, as many, whose strength is known.

    Returns
    -------
    Modes
        Shapes of the first, strength and smoothing of the second.
    """
    return replace(fresh, signal=learned.signal, noise=learned.noise, kernel=learned.kernel)
