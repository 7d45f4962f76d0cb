"""The settings that a rule hands to a job as JSON: checked, and noted in the provenance of what the job writes.

A job loads its own section and no other.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from caiman_pipeline.config.base import Section
from caiman_pipeline.config.recording import RecordingSettings
from caiman_pipeline.config.validate import validate
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.provenance import note_settings
from caiman_pipeline.stages import ALL, keys_of

SectionType = TypeVar("SectionType", bound=Section)


def load_stage(stage: str, model: type[SectionType], text: str) -> tuple[SectionType, RecordingSettings]:
    """Rebuild a stage's settings and the recording's facts from the JSON that a rule passes; they are noted.

    Both hold what the registry says that the stage reads, and nothing else.

    Parameters
    ----------
    stage : str
        Name of the stage.
    model : class
        Section of the config.
    text : str
        JSON of the rule's ``params``.

    Returns
    -------
    settings : Section
        Checked, of that class.
    recording : RecordingSettings
        What the stage needs to know of the recording.

    Raises
    ------
    PipelineError
        If the text is not JSON or does not fit the section.
    """
    values, (_, reads) = _parse(text), keys_of(stage)
    facts = values.pop("recording", {})
    own = {name: value for name, value in values.items() if name not in reads or name == model.stage}
    settings = _part(model, own, reads.get(model.stage, ()), "--settings")
    recording = _part(RecordingSettings, facts, reads.get("recording", ()), "--settings.recording")
    noted = {name: value for name, value in settings.plain().items() if name not in settings.unused()}
    note_settings(model.stage, {**noted, "recording": recording.plain()})
    return settings, recording


def load_section(model: type[SectionType], text: str) -> SectionType:
    """Rebuild a section from the JSON that is given to a verb which is no stage; it is noted.

    Parameters
    ----------
    model : class
        Section of the config.
    text : str
        JSON of its keys.

    Returns
    -------
    Section
        Checked, of that class.

    Raises
    ------
    PipelineError
        If the text is not JSON or does not fit the section.
    """
    settings = validate(model, {k: v for k, v in _parse(text).items() if k != "recording"}, "--settings")
    note_settings(model.stage, settings.plain())
    return settings


def load_other(stage: str, model: type[SectionType], text: str) -> SectionType:
    """Rebuild what a stage reads of another section from the JSON that a rule passes.

    Parameters
    ----------
    stage : str
        Name of the stage that reads it.
    model : class
        Section of the config that it reads.
    text : str
        JSON of the rule's ``params``.

    Returns
    -------
    Section
        Checked, of that class; the rest has its defaults.

    Raises
    ------
    PipelineError
        If the text is not JSON or does not fit the section.
    """
    keys = keys_of(stage)[1][model.stage]
    return _part(model, _parse(text).get(model.stage, {}), keys, f"--settings.{model.stage}")


def _part(model: type[SectionType], values: dict[str, Any], keys: tuple[str, ...], where: str) -> SectionType:
    """Return a section with the given keys alone; those that are not written have their defaults."""
    return validate(model, values, where).only(model.model_fields if keys == ALL else keys)


def _parse(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise PipelineError(f"--settings: not a JSON object ({error}).") from error
    if not isinstance(values, dict):
        raise PipelineError(f"--settings: not a JSON object (found {type(values).__name__}).")
    return values
