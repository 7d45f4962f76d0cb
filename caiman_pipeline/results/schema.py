"""Results in another form than this version's: who wrote them, and which stage makes them anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caiman_pipeline.model.errors import PipelineError


def writer(provenance: Mapping[str, Any], version: str = "") -> str:
    """Return which version wrote a result, with its commit where that is known."""
    known = provenance.get("version", version) or "unknown"
    return f"{known} {provenance.get('commit', '')}".strip()


def made_anew(stage: str) -> str:
    """Say what to do with a result that cannot be used, by the stage that wrote it (empty: not known)."""
    return "Delete it and run the workflow again" + (f": the stage `{stage}` makes it anew." if stage else ".")


def of_another_form(path: Path | str, *, found: Any, reads: int, version: str, stage: str) -> PipelineError:
    """Return the error for a result of another schema.

    Parameters
    ----------
    found, reads : the schema of the file, and the one that this version reads
    version : who wrote it, see ``writer``
    stage : the stage that wrote it, empty where that is not known
    """
    later = isinstance(found, int) and found > reads
    which = "a later" if later else "another"
    use = "Use that version, or delete" if later else "Delete"
    return PipelineError(
        f"{path}: written by {which} version of caiman_pipeline ({version}), as schema {found}; this one reads schema "
        f"{reads}. {use}{made_anew(stage).removeprefix('Delete')}"
    )
