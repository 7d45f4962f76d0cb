"""Settings of the ``evaluate`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section


class EvaluateSettings(Section):
    """TBD."""

    recording_keys: ClassVar[tuple[str, ...]] = ("frame_rate_hz",)
