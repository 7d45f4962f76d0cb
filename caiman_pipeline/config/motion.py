"""Settings of the ``motion`` stage: template, registration, and the movie that comes out."""

from __future__ import annotations

from typing import ClassVar, Literal

from caiman_pipeline.config.base import Length, Section, key


class MotionSettings(Section):
    """Correction of the brain's movement."""

    recording_keys: ClassVar[tuple[str, ...]] = ("frame_rate_hz", "cell_diameter")

    method: Literal["none", "rigid"] = key("rigid", "", "How frames are registered.")
    max_shift: Length = key(Length((12.0,), "px"), "px, um or cells", "Largest shift of a frame along each axis.")
    template_frames: int = key(400, "frames", "Frames, spread over the recording, of the template.", ge=10)
    template_iterations: int = key(3, "", "Rounds of registering the template's frames and averaging them.", ge=1)
