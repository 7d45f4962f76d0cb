"""Recordings of the same field of the same subject, whose cells are tracked together."""

from __future__ import annotations

import re
from collections.abc import Mapping

from caiman_pipeline.config.sheet import Recording
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.names import natural_key


def groups_of(recordings: Mapping[str, Recording]) -> dict[str, tuple[str, ...]]:
    """Return the recordings of each subject and field, in natural order; those without a `field` are in none.

    A group's name becomes a folder: what is neither letter, digit, ``_`` nor ``-`` becomes ``-``.

    Raises
    ------
    PipelineError
        If a field is named without its subject, or two groups would have one name.
    """
    named: dict[str, tuple[str, str]] = {}
    found: dict[str, list[str]] = {}
    for name, recording in recordings.items():
        facts = recording.config.recording
        if facts.field is None:
            continue
        if facts.subject_id is None:
            raise PipelineError(f"recording {name!r}: `field` needs `subject_id`: whose field {facts.field!r} is.")
        whose = (facts.subject_id, facts.field)
        group = re.sub(r"[^A-Za-z0-9_-]", "-", "_".join(whose))
        if named.setdefault(group.casefold(), whose) != whose:
            raise PipelineError(
                f"subject and field {whose} and {named[group.casefold()]} would share the folder {group!r}. "
                "Give one another name."
            )
        found.setdefault(group, []).append(name)
    return {group: tuple(sorted(names, key=natural_key)) for group, names in found.items()}
