"""Settings of the ``report`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section


class ReportSettings(Section):
    """TBD."""

    recording_keys: ClassVar[tuple[str, ...]] = ("frame_rate_hz",)
