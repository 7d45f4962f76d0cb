"""Settings of the ``evaluate`` stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from caiman_pipeline.config.base import Length, Section, key


class EvaluateSettings(Section):
    """Measures of quality of all components."""

    stage: ClassVar[str] = "evaluate"
    whole_frames: ClassVar[dict[str, int]] = {"motion_window_s": 0}

    transients: int = key(5, "", "Most transients, the largest, that the spatial correlation looks at.", ge=1)
    classifier: bool = key(
        True, "", "Score how much each footprint looks like a soma; in volumes, in its plane of most weight."
    )
    model: str | None = key(
        None, "file", "Model of `caiman-pipeline train-classifier` (.npz) to use instead of the one that ships."
    )
    scales: tuple[float, ...] = key(
        (1.0,),
        "cell diameters",
        "Sizes to judge footprints by, for cells of several sizes; the best score counts.",
    )
    motion_window_s: float = key(
        30.0, "s", "Movement and activity slower than this are left aside where a trace is compared with motion.", gt=0
    )
    margin: Length = key(
        Length((0.3,), "cells"), "px, um or cells", "How far around a footprint the spatial correlation looks."
    )

    @field_validator("scales")
    @classmethod
    def _positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or not all(0.1 <= v <= 10 for v in value):
            raise ValueError("one or more numbers between 0.1 and 10")
        return value
