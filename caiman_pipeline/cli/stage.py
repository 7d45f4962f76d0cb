"""What the verbs of stages share: common arguments, threads, log, progress, and a record of failures."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from caiman_pipeline import __version__
from caiman_pipeline.batch.job_logs import scheduler_record
from caiman_pipeline.batch.watch import StoppedError, peak_memory_mb, watched
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
    """Set up threads and log, yield the number of threads, log seconds and peak memory, record a foreseen failure.

    Enter it before anything that imports numpy.
    """
    threads = min(args.threads if args.threads > 0 else sys.maxsize, available_cores())
    limit_library_threads(threads)
    _open_log(args.log)
    if args.log:
        failure_record(args.log).unlink(missing_ok=True)
        scheduler_record(args.log).unlink(missing_ok=True)
    log.info("%s: caiman_pipeline %s, %d threads", stage, __version__, threads)
    if getattr(args, "settings", None):
        log.info("settings %s", args.settings)
    started = time.perf_counter()
    try:
        with watched(args.log, granted_mb=getattr(args, "memory_mb", 0)), kept_ledger(stage):
            yield threads
    except (StoppedError, KeyboardInterrupt) as error:
        reason = f"stopped before it was done ({str(error) or 'interrupted'}): cancelled, or its time limit was reached"
        log.error("%s", reason)
        _record_failure(stage, reason, args)
        sys.exit(STOPPED_STATUS)
    except MemoryError as error:
        log.exception("%s failed", stage)
        _record_failure(stage, f"no memory left ({str(error) or 'a small piece'}) at {peak_memory_mb():.0f} MB", args)
        raise
    except PipelineError as error:
        log.error("%s", error)
        _record_failure(stage, str(error), args)
        raise
    except Exception as error:
        log.exception("%s failed", stage)
        _record_failure(stage, f"unforeseen {type(error).__name__}: {error}", args)
        raise
    if TRAFFIC.requests:
        log.info("%s", TRAFFIC)
    log.info("%s: done in %.1f s, peak memory %.0f MB", stage, time.perf_counter() - started, peak_memory_mb())


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
    """Note warnings for the results that the job writes after them."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            note_warning(record.getMessage())


def failure_record(log_file: Path) -> Path:
    """Return where the reason of a failed job is kept: beside its log, gone when the job is run again."""
    return log_file.with_suffix(".failed.json")


def _record_failure(stage: str, reason: str, args: argparse.Namespace) -> None:
    if args.log is None:
        return
    record = {"stage": stage, "reason": reason, "log": str(args.log)}
    try:
        failure_record(args.log).write_text(json.dumps(record, indent=1), encoding="utf-8")
    except OSError as error:
        log.error("the reason could not be recorded (%s)", error.strerror)


def progress(what: str) -> Callable[[int, int], None]:
    """Return a function to call with the units done and in all: a bar on a terminal, lines with an ETA in a log."""
    started, last = time.perf_counter(), [0.0]
    bar = sys.stderr.isatty()

    def report(done: int, total: int) -> None:
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
