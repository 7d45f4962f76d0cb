"""Settings of the ``report`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section, key


class ReportSettings(Section):
    """The HTML page of each recording."""

    stage: ClassVar[str] = "report"

    max_traces: int = key(30, "", "Accepted components whose traces are drawn one below the other.", ge=1, le=200)
    max_gallery: int = key(
        24, "", "Rejected components shown as small pictures, the closest calls first.", ge=0, le=200
    )
    max_accepted_gallery: int = key(
        48,
        "",
        "Accepted components shown as small pictures with their trace; of more, evenly spaced by rank.",
        ge=0,
        le=200,
    )
    contour_level: float = key(0.35, "", "Level of the drawn contours, as a share of a footprint's peak.", gt=0, lt=1)
