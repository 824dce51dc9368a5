"""What a person sees of a training run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextvars import ContextVar
from typing import Any

_BAR_SECONDS = 0.25
_LINE_SECONDS = 15.0

_innermost: ContextVar[Progress | None] = ContextVar("innermost", default=None)


def doing(what: str) -> None:
    """Say what goes on inside a long iteration, to the innermost `Progress` that is shown, if any is.

    >>> doing("time step 3/200")  # nobody does
    """
    progress = _innermost.get()
    if progress is not None:
        progress.doing(what)


class Progress:
    """Shows iterations, rate, time left and the latest metrics: a bar on a terminal, elsewhere a line now and then.

    Use it as a context manager, and call it once an iteration. It writes to `stream`, sys.stderr unless given.
    `start` iterations were done before.

    >>> import sys
    >>> with Progress("search", 2, stream=sys.stdout) as progress:
    ...     for iteration in (1, 2):
    ...         progress.metrics({"loss": 1 / iteration})
    ...         progress(iteration)  # doctest: +ELLIPSIS
    search: 2/2  ... 0 s  loss 0.5
    """

    def __init__(self, label: str, total: int, start: int = 0, stream: Any = None) -> None:
        self._label = label
        self._total = total
        self._start = start
        self._stream = stream if stream is not None else sys.stderr
        self._bar: Any = None
        self._task: Any = None
        self._metrics: dict[str, float] = {}
        self._interval = _LINE_SECONDS
        self._began = self._next = 0.0
        self._iteration = start
        self._doing = ""
        self._token: Any = None

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if self._stream.isatty():
            self._open_bar()
            self._interval = _BAR_SECONDS
        self._next = self._began + self._interval
        self._token = _innermost.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _innermost.reset(self._token)
        if self._bar is not None:
            self._bar.stop()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
        )
        # Its own refreshing thread would take the interpreter from the training loop.
        self._bar = Bar(*columns, console=Console(file=self._stream), auto_refresh=False)
        self._bar.start()
        self._task = self._bar.add_task(self._label, total=self._total, completed=self._start, rate="", metrics="")

    def __call__(self, iteration: int) -> None:
        self._iteration, self._doing = iteration, ""
        self._look(iteration == self._total)

    def doing(self, what: str) -> None:
        """What goes on inside the iteration that follows."""
        self._doing = what
        self._look()

    def _look(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if now >= self._next or at_once:
            self._next = now + self._interval
            self._show(self._iteration, now)

    def metrics(self, values: dict[str, float]) -> None:
        """The latest metrics; one that is not among these stays as it was."""
        self._metrics |= values

    def _show(self, iteration: int, now: float) -> None:
        rate = (iteration - self._start) / max(now - self._began, 1e-9)
        speed = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        told = [f"{name.replace('_', '-')} {value:.3g}" for name, value in self._metrics.items()]
        metrics = "  ".join([self._doing, *told] if self._doing else told)
        if self._bar is not None:
            self._bar.update(self._task, completed=iteration, rate=speed, metrics=metrics, refresh=True)
            return
        ending = f"{now - self._began:.0f} s"
        if self._start < iteration < self._total:
            ending = f"{(self._total - iteration) / rate:.0f} s left"
        speed = f"{speed}  " if iteration > self._start else ""
        line = f"{self._label}: {iteration}/{self._total}  {speed}{ending}  {metrics}"
        print(line.rstrip(), file=self._stream, flush=True)
