"""Run Snakemake with stand-ins for Google's storage and batch service: ``google_batch.py JOBS.json [arguments]``.

The bucket ``lab`` with one raw movie is in memory; a job that is created is written to ``JOBS.json`` and fails.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from google.cloud import batch_v1, logging, storage

OBJECTS: dict[str, bytes] = {"raw/m.tif": b"not opened here"}


class _Blob:
    def __init__(self, name: str) -> None:
        self.name = name
        self.updated = datetime(2024, 5, 17, tzinfo=UTC)

    @property
    def size(self) -> int:
        return len(OBJECTS[self.name])

    def exists(self) -> bool:
        return self.name in OBJECTS

    def reload(self) -> None:
        """Keep what is known."""

    def upload_from_filename(self, path: str) -> None:
        OBJECTS[self.name] = Path(path).read_bytes()

    def delete(self) -> None:
        del OBJECTS[self.name]


class _Bucket:
    def exists(self) -> bool:
        return True

    def blob(self, name: str) -> _Blob:
        return _Blob(name)

    get_blob = blob


class _Storage:
    def bucket(self, name: str, user_project: str | None = None) -> _Bucket:
        assert name == "lab", name
        return _Bucket()

    def list_blobs(self, bucket: str, prefix: str = "") -> list[_Blob]:
        return [_Blob(name) for name in OBJECTS if name.startswith(prefix)]


class _Batch:
    def create_job(self, request: batch_v1.CreateJobRequest) -> Any:
        found = {"parent": request.parent, "job": batch_v1.Job.to_dict(request.job)}
        jobs = json.loads(JOBS.read_text()) if JOBS.exists() else []
        JOBS.write_text(json.dumps([*jobs, found]))
        return SimpleNamespace(name=f"{request.parent}/jobs/{request.job_id}", uid="1")

    def get_job(self, request: Any) -> Any:
        status = SimpleNamespace(state=batch_v1.JobStatus.State.FAILED, status_events=[])
        return SimpleNamespace(status=status, uid="1", name=request.name)


class _Logs:
    def __init__(self, project: str) -> None:
        assert project == "lab-project"

    def logger(self, name: str) -> Any:
        return SimpleNamespace(list_entries=lambda **_: [])


if __name__ == "__main__":
    JOBS = Path(sys.argv[1])
    storage.Client = _Storage
    batch_v1.BatchServiceClient = _Batch
    logging.Client = _Logs
    from snakemake.cli import main

    main(sys.argv[2:])
