"""RESULTS.md from result files: every number in it was written by the program that measured it.

    python benchmarks/report.py --sinusoid OUT [OUT ...] --benchmarks FILE [FILE ...] --to RESULTS.md

Each OUT is an output folder of `examples/sinusoid.py` (results.json, run.json), each FILE what a benchmark wrote with
`--json`. Runs that differ in the seed only are averaged.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any, NamedTuple

LABELS = {"maml": "MAML", "fomaml": "first-order MAML", "pretrained": "pretrained", "oracle": "oracle"}

Rows = list[dict[str, Any]]


class Target(NamedTuple):
    """A bound on a mean error of the full protocol."""

    method: str
    shots: int
    alpha: float
    steps: int
    bound: float
    at_most: bool = True


TARGETS = (
    Target("maml", 10, 0.01, 1, 0.42),
    Target("maml", 10, 0.01, 10, 0.14),
    Target("maml", 10, 0.001, 1, 0.42),
    Target("maml", 10, 0.001, 10, 0.14),
    Target("maml", 5, 0.001, 1, 0.75),
    Target("pretrained", 10, 0.01, 10, 1.5, at_most=False),
)


class Run(NamedTuple):
    """An output folder of the sinusoid example."""

    rows: Rows
    origin: dict[str, Any]


def read_run(folder: Path) -> Run:
    return Run(json.loads((folder / "results.json").read_text()), json.loads((folder / "run.json").read_text()))


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]


def sinusoid(runs: list[Run]) -> list[str]:
    """The section on the sinusoid experiment."""
    lines = ["## MAML on sinusoids", ""]
    groups: dict[tuple[Any, ...], Rows] = {}
    for run in runs:
        for row in run.rows:
            group = row["shots"], run.origin["settings"]["alpha"], row["iterations"], row["tasks"]
            groups.setdefault(group, []).append(row)
    for (shots, alpha, iterations, tasks), rows in groups.items():
        seeds = sorted({row["seed"] for row in rows})
        steps = sorted({row["steps"] for row in rows})
        lines += [f"### {shots}-shot, inner step {alpha:g}, {iterations:,} iterations", ""]
        lines += [
            f"Query MSE on {tasks:,} test tasks: {_seeds(seeds)}, with its 95% CI.",
            "",
        ]
        body = []
        for method in LABELS:
            found = [row for row in rows if row["method"] == method]
            if found:
                body.append([LABELS[method], *[_cell([r for r in found if r["steps"] == s]) for s in steps]])
        lines += [*table(["method", *[f"{s} step{'s' * (s != 1)}" for s in steps]], body), ""]
    lines += [*_targets(groups), ""]
    for run in runs:
        for i, o in enumerate([*run.origin.get("earlier", []), run.origin]):
            took = "time not recorded" if o["seconds"] is None else f"{o['seconds']:.0f} s"
            indent = "  then " if i else "- "
            lines += [f"{indent}`{o['command']}`: commit {o['commit']}, {o['machine']}, {o['software']}, {took}"]
    return [*lines, ""]


def _cell(rows: Rows) -> str:
    each = ", ".join(
        "diverges" if r["mse"] is None else f"{r['mse']:.3f} ± {r['ci95']:.3f}"
        for r in sorted(rows, key=lambda r: int(r["seed"]))
    )
    if len(rows) == 1 or any(r["mse"] is None for r in rows):
        return each
    return f"**{statistics.mean(r['mse'] for r in rows):.3f}** ({each})"


def _seeds(seeds: list[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"the mean of seeds {' and '.join(map(str, seeds))}, then each"


def _targets(groups: dict[tuple[Any, ...], Rows]) -> list[str]:
    """Which targets of the full protocol are met; a run of another length says nothing about them."""
    body = []
    for target in TARGETS:
        for (shots, alpha, iterations, _), rows in groups.items():
            if (shots, alpha, iterations) != (target.shots, target.alpha, 70000):
                continue
            found = [r["mse"] for r in rows if r["method"] == target.method and r["steps"] == target.steps]
            if found:
                mean = math.inf if None in found else statistics.mean(found)
                met = mean <= target.bound if target.at_most else mean > target.bound
                what = f"{LABELS[target.method]}, {shots}-shot, inner step {alpha:g}, after {target.steps}"
                bound = f"{'at most' if target.at_most else 'above'} {target.bound:g}"
                body.append([what, f"{mean:.3f}", bound, "met" if met else "MISSED"])
    return table(["target of the full protocol", "mean MSE", "asked", ""], body) if body else []


def benchmark(path: Path) -> list[str]:
    """The sections on what a benchmark measured."""
    lines = []
    rows: Rows = json.loads(path.read_text())
    for title in dict.fromkeys(row["benchmark"] for row in rows):
        own = [row for row in rows if row["benchmark"] == title]
        lines += [f"### {title}", ""]
        lines += _contenders([row for row in own if "contender" in row])
        lines += _kernels([row for row in own if "shape" in row])
        for row in own:
            for what, value, bound in row.get("claims", []):
                verdict = "" if bound is None else f", asked at most {bound:g}: {'met' if value <= bound else 'MISSED'}"
                lines += [f"- {value:.2f} {what}{verdict}"]
            if "target" in row:
                met = "met" if row["ratio"] <= row["at_most"] else "MISSED"
                lines += [
                    f"- {row['target']}: {row['ratio']:.2f} x {row['peer']}, asked at most {row['at_most']:g}: {met}"
                ]
        lines += [""]
    last = rows[-1]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    origin = f"commit {last['commit']}, {last['cpu']}, {last['cores']} cores, Python {last['python']}, {versions}"
    return [*lines, f"- `{last['command']}`: {origin}", ""]


def _contenders(rows: Rows) -> list[str]:
    """The work of one benchmark, done by each library."""
    if not rows:
        return []
    header = ["", "median, µs", "fastest, µs", "relative to the first"]
    body = [
        [r["contender"], f"{r['median_s'] * 1e6:.0f}", f"{r['fastest_s'] * 1e6:.0f}", f"{r['relative_to_first']:.2f}"]
        for r in rows
    ]
    if "peak_bytes" in rows[0]:
        header.append("peak memory, MB")
        for cells, r in zip(body, rows, strict=True):
            cells.append(f"{r['peak_bytes'] / 1e6:.1f}")
    return [*table(header, body), "", f"Floor of the machine: {rows[0]['floor_s'] * 1e6:.0f} µs.", ""]


def _kernels(rows: Rows) -> list[str]:
    """One kernel on each shape."""
    if not rows:
        return []
    body = []
    for r in rows:
        beside = ["-"] * 2 if r["torch"] is None else [f"{r['torch_s'] * 1e6:.0f}", f"{r['speed']:.2f}"]
        mark = "" if r["needed"] else " \\*"
        body.append([r["shape"] + mark, f"{r['metagrad_s'] * 1e6:.0f}", f"{r['share']:.0%}", *beside])
    header = ["", "metagrad, µs", f"share of {rows[0]['share_of']}", "torch, µs", "speed, in torch's"]
    note = [] if all(r["needed"] for r in rows) else ["\\* No net needs it: the images are data.", ""]
    return [*table(header, body), "", *note]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--sinusoid", type=Path, nargs="+", default=[], metavar="OUT")
    parser.add_argument("--benchmarks", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--to", type=Path, required=True, metavar="RESULTS.md")
    args = parser.parse_args()
    lines = ["# Results", "", "Written by `benchmarks/report.py` from the files that the runs wrote.", ""]
    if args.sinusoid:
        lines += sinusoid([read_run(folder) for folder in args.sinusoid])
    if args.benchmarks:
        lines += ["## Speed and memory", ""]
        for path in args.benchmarks:
            lines += benchmark(path)
    args.to.write_text("\n".join(lines).rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
