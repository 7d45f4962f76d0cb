"""What made a result: version, commit, environment, settings, and the identity of everything that was read for it.

A job keeps a ledger of the results and raw files that it opens, of the settings it was given and of what it warned of.
Each result that it writes gets the ledger, with what the results before it brought along, and a digest of its own
content: it can be verified against what it was made from (`verify`), and the last ones know how all was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caiman_pipeline import __version__

if TYPE_CHECKING:
    from caiman_pipeline.model.movie import SourceFile

# Packages whose version can change a number.
PACKAGES = ("numpy", "scipy", "numba", "opencv-python-headless", "h5py", "tifffile", "zarr", "pynwb")


@dataclass
class Ledger:
    """What a job has read and what it runs with.

    Attributes
    ----------
    stage : the stage that the job belongs to
    raw : raw files as they were when inspected, by path
    results : digests of the results read, by path
    stages : what made the results that came before in this recording, and this job's own part, see ``note_settings``
    """

    stage: str = ""
    raw: dict[str, SourceFile] = field(default_factory=dict)
    results: dict[Path, str] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: int = 0


_LEDGER: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


@contextmanager
def kept_ledger(stage: str = "") -> Iterator[Ledger]:
    """Note what is read inside, by a job of ``stage``.

    Parameters
    ----------
    stage : str
        The job's stage; empty for what is no stage.

    Yields
    ------
    Ledger
        What was read so far.
    """
    ledger = Ledger(stage)
    token = _LEDGER.set(ledger)
    try:
        yield ledger
    finally:
        _LEDGER.reset(token)


@contextmanager
def of_another_run() -> Iterator[None]:
    """Results that are read inside are another recording's, or an earlier run's: their settings are not this one's."""
    ledger = _LEDGER.get() or Ledger()
    ledger.others += 1
    try:
        yield
    finally:
        ledger.others -= 1


def note_settings(section: str, settings: Mapping[str, Any]) -> None:
    """Enter what this job runs with: a section of the config, and the facts about the recording in `recording`.

    Parameters
    ----------
    section : str
        Name of the section.
    settings : dict
        Plain values, as they are written into JSON.
    """
    if (ledger := _LEDGER.get()) is not None and ledger.stage:
        entry = {"section": section, "settings": dict(settings), "version": __version__, "commit": commit()}
        ledger.stages[ledger.stage] = {**entry, "warnings": []}


def note_warning(text: str) -> None:
    """Enter what this job warns of: it goes with the results that the job writes from now on.

    Parameters
    ----------
    text : str
        One sentence.
    """
    ledger = _LEDGER.get()
    own = ledger.stages.get(ledger.stage) if ledger is not None else None
    if own is not None and text not in own["warnings"]:
        own["warnings"].append(text)


def note_raw(files: tuple[SourceFile, ...]) -> None:
    """Enter raw files into the ledger, if one is kept.

    Parameters
    ----------
    files : tuple of SourceFile
        As they were when inspected.
    """
    if (ledger := _LEDGER.get()) is not None:
        ledger.raw |= {f.path: f for f in files}


def note_result(path: Path, digest: str, provenance: Mapping[str, Any]) -> None:
    """Enter a result that was read, the raw files that it came from, and what it was made with.

    Parameters
    ----------
    path : path
        The result.
    digest : str
        Digest of its content; empty: it is not entered.
    provenance : dict
        What the result says of its own making.
    """
    from caiman_pipeline.model.movie import SourceFile

    if (ledger := _LEDGER.get()) is not None and digest:
        ledger.results[path.absolute()] = digest
        note_raw(tuple(SourceFile(**f) for f in provenance.get("raw_files", ())))
        if not ledger.others:
            ledger.stages = joined_stages(ledger.stages, provenance.get("stages", {}), own=ledger.stage)


def joined_stages(
    known: Mapping[str, Mapping[str, Any]], more: Mapping[str, Mapping[str, Any]], *, own: str = ""
) -> dict[str, dict[str, Any]]:
    """Return what made two results, by stage; jobs that shared a stage bring their warnings together.

    ``own`` is the stage that reads them: what an earlier run of it noted does not count.

    Parameters
    ----------
    known : dict
        What made the one, by stage.
    more : dict
        What made the other.
    own : str
        The stage that reads them: what an earlier run of it noted does not count.

    Returns
    -------
    dict
        What made both, by stage.
    """
    joined = {stage: dict(entry) for stage, entry in known.items()}
    for stage, entry in more.items():
        if stage == own:
            continue
        before = joined.get(stage, {}).get("warnings", [])
        joined[stage] = {**entry, "warnings": list(dict.fromkeys([*before, *entry["warnings"]]))}
    return joined


def noted_stages() -> dict[str, dict[str, Any]]:
    """Return what made the results that were read, and what this job runs with, by stage."""
    return dict((_LEDGER.get() or Ledger()).stages)


def describe(path: Path) -> dict[str, Any]:
    """Return the provenance of a result that is written now to ``path``; results read are named relative to it.

    Parameters
    ----------
    path : path
        The result.

    Returns
    -------
    dict
        Plain values, to be written as JSON.
    """
    ledger = _LEDGER.get() or Ledger()
    folder = path.absolute().parent
    made_from = {Path(os.path.relpath(read, folder)).as_posix(): digest for read, digest in ledger.results.items()}
    return {
        "version": __version__,
        "commit": commit(),
        "stage": ledger.stage,
        "environment": environment(),
        "raw_files": [asdict(ledger.raw[path]) for path in sorted(ledger.raw)],
        "made_from": dict(sorted(made_from.items())),
        "stages": ledger.stages,
    }


@cache
def environment() -> dict[str, str]:
    """Return versions of Python, the machine and the packages that compute."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


@cache
def commit() -> str:
    """Return the commit of the checkout that the package runs from, a + where files were changed since; "" if none."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def text_digest(value: Mapping[str, Any]) -> str:
    """Return the digest of plain values.

    Parameters
    ----------
    value : dict
        Plain values, as they are written into JSON.

    Returns
    -------
    str
        32 hexadecimal digits; the order of keys does not count.

    Examples
    --------
    >>> text_digest({"a": 1, "b": 2}) == text_digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
