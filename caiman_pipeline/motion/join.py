"""Bring the blocks of a recording together: parts, shifts, measures, border and the valid mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.records import shifts_to_arrays
from caiman_pipeline.io.store import Part, find_stored, part_bounds, part_name
from caiman_pipeline.motion.measures import border_widths, crispness, frames_beyond, structures, unlike_frames
from caiman_pipeline.motion.plan import make_plan
from caiman_pipeline.motion.results import BlockResult, TemplateResult, join_shifts, sum_scale
from caiman_pipeline.types import Dims, FloatArray, MovieInfo

if TYPE_CHECKING:
    from caiman_pipeline.config.motion import MotionSettings
    from caiman_pipeline.io.zarr_parts import ZarrPart

LISTED, BEYOND_PX = 10, 3


@dataclass(frozen=True)
class Joined:
    """A recording's motion: arrays for ``motion.h5``, the valid mask, and warnings."""

    arrays: dict[str, Any]
    valid: FloatArray
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line on what correction did."""
        a = self.arrays
        return (
            f"{a['method']}: correlation with the mean {np.nanmean(a['correlation_before']):.3f} -> "
            f"{np.nanmean(a['correlation_after']):.3f}, crispness {a['crispness_before']:.4g} -> "
            f"{a['crispness_after']:.4g}, residual motion {np.mean(a['residual_before']):.2f} -> "
            f"{np.mean(a['residual_after']):.2f} px"
        )


def find_parts(folders: list[Path], *, n_frames: int, dims: Dims) -> list[Part | ZarrPart]:
    """Return all parts of the movie in order, from the blocks' folders.

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
    """Join the blocks of an inspected recording as its settings say."""
    good = np.ones(info.n_frames, bool)
    good[[*info.bad_frames, *settings.listed_bad_frames(info.n_frames)]] = False
    outside = 0.0 if settings.border == "nan" else settings.max_outside_fraction
    scale = sum_scale(info.value_min, info.value_max)
    plan = make_plan(settings, dims=info.dims, frame_rate_hz=info.frame_rate_hz)
    return join_blocks(
        blocks, template, good=good, scale=scale, max_outside_fraction=outside, high_pass=plan.high_pass,
        deviations=settings.flag_deviations,
    )  # fmt: skip


def join_blocks(
    blocks: list[BlockResult],
    template: TemplateResult,
    *,
    good: FloatArray,
    scale: float,
    max_outside_fraction: float,
    high_pass: tuple[float, ...] | None,
    deviations: float,
) -> Joined:
    """Join the blocks' results.

    Parameters
    ----------
    good : bool (T,), frames that hold something
    scale : units of the blocks' sums
    max_outside_fraction : share of good frames in which a valid pixel may lie outside the field of view
    high_pass : size of the structures that registration followed, or None: crispness is that of those structures
    deviations : how many robust standard deviations less alike than the median a frame must be to be flagged
    """
    shifts = join_shifts([b.shifts for b in blocks])
    number = max(int(good.sum()), 1)
    outside = np.sum([b.outside for b in blocks], axis=0) / number
    valid = outside <= max_outside_fraction
    means = [np.sum([getattr(b, n) for b in blocks], axis=0) / (scale * number) for n in ("sum_before", "sum_after")]
    before, after = (m.astype(np.float32) for m in means)
    correlation = np.concatenate([b.correlation_after for b in blocks])
    unlike = unlike_frames(correlation, good, deviations=deviations)
    at_limit = np.concatenate([b.at_limit for b in blocks])
    widths = border_widths(valid)
    beyond = frames_beyond(shifts.rigid, widths + BEYOND_PX) & good
    arrays = {
        **shifts_to_arrays(shifts), "method": template.method, "method_scores": template.scores,
        "template": template.template, "mean_before": before, "mean_after": after, "valid": valid,
        "outside_fraction": outside.astype(np.float32),
        "border": widths, "correlation_before": np.concatenate([b.correlation_before for b in blocks]),
        "correlation_after": correlation, "crispness_before": crispness(structures(before, high_pass), valid),
        "crispness_after": crispness(structures(after, high_pass), valid),
        "residual_before": np.concatenate([b.residual_before for b in blocks]),
        "residual_after": np.concatenate([b.residual_after for b in blocks]),
        "at_limit": at_limit, "at_limit_fraction": at_limit.sum() / number, "bad": ~good, "unlike": unlike,
        "beyond_border": beyond, "flagged": ~good | unlike | at_limit, "scan_offset_px": template.scan_offset_px,
    }  # fmt: skip
    return Joined(arrays, valid, _warnings(arrays))


def _warnings(arrays: dict[str, Any]) -> tuple[str, ...]:
    warnings = []
    if arrays["at_limit_fraction"] > 0.01:
        share, frames = arrays["at_limit_fraction"], _listed(arrays["at_limit"])
        warnings.append(f"{share:.1%} of frames ({frames}) are shifted as far as allowed: raise `motion.max_shift`")
    for name, what in (("unlike", "are unlike the template"), ("beyond_border", "are shifted far beyond the border")):
        if arrays[name].any():
            warnings.append(f"{int(arrays[name].sum())} frames {what}: {_listed(arrays[name])}")
    if arrays["crispness_after"] < arrays["crispness_before"] * 0.99:
        warnings.append("the mean image is less crisp after correction than before")
    return tuple(warnings)


def _listed(flags: FloatArray) -> str:
    found = np.flatnonzero(flags)
    return ", ".join(map(str, found[:LISTED])) + (" ..." if len(found) > LISTED else "")
