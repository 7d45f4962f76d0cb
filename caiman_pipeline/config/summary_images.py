"""Settings of the ``summary_images`` stage."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from caiman_pipeline.config.base import Section, key


class ImageSettings(Section):
    """Images that sum up the corrected movie, and the noise of each pixel."""

    stage: ClassVar[str] = "summary_images"
    whole_frames: ClassVar[dict[str, int]] = {"average_s": 1}

    average_s: float = key(
        0.15, "s", "Time averaged before correlating neighbours and before looking for peaks.", ge=0, le=60
    )
    noise_band: tuple[float, float] = key(
        (0.25, 0.5), "cycles per frame", "Band of the power spectrum from which the noise is taken."
    )
    noise_method: Literal["mean", "median", "logmexp"] = key("mean", "", "How the power in that band is averaged.")

    @field_validator("noise_band")
    @classmethod
    def _a_band(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] < value[1] <= 0.5:
            raise ValueError("must be two frequencies, 0 <= low < high <= 0.5")
        return value
