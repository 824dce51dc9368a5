"""What a person sees of a training run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

_BAR_SECONDS = 0.25
_LINE_SECONDS = 15.0


class Progress:
    """Shows iterations, rate, time left and the latest metrics. Use as a context manager; call it once an iteration."""

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

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        if self._stream.isatty():
            self._open_bar()
            self._interval = _BAR_SECONDS
        self._next = self._began + self._interval
        return self

    def __exit__(self, *exception: object) -> None:
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
        now = time.monotonic()
        if now >= self._next or iteration == self._total:
            self._next = now + self._interval
            self._show(iteration, now)

    def metrics(self, values: dict[str, float]) -> None:
        """The latest metrics; one that is not among these stays as it was."""
        self._metrics |= values

    def _show(self, iteration: int, now: float) -> None:
        rate = (iteration - self._start) / max(now - self._began, 1e-9)
        speed = f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        metrics = "  ".join(f"{name.replace('_', '-')} {value:.3g}" for name, value in self._metrics.items())
        if self._bar is not None:
            self._bar.update(self._task, completed=iteration, rate=speed, metrics=metrics, refresh=True)
            return
        left = (self._total - iteration) / max(rate, 1e-9)
        ending = f"{now - self._began:.0f} s" if iteration == self._total else f"{left:.0f} s left"
        line = f"{self._label}: {iteration}/{self._total}  {speed}  {ending}  {metrics}"
        print(line.rstrip(), file=self._stream, flush=True)
