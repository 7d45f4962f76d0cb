"""Bring the blocks of a recording together: parts, shifts, measures, border and the valid mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caiman_pipeline.config.bad_frames import frames_listed
from caiman_pipeline.model.arrays import BoolArray, FloatArray, IntArray
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.motion import MotionMeasures, Shifts
from caiman_pipeline.model.movie import Dims, MovieInfo
from caiman_pipeline.motion.in_pixels import capped_lengths, high_pass_px
from caiman_pipeline.motion.measures import border_widths, crispness, damaged_frames, frames_beyond, structures
from caiman_pipeline.motion.records import BlockResult, TemplateResult, join_shifts, sum_scale
from caiman_pipeline.movies.left_out import REASONS, record_left_out
from caiman_pipeline.movies.store.bounds import part_bounds, part_name
from caiman_pipeline.movies.store.parts import Part, find_stored

if TYPE_CHECKING:
    from caiman_pipeline.config.motion import MotionSettings
    from caiman_pipeline.movies.store.zarr_parts import ZarrPart

# Frames that a warning lists, and pixels by which a shift must exceed the border to be named.
LISTED, BEYOND_PX = 10, 3


@dataclass(frozen=True)
class Joined:
    """A recording's motion, what was measured, and warnings."""

    shifts: Shifts
    measures: MotionMeasures
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line on what correction did."""
        m = self.measures
        return (
            f"{m.method}: correlation with the mean {np.nanmean(m.correlation_before):.3f} -> "
            f"{np.nanmean(m.correlation_after):.3f}, crispness {m.crispness_before:.4g} -> {m.crispness_after:.4g}, "
            f"residual motion {np.mean(m.residual_before):.2f} -> {np.mean(m.residual_after):.2f} px; "
            f"{np.count_nonzero(m.left_out)} of {len(m.left_out)} frames left out"
        )


def find_parts(folders: list[Path], *, n_frames: int, dims: Dims) -> list[Part | ZarrPart]:
    """Return all parts of the movie in order, from the blocks' folders.

    Parameters
    ----------
    folders : list of path
        Folder of each block.
    n_frames : int
        Frames of the recording.
    dims : tuple of int
        (H, W) or (D, H, W) of a frame.

    Returns
    -------
    list of Part
        One per part, with the frames that it holds.

    Raises
    ------
    PipelineError
        If a part is missing.
    """
    present = {index: part for folder in folders for index, part in find_stored(folder).items()}
    parts = []
    for index, (start, stop) in enumerate(part_bounds(n_frames, dims)):
        part = present.get(index)
        if part is None:
            raise PipelineError(
                f"{folders[0].parent}: {part_name(index)} (frames {start} to {stop}) is in no block. "
                "Delete the blocks and run motion_correct again."
            )
        parts.append(replace(part, start=start, stop=stop))
    return parts


def join_recording(
    blocks: list[BlockResult], template: TemplateResult, info: MovieInfo, settings: MotionSettings
) -> Joined:
    """Join the blocks of an inspected recording as its settings say.

    Parameters
    ----------
    blocks : list of BlockResult
        Blocks of consecutive frames, in order.
    template : TemplateResult
        What they were registered to.
    info : MovieInfo
        The inspected recording.
    settings : MotionSettings
        Section ``motion``.

    Returns
    -------
    Joined
        The shifts, what ``motion.h5`` holds beside them, and warnings.
    """
    holes = settings.border == "nan"
    rules = JoinRules(
        listed=frames_listed(settings.bad_frames, info.file_frames),
        empty=info.bad_frames,
        scale=sum_scale(info.value_min, info.value_max),
        holes=holes,
        max_outside_fraction=0.0 if holes else settings.max_outside_fraction,
        high_pass=high_pass_px(settings, info.dims),
        deviations=settings.flag_deviations,
        max_unlike_fraction=settings.max_unlike_fraction,
    )
    joined = join_blocks(blocks, template, rules)
    return replace(joined, warnings=(*capped_lengths(settings, info.dims), *joined.warnings))


@dataclass(frozen=True)
class JoinRules:
    """What joining needs to know.

    Attributes
    ----------
    listed, empty : frames that the user lists, and that hold nothing
    scale : units of the blocks' sums
    holes : pixels from outside the field of view are left without a value
    max_outside_fraction : share of good frames in which a valid pixel may lie outside the field of view
    high_pass : size of the structures that registration followed, or None: crispness is that of those structures
    deviations : how many robust standard deviations less alike than the median a frame must be to be flagged
    max_unlike_fraction : share of good frames that are left out for being unlike; of more, none is
    """

    listed: tuple[int, ...]
    empty: tuple[int, ...]
    scale: float
    holes: bool
    max_outside_fraction: float
    high_pass: tuple[float, ...] | None
    deviations: float
    max_unlike_fraction: float


def join_blocks(blocks: list[BlockResult], template: TemplateResult, rules: JoinRules) -> Joined:
    """Join the blocks' results.

    Parameters
    ----------
    blocks : list of BlockResult
        Blocks of consecutive frames, in order.
    template : TemplateResult
        What they were registered to.
    rules : JoinRules
        What is flagged, and what is left out.

    Returns
    -------
    Joined
        The shifts, what ``motion.h5`` holds beside them, and warnings.

    Notes
    -----
    Frames that are empty or listed count in no mean and no measure; where no frame holds anything, none is left out.
    """
    shifts = join_shifts([b.shifts for b in blocks])
    good = np.ones(shifts.n_frames, bool)
    good[[*rules.empty, *rules.listed]] = False
    number = max(int(good.sum()), 1)
    outside = np.sum([b.outside for b in blocks], axis=0) / number
    valid = outside <= rules.max_outside_fraction
    before, after = _means(blocks, template, number=number, outside=outside, rules=rules)
    at_limit, correlation, unlike = _per_frame(blocks, good, rules)
    left_out = _left_out(good, unlike, template.no_shifts, rules)
    widths = border_widths(valid)
    measures = MotionMeasures(
        method=template.method,
        method_scores=template.scores,
        template=template.template,
        mean_before=before,
        mean_after=after,
        valid=valid,
        outside_fraction=outside.astype(np.float32),
        border=widths,
        correlation_before=np.concatenate([b.correlation_before for b in blocks]),
        correlation_after=correlation,
        crispness_before=crispness(structures(before, rules.high_pass), valid),
        crispness_after=crispness(structures(after, rules.high_pass), valid),
        residual_before=np.concatenate([b.residual_before for b in blocks]),
        residual_after=np.concatenate([b.residual_after for b in blocks]),
        at_limit=at_limit,
        at_limit_fraction=at_limit.sum() / number,
        bad=~good,
        unlike=unlike,
        beyond_border=frames_beyond(shifts.rigid, widths + BEYOND_PX) & good,
        flagged=~good | unlike | at_limit,
        left_out=left_out,
        scan_offset_px=template.scan_offset_px,
    )
    return Joined(shifts, measures, _warnings(measures))


def _means(
    blocks: list[BlockResult], template: TemplateResult, *, number: int, outside: FloatArray, rules: JoinRules
) -> list[FloatArray]:
    """Return the means of the good frames before and after correction, float32 dims, of the pixels that frames have."""
    before, after = (np.sum([getattr(b, n) for b in blocks], axis=0) / rules.scale for n in ("sum_before", "sum_after"))
    seen = np.round((1 - outside) * number) if rules.holes else np.full(outside.shape, number)
    after = np.where(seen > 0, after / np.maximum(seen, 1), template.template)
    return [(before / number).astype(np.float32), after.astype(np.float32)]


def _per_frame(blocks: list[BlockResult], good: BoolArray, rules: JoinRules) -> tuple[BoolArray, FloatArray, BoolArray]:
    """Return which frames are at the limit, each frame's correlation, and which are unlike the template."""
    names = ("at_limit", "correlation_after", "likeness", "gain")
    at_limit, correlation, likeness, gain = (np.concatenate([getattr(b, n) for b in blocks]) for n in names)
    unlike = damaged_frames(correlation, likeness, gain, good, deviations=rules.deviations)
    return at_limit, correlation, unlike


