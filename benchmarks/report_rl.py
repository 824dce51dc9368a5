"""The sections of RESULTS.md on reinforcement learning: returns by environment, method and steps, and the targets."""

from __future__ import annotations

from typing import Any, NamedTuple

from report_tables import Rows, Run, origins, table

LABELS = {
    "maml": "MAML",
    "fomaml": "first-order MAML",
    "context": "context vector",
    "pretrained": "pretrained",
    "pretrained_early": "pretrained, kept where it adapts best",
    "random": "random",
    "oracle": "oracle",
}
ENVIRONMENTS = {
    "navigation2d": "2D navigation",
    "cheetah-dir": "Half-cheetah, direction",
    "cheetah-vel": "Half-cheetah, goal velocity",
    "ant-dir": "Ant, direction",
    "ant-vel": "Ant, goal velocity",
}
SHORT = 100
"""Iterations below which a run is said to be short."""


class Target(NamedTuple):
    """A bound on a mean return, by so many iterations or more."""

    env: str
    steps: int
    least: float
    published: float
    iterations: int = 100


TARGETS = (
    Target("navigation2d", 1, -13.0, -11.7),
    Target("navigation2d", 3, -4.5, -3.2),
)
KEPT = (
    "Of every method the best iterate on tasks of its own is kept: by the return after 1 to 3 steps where it learns to "
    "adapt, before any where it does not. The second of the pretrained policies is chosen as if it did. "
    "Steps after the first have half its size, as published; where another share is named, it is the one of 1/2, 1/4 "
    "and 1/8 that did best on those tasks. That was tried after halves were seen to overshoot on the test tasks of "
    "seed 0."
)

ABOVE = (("cheetah-dir", 1, ("pretrained", "random")), ("navigation2d", 1, ("pretrained", "random")))
"""Environments where MAML is to be above others after so many steps, by more than both intervals."""


def reinforcement(runs: list[Run]) -> list[str]:
    """The section on the experiments: a table for each environment and seed, then the targets."""
    lines = ["## Meta-reinforcement learning", "", KEPT, ""]
    for run in runs:
        lines += _environment(run)
    return [*lines, *_targets(runs), "", *origins(runs), ""]


def _environment(run: Run) -> list[str]:
    rows, settings = run.rows, run.origin["settings"]
    env, seed, tasks = rows[0]["env"], rows[0]["seed"], rows[0]["tasks"]
    longest = max(r["iterations"] for r in rows)
    short = f" A short run: {longest} iterations." if longest < SHORT else ""
    steps = sorted({r["steps"] for r in rows})
    body = []
    for method in sorted({r["method"] for r in rows}, key=_place):
        own = {r["steps"]: r for r in rows if r["method"] == method}
        iterations = own[steps[0]]["iterations"]
        body.append([_label(method), f"{iterations:,}" if iterations else "", *[_cell(own[s]) for s in steps]])
    header = ["method", "iterations", *[f"{s} step{'s' * (s != 1)}" for s in steps]]
    return [
        f"### {ENVIRONMENTS[env]}, inner step {settings['inner_lr']:g}, seed {seed}, {longest} iterations",
        "",
        f"Mean return on {tasks} fixed tasks, {settings['test_rollouts']} trajectories each at every step, with its 95%"
        f" CI over tasks.{short}",
        "",
        *table(header, body),
        "",
    ]


def _split(method: str) -> tuple[str, str]:
    """The method, and the share that its later steps have of the first; "" where that is the published one."""
    name, _, later = method.rpartition("_")
    return (method, "") if method in LABELS else (name, later)


def _label(method: str) -> str:
    name, later = _split(method)
    return LABELS[name] + (f", later steps {later} of the first" if later else "")


def _place(method: str) -> tuple[int, str]:
    name, later = _split(method)
    return list(LABELS).index(name), later


def _cell(row: dict[str, Any]) -> str:
    return "none" if row["return"] is None else f"{row['return']:.2f} ± {row['ci95']:.2f}"


def _found(rows: Rows, method: str, steps: int) -> dict[str, Any] | None:
    return next((r for r in rows if (r["method"], r["steps"]) == (method, steps)), None)


def _targets(runs: list[Run]) -> list[str]:
    """Which targets are met by the runs that are long enough."""
    body = []
    for run in runs:
        env, seed = run.rows[0]["env"], run.rows[0]["seed"]
        for target in TARGETS:
            for row in run.rows:
                if env != target.env or row["steps"] != target.steps or row["iterations"] < target.iterations:
                    continue
                name, later = _split(row["method"])
                if name != "maml" or (later and target.steps < 2):
                    continue
                met = "met" if row["return"] >= target.least else "MISSED"
                what = f"{_label(row['method'])}, {ENVIRONMENTS[env]}, after {target.steps}, seed {seed}"
                published = f"published {target.published:g}"
                body.append([f"{what} ({published})", _cell(row), f"at least {target.least:g}", met])
        for above, steps, others in ABOVE:
            row = _found(run.rows, "maml", steps)
            for other in others:
                beside = _found(run.rows, other, steps)
                if env != above or row is None or beside is None or row["iterations"] < SHORT:
                    continue
                met = row["return"] - row["ci95"] > beside["return"] + beside["ci95"]
                what = f"MAML, {ENVIRONMENTS[env]}, after {steps}, seed {seed}, above {LABELS[other]}"
                body.append([what, _cell(row), f"above {_cell(beside)}", "met" if met else "MISSED"])
    return table(["target", "mean return", "asked", ""], body) if body else []


def ways(rows: Rows) -> list[str]:
    """The table of a benchmark of Hessian-vector products."""
    if not rows:
        return []
    header = ["product by", "relative error", "ms a product", "ms to record", "KL of the first step", "gain"]
    body = [
        [
            r["way"] + (" \\*" if r["indefinite"] else ""),
            f"{r['error']:.1e}",
            f"{r['seconds'] * 1e3:.0f}",
            f"{r['recorded_s'] * 1e3:.0f}",
            f"{r['kl']:.4f}",
            f"{r['gain']:.4f}",
        ]
        for r in rows
    ]
    note = f"The KL is meant to be {rows[0]['meant_kl']:g}, by the quadratic model, before any line search."
    note += " That of a step that exceeds it falls to about 0.64 of what it was: the line search shortens it by 0.8."
    if any(r["indefinite"] for r in rows):
        note += " \\* Conjugate gradient met a direction of no positive curvature."
    return [*table(header, body), "", note, ""]
