"""Settings of the ``traces`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section


class TraceSettings(Section):
    """TBD."""

    recording_keys: ClassVar[tuple[str, ...]] = ("frame_rate_hz",)
