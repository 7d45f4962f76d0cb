"""Settings of the ``inspect`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section, key


class InspectSettings(Section):
    """Checks of the raw files before anything is computed."""

    stage: ClassVar[str] = "inspect"

    min_frames: int = key(50, "frames", "Fewest frames that are worth analysing; fewer is an error.", ge=2)
    max_bad_fraction: float = key(
        1.0,
        "",
        "Largest share of constant, black or non-finite frames; more is an error. With 1 they are only flagged.",
        ge=0,
        le=1,
    )
    checksums: bool = key(
        True,
        "",
        "Note the SHA-256 of the raw files, from their bytes as they are read: what `verify --checksums` compares "
        "them with. Without it, only their sizes, time stamps and samples of their bytes are known.",
    )
