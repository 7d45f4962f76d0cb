"""The state of every recording in a results folder, from what the jobs left behind.

Standard library only: it runs after every run of the workflow, for a thousand recordings.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from caiman_pipeline.batch.benchmarks import StageUse, stage_uses
from caiman_pipeline.batch.job_records import (
    NOT_STARTED,
    ON_STORE,
    RUNNING,
    SILENT,
    UNREADABLE,
    JobRecord,
    SchedulerWord,
    failed_jobs,
    finished_stages,
    read_records,
    scheduler_words,
)
from caiman_pipeline.results.atomic import whole_file
from caiman_pipeline.stages import (
    BENCHMARKS,
    LOGS,
    STAGES,
    in_order,
    last_stages,
    needed_by,
    path_of,
    results_of,
    stage_of,
)

STATES = ("ok", "ok_empty", "failed", "waiting")
KILLED = "the job was ended without a word"
# A job that had come so close to the memory that it was granted was most likely killed for it; the last step is unseen.
CLOSE = 0.5
# The time stamp, s since 1970, of results whose stage has failed since: older than anything that they could be made of.
LONG_AGO_S = 1


@dataclass(frozen=True)
class RecordingState:
    """One line of the summary.

    Attributes
    ----------
    state : ok, ok_empty (no accepted cell), failed or waiting (not run to the end)
    stage, reason, log : where and why it failed, or what it waits for; empty if ok
    seconds : of all jobs together
    costs : what each stage took, for `timings.tsv`
    """

    recording: str
    state: str
    stage: str = ""
    reason: str = ""
    log: str = ""
    frames: int | None = None
    cells_accepted: int | None = None
    cells_found: int | None = None
    seconds: float = 0.0
    warnings: int = 0
    costs: tuple[StageUse, ...] = ()


def collect_states(results: Path, recordings: Iterable[str], *, ended: bool = False) -> list[RecordingState]:
    """Return the state of each recording, in the order given; once a run has ``ended``, no job is running."""
    return [recording_state(results / name, name, ended=ended) for name in recordings]


def recording_state(
    folder: Path, recording: str, *, ended: bool = False, records: list[JobRecord] | None = None
) -> RecordingState:
    """Find out how far a recording has come: a failure first, then a job that died, then whether all is there.

    ``records`` are the recording's, where they are read already.
    """
    records = read_records(folder / LOGS) if records is None else records
    told = scheduler_words(folder / LOGS, records)
    running = [] if ended else [r for r in records if r.log not in told and r.is_running()]
    costs = tuple(stage_uses(folder / BENCHMARKS, records))
    known = RecordingState(
        recording=recording,
        state="waiting",
        frames=_count_frames(path_of(folder, "movie_info")),
        seconds=round(sum(cost.seconds for cost in costs), 2),
        costs=costs,
        warnings=len({text for record in records for text in record.warnings}),
    )
    failure = _first_failure([r for r in records if r not in running], told)
    if failure is not None:
        stage, reason, log = failure
        return replace(known, state="failed", stage=stage, reason=reason, log=log)
    if running:
        return replace(known, stage=running[-1].stage, reason="is running")
    waiting = _what_is_missing(folder, records)
    if waiting is not None:
        return replace(known, stage=waiting[0], reason=waiting[1])
    overview = _read_json(path_of(folder, "overview"))
    return replace(
        known,
        state="ok" if overview.get("accepted") else "ok_empty",
        reason=str(overview.get("reason", "")) or _unreadable(records),
        cells_accepted=overview.get("accepted"),
        cells_found=overview.get("found"),
    )


def _first_failure(records: list[JobRecord], told: dict[Path, SchedulerWord]) -> tuple[str, str, str] | None:
    """Return stage, reason and log of the earliest failure that no later success has overtaken.

    ``records`` are those of jobs that are not at work, ``told`` is what the scheduler says of jobs.
    """
    by_log = {r.log: r for r in records}
    silent = [r for r in records if r.state == SILENT]
    places = {r.log.name: r.log for r in [*failed_jobs(records, ended=True), *silent]}
    places |= {log.name: log for log in told}
    for name in in_order(places):
        path, stage = places[name], stage_of(name)
        record, word = by_log.get(path), told.get(path)
        times = [known.time_ns for known in (record, word) if known is not None]
        if not _overtaken(stage, max(times), records):
            own = _last_words(record)
            elsewhere = word is not None and word.started and not own
            return stage, _reason(own, word), word.log if word and elsewhere else str(path)
    return None


def _last_words(record: JobRecord | None) -> str:
    """Return what a job's record says of how the job ended; nothing where none was written."""
    if record is None or record.state in (SILENT, UNREADABLE):
        return ""
    return _why_killed(record) if record.state == RUNNING else record.reason


