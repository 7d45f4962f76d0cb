"""What the verbs of stages share: common arguments, threads, log, progress, and the record of the job."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caiman_pipeline.batch import watch
from caiman_pipeline.batch.job_records import DONE, FAILED, STOPPED, JobRecord, scheduler_record
from caiman_pipeline.batch.watch import RecordKeeper, StoppedError, first_record, keeper_of, memory_mb, watched
from caiman_pipeline.model.errors import PipelineError
from caiman_pipeline.movies.store.traffic import TRAFFIC
from caiman_pipeline.numerics.threads import available_cores, limit_library_threads
from caiman_pipeline.results.provenance import kept_ledger, note_warning

log = logging.getLogger("caiman_pipeline")
STOPPED_STATUS = 143


def add_stage_arguments(parser: argparse.ArgumentParser, *, settings: bool = True) -> None:
    """Declare the arguments that every stage takes."""
    if settings:
        parser.add_argument("--settings", required=True, help="the stage's resolved settings, as JSON")
    parser.add_argument("--threads", type=int, default=0, help="threads to use (default: all cores granted)")
    parser.add_argument("--memory-mb", type=int, default=0, help="memory granted, MB: to be told where it did not do")
    parser.add_argument("--log", type=Path, help="write the log to this file instead of standard error")


@contextmanager
def stage_job(stage: str, args: argparse.Namespace) -> Iterator[int]:
    """Set up threads and log, yield the number of threads, and keep the job's record, see ``batch/job_records.py``.

    Enter it before anything that imports numpy.
    """
    threads = min(args.threads if args.threads > 0 else sys.maxsize, available_cores())
    limit_library_threads(threads)
    _open_log(args.log)
    record = first_record(stage, args, threads)
    keeper = keeper_of(args.log, record)
    keeper.begin()
    if args.log:
        scheduler_record(args.log).unlink(missing_ok=True)
    log.info("%s: %s", stage, _who(record))
    if getattr(args, "settings", None):
        log.info("settings %s", args.settings)
    with _failure_recorded(stage, keeper), watched(keeper), kept_ledger(stage):
        yield threads
    if TRAFFIC.requests:
        log.info("%s", TRAFFIC)
    last = keeper.end(DONE)
    log.info("%s: done in %.1f s, peak memory %.0f MB", stage, last.seconds, last.peak_memory_mb)


@contextmanager
def _failure_recorded(stage: str, keeper: RecordKeeper) -> Iterator[None]:
    """Write into log and record why a job inside failed or was stopped."""
    try:
        yield
    except (StoppedError, KeyboardInterrupt) as error:
        reason = f"stopped before it was done ({str(error) or 'interrupted'}): cancelled, or its time limit was reached"
        log.error("%s", reason)
        keeper.end(STOPPED, reason)
        sys.exit(STOPPED_STATUS)
    except PipelineError as error:
        log.error("%s", error)
        keeper.end(FAILED, str(error))
        raise
    except Exception as error:
        log.exception("%s failed", stage)
        keeper.end(FAILED, _unforeseen(error))
        raise


def _unforeseen(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"no memory left ({str(error) or 'a small piece'}) at {memory_mb()[1]:.0f} MB"
    return f"unforeseen {type(error).__name__}: {error}"


def _who(record: JobRecord) -> str:
    """Say for people what runs where, with what."""
    memory = f", {record.granted_mb:.0f} MB granted" if record.granted_mb else ""
    scheduler = f", job {record.scheduler_job} of the scheduler" if record.scheduler_job else ""
    where = f"process {record.process} on {record.host}"
    return f"caiman_pipeline {record.version}, {record.threads} threads, {where}{memory}{scheduler}"


def _open_log(path: Path | None) -> None:
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler: logging.Handler = logging.FileHandler(path, mode="w", encoding="utf-8")
        except OSError as error:
            raise PipelineError(f"{path}: cannot be written ({error.strerror}). Check `paths.results`.") from error
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.addHandler(_WarningNotes(logging.WARNING))
    log.setLevel(logging.INFO)


class _WarningNotes(logging.Handler):
    """Note warnings in the job's record, and for the results that the job writes after them."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            note_warning(record.getMessage())
            watch.note_warning(record.getMessage())


def progress(what: str) -> Callable[[int, int], None]:
    """Return a function to call with the units done and in all: a bar on a terminal, lines with an ETA in a log."""
    started, last = time.perf_counter(), [0.0]
    bar = sys.stderr.isatty()

    def report(done: int, total: int) -> None:
        watch.note_progress(what, done, total)
        elapsed = time.perf_counter() - started
        if elapsed - last[0] < (0.1 if bar else 5.0) and done < total:
            return
        last[0] = elapsed
        remaining = elapsed / max(done, 1) * (total - done)
        if bar:
            filled = 30 * done // max(total, 1)
            end = "\n" if done == total else ""
            print(f"\r{what} [{'#' * filled:<30}] {done}/{total}, {remaining:.0f} s left ", end=end, file=sys.stderr)
        else:
            log.info("%s: %d of %d, %.1f s, ETA %.0f s", what, done, total, elapsed, remaining)

    return report


def parse_share(text: str) -> tuple[int, int]:
    """Read a scatter item like ``2-of-4`` as (number from 0, how many).

    Raises
    ------
    PipelineError
        If it is not one.
    """
    number, _, count = text.partition("-of-")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise PipelineError(f"{text!r} is not a share of the work like 2-of-4.")
    return int(number) - 1, int(count)
