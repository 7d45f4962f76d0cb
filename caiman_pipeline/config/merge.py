"""Settings of the ``merge`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section, key


class MergeSettings(Section):
    """Make one component of what is one cell."""

    stage: ClassVar[str] = "merge"

    merge: bool = key(True, "", "Merge overlapping components that fire together; without, only tile duplicates go.")
    min_correlation: float = key(0.8, "", "Correlation of traces from which overlapping components merge.", ge=0, le=1)
    min_overlap: float = key(
        0.1, "", "Share of the smaller footprint within a pixel of the other from which they overlap.", gt=0, le=1
    )
    duplicate_overlap: float = key(
        0.4, "", "Cosine from which components of two tiles, traces correlated, are the same cell.", gt=0, le=1
    )
    max_size: float = key(
        2.5, "", "Largest merged footprint, as a multiple of the area (volume) of a cell of the given diameter.", gt=0
    )
