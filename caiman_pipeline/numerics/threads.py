"""Threads inside a job: as many as the rule grants, and the same numbers for any count.

Sums are taken over fixed pieces that do not depend on the number of threads, results come back in order, and BLAS stays
on one thread (its own splitting would change the last bits of a sum).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

# So many pieces for each thread that none waits long for the last; changes no result.
PIECES_PER_THREAD = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Count the cores that this process may use: affinity and SLURM's allocation, never the whole node."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(allowed, int(granted)) if granted.isdigit() and int(granted) > 0 else allowed


def keep_blas_on_one_thread() -> None:
    """Set the environment so that BLAS uses one thread; call before numpy is imported, which reads it then."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ[name] = "1"


def machine_memory_mb() -> int:
    """Return the memory of this machine, or of the container that it is seen from, MB."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            granted = file.read().strip()
    except OSError:
        granted = ""
    return min(pages, int(granted) if granted.isdigit() else pages) // 10**6


def limit_library_threads(threads: int) -> None:
    """Set the environment so that BLAS uses one thread and numba ``threads``; call before numba is imported.

    Parameters
    ----------
    threads : int
        Threads that numba may start.
    """
    keep_blas_on_one_thread()
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    # Threads that wait for others sleep: spinning takes the cores from whoever else runs on the machine.
    os.environ["OMP_WAIT_POLICY"] = "passive"


def give_back_memory() -> None:
    """Return freed memory to the system; glibc keeps, in pieces, what threads have freed, and grows with each task."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def run_parallel(kernel: Callable[..., None], count: int, *arguments: Any, threads: int = 0) -> None:
    """Call a compiled ``kernel(start, stop, *arguments)`` for ranges that together cover ``count`` items, on threads.

    Items must not depend on each other: the result is the same for any number of threads (0: all that are granted).

    Parameters
    ----------
    kernel : callable
        Called as ``kernel(start, stop, *arguments)``; writes into its arguments.
    count : int
        Number of items.
    arguments : objects
        Passed on to the kernel.
    threads : int
        Threads to use; 0 for all that are granted.

    Notes
    -----
    Plain threads instead of numba's own: a fraction of the compiling, safe to call from any thread, and none of them
    spins.
    """
    threads = threads or int(os.environ.get("NUMBA_NUM_THREADS") or available_cores())
    pieces = min(count, threads * PIECES_PER_THREAD)
    if threads <= 1 or pieces <= 1:
        kernel(0, count, *arguments)
        return
    bounds = [(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)]
    running = [_pool(threads).submit(kernel, start, stop, *arguments) for start, stop in bounds]
    wait(running)  # all of them: whoever is told of a failure may do with the arrays as they like
    for future in running:
        future.result()


def map_ordered(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Apply ``function`` to each item on ``threads`` threads and return the results in order.

    Parameters
    ----------
    function : callable
        Takes one item.
    items : iterable
        What it is applied to.
    threads : int
        Threads to use; with 1 nothing is started.

    Returns
    -------
    list
        One result per item, in the items' order.

    Examples
    --------
    >>> map_ordered(abs, [-3, 1, -2], 2)
    [3, 1, 2]
    """
    return list(stream_ordered(function, items, threads))


def stream_ordered(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Yield ``function(item)`` in order, computing at most ``threads`` items ahead, so memory stays bounded.

    Parameters
    ----------
    function : callable
        Takes one item.
    items : iterable
        What it is applied to, taken as results are.
    threads : int
        Threads to use; with 1 nothing is started.

    Yields
    ------
    object
        One result per item, in the items' order.
    """
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[Result]] = []
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()


def row_slabs(n_rows: int, length: int) -> list[tuple[int, int]]:
    """Cut rows into (start, stop) pieces of fixed length, to be worked on by any number of threads.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    length : int
        Rows of a piece.

    Returns
    -------
    list of (int, int)
        First row of each piece and the one after its last; the last piece may be shorter.

    Examples
    --------
    >>> row_slabs(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + length, n_rows)) for start in range(0, n_rows, length)]


def value_slabs(n_rows: int, n_columns: int) -> list[tuple[int, int]]:
    """Cut a table into (start, stop) pieces of about 2**18 values: small in a cache, however long the rows are.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    n_columns : int
        Values of a row.

    Returns
    -------
    list of (int, int)
        First row of each piece and the one after its last; at least one row each.
    """
    return row_slabs(n_rows, max(1, 2**18 // max(n_columns, 1)))
