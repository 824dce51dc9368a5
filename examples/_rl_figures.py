"""Pictures that every experiment of reinforcement learning has: returns against steps, and along training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment import counted, mean_and_ci95
from _figures import smooth

from metagrad import meta

if TYPE_CHECKING:
    from collections.abc import Callable

COLOURS = {
    "maml": "#c0392b",
    "fomaml": "#e08e0b",
    "context": "#8e44ad",
    "pretrained": "#2c6fbb",
    "pretrained_early": "#76b7e5",
    "random": "#7f8c8d",
    "oracle": "#3a7d44",
}
FEW = 20
"""Iterations below which each is a dot."""
Trained = dict[str, tuple[Any, Any, Any]]


def common(trained: Trained) -> dict[str, Callable[[Any], Any]]:
    """By file name."""
    return {
        "return-by-step.png": partial(by_step, trained=trained),
        "training.png": partial(training, trained=trained),
    }


def by_step(plt: Any, trained: Trained) -> Any:
    """Mean return against gradient steps, with its confidence interval."""
    figure, axis = plt.subplots(figsize=(6.4, 4.4))
    for name, (experiment, _, returns) in trained.items():
        mean, half = mean_and_ci95(returns)
        half = np.nan_to_num(half)
        steps = np.arange(len(mean))
        style = "--" if experiment.method.informed else "o-"
        axis.plot(steps, mean, style, color=COLOURS[name], ms=5, lw=2, label=experiment.method.label)
        axis.fill_between(steps, mean - half, mean + half, color=COLOURS[name], alpha=0.2, lw=0)
    axis.set(xlabel="gradient steps on the task", ylabel="mean return (95% CI)", xticks=steps)
    axis.set_title(f"{experiment.args.env}, {counted(experiment.args.iterations, 'iteration')}")
    axis.legend(fontsize=9)
    return figure


def training(plt: Any, trained: Trained) -> Any:
    """Mean return of the meta-batch before and after the inner update, along training."""
    figure, axis = plt.subplots(figsize=(6.4, 4.4))
    drawn = False
    for name, (experiment, _, _) in trained.items():
        rows = meta.read_metrics(experiment.folder) if experiment.method.trained else []
        for key, style in (("pre_update", ":"), ("post_update", "-")):
            if experiment.method.steps == 0 and key == "pre_update":
                continue  # there is no inner update
            found = [(row["iteration"], row[key]) for row in rows if key in row]
            if not found:
                continue
            drawn = True
            iterations, values = np.array(found).T
            when = "" if experiment.method.steps == 0 else ", before" if key == "pre_update" else ", after"
            label = f"{experiment.method.label}{when}"
            marker = "o" if len(found) < FEW else None
            at = smooth(iterations, values, most=100)
            axis.plot(*at, style, color=COLOURS[name], lw=1.8, marker=marker, ms=5, label=label)
    if not drawn:
        plt.close(figure)
        return None
    axis.set(xlabel="training iteration", ylabel="mean return of the meta-batch")
    inner = any(experiment.method.steps for experiment, _, _ in trained.values())
    axis.set_title(f"{next(iter(trained.values()))[0].args.env}, training{', before and after one inner step' * inner}")
    axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axis.legend(fontsize=8, ncols=2)
    return figure
