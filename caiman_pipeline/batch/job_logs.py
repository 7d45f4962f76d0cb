"""What the jobs of a recording left behind: logs, records of failures, and Snakemake's benchmark files.

Standard library only, since the summary reads them for a thousand recordings.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STAGE_ORDER = (
    "inspect",
    "motion_template",
    "motion_correct",
    "memmap_join",
    "summary_images",
    "patch_cnmf",
    "merge",
    "refine",
    "evaluate",
    "traces",
    "select",
    "export_nwb",
    "report",
)
# What an object store has of a recording, one path a line: the files themselves stay there (fetching.py).
ON_STORE = "on_store.txt"
LINE = re.compile(r"^\S+ \S+ (?P<level>[A-Z]+) (?P<text>.*)$")
STARTED = re.compile(r"^(?P<stage>\w+): caiman_pipeline (?P<version>\S+), (?P<threads>\d+) threads$")
JOB = re.compile(
    r"^job: process (?P<process>\d+) on (?P<host>\S+), (?:(?P<granted>\d+) MB granted|no memory limit known)"
    r"(?:, SLURM job (?P<slurm>\S+))?$"
)
MEMORY = re.compile(r"^memory: (?P<memory>\d+) MB$")
# A job renews its log's time stamp more often than that, see watch.py.
SILENCE_S = 120.0
DONE = re.compile(r"^\w+: done in (?P<seconds>[\d.]+) s, peak memory (?P<memory>\d+) MB$")


@dataclass(frozen=True)
class JobLog:
    """One job's log.

    Attributes
    ----------
    job : name of the log, the stage and for scattered jobs the item, like ``patch_cnmf.1-of-4``
    finished : whether the job came to its end
    error : the last error that it logged
    memory_mb : peak memory; of a job that did not come to its end, what it had reached when it was last looked at
    process, host, slurm_job, granted_mb : where it runs or ran, and the memory that it was granted
    """

    job: str
    path: Path
    finished: bool = False
    version: str = ""
    seconds: float = 0.0
    memory_mb: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str = ""
    process: int = 0
    host: str = ""
    slurm_job: str = ""
    granted_mb: float = 0.0

    def is_running(self) -> bool:
        """Tell whether the job still lives: by its process on this machine, elsewhere by its log's time stamp."""
        if self.finished:
            return False
        if self.host == socket.gethostname() and self.process:
            return _exists(self.process)
        return time.time() - self.path.stat().st_mtime < SILENCE_S

    @property
    def stage(self) -> str:
        """Stage that the job belongs to."""
        return self.job.split(".", 1)[0]


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class StageCost:
    """What a stage took: jobs, seconds of all jobs together, and the memory of the largest, MB (0 where unknown)."""

    stage: str
    jobs: int
    seconds: float
    memory_mb: float


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names that start with a stage by the order of the stages; unknown ones come last."""

    def place(name: str) -> tuple[int, str]:
        stage = name.split(".", 1)[0]
        return (STAGE_ORDER.index(stage) if stage in STAGE_ORDER else len(STAGE_ORDER), name)

    return sorted(names, key=place)


def read_log(path: Path) -> JobLog:
    """Read one job's log; lines of another form are passed over."""
    found: dict[str, Any] = {}
    warnings = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        text = match["text"]
        if match["level"] == "WARNING":
            warnings.append(text)
        elif match["level"] == "ERROR":
            found["error"] = text
        elif started := STARTED.match(text):
            found["version"] = started["version"]
        elif text.startswith("settings {"):
            found["settings"] = _json_object(text.removeprefix("settings "))
        elif job := JOB.match(text):
            found |= {"process": int(job["process"]), "host": job["host"], "slurm_job": job["slurm"] or ""}
            found["granted_mb"] = float(job["granted"] or 0)
        elif reached := MEMORY.match(text):
            found["memory_mb"] = float(reached["memory"])
        elif done := DONE.match(text):
            found |= {"finished": True, "seconds": float(done["seconds"]), "memory_mb": float(done["memory"])}
    return JobLog(job=path.name.removesuffix(".log"), path=path, warnings=tuple(warnings), **found)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read_logs(folder: Path) -> list[JobLog]:
    """Read a recording's logs, in the order of the stages."""
    paths = {p.name: p for p in folder.glob("*.log")}
    return [read_log(paths[name]) for name in in_order(paths)]


def failure_logs(folder: Path) -> dict[Path, Path]:
    """Return the records of failed jobs in a folder of logs, by the log that each stands beside."""
    records = folder.glob("*.failed.json")
    return {folder / f"{record.name.removesuffix('.failed.json')}.log": record for record in records}


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


def scheduler_words(folder: Path) -> dict[Path, SchedulerWord]:
    """Return what the scheduler says of failed jobs in a folder of logs, by the job's log; not of those done since."""
    found = {}
    for record in folder.glob("*.scheduler.json"):
        log = folder / f"{record.name.removesuffix('.scheduler.json')}.log"
        when = record.stat().st_mtime_ns
        if not (log.exists() and log.stat().st_mtime_ns > when and read_log(log).finished):
            told = read_failure(record)
            found[log] = SchedulerWord(told.get("says", ""), when, told.get("log", ""))
    return found


def read_failure(record: Path) -> dict[str, str]:
    """Read the record of a failed job: stage, reason, log; empty if it is damaged."""
    return {k: str(v) for k, v in _json_object(record.read_text(encoding="utf-8", errors="replace")).items()}


def read_benchmark(path: Path) -> tuple[float, float]:
    """Return a job's seconds and peak resident memory, MB; 0 for what Snakemake could not measure."""
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line]
    row = dict(zip(lines[0], lines[-1], strict=False)) if len(lines) > 1 else {}
    return _number(row.get("s", "")), _number(row.get("max_rss", ""))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if value == value else 0.0


def stage_costs(benchmarks: Path, logs: Iterable[JobLog]) -> list[StageCost]:
    """Add up what each stage took: seconds summed and memory of the largest over the jobs of a stage.

    Seconds come from the benchmark files, process start included. Memory is the larger of Snakemake's samples and
    what the job's log says, since samples miss the peak of short jobs.
    """
    paths = {p.name.removesuffix(".tsv"): p for p in benchmarks.glob("*.tsv")}
    by_job = {log.job: log for log in logs}
    total: dict[str, StageCost] = {}
    for job in in_order(paths):
        seconds, memory = read_benchmark(paths[job])
        stage = job.split(".", 1)[0]
        so_far = total.get(stage, StageCost(stage, 0, 0.0, 0.0))
        logged = by_job[job].memory_mb if job in by_job else 0.0
        total[stage] = StageCost(
            stage, so_far.jobs + 1, so_far.seconds + seconds, max(so_far.memory_mb, memory, logged)
        )
    return list(total.values())