def _left_out(good: BoolArray, unlike: BoolArray, no_shifts: IntArray, rules: JoinRules) -> IntArray:
    """Return the record of ``io.left_out``; where no frame holds anything, none is left out."""
    # What was not moved for want of shifts is unlike the template for that reason.
    unlike = unlike & ~np.isin(np.arange(len(good)), no_shifts)
    few = unlike.sum() <= rules.max_unlike_fraction * good.sum()
    frames = {"listed": np.array(rules.listed, np.int64), "empty": np.array(rules.empty, np.int64)}
    left_out = record_left_out(len(good), {**frames, "unlike": np.flatnonzero(unlike & few), "no_shifts": no_shifts})
    return left_out if good.any() else np.zeros_like(left_out)


def _warnings(measures: MotionMeasures) -> tuple[str, ...]:
    warnings = []
    if measures.at_limit_fraction > 0.01:
        share, frames = measures.at_limit_fraction, _listed(measures.at_limit)
        warnings.append(f"{share:.1%} of frames ({frames}) are shifted as far as allowed: raise `motion.max_shift`")
    if measures.unlike.any():
        kept = not (measures.left_out == 1 + REASONS.index("unlike")).any()
        what = "too many to be left out (`motion.max_unlike_fraction`)" if kept else "left out of all that follows"
        warnings.append(
            f"{int(measures.unlike.sum())} frames are unlike the template, {what}: {_listed(measures.unlike)}"
        )
    if measures.beyond_border.any():
        found = measures.beyond_border
        warnings.append(f"{int(found.sum())} frames are shifted far beyond the border: {_listed(found)}")
    if measures.crispness_after < measures.crispness_before * 0.99:
        warnings.append("the mean image is less crisp after correction than before")
    return tuple(warnings)


def _listed(flags: BoolArray) -> str:
    found = np.flatnonzero(flags)
    return ", ".join(map(str, found[:LISTED])) + (" ..." if len(found) > LISTED else "")
