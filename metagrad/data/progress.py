"""A progress bar for what takes seconds: downloads and decoding."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_bar(
    label: str, total: int | None, *, done: int = 0, size: bool = False, show: bool = True
) -> Iterator[Callable[[int], None]]:
    """Gives a function that moves the bar on, by pictures or, with `size`, by bytes. Without `show` it does nothing.

    A terminal shows it moving, on the error stream; elsewhere one line says what was done.
    """
    if not show:
        yield lambda step: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    amount = DownloadColumn() if size else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total, completed=done)
        yield lambda step: bar.advance(task, step)
