"""The section of RESULTS.md on the sinusoid experiment: errors by method and steps, and the targets of the protocol."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

from report_tables import Rows, Run, origins, table

LABELS = {"maml": "MAML", "fomaml": "first-order MAML", "pretrained": "pretrained", "oracle": "oracle"}


class Setting(NamedTuple):
    """What runs share whose errors are put together."""

    shots: int
    alpha: float
    average: float | None
    iterations: int
    tasks: int

    @property
    def iterates(self) -> str:
        """Which of the iterates are tested, where it is not the last."""
        return "" if self.average is None else f", running mean of the iterates ({self.average:g})"


class Target(NamedTuple):
    """A bound on a mean error of the full protocol."""

    method: str
    shots: int
    alpha: float
    steps: int
    bound: float
    at_most: bool = True

    def is_for(self, setting: Setting) -> bool:
        return (setting.shots, setting.alpha, setting.iterations) == (self.shots, self.alpha, 70000)


TARGETS = (
    Target("maml", 10, 0.01, 1, 0.42),
    Target("maml", 10, 0.01, 10, 0.14),
    Target("maml", 10, 0.001, 1, 0.42),
    Target("maml", 10, 0.001, 10, 0.14),
    Target("maml", 5, 0.001, 1, 0.75),
    Target("pretrained", 10, 0.01, 10, 1.5, at_most=False),
)


DIVERGES = 10
"""How many times the error before any step is divergence: a few tasks of thousands that run away make any mean."""


def sinusoid(runs: list[Run]) -> list[str]:
    """The section on the sinusoid experiment."""
    lines = ["## MAML on sinusoids", ""]
    groups: dict[Setting, Rows] = {}
    for run in runs:
        for row in _marked(run.rows):
            options = run.origin["settings"]
            group = Setting(row["shots"], options["alpha"], options.get("average"), row["iterations"], row["tasks"])
            groups.setdefault(group, []).append(row)
    for setting, rows in groups.items():
        seeds = sorted({row["seed"] for row in rows})
        steps = sorted({row["steps"] for row in rows})
        title = f"{setting.shots}-shot, inner step {setting.alpha:g}, {setting.iterations:,} iterations"
        lines += [f"### {title}{setting.iterates}", ""]
        lines += [
            f"Query MSE on {setting.tasks:,} test tasks: {_seeds(seeds)}, with its 95% CI. One of more than"
            f" {DIVERGES} times that before any step is said to diverge.",
            "",
        ]
        body = []
        for method in LABELS:
            found = [row for row in rows if row["method"] == method]
            if found:
                body.append([LABELS[method], *[_cell([r for r in found if r["steps"] == s]) for s in steps]])
        lines += [*table(["method", *[f"{s} step{'s' * (s != 1)}" for s in steps]], body), ""]
    lines += [*_targets(groups), ""]
    return [*lines, *origins(runs), ""]


def _cell(rows: Rows) -> str:
    """The mean of the seeds, then each; without a mean where one of them diverges."""
    each = ", ".join(
        "diverges" if r["diverges"] else f"{r['mse']:.3f} ± {r['ci95']:.3f}"
        for r in sorted(rows, key=lambda r: int(r["seed"]))
    )
    if len(rows) == 1 or any(r["diverges"] for r in rows):
        return each
    return f"**{statistics.mean(r['mse'] for r in rows):.3f}** ({each})"


def _marked(rows: Rows) -> Rows:
    """The rows of a run with whether they diverge: an error that is not finite, or far above that before any step."""
    start = {row["method"]: row["mse"] for row in rows if row["steps"] == 0}
    far = [row["mse"] is None or row["mse"] > DIVERGES * start.get(row["method"], math.inf) for row in rows]
    return [{**row, "diverges": diverges} for row, diverges in zip(rows, far, strict=True)]


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"the mean of seeds {' and '.join(map(str, seeds))}, then each"


def _targets(groups: dict[Setting, Rows]) -> list[str]:
    """Which targets of the full protocol are met; a run of another length says nothing about them."""
    body = []
    for target in TARGETS:
        for setting, rows in groups.items():
            if not target.is_for(setting):
                continue
            found = [r for r in rows if r["method"] == target.method and r["steps"] == target.steps]
            if found:
                diverges = any(r["diverges"] for r in found)
                mean = math.inf if diverges else statistics.mean(r["mse"] for r in found)
                met = mean <= target.bound if target.at_most else mean > target.bound
                what = (
                    f"{LABELS[target.method]}, {setting.shots}-shot, inner step {setting.alpha:g}, after {target.steps}"
                )
                what += setting.iterates
                bound = f"{'at most' if target.at_most else 'above'} {target.bound:g}"
                body.append([what, "diverges" if diverges else f"{mean:.3f}", bound, "met" if met else "MISSED"])
    return table(["target of the full protocol", "mean MSE", "asked", ""], body) if body else []
