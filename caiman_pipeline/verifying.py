"""Hold a results folder against what its files say of themselves: whole, and made from each other and the raw files.

Every result carries a digest of its content, the digests of what it was made from, and the raw files' identity.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from caiman_pipeline.io.results import content_digest, is_result
from caiman_pipeline.provenance import file_checksum, text_digest

REDO = "Delete it and run the workflow again."


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    path: Path
    problem: str


@dataclass(frozen=True)
class Verified:
    """What was looked at in one recording's folder, and what is the matter with it."""

    recording: str
    n_files: int
    versions: tuple[str, ...]
    findings: tuple[Finding, ...]


def verify_recording(folder: Path, *, checksums: bool) -> Verified:
    """Verify one recording; ``checksums`` reads the movie's parts and the raw files too."""
    found: list[Finding] = []
    records: dict[Path, tuple[str, dict[str, Any]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".part" or ".part" in path.name:
            found.append(Finding(path, "left behind by a job that was killed. Delete it."))
        elif is_result_name(path):
            problem, record = _own_record(path)
            found += [Finding(path, problem)] if problem else []
            if record is not None:
                records[path] = record
    found += _broken_links(records)
    found += _raw_files(records, checksums=checksums)
    if checksums:
        found += list(_parts(folder / "movie" / "movie.json"))
    versions = tuple(sorted({f"{r['version']} {r['commit']}".strip() for _, r in records.values()}))
    return Verified(folder.name, len(records), versions, tuple(found))


def is_result_name(path: Path) -> bool:
    """Tell whether a file is one that carries its provenance."""
    return path.name in ("movie.json", "movie_info.json") or path.suffix == ".h5"


def _own_record(path: Path) -> tuple[str, tuple[str, dict[str, Any]] | None]:
    """Return what is wrong with a file by itself, and its digest and provenance."""
    try:
        stated, actual, provenance = _read_json(path) if path.suffix == ".json" else _read_hdf5(path)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        return f"not readable ({error}). {REDO}", None
    if stated != actual:
        return f"its content is not what was written (digest {actual}, written {stated}). {REDO}", None
    return "", (stated, provenance)


def _read_json(path: Path) -> tuple[str, str, dict[str, Any]]:
    record = json.loads(path.read_text(encoding="utf-8"))
    provenance, stated = record.pop("provenance"), record.pop("digest")
    return stated, text_digest(record), provenance


def _read_hdf5(path: Path) -> tuple[str, str, dict[str, Any]]:
    if not is_result(path):
        raise ValueError("it holds no result")
    with h5py.File(path, "r") as file:
        return file.attrs["digest"], content_digest(file), json.loads(file.attrs["provenance"])


def _broken_links(records: dict[Path, tuple[str, dict[str, Any]]]) -> Iterator[Finding]:
    """Find results that were made from something else than what is there now."""
    present = {"/".join(path.parts[-2:]): digest for path, (digest, _) in records.items()}
    for path, (_, provenance) in records.items():
        for name, digest in provenance["made_from"].items():
            if name in present and present[name] != digest:
                yield Finding(path, f"was made from another {name} than the one that is there. Run the workflow again.")


def _raw_files(records: dict[Path, tuple[str, dict[str, Any]]], *, checksums: bool) -> Iterator[Finding]:
    for raw in {f["path"]: f for _, provenance in records.values() for f in provenance["raw_files"]}.values():
        path = Path(raw["path"])
        if ".snakemake/storage" in path.as_posix():
            continue  # a copy that Snakemake had fetched from an object store for the job
        if not path.exists():
            yield Finding(path, "raw file is not there any more; results cannot be made again from it.")
            continue
        now = path.stat()
        if path.is_file() and (now.st_size, now.st_mtime_ns) != (raw["size_bytes"], raw["modified_ns"]):
            yield Finding(path, "raw file has another size or time stamp than when it was analysed.")
        elif checksums and raw["sha256"] and file_checksum(path) != raw["sha256"]:
            yield Finding(path, "raw file has another SHA-256 than when it was analysed: its bytes were changed.")


def _parts(index: Path) -> Iterator[Finding]:
    """Find parts of the movie that are gone or hold other bytes than were written."""
    import numpy as np

    if not index.exists():
        return
    for part in json.loads(index.read_text(encoding="utf-8"))["parts"]:
        path = index.parent / part["path"]
        if not path.exists():
            yield Finding(path, "part of the movie is missing. Snakemake makes it again when a stage needs it.")
        elif part.get("crc32") is not None:
            frames = np.load(path, allow_pickle=False)
            if zlib.crc32(np.ascontiguousarray(frames).data.cast("B")) != part["crc32"]:
                yield Finding(path, f"part of the movie does not hold what was written. {REDO}")
