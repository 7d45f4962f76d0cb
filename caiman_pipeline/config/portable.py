"""Settings as they may leave the machine: without the folders, which say whose it is and mean nothing elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from caiman_pipeline.config.generate import documented_keys, unit_of
from caiman_pipeline.config.root import Config
from caiman_pipeline.stages import place

FILE_UNIT = "file"
# Where another recording's motion lies in its results: it is named by the recording.
OTHER_MOTION = re.compile(rf"(?:.*/)?([^/]+)/{re.escape(place('motion'))}")


def file_keys() -> dict[str, str]:
    """Return the keys of the config that name a file, by their dotted names, with what they are for."""
    return {name: field.description or "" for name, field in documented_keys(Config) if unit_of(field) == FILE_UNIT}


def portable(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section's settings without folders of this machine: relative paths stay, others keep the name only.

    Parameters
    ----------
    section : str
        Its name.
    values : dict
        Its settings as plain values.

    Returns
    -------
    dict
        The same, with other paths.
    """

    def walk(level: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        return {
            name: walk(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else portable_path(value)
            if isinstance(value, str) and prefix + name in known
            else value
            for name, value in level.items()
        }

    known = file_keys()
    return walk(values, f"{section}.")


def portable_path(text: str) -> str:
    """Return a path that says nothing of the machine: another recording's motion by its id, a file by its name.

    Parameters
    ----------
    text : str
        What a key that names a file holds.

    Returns
    -------
    str
        What may be shown.

    Examples
    --------
    >>> portable_path("/home/me/masks.tif"), portable_path("masks/mouse_a.tif")
    ('masks.tif', 'masks/mouse_a.tif')
    """
    if motion := OTHER_MOTION.fullmatch(text):
        return motion[1]
    path = PurePath(text)
    return path.name if path.is_absolute() or ".." in path.parts or "://" in text else text


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the names of files, with as many folders as tell them apart.

    Parameters
    ----------
    paths : sequence of str
        Files.

    Returns
    -------
    list of str
        Names, all different where the paths are.

    Examples
    --------
    >>> short_names(["/data/a/x.tif", "/data/b/x.tif"])
    ['a/x.tif', 'b/x.tif']
    """
    if len({PurePath(path).name for path in paths}) == len(paths):
        return [PurePath(path).name for path in paths]
    shared = os.path.commonpath([os.path.abspath(path) for path in paths])
    return [PurePath(os.path.relpath(path, shared)).as_posix() for path in paths]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting with its dotted name.

    Parameters
    ----------
    values : dict
        Settings as plain values, sections within sections.
    prefix : str
        What stands before the names.

    Yields
    ------
    (str, object)
        Dotted name and value.

    Examples
    --------
    >>> dict(flat({"motion": {"method": "rigid"}}))
    {'motion.method': 'rigid'}
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
