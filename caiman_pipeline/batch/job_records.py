"""What a job says of itself, as data: one JSON file beside its log, whole or absent, renewed while the job works.

Who looks at a results folder reads these records and never the log, which is for people. Each file has one writer: the
record is the job's own, and what a scheduler says of it is kept beside it by Snakemake's process, which may not yet see
the job's last words on a network file system. Standard library only: the summary reads those of a thousand recordings.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from caiman_pipeline.results.processes import process_space, process_start
from caiman_pipeline.stages import in_order

SCHEMA = 1
# What an object store has of a recording, one path a line: the files themselves stay there (fetching.py).
ON_STORE = "on_store.txt"
ENDING = ".job.json"
# What a job writes of itself.
RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"
# What is found where a job wrote nothing at all, or a record that this version cannot read.
SILENT, UNREADABLE = "silent", "unreadable"
# A job renews its record more often than that, see watch.py.
SILENCE_S = 120.0
NOT_STARTED = "the job ended before it wrote to its log, or never started"
EARLIER = (
    "its log is of an earlier version of caiman_pipeline, which kept no record of the job: how it ended is not known. "
    "Run the workflow, which makes what is missing"
)
NOT_OF_THE_FILE = ("path", "time_ns")


@dataclass(frozen=True)
class Progress:
    """How far a job has come: units done and in all, and what they are."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class JobRecord:
    """One job's record.

    Attributes
    ----------
    stage, recording, item : what the job does; ``item`` is its share of a scattered stage, like ``2-of-4``, else empty
    state : running, done, failed or stopped; silent or unreadable where there is no record to read
    process, process_start, process_space : its process, see ``results/processes.py``
    host, scheduler_job : where it runs or ran, and its number at the scheduler
    threads, granted_mb : what it was granted (0: no limit known), MB
    started, updated, ended : ISO 8601, UTC; ``ended`` is empty while it works
    seconds : since it started, until it was last written
    memory_mb, peak_memory_mb : resident memory when it was last written, and the most until then, MB
    reason : why it failed or was stopped
    settings : what it ran with
    path, time_ns : the record's file and when it was written, ns since 1970; not in the file
    """

    stage: str
    recording: str = ""
    item: str = ""
    state: str = RUNNING
    version: str = ""
    process: int = 0
    process_start: str = ""
    process_space: str = ""
    host: str = ""
    scheduler_job: str = ""
    threads: int = 0
    granted_mb: float = 0.0
    started: str = ""
    updated: str = ""
    ended: str = ""
    seconds: float = 0.0
    memory_mb: float = 0.0
    peak_memory_mb: float = 0.0
    progress: Progress | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    path: Path = Path()
    time_ns: int = 0

    @property
    def job(self) -> str:
        """Name of the job: the stage, and for scattered jobs the item, like ``patch_cnmf.1-of-4``."""
        return self.path.name.removesuffix(ENDING)

    @property
    def log(self) -> Path:
        """The log that the record lies beside."""
        return log_of(self.path)

    @property
    def finished(self) -> bool:
        """Whether the job came to its end and made what it should."""
        return self.state == DONE

    def is_running(self) -> bool:
        """Tell whether the job is at work: by its process where that can be seen from here, else by its last word."""
        if self.state == SILENT:
            return time.time() - self.time_ns / 1e9 < SILENCE_S
        if self.state != RUNNING:
            return False
        if self.process_space == process_space():
            return process_start(self.process) == self.process_start
        return time.time() - _seconds(self.updated) < SILENCE_S

    def as_json(self) -> str:
        """Return the record as it is written."""
        values = {name: value for name, value in asdict(self).items() if name not in NOT_OF_THE_FILE}
        return json.dumps({"schema": SCHEMA, **values}, indent=1)


def now() -> str:
    """Return this moment as records write it: ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def record_of(log: Path) -> Path:
    """Return where the record of a job is, by its log."""
    return log.with_name(log.name.removesuffix(".log") + ENDING)


def log_of(record: Path) -> Path:
    """Return where the log of a job is, by its record."""
    return record.with_name(record.name.removesuffix(ENDING) + ".log")


def read_record(path: Path) -> JobRecord:
    """Read one job's record; one that is missing, damaged or of another version says so in ``state`` and ``reason``."""
    try:
        text, time_ns = path.read_text(encoding="utf-8"), path.stat().st_mtime_ns
    except FileNotFoundError:
        text, time_ns = "", 0
    except ValueError:
        return _not_read(path, f"{path} is damaged. Delete it and run the workflow again")
    if not text:  # Snakemake makes an empty one where a job has left none
        return _without_record(path)
    try:
        return _parse(text, path, time_ns)
    except (ValueError, TypeError, KeyError):
        return _not_read(path, f"{path} is damaged. Delete it and run the workflow again")


