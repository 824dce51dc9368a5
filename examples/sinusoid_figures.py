"""The pictures of `sinusoid.py`: fits before and after gradient steps, error by step, error along training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment import mean_and_ci95
from _figures import save_all, smooth

from metagrad import data, meta

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = {"maml": "#c0392b", "fomaml": "#e08e0b", "pretrained": "#2c6fbb", "oracle": "#3a7d44"}
GRID = np.linspace(*data.sinusoid.INPUTS, 400, dtype=np.float32)[:, None]
TASK = data.Sinusoids(np.array([4.0]), np.array([1.0]))
HALF = (0.0, 5.0)

DIVERGED = 100.0
"""An error that no wave has: the mean square of the largest is 12.5."""

Trained = dict[tuple[int, str], tuple[Any, Any, Any]]


def draw_all(out: Path, trained: Trained) -> list[str]:
    """Draw every picture that the trained methods allow; returns the file names."""
    pictures = {
        f"fits-{shots}-shot{where}.png": partial(_fits, trained=trained, shots=shots, inputs=inputs)
        for shots in _shots(trained)
        for where, inputs in (("", data.sinusoid.INPUTS), ("-half-unseen", HALF))
    }
    rest = {"mse-by-step.png": partial(_by_step, trained=trained), "training.png": partial(_training, trained=trained)}
    return save_all(out, pictures | rest)


def _shots(trained: Trained) -> list[int]:
    return list(dict.fromkeys(shots for shots, _ in trained))


def diverged(errors: Any) -> int:
    """How many tasks gradient descent blew up, of errors (tasks, steps): a few are enough to carry a mean away."""
    return int((~(errors <= DIVERGED)).any(axis=1).sum())


def _fits(plt: Any, trained: Trained, shots: int, inputs: tuple[float, float]) -> Any:
    """One task, learned from MAML's parameters and from the pretrained net's: before, after 1 and after 10 steps."""
    learner = next((m for m in ("maml", "fomaml") if (shots, m) in trained), None)
    shown = [m for m in (learner, "pretrained") if m is not None and (shots, m) in trained]
    if not shown:
        return None
    x, y = TASK.points(np.random.default_rng(3), shots, inputs)
    figure, axes = plt.subplots(1, len(shown), figsize=(6 * len(shown), 4.4), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], shown, strict=True):
        experiment, params, _ = trained[shots, name]
        curves = experiment.curves(params, (x[0], y[0]), GRID)
        axis.plot(GRID, TASK(GRID[None])[0], color="black", lw=1.5, label="the sine wave")
        for step, style, alpha in ((0, ":", 0.8), (1, "--", 0.9), (10, "-", 1.0)):
            label = "before any step" if step == 0 else f"after {step} step{'s' * (step > 1)}"
            axis.plot(GRID, curves[step], style, color=COLOURS[name], alpha=alpha, lw=2.2, label=label)
        axis.plot(x[0], y[0], "^", color="black", ms=8, label=f"the {shots} points")
        if inputs == HALF:
            axis.axvspan(GRID[0, 0], HALF[0], color="0.93", zorder=0)
            axis.text(-2.5, 6.3, "no point seen here", ha="center", color="0.35")
        axis.set_title(f"{experiment.method.label}, {shots}-shot, step size {experiment.step_size:g}")
        axis.set(xlabel="x", xlim=data.sinusoid.INPUTS, ylim=(-7.2, 7.2))
    axes[0][0].set_ylabel("y")
    for axis in axes[0]:
        axis.legend(loc="lower left", fontsize=9, ncols=2)
    return figure


def _by_step(plt: Any, trained: Trained) -> Any:
    """Mean query error against gradient steps, with its confidence interval."""
    shots = _shots(trained)
    figure, axes = plt.subplots(1, len(shots), figsize=(6 * len(shots), 4.4), sharey=True, squeeze=False)
    top = 0.0
    for axis, k in zip(axes[0], shots, strict=True):
        for (other, name), (experiment, _, errors) in trained.items():
            if other != k:
                continue
            mean, half = mean_and_ci95(errors)
            steps = np.arange(len(mean))
            label = experiment.method.label
            if count := diverged(errors):
                label += f" ({count} of {len(errors)} tasks diverge)"
            top = max(top, mean[0] + half[0])
            axis.plot(steps, mean, "o-", color=COLOURS[name], ms=4, lw=2, label=label)
            axis.fill_between(
                steps, np.maximum(mean - half, mean / 10), mean + half, color=COLOURS[name], alpha=0.2, lw=0
            )
        axis.set(title=f"{k}-shot", xlabel="gradient steps on the task")
        _log_scale(axis)
        axis.legend(fontsize=10)
    axes[0][0].set_ylabel("query MSE (95% CI)")
    axes[0][0].set_ylim(top=1.5 * top)  # a mean that a diverging task carries away may leave the picture
    return figure


def _training(plt: Any, trained: Trained) -> Any:
    """Query error of the meta-parameters before and after the inner update, along training."""
    learners = {key: value for key, value in trained.items() if key[1] in ("maml", "fomaml")}
    if not learners:
        return None
    shots = _shots(learners)
    figure, axes = plt.subplots(1, len(shots), figsize=(6 * len(shots), 4.4), sharey=True, squeeze=False)
    for axis, k in zip(axes[0], shots, strict=True):
        for (other, name), (experiment, _, _) in learners.items():
            rows = meta.read_metrics(experiment.folder) if other == k else []
            if not rows:
                continue
            iterations = np.array([row["iteration"] for row in rows])
            for key, style, when in (("pre_update", ":", "before"), ("post_update", "-", "after")):
                values = np.array([row[key] for row in rows])
                label = f"{experiment.method.label}, {when} the update"
                axis.plot(*smooth(iterations, values), style, color=COLOURS[name], lw=2, label=label)
        axis.set(title=f"{k}-shot", xlabel="training iteration")
        _log_scale(axis)
    axes[0][0].set_ylabel("query MSE of the meta-batch")
    axes[0][-1].legend(fontsize=9)
    return figure


def _log_scale(axis: Any) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y", alpha=0.3)
