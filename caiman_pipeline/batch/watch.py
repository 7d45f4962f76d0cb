"""What a job says while it works: how much memory it has reached, that it still lives, and that it was told to stop.

A process that is killed for memory leaves no last word, so the log holds how far it had come before. The log's time
stamp is renewed while the job lives: who looks at the results folder from another machine can tell a running job by it.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

log = logging.getLogger("caiman_pipeline")
EVERY_S, ALIVE_EVERY_S, WORTH_TELLING = 0.5, 20.0, 1.15
SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class StoppedError(BaseException):
    """The job was told to stop: by a scheduler's time limit, a cancellation, or a machine that goes down.

    Not an ``Exception``: nothing but the end of the job handles it, after temporary outputs were removed.
    """


@contextmanager
def watched(log_file: Path | None, *, granted_mb: int) -> Iterator[None]:
    """Log memory as it grows and renew the log's time stamp; turn a request to stop into ``StoppedError``."""
    log.info("job: process %d on %s, %s", os.getpid(), socket.gethostname(), _granted(granted_mb))
    before = {number: signal.signal(number, _stop) for number in SIGNALS} if _in_main_thread() else {}
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(log_file, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _granted(granted_mb: int) -> str:
    job = os.environ.get("SLURM_JOB_ID")
    memory = f"{granted_mb} MB granted" if granted_mb > 0 else "no memory limit known"
    return memory + (f", SLURM job {job}" if job else "")


def _stop(number: int, frame: FrameType | None) -> None:
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise StoppedError(signal.Signals(number).name)


def _watch(log_file: Path | None, done: threading.Event) -> None:
    told, waited = 0.0, 0.0
    while not done.wait(EVERY_S):
        reached = peak_memory_mb()
        if reached > told * WORTH_TELLING:
            log.info("memory: %.0f MB", reached)
            told = reached
        waited += EVERY_S
        if waited >= ALIVE_EVERY_S and log_file is not None and log_file.exists():
            os.utime(log_file)
            waited = 0.0


def peak_memory_mb() -> float:
    """Return the process's peak resident memory, MB.

    Linux hands ``ru_maxrss`` of the process that started this one down to it, so its own high-water mark is read there.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
