"""Keys of earlier versions: those with a new name are taken under it for a while, those that are gone are explained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caiman_pipeline import __version__
from caiman_pipeline.model.errors import PipelineError


@dataclass(frozen=True)
class Renamed:
    """What became of a key.

    Attributes
    ----------
    now : the dotted name that it has
    refused_from : the version from which the old name is an error
    """

    now: str
    refused_from: str


# By the dotted name that they had. A key that is renamed in version 0.N is refused from 0.N+1 on (CONTRIBUTING.md).
RENAMED = {"export_nwb.event_height": Renamed("traces.event_height", refused_from="0.3.0")}
# Keys that are no more, and what there is in their place.
GONE = {"traces.use_residuals": "both are always written: `dff` is measured, `dff_denoised` of the model without noise"}


def in_new_names(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a config's plain values with renamed keys under the names that they have now; each is warned of.

    Parameters
    ----------
    values : dict
        A config's plain values.
    where : str
        Where they come from, for messages.

    Returns
    -------
    dict
        The same under new names.

    Raises
    ------
    PipelineError
        If an old name is not taken any more, or is given beside the new one.
    """
    new = {section: dict(keys) if isinstance(keys, Mapping) else keys for section, keys in values.items()}
    for old in RENAMED:
        section, name = old.split(".")
        if not isinstance(new.get(section), dict) or name not in new[section]:
            continue
        to_section, to_name = new_name(old, where).split(".")
        # A section that is named but left blank has its defaults.
        there = new[to_section] = new.get(to_section) or {}
        if to_name in there:
            raise PipelineError(f"{where}: `{old}` is now `{RENAMED[old].now}`, and both are given. Take `{old}` out.")
        there[to_name] = new[section].pop(name)
    return new


def new_name(name: str, where: str) -> str:
    """Return the dotted name that a key has now, with a warning if it had another one.

    Parameters
    ----------
    name : str
        Dotted name that was given.
    where : str
        Where it comes from, for messages.

    Returns
    -------
    str
        Dotted name.

    Raises
    ------
    PipelineError
        If the old name is not taken any more.
    """
    if name not in RENAMED:
        return name
    now, end = RENAMED[name].now, RENAMED[name].refused_from
    if _number(__version__) >= _number(end):
        raise PipelineError(f"{where}: `{name}` is now `{now}`. Write it so.")
    warnings.warn(f"{where}: `{name}` is now `{now}`; the old name is refused from version {end} on.", FutureWarning, 2)
    return now


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])
