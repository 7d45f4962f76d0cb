"""Results in another form than this version's: who wrote them, and which stage makes them anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caiman_pipeline.model.errors import PipelineError


def writer(provenance: Mapping[str, Any], version: str = "") -> str:
    """Return which version wrote a result, with its commit where that is known.

    Parameters
    ----------
    provenance : dict
        What a result says of its own making.
    version : str
        What it says elsewhere, in case.

    Returns
    -------
    str
        Version and commit.

    Examples
    --------
    >>> writer({"version": "0.1.0", "commit": "f91a2e0"})
    '0.1.0 f91a2e0'
    """
    known = provenance.get("version", version) or "unknown"
    return f"{known} {provenance.get('commit', '')}".strip()


def made_anew(stage: str) -> str:
    """Say what to do with a result that cannot be used, by the stage that wrote it (empty: not known).

    Parameters
    ----------
    stage : str
        The stage that wrote it; empty: not known.

    Returns
    -------
    str
        One sentence.
    """
    return "Delete it and run the workflow again" + (f": the stage `{stage}` makes it anew." if stage else ".")


def of_another_form(path: Path | str, *, found: Any, reads: int, version: str, stage: str) -> PipelineError:
    """Return the error for a result of another schema.

    Parameters
    ----------
    path : path
        The file.
    found : object
        The schema of the file.
    reads : int
        The one that this version reads.
    version : str
        Who wrote it, see ``writer``.
    stage : str
        The stage that wrote it, empty where that is not known.

    Returns
    -------
    PipelineError
        To be raised.
    """
    later = isinstance(found, int) and found > reads
    which = "a later" if later else "another"
    use = "Use that version, or delete" if later else "Delete"
    return PipelineError(
        f"{path}: written by {which} version of caiman_pipeline ({version}), as schema {found}; this one reads schema "
        f"{reads}. {use}{made_anew(stage).removeprefix('Delete')}"
    )
