"""Correct one block of frames: estimate, smooth over time, resample, write parts, and sum what the measures need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from caiman_pipeline.io.store import PartWriter
from caiman_pipeline.motion.estimate import Estimate, Registration, estimate, shifts_of, smooth_values
from caiman_pipeline.motion.filters import fourier_shift
from caiman_pipeline.motion.flow import residual_motion
from caiman_pipeline.motion.results import BlockResult, join_shifts, slice_shifts
from caiman_pipeline.motion.source import Source, chunk_length, read_ahead
from caiman_pipeline.motion.sums import Likeness
from caiman_pipeline.motion.warp import WarpPlan, warp
from caiman_pipeline.types import FloatArray, Shifts

Parts = list[tuple[int, int, int]]


@dataclass(frozen=True)
class Correction:
    """What to do with every frame of a recording.

    Attributes
    ----------
    registration : how to find shifts, None where they are given or zero
    given : the whole recording's shifts, where they are known already
    fourier : undo the sub-pixel rigid part by Fourier phase instead of by cubic interpolation
    blank : float32 dims, stands in for frames without a finite pixel
    before, after : likeness to the mean image of raw frames, and to the template
    flow : registration that measures local motion, None where nothing can move
    scale : units in which sums of frames are kept
    """

    registration: Registration | None
    given: Shifts | None
    warping: WarpPlan
    fourier: bool
    blank: FloatArray
    before: Likeness
    after: Likeness
    flow: Registration | None
    scale: float


def correct_block(
    source: Source, parts: Parts, folder: Path, *, correction: Correction, progress: Callable[[int, int], None]
) -> BlockResult:
    """Correct the frames of ``parts`` and write them into ``folder``; no frame elsewhere changes the result."""
    sums = np.zeros((2, *source.dims), np.int64)
    valid = np.zeros(source.dims, np.int32)
    rows: list[tuple[Shifts, FloatArray, FloatArray, FloatArray, FloatArray]] = []
    total = sum(stop - start for _, start, stop in parts)
    with PartWriter(folder) as writer:
        for (index, start, stop), shifts, at_limit, chunks in _found(source, parts, correction):
            earlier = sums.copy()
            part = np.empty((*source.dims, stop - start), np.float32)
            before = _resample(source, chunks, shifts, start, correction, part, sums[0], valid)
            good = source.good(start, stop)
            after = correction.after.of_part(part, good, sums[1])
            writer.write(index, part)
            means = (sums - earlier) / (correction.scale * max(good.sum(), 1))
            flow = correction.flow
            residual = residual_motion(means.astype(np.float32), flow) if flow else np.zeros((1, 2), np.float32)
            rows.append((shifts, at_limit, before, after, residual))
            progress(sum(r[0].n_frames for r in rows), total)
    return _gather(rows, valid, sums, source, correction)


def _gather(
    rows: list[tuple[Shifts, FloatArray, FloatArray, FloatArray, FloatArray]],
    valid: FloatArray, sums: FloatArray, source: Source, correction: Correction,
) -> BlockResult:  # fmt: skip
    none = np.zeros(0, np.float32)
    at_limit, before, after, residual = (
        np.concatenate([empty, *(r[k] for r in rows)])
        for k, empty in enumerate((none.astype(bool), none, none, np.zeros((0, 2), np.float32)), start=1)
    )
    shifts = join_shifts([r[0] for r in rows]) if rows else _no_shifts(source, correction)
    return BlockResult(shifts, at_limit, valid, sums[0], sums[1], before, after, residual[:, 0], residual[:, 1])


def _no_shifts(source: Source, correction: Correction) -> Shifts:
    rigid = np.zeros((0, len(source.dims)), np.float32)
    grid = correction.registration.grid if correction.registration else None
    if correction.given is not None:
        return slice_shifts(correction.given, 0, 0)
    if grid is None or max(grid.node_shape) == 1:
        return Shifts(rigid)
    return Shifts(rigid, np.zeros((0, *grid.node_shape, len(grid.dims)), np.float32), grid.nodes)


Chunk = tuple[int, int, FloatArray]
Found = tuple[tuple[int, int, int], Shifts, FloatArray, list[Chunk]]


def _found(source: Source, parts: Parts, correction: Correction) -> Iterator[Found]:
    """Yield each part with its shifts, which frames are at the limit, and its raw frames in chunks."""
    if not parts:
        return
    length, first, last = chunk_length(source.dims), parts[0][1], parts[-1][2]
    registration = correction.registration
    reach = registration.modes.kernel.shape[1] // 2 if registration else 0
    begin = max(first - reach, 0) // length * length
    ranges = [(a, min(a + length, source.n_frames)) for a in range(begin, min(last + reach, source.n_frames), length)]
    waiting, kept, estimates = deque(parts), deque[Chunk](), deque[tuple[int, Estimate]]()
    for a, b, raw in read_ahead(source, ranges):
        if registration:
            estimates.append((a, estimate(_finite(source, raw, a, correction), registration)))
        if first <= a < last:
            kept.append((a, b, raw))
        while waiting and (b >= waiting[0][2] + reach or b == ranges[-1][1]):
            part = waiting.popleft()
            shifts, at_limit = _part_shifts(source, part, estimates, correction)
            yield part, shifts, at_limit, [kept.popleft() for _ in range(part[1], part[2], length)]
            while estimates and estimates[0][0] + length <= part[2] - reach:
                estimates.popleft()


def _finite(source: Source, raw: FloatArray, start: int, correction: Correction) -> FloatArray:
    frames = source.ready(raw)
    if np.dtype(raw.dtype).kind == "f":
        for t in np.flatnonzero(~source.good(start, start + len(raw))):
            if not np.isfinite(frames[t]).all():
                frames[t] = correction.blank
    return frames


def _part_shifts(
    source: Source, part: tuple[int, int, int], estimates: deque[tuple[int, Estimate]], correction: Correction
) -> tuple[Shifts, FloatArray]:
    _, start, stop = part
    if correction.given is not None:
        return slice_shifts(correction.given, start, stop), np.zeros(stop - start, bool)
    registration = correction.registration
    if registration is None:
        return Shifts(np.zeros((stop - start, len(source.dims)), np.float32)), np.zeros(stop - start, bool)
    reach = registration.modes.kernel.shape[1] // 2
    begin = estimates[0][0]
    values = np.concatenate([e.values for _, e in estimates])
    low, high = max(start - reach, 0), min(stop + reach, source.n_frames)
    missing = (low - (start - reach), (stop + reach) - high)
    padded = np.pad(values[low - begin : high - begin], (missing, (0, 0)), mode="symmetric")
    good = source.good(low, high)
    smooth = smooth_values(padded, np.pad(good, missing, mode="symmetric"), registration.modes)
    inside = slice(start - begin, stop - begin)
    whole = np.concatenate([e.whole for _, e in estimates])[inside]
    at_limit = np.concatenate([e.at_limit for _, e in estimates])[inside]
    good = source.good(start, stop)
    return _still(shifts_of(whole, smooth, registration), ~good), at_limit & good


def _still(shifts: Shifts, frames: FloatArray) -> Shifts:
    """Return shifts with those of some frames set to zero."""
    rigid = np.where(frames[:, None], np.float32(0), shifts.rigid)
    if shifts.field is None:
        return Shifts(rigid)
    field = shifts.field.copy()
    field[frames] = 0.0
    return Shifts(rigid, field, shifts.grid)


def _resample(
    source: Source, chunks: list[Chunk], shifts: Shifts, start: int, correction: Correction, part: FloatArray,
    total: FloatArray, valid: FloatArray,
) -> FloatArray:  # fmt: skip
    """Fill ``part`` with the frames of ``chunks`` corrected, and return the raw frames' likeness to their mean."""
    likeness = []
    for a, b, raw in chunks:
        frames, good = _finite(source, raw, a, correction), source.good(a, b)
        likeness.append(correction.before.of_frames(frames, good, total))
        here = slice_shifts(shifts, a - start, b - start)
        if correction.fourier:
            rest = here.rigid - np.rint(here.rigid)
            frames = fourier_shift(frames, rest)
            spread = rest.reshape(len(rest), *(1,) * len(source.dims), -1)
            here = replace(here, rigid=here.rigid - rest, field=None if here.field is None else here.field - spread)
        warp(frames, here, correction.warping, good=good, position=a - start, out=part, valid=valid)
    return np.concatenate(likeness)
