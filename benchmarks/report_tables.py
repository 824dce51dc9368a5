"""What the sections of RESULTS.md share: output folders of the examples, Markdown tables, where numbers come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

Rows = list[dict[str, Any]]


class Run(NamedTuple):
    """An output folder of an example."""

    rows: Rows
    origin: dict[str, Any]


def read_run(folder: Path) -> Run:
    return Run(json.loads((folder / "results.json").read_text()), json.loads((folder / "run.json").read_text()))


def table(header: list[str], rows: list[list[str]], words: int = 1) -> list[str]:
    """A Markdown table; all columns but the first `words` are numbers."""
    rule = [*["---"] * words, *["---:"] * (len(header) - words)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def origins(runs: list[Run]) -> list[str]:
    """A line for each run, and for each part of one that was stopped and resumed."""
    lines = []
    for run in runs:
        for i, o in enumerate([*run.origin.get("earlier", []), run.origin]):
            took = "time not recorded" if o["seconds"] is None else f"{o['seconds']:.0f} s"
            indent = "  then " if i else "- "
            lines += [f"{indent}`{o['command']}`: commit {o['commit']}, {o['machine']}, {o['software']}, {took}"]
    return lines
