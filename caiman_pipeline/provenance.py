"""What made a result: version, commit, environment, settings, and the identity of everything that was read for it.

A job keeps a ledger of the results and raw files that it opens. Each result that it writes gets the ledger, and a
digest of its own content: it can be held against what it was made from later (`verify`).
"""

from __future__ import annotations

import hashlib
import json
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
    from caiman_pipeline.types import SourceFile

# Packages whose version can change a number.
PACKAGES = ("numpy", "scipy", "numba", "opencv-python-headless", "h5py", "tifffile", "zarr", "pynwb")


@dataclass
class Ledger:
    """What a job has read: raw files as they were when inspected, and results by name with their digests."""

    raw: dict[str, SourceFile] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)


_LEDGER: ContextVar[Ledger | None] = ContextVar("ledger", default=None)


@contextmanager
def kept_ledger() -> Iterator[Ledger]:
    """Note what is read inside."""
    ledger = Ledger()
    token = _LEDGER.set(ledger)
    try:
        yield ledger
    finally:
        _LEDGER.reset(token)


def note_raw(files: tuple[SourceFile, ...]) -> None:
    """Enter raw files into the ledger, if one is kept."""
    if (ledger := _LEDGER.get()) is not None:
        ledger.raw |= {f.path: f for f in files}


def note_result(path: Path, digest: str, provenance: Mapping[str, Any]) -> None:
    """Enter a result that was read, and the raw files that it came from."""
    from caiman_pipeline.types import SourceFile  # here, for a verb must be able to start before numpy is imported

    if (ledger := _LEDGER.get()) is not None and digest:
        ledger.results["/".join(path.parts[-2:])] = digest
        note_raw(tuple(SourceFile(**f) for f in provenance.get("raw_files", ())))


def describe() -> dict[str, Any]:
    """Return the provenance of a result that is written now."""
    ledger = _LEDGER.get() or Ledger()
    return {
        "version": __version__,
        "commit": commit(),
        "environment": environment(),
        "raw_files": [asdict(ledger.raw[path]) for path in sorted(ledger.raw)],
        "made_from": dict(sorted(ledger.results.items())),
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
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_digest(value: Mapping[str, Any]) -> str:
    """Return the digest of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
