"""Settings of the ``motion`` stage: template, registration, and the movie that comes out."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from caiman_pipeline.config.bad_frames import is_well_formed, items_of
from caiman_pipeline.config.base import Length, Section, key


class MotionSettings(Section):
    """Correction of the brain's movement."""

    stage: ClassVar[str] = "motion"
    whole_frames: ClassVar[dict[str, int]] = {"smoothing_s": 0}

    method: Literal["none", "rigid", "piecewise"] = key(
        "piecewise",
        "",
        "How frames are registered: not at all, as a whole, or with displacement that varies over the field.",
    )
    keep_better: bool = key(
        True,
        "",
        "Fall back to rigid, or to no correction, where the method asked for does not fit unseen pixels better.",
    )
    max_shift: Length = key(Length((20.0,), "px"), "px, um or cells", "Largest rigid shift along each axis.")
    max_deviation: Length = key(
        Length((5.0,), "px"), "px, um or cells", "Largest deviation of the local from the rigid shift along each axis."
    )
    patch_spacing: Length = key(
        Length((32.0,), "px"),
        "px, um or cells",
        "Distance between places at which local displacement is free to change.",
    )
    patch_size: Length = key(
        Length((64.0,), "px"), "px, um or cells", "Window in which local displacement is first looked for."
    )
    smoothing_s: float = key(
        0.5,
        "s",
        "Longest time to either side over which weak local motion may be smoothed; rigid motion never is.",
        ge=0,
    )
    high_pass: Length | None = key(
        None,
        "px, um or cells",
        "Follow structures of about this radius and ignore anything wider: for one-photon movies.",
    )
    template: str | None = key(
        None,
        "file",
        "Image to register to, instead of one made from the recording: .npy, .tif, or another recording's motion.h5; "
        "or that recording's id in the sheet.",
    )
    template_frames: int = key(
        500, "frames", "Frames, in stretches over the recording, that the template is made from.", ge=16
    )
    template_rounds: int = key(
        2, "", "Rounds of refining the template with rigid motion, before those with local motion.", ge=1
    )
    shifts_from: str | None = key(
        None,
        "file",
        "Apply the shifts of this recording of the sheet, such as another channel of the same frames, instead of "
        "registering this one: its id, or a motion.h5.",
    )
    bad_frames: tuple[str, ...] = key(
        (),
        "frames",
        "Frames to leave out of everything: 17, 100-120 (both ends included), counted from 0 over all files of the "
        "recording, or b.tif:17 within one.",
    )
    flag_deviations: float = key(
        8.0,
        "",
        "Frames whose likeness to the template, activity aside, is this many robust deviations below the median are "
        "unlike it, and left out.",
        gt=0,
    )
    max_unlike_fraction: float = key(
        0.1,
        "",
        "Largest share of frames that are left out for being unlike the template; where more are, all take part and a "
        "warning says so. With 0 none is left out.",
        ge=0,
        le=1,
    )
    scan_offset: Literal["auto"] | float = key(
        0.0, "px", "How far odd rows lie to the right of even ones (bidirectional scanning); 'auto' measures it."
    )
    region: list[tuple[int, int]] | None = key(
        None, "px", "Part of the field of view to keep, [start, stop] for each axis, or the whole."
    )
    interpolation: Literal["cubic", "fourier"] = key(
        "cubic", "", "Between pixels: cubic convolution, or Fourier phase for the rigid part and cubic for the rest."
    )
    border: Literal["nearest", "min", "nan"] = key(
        "nearest", "", "What pixels from outside become: the nearest pixel, the movie's smallest value, or NaN."
    )
    max_outside_fraction: float = key(
        0.05,
        "",
        "Share of frames in which a valid pixel may come from outside; none where the border is NaN.",
        ge=0,
        lt=1,
    )

    @field_validator("bad_frames", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        listed = items_of(value) if isinstance(value, str) else [value] if isinstance(value, int) else value
        return tuple(str(v) for v in listed) if isinstance(listed, list | tuple) else value

    @field_validator("bad_frames")
    @classmethod
    def _frames_or_ranges(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if not is_well_formed(item):
                raise ValueError(f"expected frames like 17, 100-120 or b.tif:17, got {item!r}")
        return value
