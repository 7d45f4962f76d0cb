"""Correct one block of frames: estimate, smooth over time, resample, write parts, and sum what the measures need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.motion import Shifts
from caiman_pipeline.model.movie import Dims
from caiman_pipeline.motion.estimate import Estimate, Registration, estimate, shifts_of
from caiman_pipeline.motion.filters import fourier_shift
from caiman_pipeline.motion.flow import residual_motion
from caiman_pipeline.motion.mode_values import smooth_values
from caiman_pipeline.motion.records import BlockResult, ShiftTable, less_rigid, slice_shifts
from caiman_pipeline.motion.source import Source, chunk_length, read_ahead
from caiman_pipeline.motion.sums import Likeness
from caiman_pipeline.motion.warp import Scratch, WarpPlan, warp
from caiman_pipeline.movies.store.writing import PartWriter

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

    @property
    def holes(self) -> bool:
        """Whether pixels from outside the field of view are left without a value."""
        return self.warping.replace and bool(np.isnan(self.warping.fill))


@dataclass(frozen=True)
class Chunk:
    """A few neighbouring frames, float32 (T, *dims), which of them hold something, and their shifts."""

    start: int
    stop: int
    frames: FloatArray
    good: BoolArray
    shifts: Shifts
    at_limit: BoolArray


class _Tally:
    """What a block adds up while its chunks and parts go by."""

    def __init__(self, dims: Dims, shifts: ShiftTable) -> None:
        self.sums = np.zeros((2, *dims), np.int64)
        self.outside = np.zeros(dims, np.int32)
        self.scratch = Scratch()
        self.shifts = shifts
        self.at_limit: list[BoolArray] = [np.zeros(0, bool)]
        self.before: list[FloatArray] = [np.zeros(0, np.float32)]
        self.after: list[FloatArray] = [np.zeros((3, 0), np.float32)]
        self.residual: list[FloatArray] = [np.zeros((0, 2), np.float32)]


def correct_block(
    source: Source, parts: Parts, folder: Path, *, correction: Correction, progress: Callable[[int, int], None]
) -> BlockResult:
    """Correct the frames of ``parts`` and write them into ``folder``; how frames are split changes no result.

    Parameters
    ----------
    source : Source
        The recording's raw frames.
    parts : list of (int, int, int)
        Index, first frame and the frame after the last of each part, in order.
    folder : path
        Where the parts are written.
    correction : Correction
        What to do with every frame.
    progress : callable
        Called with the frames that are done, and those of the block.

    Returns
    -------
    BlockResult
        The shifts, and the sums that measures are made of.

    Notes
    -----
    Pixels from outside the field of view become what the border setting says; with ``nan`` they are NaN, and count in
    no sum.

    References
    ----------
    Pnevmatikakis & Giovannucci 2017, NoRMCorre. doi:10.1016/j.jneumeth.2017.07.031
    """
    n_frames = parts[-1][2] - parts[0][1] if parts else 0
    tally = _Tally(source.dims, ShiftTable(_no_shifts(source, correction), n_frames))
    chunks = _found_chunks(source, parts, correction)
    with PartWriter(folder) as writer:
        for index, start, stop in parts:
            earlier, outside = tally.sums.copy(), tally.outside.copy()
            # Two in turn: one is filled while the other, of the part before, is on its way to disk.
            part = tally.scratch.array(f"part {index % 2}", (*source.dims, stop - start))
            for chunk in _up_to(chunks, stop):
                _correct_chunk(chunk, correction, part, position=chunk.start - start, tally=tally)
            good = source.good(start, stop)
            likeness = correction.after.of_part(part, good, tally.sums[1], holes=correction.holes)
            tally.after.append(np.stack([*likeness, correction.after.of_quiet(part, good)]))
            writer.write(index, part)
            means = _means(tally.sums - earlier, good, tally.outside - outside, correction)
            tally.residual.append(_residual(means, correction))
            progress(stop - parts[0][1], parts[-1][2] - parts[0][1])
    residual = np.concatenate(tally.residual)
    correlation, gain, likeness = np.concatenate(tally.after, axis=1)
    return BlockResult(
        tally.shifts.shifts,
        np.concatenate(tally.at_limit),
        tally.outside,
        tally.sums[0],
        tally.sums[1],
        np.concatenate(tally.before),
        correlation,
        gain,
        likeness,
        residual[:, 0],
        residual[:, 1],
    )


def _means(sums: IntArray, good: BoolArray, outside: IntArray, correction: Correction) -> FloatArray:
    """Return the means of a part's good frames before and after, float32 (2, *dims), of the pixels that frames have."""
    every = np.full_like(outside, good.sum())
    seen = np.stack([every, every - outside if correction.holes else every])
    means = sums / (correction.scale * np.maximum(seen, 1))
    # Of a pixel that no frame of the part has, nothing can be said: it stays where the template has it.
    return np.where(seen > 0, means, correction.blank).astype(np.float32)


def _up_to(chunks: Iterator[Chunk], stop: int) -> Iterator[Chunk]:
    """Yield chunks up to the one that ends at ``stop``."""
    for chunk in chunks:
        yield chunk
        if chunk.stop == stop:
            return


