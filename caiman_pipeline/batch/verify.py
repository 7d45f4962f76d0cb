"""Verify a results folder against what its files say of themselves: whole, and made from each other and the raw files.

Every result carries a digest of its content, the digests of what it was made from, and the raw files' identity.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from caiman_pipeline.batch.job_records import failed_jobs, read_records
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.model.movie import SourceFile
from caiman_pipeline.movies.identity import difference, is_fetched
from caiman_pipeline.results.files import content_digest, is_result
from caiman_pipeline.results.provenance import text_digest
from caiman_pipeline.stages import LOGS, path_of, place, results_of

# The report's overview is for the batch page and carries none.
JSON_RESULTS = [Path(place(output)).name for output in ("movie", "movie_info")]
REDO = "Delete it and run the workflow again."


@dataclass(frozen=True)
class Defect:
    """One thing that is not as it should be."""

    path: Path
    problem: str


@dataclass(frozen=True)
class Verified:
    """What was looked at in one recording's folder, and what is the matter with it."""

    recording: str
    n_files: int
    versions: tuple[str, ...]
    findings: tuple[Defect, ...]


def verify_recording(folder: Path, *, checksums: bool) -> Verified:
    """Verify one recording; ``checksums`` reads the movie's parts and the raw files too."""
    found: list[Defect] = []
    records: dict[Path, tuple[str, dict[str, Any]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".part" or ".part" in path.name:
            found.append(Defect(path, "left behind by a job that was killed. Delete it."))
        elif is_result_name(path):
            problem, record = _own_record(path)
            found += [Defect(path, problem)] if problem else []
            if record is not None:
                records[path] = record
    found += _failed_since(folder)
    found += _broken_links(records)
    found += _raw_files(folder, records, checksums=checksums)
    if checksums:
        found += list(_parts(path_of(folder, "movie")))
        found += list(_exports(folder))
    versions = tuple(sorted({f"{r['version']} {r['commit']}".strip() for _, r in records.values()}))
    return Verified(folder.name, len(records), versions, tuple(found))


def _failed_since(folder: Path) -> Iterator[Defect]:
    """Find results that are still there of a stage that has failed since: they are of an earlier run."""
    records = read_records(folder / LOGS)
    for record in failed_jobs((r for r in records if not r.is_running()), ended=True):
        for path in filter(Path.is_file, results_of(folder, record.job)):
            if path.stat().st_mtime_ns < record.time_ns:
                why = record.reason or "it was killed"
                yield Defect(
                    path, f"is old: {record.stage} has failed since ({why}). Mend that and run the workflow again."
                )


def is_result_name(path: Path) -> bool:
    """Tell whether a file is one that carries its provenance."""
    return path.name in JSON_RESULTS or path.suffix == ".h5"


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


def _broken_links(records: dict[Path, tuple[str, dict[str, Any]]]) -> Iterator[Defect]:
    """Find results that were made from something else than what is there now, in this recording or another."""
    present = {path.absolute(): digest for path, (digest, _) in records.items()}
    for path, (_, provenance) in records.items():
        for name, digest in provenance["made_from"].items():
            source = Path(os.path.normpath(path.absolute().parent / name))
            if present.setdefault(source, _stated_digest(source)) not in ("", digest):
                shown = "/".join(source.parts[-2 if source.is_relative_to(path.absolute().parents[1]) else -3 :])
                yield Defect(path, f"was made from another {shown} than the one that is there. Run the workflow again.")


def _stated_digest(path: Path) -> str:
    """Return the digest that another recording's result carries, "" if there is none to read."""
    if not path.is_file() or not is_result_name(path):
        return ""
    try:
        if path.suffix == ".json":
            return str(json.loads(path.read_text(encoding="utf-8")).get("digest", ""))
        with h5py.File(path, "r") as file:
            return str(file.attrs.get("digest", ""))
    except (OSError, ValueError):
        return ""  # damaged: said where its own recording is verified


def _raw_files(folder: Path, records: dict[Path, tuple[str, dict[str, Any]]], *, checksums: bool) -> Iterator[Defect]:
    for raw in {f["path"]: f for _, provenance in records.values() for f in provenance["raw_files"]}.values():
        path = _find_raw(raw["path"], folder)
        if path is None and is_fetched(raw["path"]):
            continue  # a copy that Snakemake had fetched from an object store for the job, and removed
        if path is None:
            yield Defect(Path(raw["path"]), "raw file is not there any more; results cannot be made again from it.")
        elif what := difference(SourceFile(**{**raw, "path": str(path)}), thorough=checksums):
            yield Defect(path, f"raw file {what} when it was analysed.")


def _find_raw(name: str, folder: Path) -> Path | None:
    """Return where a raw file is: relative names count from the folder of the run, one of those above the results."""
    places = (Path(name), *(parent / name for parent in folder.absolute().parents))
    return next((place for place in places if place.exists()), None)


def _exports(folder: Path) -> Iterator[Defect]:
    """Find NWB files, and tables beside them, that do not follow from themselves and from the results."""
    from caiman_pipeline.nwb.recompute import recompute

    for path in sorted(folder.glob(place("nwb", recording="*"))):
        try:
            wrong = [finding.what for finding in recompute(path) if not finding.holds]
        except PipelineError as error:
            yield Defect(path, str(error).removeprefix(f"{path}: "))
        else:
            if wrong:
                yield Defect(path, f"does not hold: {'; '.join(wrong)}. Delete it and run the workflow again.")


def _parts(index: Path) -> Iterator[Defect]:
    """Find parts of the movie that are gone or hold other bytes than were written, on disk or on an object store."""
    if not index.exists():
        return
    try:
        entries = json.loads(index.read_text(encoding="utf-8"))["parts"]
    except (ValueError, KeyError):
        return  # said already: the index is not readable
    for entry in entries:
        if "array" in entry:
            yield from _part_on_store(index, entry)
        else:
            yield from _part_on_disk(index.parent / entry["path"], entry.get("crc32"))


def _part_on_disk(path: Path, crc32: int | None) -> Iterator[Defect]:
    import numpy as np

    if not path.exists():
        yield Defect(path, "part of the movie is missing. Snakemake makes it again when a stage needs it.")
    elif crc32 is not None:
        try:
            frames = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            yield Defect(path, f"part of the movie is not readable ({error}). {REDO}")
            return
        if zlib.crc32(np.ascontiguousarray(frames).data.cast("B")) != crc32:
            yield Defect(path, f"part of the movie does not hold what was written. {REDO}")


def _part_on_store(index: Path, entry: dict[str, Any]) -> Iterator[Defect]:
    """Read a part of an array on an object store: each of its chunks carries a checksum, which reading looks at."""
    try:
        from caiman_pipeline.movies.store.zarr_parts import ZarrPart
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"{index}: the movie is on an object store, and {error.name} is not installed to read it. "
            "Install it with `pip install obstore`."
        ) from error
    try:
        ZarrPart(entry["array"], entry["offset"], entry["start"], entry["stop"]).read()
    except PipelineError as error:
        yield Defect(index, f"part of the movie: {error}")
