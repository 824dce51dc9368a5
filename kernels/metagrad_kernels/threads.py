"""Work on all cores: ranges of independent units, each given to a kernel that runs without the GIL.

Python's own threads, because Numba's default threading layer aborts the process when two Python threads enter it at
once. A unit's result must not depend on the range that it is in: then it does not depend on the number of threads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_pool: ThreadPoolExecutor | None = None


def _count() -> int:
    for name in ("METAGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        asked = os.environ.get(name, "")
        if asked.isdigit() and int(asked) > 0:
            return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


threads = _count()
"""How many run at once: METAGRAD_NUM_THREADS, else OMP_NUM_THREADS, else the cores that the process may use."""


def parallel(kernel: Callable[[int, int], object], units: int, grain: int = 1) -> None:
    """Call `kernel(begin, end)` on ranges that together are [0, units), each of at least `grain` units.

    The caller's thread works too, and returns when all are done. What a kernel raises is raised here.
    """
    parts = min(threads, units // max(grain, 1))
    if parts <= 1:
        if units:
            kernel(0, units)
        return
    ends = [units * k // parts for k in range(parts + 1)]
    others = [_workers().submit(kernel, ends[k], ends[k + 1]) for k in range(1, parts)]
    try:
        kernel(0, ends[1])
    finally:
        failures = [other.exception() for other in others]
    for failure in failures:
        if failure is not None:
            raise failure


def _workers() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="metagrad")
    return _pool


def _forget_workers() -> None:
    global _pool
    _pool = None  # threads do not survive a fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
