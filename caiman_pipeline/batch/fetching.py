"""Bring home from an object store what says how recordings went: logs, times, reports; never a movie or an NWB file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from caiman_pipeline.batch.job_records import ENDING, ON_STORE, read_record
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.results.atomic import write_text
from caiman_pipeline.stages import BENCHMARKS, LOGS, place

# Jobs' logs and times, what the movie is, and the report.
WANTED = re.compile(
    rf"({LOGS}/[^/]+|{BENCHMARKS}/[^/]+\.tsv|{re.escape(place('movie_info'))}|{Path(place('overview')).parent}/[^/]+)"
)
ADVICE = "Check the URL, and the credentials and endpoint in the environment (AWS_ENDPOINT_URL and so on)."


def fetch_traces(url: str, results: Path, recordings: Iterable[str]) -> int:
    """Copy logs, benchmarks, reports and ``movie_info.json`` of recordings from a store; return how many files.

    Parameters
    ----------
    url : of the results on the store, like ``s3://bucket/results``

    Raises
    ------
    PipelineError
        If the store cannot be read.
    """
    try:
        store = from_url(url.rstrip("/"), client_options={"allow_http": True})
        return sum(_fetch(store, recording, results / recording) for recording in recordings)
    except (BaseError, OSError, ValueError) as error:
        raise PipelineError(f"{url}: cannot be read ({_first_line(error)}). {ADVICE}") from error


def object_size(url: str) -> int:
    """Return the bytes of an object on a store, without reading it.

    Raises
    ------
    PipelineError
        If it is not there or the store cannot be reached.
    """
    place, _, name = url.rpartition("/")
    try:
        return int(from_url(place, client_options={"allow_http": True}).head(name)["size"])
    except (BaseError, OSError, ValueError) as error:
        raise PipelineError(f"{url}: cannot be found ({_first_line(error)}). {ADVICE}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _fetch(store: ObjectStore, recording: str, folder: Path) -> int:
    head = f"{recording}/"
    listed = (entry["path"] for batch in store.list(prefix=head) for entry in batch)
    paths = sorted(path.removeprefix(head) for path in listed)
    wanted = [path for path in paths if WANTED.fullmatch(path)]
    for path in wanted:
        content = bytes(store.get(head + path).bytes())
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        _date(target)
    if paths:
        write_text(folder / ON_STORE, "\n".join(paths) + "\n")
    return len(wanted)


def _date(path: Path) -> None:
    """Give a job's record the time at which it was written: the order of the jobs is told by it."""
    updated = read_record(path).updated if path.name.endswith(ENDING) else ""
    if updated:
        when = datetime.fromisoformat(updated).timestamp()
        os.utime(path, (when, when))
