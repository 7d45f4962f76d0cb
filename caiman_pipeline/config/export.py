"""Settings of the ``export_nwb`` stage."""

from __future__ import annotations

from typing import ClassVar

from caiman_pipeline.config.base import Section, key


class ExportSettings(Section):
    """The NWB file and the table of components."""

    stage: ClassVar[str] = "export_nwb"

    include_rejected: bool = key(
        True,
        "",
        "Write rejected components too, marked as such. If false, the file and the table hold accepted ones only.",
    )
