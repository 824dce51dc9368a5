"""The section of RESULTS.md on few-shot classification: accuracies by task, method and steps, and the targets."""

from __future__ import annotations

from typing import Any, NamedTuple

from report_tables import Rows, Run, origins, table

LABELS = {
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "nearest_neighbour_pixels": "nearest neighbour, pixels",
    "nearest_neighbour_features": "nearest neighbour, features",
    "finetune": "fine-tuning",
    "matching": "matching networks",
    "siamese": "Siamese networks",
    "prototypical": "prototypical networks",
}
STEPS = (0, 1, 3, 5, 10)
DATASETS = {"omniglot": "Omniglot", "strokes": "the embedded strokes"}


class Target(NamedTuple):
    """A bound on an accuracy on Omniglot, after so many steps, by so many iterations or more."""

    method: str
    net: str
    ways: int
    shots: int
    steps: int
    least: float
    iterations: int = 0


TARGETS = (
    Target("maml", "mlp", 5, 1, 3, 0.88, 60_000),
    Target("maml", "conv", 5, 1, 3, 0.98, 20_000),
    Target("maml", "mlp", 5, 5, 3, 0.95),
    Target("maml", "conv", 5, 5, 3, 0.98),
    Target("matching", "conv", 5, 1, 0, 0.95),
    Target("siamese", "conv", 5, 1, 0, 0.92),
)


def omniglot(runs: list[Run]) -> list[str]:
    """The section: a table for each kind of task, then the targets and where all comes from."""
    lines = ["## Few-shot classification", ""]
    rows = [row for run in runs for row in run.rows]
    kinds = dict.fromkeys((r["dataset"], r["ways"], r["shots"], r["queries"], r["tasks"]) for r in rows)
    for kind in kinds:
        dataset, ways, shots, queries, tasks = kind
        own = [r for r in rows if (r["dataset"], r["ways"], r["shots"], r["queries"], r["tasks"]) == kind]
        lines += [
            f"### {DATASETS[dataset]}, {ways}-way {shots}-shot",
            "",
            f"Accuracy in % on {tasks} test tasks, queries a class: {queries}, with its 95% CI, after so many steps on"
            " the task. Transductive: the queries of a task are normalised together; inductive: each alone.",
            "",
            *table(["method", "net", "queries", "iterations", *[f"{s} steps" for s in STEPS]], _body(own), words=3),
            "",
        ]
    return [*lines, *_targets(rows), "", *origins(runs), ""]


def _body(rows: Rows) -> list[list[str]]:
    found: dict[tuple[Any, ...], dict[int, Any]] = {}
    for r in rows:
        found.setdefault((r["method"], r["net"], r["mode"], r["iterations"], r["seed"]), {})[r["steps"]] = r
    body = []
    for (method, net, mode, iterations, _), by_steps in sorted(found.items(), key=lambda item: _order(*item[0])):
        cells = [_cell(by_steps[s]) if s in by_steps else "" for s in STEPS]
        body.append([LABELS[method], net, mode, f"{iterations:,}" if iterations else "", *cells])
    return body


def _order(method: str, net: str, mode: str, iterations: int, seed: int) -> tuple[Any, ...]:
    return list(LABELS).index(method), net, mode != "transductive", iterations, seed


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.2f} ± {100 * row['ci95']:.2f}"


def _targets(rows: Rows) -> list[str]:
    """Which targets are met, by the runs that are here; shorter ones say nothing about them."""
    body = []
    for target in TARGETS:
        for r in rows:
            asked = {**target._asdict(), "dataset": "omniglot", "mode": "transductive"}
            same = all(r[k] == asked[k] for k in ("dataset", "mode", "method", "net", "ways", "shots", "steps"))
            if same and r["iterations"] >= target.iterations:
                what = f"{LABELS[target.method]}, {target.net}, {target.ways}-way {target.shots}-shot, seed {r['seed']}"
                met = "met" if r["accuracy"] >= target.least else "MISSED"
                body.append([what, _cell(r), f"at least {100 * target.least:g}", met])
    return table(["target, transductive", "accuracy", "asked", ""], body) if body else []
