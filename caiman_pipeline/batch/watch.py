"""What a job writes down of itself while it works: that it lives, its memory, how far it has come, and how it ended.

A process that is killed for memory leaves no last word, so its record holds how far it had come before. Renewing the
record costs a small file each time, on a file system that a thousand jobs may share: seldom where nothing is new, at
once where the memory has passed a mark beyond which the job may be killed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from caiman_pipeline import __version__
from caiman_pipeline.batch.job_records import RUNNING, JobRecord, Progress, now, record_of, stage_of
from caiman_pipeline.results.atomic import renew_text, write_text
from caiman_pipeline.results.processes import process_space, process_start

log = logging.getLogger("caiman_pipeline")
LOOK_EVERY_S, EVERY_S, WORTH_TELLING = 0.5, 8.0, 1.15
# Shares of the memory granted that are written down as soon as they are passed: a growing job is killed soon after.
MARKS = (0.5, 0.7, 0.85, 0.95)
# Where schedulers tell a job its number.
SCHEDULER_NUMBERS = ("SLURM_JOB_ID", "AWS_BATCH_JOB_ID", "LSB_JOBID", "PBS_JOBID")
SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StoppedError(BaseException):
    """The job was told to stop: by a scheduler's time limit, a cancellation, or a machine that goes down.

    Not an ``Exception``: nothing but the end of the job handles it, after temporary outputs were removed.
    """


class RecordKeeper:
    """Holds the record of the job that this process is, and writes it.

    Parameters
    ----------
    path : where it is written; a job without a log keeps none
    record : as the job starts
    """

    def __init__(self, path: Path | None, record: JobRecord) -> None:
        self._path, self._record = path, record
        self._lock = threading.Lock()
        self._clock = time.perf_counter()
        self._written_s, self._pause_s, self._told_mb = 0.0, LOOK_EVERY_S, 0.0
        self._cannot = False

    def begin(self) -> None:
        """Write the record for the first time; what killed attempts left half written goes.

        Raises
        ------
        PipelineError
            If it cannot be written.
        """
        if self._path is not None:
            self._record = self._measured()
            write_text(self._path, self._record.as_json())

    def note_progress(self, progress: Progress) -> None:
        """Remember how far the job has come; it is written with what is written next."""
        with self._lock:
            self._record = replace(self._record, progress=progress)

    def note_warning(self, text: str) -> None:
        """Remember what the job warns of, each text once."""
        with self._lock:
            if text not in self._record.warnings:
                self._record = replace(self._record, warnings=(*self._record.warnings, text))

    def end(self, state: str, reason: str = "") -> JobRecord:
        """Write how the job ended; return its last record."""
        with self._lock:
            self._record = replace(self._measured(), state=state, reason=reason, ended=now())
            self._write()
        return self._record

    def look(self) -> None:
        """Write the record if it is time to, or if the memory has grown so much that it must be known."""
        reached, waited = memory_mb()[1], time.perf_counter() - self._clock - self._written_s
        grown = reached > self._told_mb * WORTH_TELLING and waited >= self._pause_s
        granted = self._record.granted_mb
        passed = any(self._told_mb < mark * granted <= reached for mark in MARKS)
        if waited >= EVERY_S or grown or passed:
            self._pause_s = min(2 * self._pause_s, EVERY_S)
            with self._lock:
                self._record = self._measured()
                self._write()

    def _measured(self) -> JobRecord:
        """Return the record with time and memory of this moment."""
        memory, peak = memory_mb()
        seconds = time.perf_counter() - self._clock
        self._written_s, self._told_mb = seconds, peak
        return replace(
            self._record,
            updated=now(),
            seconds=round(seconds, 3),
            memory_mb=round(memory, 1),
            peak_memory_mb=round(peak, 1),
        )

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            renew_text(self._path, self._record.as_json())
        except OSError as error:
            if not self._cannot:
                log.error("%s cannot be renewed (%s)", self._path, error.strerror)
            self._cannot = True


_KEEPER: list[RecordKeeper] = []


def first_record(stage: str, args: argparse.Namespace, threads: int) -> JobRecord:
    """Return the record of the job that this process is, as it starts with a verb's arguments."""
    path: Path = args.log or Path()
    recording = path.absolute().parent.parent.name if path.parent.name == "logs" else ""
    process = os.getpid()
    return JobRecord(
        stage=stage,
        recording=recording,
        item=path.name.removesuffix(".log").removeprefix(stage_of(path)).removeprefix("."),
        state=RUNNING,
        version=__version__,
        process=process,
        process_start=process_start(process),
        process_space=process_space(),
        host=socket.gethostname(),
        scheduler_job=next((os.environ[name] for name in SCHEDULER_NUMBERS if os.environ.get(name)), ""),
        threads=threads,
        granted_mb=float(max(getattr(args, "memory_mb", 0), 0)),
        started=now(),
        settings=_parsed(getattr(args, "settings", None)),
    )


def _parsed(settings: str | None) -> dict[str, Any]:
    try:
        values = json.loads(settings or "{}")
    except ValueError:  # the stage says what is wrong with them
        return {}
    return values if isinstance(values, dict) else {}


def keeper_of(log_file: Path | None, record: JobRecord) -> RecordKeeper:
    """Return who keeps a job's record beside its log."""
    return RecordKeeper(None if log_file is None else record_of(log_file), record)


def note_progress(what: str, done: int, total: int) -> None:
    """Enter how far the job of this process has come, if it keeps a record."""
    for keeper in _KEEPER:
        keeper.note_progress(Progress(what, done, total))


def note_warning(text: str) -> None:
    """Enter what the job of this process warns of, if it keeps a record."""
    for keeper in _KEEPER:
        keeper.note_warning(text)


@contextmanager
def watched(keeper: RecordKeeper) -> Iterator[None]:
    """Keep the job's record up to date; turn a request to stop into ``StoppedError``."""
    before = {number: signal.signal(number, _stop) for number in SIGNALS} if _in_main_thread() else {}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(keeper, done), daemon=True)
    _KEEPER.append(keeper)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        _KEEPER.remove(keeper)
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _stop(number: int, frame: FrameType | None) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise StoppedError(signal.Signals(number).name)


def _watch(keeper: RecordKeeper, done: threading.Event) -> None:
    while not done.wait(LOOK_EVERY_S):
        keeper.look()


def memory_mb() -> tuple[float, float]:
    """Return the process's resident memory now and at its peak, MB.

    Linux hands ``ru_maxrss`` of the process that started this one down to it, so its own high-water mark is read there.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        now_kb, peak_kb = (int(status.split(name)[1].split()[0]) for name in ("VmRSS:", "VmHWM:"))
        return now_kb * 1024 / 1e6, peak_kb * 1024 / 1e6
    except (OSError, IndexError):
        import resource

        import psutil

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return psutil.Process().memory_info().rss / 1e6, (peak if sys.platform == "darwin" else peak * 1024) / 1e6
