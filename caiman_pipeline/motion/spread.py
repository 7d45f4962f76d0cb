"""Compiled loops over independent items, shared out over threads.

Plain threads instead of numba's own: a fraction of the compiling, safe to call from any thread, and none of them spins.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from caiman_pipeline.parallel import available_cores

PIECES_PER_THREAD = 4


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def spread(kernel: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call ``kernel(start, stop, *arguments)`` for ranges that together cover ``count`` items, on all threads granted.

    Items must not depend on each other: the result is the same for any number of threads.
    """
    threads = int(os.environ.get("NUMBA_NUM_THREADS") or available_cores())
    pieces = min(count, threads * PIECES_PER_THREAD)
    if threads <= 1 or pieces <= 1:
        kernel(0, count, *arguments)
        return
    bounds = [(count * i // pieces, count * (i + 1) // pieces) for i in range(pieces)]
    running = [_pool(threads).submit(kernel, start, stop, *arguments) for start, stop in bounds]
    for future in running:
        future.result()