def _reason(own: str, word: SchedulerWord | None) -> str:
    """Put together what a job says of its end (nothing, where it did not start) and what the scheduler says of it."""
    if word is None:
        return own or f"{NOT_STARTED}. Look for the reason in Snakemake's output (.snakemake/log)"
    if not word.started:
        return word.says  # of a refused job; what it had said is of an earlier attempt
    if not own:
        return f"{NOT_STARTED} ({word.says})"
    return own if word.says.endswith("FAILED") else f"{own} ({word.says})"


def _why_killed(record: JobRecord) -> str:
    """Say what a job had that ended without a word, and what it needs if that was memory."""
    granted, reached = record.granted_mb, record.peak_memory_mb
    if not granted or reached < CLOSE * granted:
        return f"{KILLED}, at {reached:.0f} MB: by hand, by the machine, for memory, or it crashed; which is not known"
    return (
        f"{KILLED}, probably out of memory: it was granted {granted:.0f} MB and had reached "
        f"{reached:.0f} MB. Give it {2 * granted:.0f} MB: run again with `--set-resources "
        f"{record.stage}:mem_mb={2 * granted:.0f}`, or with `--retries 2`, which does so by itself"
    )


def _unreadable(records: Iterable[JobRecord]) -> str:
    """Say which jobs left a record that cannot be read, and why; nothing where all can be."""
    found = [r for r in records if r.state == UNREADABLE]
    more = f" (and {len(found) - 1} more jobs)" if len(found) > 1 else ""
    return f"{found[0].job}: {found[0].reason}{more}" if found else ""


def _overtaken(stage: str, since_ns: int, records: list[JobRecord]) -> bool:
    """Say whether a stage that needs this one has finished since: then the trace is of an earlier run."""
    later = needed_by(stage)
    return any(r.stage in later and r.finished and r.time_ns > since_ns for r in records)


def _what_is_missing(folder: Path, records: list[JobRecord]) -> tuple[str, str] | None:
    """Return the stage that has not run and why, or None where all results are there."""
    ends = last_stages()
    expected = [path_of(folder, output) for stage in ends for output in stage.outputs]
    elsewhere = _on_store(folder)
    gone = [path for path in expected if not path.exists() and str(path.relative_to(folder)) not in elsewhere]
    finished = finished_stages(records)
    todo = [stage for stage in STAGES if stage not in finished]
    if gone:
        unknown = _unreadable(r for r in records if r.stage in todo)
        return (todo[0], unknown or "not run yet") if todo else (gone[0].parent.name, f"{gone[0]} was removed")
    times = {r.stage: r.time_ns / 1e9 for r in records if r.state != UNREADABLE}
    ended = [times.pop(stage.name) for stage in ends if stage.name in times]
    newer = [stage for stage, time in times.items() if ended and time > min(ended) + 1]
    return (newer[-1], "ran again, but what needs it has not yet") if newer else None


def _on_store(folder: Path) -> set[str]:
    """Return what an object store is known to have of a recording, see ``fetching.py``."""
    listing = folder / ON_STORE
    return set(listing.read_text(encoding="utf-8").splitlines()) if listing.exists() else set()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _count_frames(path: Path) -> int | None:
    files = _read_json(path).get("files")
    return sum(f["n_frames"] for f in files) if files else None


def age_old_results(results: Path, recordings: Iterable[str]) -> list[Path]:
    """Give results that Snakemake put back after their stage had failed a time before all others; return them.

    Put back, they look new, and the next run would take them for made from what they could not be made from.
    """
    aged = []
    for folder in (results / name for name in recordings):
        for record in failed_jobs(read_records(folder / LOGS), ended=True):
            for path in filter(Path.is_file, results_of(folder, record.job)):
                os.utime(path, (LONG_AGO_S, LONG_AGO_S))
                aged.append(path)
    return aged


def count_states(states: Iterable[RecordingState]) -> dict[str, int]:
    """Count recordings by state, in a fixed order, states without a recording left out."""
    counts = Counter(s.state for s in states)
    return {state: counts[state] for state in STATES if counts[state]}


def write_summary(path: Path, states: Iterable[RecordingState]) -> None:
    """Write one line per recording, tab-separated with a header."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, escapechar="\\")
        columns = [f.name for f in fields(RecordingState) if f.name != "costs"]
        writer.writerow(columns)
        for state in states:
            cells = (getattr(state, column) for column in columns)
            writer.writerow(" ".join(str(v).split()) if v is not None else "" for v in cells)


def write_timings(path: Path, states: Iterable[RecordingState]) -> None:
    """Write what each stage of each recording took, one line each, tab-separated with a header."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(("recording", *(f.name for f in fields(StageUse))))
        for state in states:
            writer.writerows(
                (state.recording, c.stage, c.jobs, f"{c.seconds:.2f}", f"{c.memory_mb:.0f}") for c in state.costs
            )