def _parse(text: str, path: Path, time_ns: int) -> JobRecord:
    values = json.loads(text)
    if values["schema"] != SCHEMA:
        return _not_read(
            path,
            f"{path} has the form {values['schema']}, this version reads form {SCHEMA}: use the version of "
            f"caiman_pipeline that wrote it ({values.get('version', 'unknown')})",
        )
    known = {f.name for f in fields(JobRecord)} - set(NOT_OF_THE_FILE)
    told = {name: values[name] for name in known}
    _seconds(told["updated"])
    progress = Progress(**told["progress"]) if told["progress"] else None
    parts = {"progress": progress, "warnings": tuple(told["warnings"]), "path": path, "time_ns": time_ns}
    return JobRecord(**{**told, **parts})


def _without_record(path: Path) -> JobRecord:
    """Tell a job that wrote nothing at all from one whose log is of a version that kept no records."""
    log = log_of(path)
    if log.exists() and log.stat().st_size:
        return _not_read(path, EARLIER)
    there = log if log.exists() else path
    time_ns = there.stat().st_mtime_ns if there.exists() else 0
    return JobRecord(stage_of(path), state=SILENT, reason=NOT_STARTED, path=path, time_ns=time_ns)


def _not_read(path: Path, reason: str) -> JobRecord:
    there = path if path.exists() else log_of(path)
    time_ns = there.stat().st_mtime_ns if there.exists() else 0
    return JobRecord(stage_of(path), state=UNREADABLE, reason=reason, path=path, time_ns=time_ns)


def stage_of(path: Path) -> str:
    """Return the stage that a job's log or record belongs to, by its name."""
    return path.name.split(".", 1)[0]


def read_records(folder: Path) -> list[JobRecord]:
    """Read the records of a recording's folder of logs, in the order of the stages."""
    paths = {p.name: p for p in folder.glob(f"*{ENDING}")}
    paths |= {record.name: record for record in map(record_of, folder.glob("*.log"))}
    return [read_record(paths[name]) for name in in_order(paths)]


def failed_jobs(records: Iterable[JobRecord], *, ended: bool) -> list[JobRecord]:
    """Return the jobs that failed or were stopped, and once a run has ``ended`` those that were killed."""
    return [r for r in records if r.state in (FAILED, STOPPED) or (ended and r.state == RUNNING)]


def finished_stages(records: Iterable[JobRecord]) -> set[str]:
    """Return the stages whose jobs have all ended well: of those cut into n, all n of one cut.

    Records of an earlier run, which cut a stage otherwise, may lie beside them.
    """
    ended = Counter((r.stage, int(r.item.rsplit("-of-", 1)[1]) if r.item else 1) for r in records if r.finished)
    return {stage for (stage, wanted), count in ended.items() if count >= wanted}


def scheduler_record(log: Path) -> Path:
    """Return where is kept what the scheduler says of a job that failed: beside its log, gone when the job starts."""
    return log.with_name(f"{log.name.removesuffix('.log')}.scheduler.json")


@dataclass(frozen=True)
class SchedulerWord:
    """What the scheduler says of a failed job, when (ns since 1970), and its own log of the job, if it started one."""

    says: str
    time_ns: int
    log: str

    @property
    def started(self) -> bool:
        """Whether the job was started at all, or else refused."""
        return bool(self.log)


def scheduler_words(folder: Path, records: Iterable[JobRecord]) -> dict[Path, SchedulerWord]:
    """Return what the scheduler says of failed jobs in a folder of logs, by the job's log; not of those done since."""
    done = {record.log: record.time_ns for record in records if record.finished}
    found = {}
    for path in folder.glob("*.scheduler.json"):
        log = folder / f"{path.name.removesuffix('.scheduler.json')}.log"
        when = path.stat().st_mtime_ns
        if done.get(log, 0) <= when:
            told = json.loads(path.read_text(encoding="utf-8"))
            found[log] = SchedulerWord(told["says"], when, told["log"])
    return found
