"""Processes of this machine: whether one is at work, and whether it is still the one that was meant.

A process is never asked by a signal: on Windows that would end it.
"""

from __future__ import annotations

import socket
from functools import cache
from pathlib import Path

PROC = Path("/proc")
# Fields of /proc/<process>/stat after the name, which may hold spaces and brackets; times in clock ticks since boot.
STATE, START_TIME = 0, 19
ENDED_STATES = ("Z", "X")


@cache
def process_space() -> str:
    """Return where process numbers mean the same as here: this machine since it was started, and this container."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {(PROC / 'self/ns/pid').readlink()}"
    except OSError:
        import psutil

        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def process_start(process: int) -> str:
    """Return when a process of this machine was started, as the system counts; empty if there is none.

    A number is given anew after a while, the pair of number and start never. A process that has ended and waits to be
    collected by its parent counts as gone.

    Parameters
    ----------
    process : int
        Its number.

    Returns
    -------
    str
        A text to compare with, in no unit of its own.
    """
    if (PROC / "self/stat").exists():
        return _start_by_proc(process)
    import psutil

    try:
        found = psutil.Process(process)
        return "" if found.status() == psutil.STATUS_ZOMBIE else f"{found.create_time():.2f}"
    except psutil.NoSuchProcess:
        return ""


def _start_by_proc(process: int) -> str:
    try:
        text = (PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[STATE] in ENDED_STATES else fields[START_TIME]