def _residual(means: FloatArray, correction: Correction) -> FloatArray:
    return residual_motion(means, correction.flow) if correction.flow else np.zeros((1, 2), np.float32)


def _no_shifts(source: Source, correction: Correction) -> Shifts:
    """Return shifts of no frame, of the kind that the correction gives."""
    rigid = np.zeros((0, len(source.dims)), np.float32)
    registration = correction.registration
    if correction.given is not None:
        return slice_shifts(correction.given, 0, 0)
    if registration is None or registration.rigid or max(registration.grid.node_shape) == 1:
        return Shifts(rigid)
    grid = registration.grid
    return Shifts(rigid, np.zeros((0, *grid.node_shape, len(grid.dims)), np.float32), grid.nodes)


def _correct_chunk(chunk: Chunk, correction: Correction, part: FloatArray, *, position: int, tally: _Tally) -> None:
    """Write a chunk's frames, corrected, into ``part`` from ``position`` on, and add to the tally."""
    good, frames, shifts = chunk.good, chunk.frames, chunk.shifts
    tally.shifts.add(shifts)
    tally.at_limit.append(chunk.at_limit)
    tally.before.append(correction.before.of_frames(frames, good, tally.sums[0]))
    if correction.fourier:
        rest = shifts.rigid - np.rint(shifts.rigid)
        frames = fourier_shift(frames, rest)
        shifts = less_rigid(shifts, rest)
    warp(
        frames,
        shifts,
        correction.warping,
        good=good,
        position=position,
        out=part,
        outside=tally.outside,
        scratch=tally.scratch,
    )


def _found_chunks(source: Source, parts: Parts, correction: Correction) -> Iterator[Chunk]:
    """Yield the chunks of all parts with their shifts, estimating a little beyond each for the smoothing over time."""
    if not parts:
        return
    length, first, last = chunk_length(source.dims), parts[0][1], parts[-1][2]
    registration = correction.registration
    reach = registration.modes.kernel.shape[1] // 2 if registration else 0
    begin = max(first - reach, 0) // length * length
    ranges = [(a, min(a + length, source.n_frames)) for a in range(begin, min(last + reach, source.n_frames), length)]
    waiting: deque[tuple[int, int, FloatArray]] = deque()
    estimates: deque[tuple[int, Estimate]] = deque()
    spare: list[FloatArray] = []
    for a, b, frames in read_ahead(source, ranges, spare):
        _fill_blank(frames, source.good(a, b), correction.blank)
        if registration:
            estimates.append((a, estimate(frames, registration)))
        if first <= a < last:
            waiting.append((a, b, frames))
        else:
            spare.append(frames)
        while waiting and (b >= waiting[0][1] + reach or b == ranges[-1][1]):
            start, stop, ready = waiting.popleft()
            yield Chunk(
                start, stop, ready, source.good(start, stop), *_chunk_shifts(source, start, stop, estimates, correction)
            )
            while estimates and estimates[0][0] + length <= stop - reach:
                estimates.popleft()
            spare.append(ready)


def _fill_blank(frames: FloatArray, good: BoolArray, blank: FloatArray) -> None:
    """Put the mean image in place of bad frames that are not finite."""
    for t in np.flatnonzero(~good):
        if not np.isfinite(frames[t]).all():
            frames[t] = blank


def _chunk_shifts(
    source: Source, start: int, stop: int, estimates: deque[tuple[int, Estimate]], correction: Correction
) -> tuple[Shifts, BoolArray]:
    """Return the shifts of frames ``start`` to ``stop``, smoothed over time, and which of them are at the limit."""
    registration = correction.registration
    if registration is None or correction.given is not None:
        still = Shifts(np.zeros((stop - start, len(source.dims)), np.float32))
        given = correction.given
        return still if given is None else slice_shifts(given, start, stop), np.zeros(stop - start, bool)
    reach, begin = registration.modes.kernel.shape[1] // 2, estimates[0][0]
    values = np.concatenate([e.values for _, e in estimates])
    low, high = max(start - reach, 0), min(stop + reach, source.n_frames)
    missing = (low - (start - reach), (stop + reach) - high)
    padded = np.pad(values[low - begin : high - begin], (missing, (0, 0)), mode="symmetric")
    good = np.pad(source.good(low, high), missing, mode="symmetric")
    smooth = smooth_values(padded, good, registration.modes)
    inside = slice(start - begin, stop - begin)
    whole = np.concatenate([e.whole for _, e in estimates])[inside]
    at_limit = np.concatenate([e.at_limit for _, e in estimates])[inside]
    shifts, good = shifts_of(whole, smooth, registration), source.good(start, stop)
    most = np.array(registration.plan.max_shift)
    at_limit = at_limit | ((np.abs(shifts.rigid) >= most - 1e-3) & (most > 0)).any(1)
    return _still(shifts, ~good), at_limit & good


def _still(shifts: Shifts, frames: BoolArray) -> Shifts:
    """Return shifts with those of some frames set to zero."""
    rigid = np.where(frames[:, None], np.float32(0), shifts.rigid)
    if shifts.field is None:
        return Shifts(rigid)
    field = shifts.field.copy()
    field[frames] = 0.0
    return Shifts(rigid, field, shifts.grid)
