"""Where the seconds go."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """Adds up the seconds of what runs inside `with clock(name):`.

    >>> clock = Clock()
    >>> with clock("simulation"):
    ...     pass
    >>> list(clock.seconds)
    ['simulation']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    @contextmanager
    def rest(self, name: str) -> Iterator[None]:
        """Adds to a name what runs inside and belongs to no other."""
        began, before = time.perf_counter(), sum(self.seconds.values())
        try:
            yield
        finally:
            others = sum(self.seconds.values()) - before
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began - others
