"""The settings that a rule hands to a job as JSON: checked, and noted in the provenance of what the job writes.

A job loads its own section and no other.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from caiman_pipeline.config.base import Section
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.validate import split_stage, validate
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.provenance import note_settings

SectionType = TypeVar("SectionType", bound=Section)


def load_stage(model: type[SectionType], text: str) -> tuple[SectionType, RecordingSettings]:
    """Rebuild a stage's settings and the recording's facts from the JSON that a rule passes; they are noted.

    Raises
    ------
    PipelineError
        If the text is not JSON or does not fit the section.
    """
    settings, recording = split_stage(model, _parse(text), "--settings")
    used = settings.model_dump(mode="json", exclude=settings.unused())
    told = recording.model_dump(mode="json", include=set(model.recording_keys))
    note_settings(model.stage, {**used, "recording": told})
    return settings, recording


def load_other(model: type[SectionType], name: str, text: str) -> SectionType:
    """Rebuild what a stage reads of another section from the JSON that a rule passes; the rest has its defaults."""
    return validate(model, _parse(text).get(name, {}), f"--settings.{name}")


def _parse(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise PipelineError(f"--settings: not a JSON object ({error}).") from error
    if not isinstance(values, dict):
        raise PipelineError(f"--settings: not a JSON object (found {type(values).__name__}).")
    return values
