"""Several Python threads that call a kernel at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor


def at_once(work, threads, times):
    """What `work` gave each of so many threads, so many times; raises what it raised."""
    start = threading.Barrier(threads)

    def repeat():
        start.wait()
        return [work() for _ in range(times)]

    with ThreadPoolExecutor(threads) as pool:
        found = [pool.submit(repeat) for _ in range(threads)]
    return [result for future in found for result in future.result()]
