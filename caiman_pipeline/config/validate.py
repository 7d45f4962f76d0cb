"""Sections from plain values, with every problem said at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from caiman_pipeline.config.base import Section
from caiman_pipeline.config.from_caiman import answer_to
from caiman_pipeline.config.renamed import GONE
from caiman_pipeline.model.errors import PipelineError

SectionType = TypeVar("SectionType", bound=Section)


def validate(model: type[SectionType], values: Mapping[str, Any], where: str) -> SectionType:
    """Build a section from plain values; problems become one PipelineError that lists them all.

    Parameters
    ----------
    model : class
        Type of the section.
    values : dict
        Plain values.
    where : str
        Where they come from, for the message.

    Returns
    -------
    Section
        Of that type.

    Raises
    ------
    PipelineError
        If a key is unknown, of the wrong type or out of bounds; it lists all of these.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_explain(model, dict(e)) for e in error.errors())
        raise PipelineError(f"{where}: {problems}") from None


def _explain(model: type[Section], problem: dict[str, Any]) -> str:
    path = [str(p) for p in problem["loc"]]
    name = ".".join(path)
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{name}`{_suggest(model, path)}"
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"`{name}` is a section with keys below it (found {problem['input']!r})"
    message = problem["msg"].removeprefix("Value error, ")
    if isinstance(problem["input"], Mapping):  # said of several keys together
        return f"`{name}`: {message}" if name else message
    return f"`{name}`: {message} (found {problem['input']!r})"


def _suggest(model: type[Section], path: list[str]) -> str:
    if ".".join(path) in GONE:
        return f": {GONE['.'.join(path)]}"
    known = known_keys(model)
    elsewhere = [k for k in known if k.rsplit(".", 1)[-1] == path[-1]]
    if not elsewhere and (answer := answer_to(path[-1])):
        return f": {answer}"
    near = elsewhere or difflib.get_close_matches(".".join(path), known, n=1, cutoff=0.5)
    if not near:
        leaves = {k.rsplit(".", 1)[-1]: k for k in known}
        near = [leaves[m] for m in difflib.get_close_matches(path[-1], leaves, n=1, cutoff=0.6)]
    return f", did you mean `{near[0]}`?" if near else ""


def known_keys(model: type[Section], prefix: str = "") -> list[str]:
    """Return the dotted names of every key below ``model``.

    Parameters
    ----------
    model : class
        Type of the section.
    prefix : str
        What stands before the names.

    Returns
    -------
    list of str
        Names of sections and keys.
    """
    names = []
    for name, field in model.model_fields.items():
        names.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            names += known_keys(field.annotation, f"{prefix}{name}.")
    return names
