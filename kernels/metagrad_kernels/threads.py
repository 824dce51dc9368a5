"""Work on all cores: ranges of independent units, each given to a kernel that runs without the GIL.

Python's own threads, because Numba's default threading layer aborts the process when two Python threads enter it at
once. A unit's result must not depend on the range that it is in: then it does not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_pool: ThreadPoolExecutor | None = None
_workers: list[int] = []
"""The system's numbers of the pool's threads."""
_avoided = -1
"""The core that they keep off."""
_current_core = ctypes.CDLL(None).sched_getcpu if sys.platform == "linux" else None


def _count() -> int:
    for name in ("METAGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        asked = os.environ.get(name, "")
        if asked.isdecimal() and int(asked) > 0:
            return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


threads = _count()
"""How many run at once: METAGRAD_NUM_THREADS, else OMP_NUM_THREADS, else the cores that the process may use."""


WORTH = 150_000
"""Nanoseconds of work for which another thread is woken: to wake it and to hear of its end takes up to as long."""


def parallel(kernel: Callable[[int, int], object], units: int, cost: float) -> None:
    """Call `kernel(begin, end)` on ranges that together are [0, units); a unit takes about `cost` nanoseconds.

    The caller's thread works too, and returns when all are done. What a kernel raises is raised here.
    """
    parts = min(threads, units, int(units * cost / WORTH))
    if parts <= 1:
        if units:
            kernel(0, units)
        return
    ends = [units * k // parts for k in range(parts + 1)]
    pool = _started()
    _make_room()
    try:
        others = [pool.submit(kernel, ends[k], ends[k + 1]) for k in range(1, parts)]
    except RuntimeError:  # the interpreter is shutting down and starts nothing more
        kernel(0, units)
        return
    try:
        kernel(0, ends[1])
    finally:
        failures = [other.exception() for other in others]
    for failure in failures:
        if failure is not None:
            raise failure


def _started() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _workers.clear()
        _pool = ThreadPoolExecutor(threads - 1, "metagrad", lambda: _workers.append(threading.get_native_id()))
    return _pool


def _make_room() -> None:
    """Keep the workers off the caller's core.

    Linux likes to wake a thread where its waker runs. There it would wait until the caller is done, and for as long as
    calls are short nothing moves it: two threads then take the time of one.
    """
    global _avoided
    if _current_core is None:
        return
    here = _current_core()
    others = os.sched_getaffinity(0) - {here} if here != _avoided else set()
    if others:
        for worker in _workers:
            with suppress(ProcessLookupError):  # it has ended, because the interpreter does
                os.sched_setaffinity(worker, others)
        _avoided = here if len(_workers) == threads - 1 else -1  # some may not have started yet


def _forget_workers() -> None:
    global _pool, _avoided
    _pool, _avoided = None, -1  # threads do not survive a fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
