"""Frames named by the user: numbers over the recording, or within one of its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from caiman_pipeline.model.errors import PipelineError

FORM = r"(?:(?P<file>.+):)?(?P<first>\d+)(?:-(?P<last>\d+))?"


def is_well_formed(item: str) -> bool:
    """Tell whether an item is like ``17``, ``100-120`` or ``b.tif:17``.

    Parameters
    ----------
    item : str
        What a user wrote.

    Returns
    -------
    bool
        Whether it can be read, and its end is not before its start.

    Examples
    --------
    >>> is_well_formed("100-120"), is_well_formed("120-100")
    (True, False)
    """
    found = re.fullmatch(FORM, item)
    return found is not None and int(found["last"] or found["first"]) >= int(found["first"])


def items_of(text: str) -> list[str]:
    """Return the items of a text like ``17, 100-120``, as the cell of a sheet holds them.

    Names of files may hold commas: what is not a list of items is one item.

    Parameters
    ----------
    text : str
        What a cell holds.

    Returns
    -------
    list of str
        Items, or the whole text.

    Examples
    --------
    >>> items_of("17, 100-120")
    ['17', '100-120']
    """
    items = [item.strip() for item in text.split(",")]
    return items if all(map(is_well_formed, items)) else [text]


def frames_listed(items: Sequence[str], files: Sequence[tuple[str, int]]) -> tuple[int, ...]:
    """Return the frames that are named, in order, counted from 0 over all files of the recording.

    Parameters
    ----------
    items : sequence of str
        Like ``17``, ``100-120`` (both ends included), or ``b.tif:17`` for frames of one file.
    files : sequence of (str, int)
        Path and frames of every file, in the order recorded.

    Returns
    -------
    tuple of int
        Numbers of frames, ascending, each once.

    Raises
    ------
    PipelineError
        If a number lies beyond the end of the recording or file, or a file is not one of the recording's.

    Examples
    --------
    >>> frames_listed(["1-2", "b.tif:0"], [("a.tif", 100), ("b.tif", 50)])
    (1, 2, 100)
    """
    frames: set[int] = set()
    for item in items:
        found = re.fullmatch(FORM, item)
        if found is None:
            raise PipelineError(f"`motion.bad_frames`: expected frames like 17, 100-120 or b.tif:17, got {item!r}.")
        start, count, whose = _place(found["file"], files, item)
        first, last = int(found["first"]), int(found["last"] or found["first"])
        if last >= count:
            raise PipelineError(
                f"`motion.bad_frames`: {item} lies beyond the end, {whose} has {count} frames, 0 to {count - 1}. "
                "Numbers count from 0 over all files of the recording; `FILE:17` is frame 17 of one."
            )
        frames.update(range(start + first, start + last + 1))
    return tuple(sorted(frames))


def _place(name: str | None, files: Sequence[tuple[str, int]], item: str) -> tuple[int, int, str]:
    """Return the first frame and the number of frames that an item counts in, and what these are called."""
    if name is None:
        return 0, sum(n for _, n in files), "the recording"
    found = [k for k, (path, _) in enumerate(files) if name in (path, PurePath(path).name)]
    if len(found) != 1:
        names = ", ".join(PurePath(path).name for path, _ in files)
        what = "is in more than one folder" if found else "is no file of the recording"
        raise PipelineError(f"`motion.bad_frames`: {item}: {name!r} {what} ({names}). Write the name as listed.")
    return sum(n for _, n in files[: found[0]]), files[found[0]][1], name
