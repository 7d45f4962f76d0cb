"""Bring home from an object store what says how recordings went: logs, times, reports; never a movie or an NWB file."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import from_url

from caiman_pipeline.errors import PipelineError
from caiman_pipeline.io.atomic import write_text

WANTED = re.compile(r"(logs/[^/]+|benchmarks/[^/]+\.tsv|inspect/movie_info\.json|report/[^/]+)")
# What the store has of a recording, one path a line: the files themselves stay there.
LISTING = "on_store.txt"
STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ", re.MULTILINE)


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
    count = 0
    for recording in recordings:
        try:
            count += _fetch(f"{url.rstrip('/')}/{recording}", results / recording)
        except (BaseError, OSError, ValueError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise PipelineError(f"{url}: cannot be read ({first}). Check the URL and the credentials.") from error
    return count


def _fetch(url: str, folder: Path) -> int:
    store = from_url(url, client_options={"allow_http": True})
    paths = sorted(entry["path"] for batch in store.list() for entry in batch)
    wanted = [path for path in paths if WANTED.fullmatch(path)]
    for path in wanted:
        content = bytes(store.get(path).bytes())
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        _date(target, content)
    if paths:
        write_text(folder / LISTING, "\n".join(paths) + "\n")
    return len(wanted)


def _date(log: Path, content: bytes) -> None:
    """Give a log the time of its last line: the order of the stages is told by it, not by when it was fetched."""
    stamps = STAMP.findall(content.decode(errors="replace")) if log.suffix == ".log" else []
    if stamps:
        when = time.mktime(time.strptime(stamps[-1], "%Y-%m-%d %H:%M:%S"))
        os.utime(log, (when, when))
