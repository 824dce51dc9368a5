"""The pictures of `omniglot.py`: tasks with what was answered, accuracy by step, the course of training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment import mean_and_ci95
from _figures import save_all, smooth
from omniglot_methods import NONE

from metagrad import meta

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

COLOURS = {
    "maml": "#c0392b",
    "fomaml": "#e08e0b",
    "finetune": "#2c6fbb",
    "nearest_neighbour_pixels": "#888888",
    "nearest_neighbour_features": "#333333",
    "matching": "#3a7d44",
    "siamese": "#7d3a75",
    "prototypical": "#159a9c",
}
RIGHT, WRONG = "#3a7d44", "#c0392b"
TASKS = 4
GAP = 0.6
"""Between support and queries, in pictures."""


def draw_all(out: Path, methods: Any, tests: Any, results: Any, args: argparse.Namespace) -> list[str]:
    """Draw every picture; returns the file names. `results` is {method: {mode: Result}}."""
    return save_all(
        out,
        {
            "episodes.png": partial(_episodes, methods=methods, tests=tests, results=results, args=args),
            "accuracy-by-step.png": partial(_by_step, methods=methods, results=results, args=args),
            "training.png": partial(_training, out=out, methods=methods),
        },
    )


def _episodes(plt: Any, *, methods: Any, tests: Any, results: Any, args: argparse.Namespace) -> Any:
    """The first test tasks, and the one with most errors, as the first of the methods answers them."""
    name, by_mode = next(iter(results.items()))
    mode, result = next(iter(by_mode.items()))
    step = min(args.test_steps, result.predictions.shape[1] - 1)
    hardest = int(result.accuracies[:, step].argmin())
    count = TASKS // 2 if args.ways > 10 else TASKS
    shown = list(dict.fromkeys([*range(min(count, len(result.accuracies)) - 1), hardest]))
    rows = args.shots + GAP + args.queries
    columns = 1 if args.ways > 10 else 2
    lines = -(-len(shown) // columns)
    size = (columns * (0.62 * args.ways + 0.9), lines * (0.66 * rows + 0.6))
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    (support, _), (query, labels) = tests
    for axis, task in zip(axes.flat, shown, strict=False):
        _pictures(axis, support[task], args.ways, top=0.0)
        top = args.shots + GAP
        _pictures(axis, query[task], args.ways, top=top)
        answers = result.predictions[task, step]
        for k, (label, answer) in enumerate(zip(labels[task], answers, strict=True)):
            _verdict(plt, axis, label, top + k % args.queries, answer)
        for way in range(args.ways):
            axis.text(way + 0.5, -0.12, _letter(way), ha="center", va="bottom", fontsize=10)
        for y, what in ((args.shots / 2, "support"), (top + args.queries / 2, "query")):
            axis.text(-0.12, y, what, ha="right", va="center", rotation=90, fontsize=9, color="0.35")
        axis.set(xlim=(-0.5, args.ways + 0.05), ylim=(top + args.queries + 0.05, -0.5), aspect="equal")
        share = 100 * result.accuracies[task, step]
        which = "the task with most errors" if task == hardest else f"test task {task + 1}"
        axis.set_title(f"{which}: {share:.0f}% right", fontsize=10, pad=6)
    steps = f", after {step} step{'s' * (step != 1)}" if methods[name].adapts else ""
    figure.suptitle(
        f"{methods[name].label}{steps}, {mode}: a query's frame is green if right, else red\n"
        "with the letter that was answered",
        fontsize=10,
    )
    return figure


def _pictures(axis: Any, images: Any, ways: int, top: float) -> None:
    """Pictures (n, h, w, 1), class after class, one class a column, ink dark."""
    each = len(images) // ways
    for k, image in enumerate(images[..., 0]):
        x, y = k // each, top + k % each
        axis.imshow(image, cmap="gray_r", extent=(x + 0.04, x + 0.96, y + 0.96, y + 0.04), vmin=0, vmax=1)


def _verdict(plt: Any, axis: Any, label: int, y: float, answer: int) -> None:
    colour = RIGHT if answer == label else WRONG
    axis.add_patch(plt.Rectangle((label + 0.04, y + 0.04), 0.92, 0.92, fill=False, ec=colour, lw=2))
    if answer != label:
        from matplotlib import patheffects

        outline = patheffects.withStroke(linewidth=3, foreground="white")  # to be read over ink
        axis.text(
            *(label + 0.9, y + 0.9, _letter(answer)),
            ha="right", va="bottom", fontsize=10, color=WRONG, weight="bold", path_effects=[outline],
        )  # fmt: skip


def _letter(way: int) -> str:
    """A name for a class of a task: A to Z, then AA; a question mark for none."""
    if way == NONE:
        return "?"
    return (_letter(way // 26 - 1) if way >= 26 else "") + chr(ord("A") + way % 26)


def _by_step(plt: Any, *, methods: Any, results: Any, args: argparse.Namespace) -> Any:
    """Mean accuracy against gradient steps, in each mode; methods without steps are level lines."""
    modes = list(dict.fromkeys(mode for by_mode in results.values() for mode in by_mode))
    figure, axes = plt.subplots(1, len(modes), figsize=(6.5 * len(modes), 4.6), sharey=True, squeeze=False)
    for axis, mode in zip(axes[0], modes, strict=True):
        for name, by_mode in results.items():
            result = by_mode.get(mode) or next(iter(by_mode.values()))  # pixels are what they are in either
            mean, half = (100 * x for x in mean_and_ci95(result.accuracies))
            colour, label = COLOURS[name], methods[name].label
            if methods[name].adapts:
                steps = np.arange(len(mean))
                axis.plot(steps, mean, "o-", color=colour, ms=4, lw=2, label=label)
                axis.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.2, lw=0)
            else:
                axis.axhline(mean[0], color=colour, ls="--", lw=1.8, label=label)
        axis.axhline(100 / args.ways, color="0.7", ls=":", lw=1.5, label="chance")
        axis.set(title=f"{mode}, {args.ways * args.queries} queries a task", xlabel="gradient steps on the task")
        axis.grid(axis="y", alpha=0.3)
    axes[0][0].set(ylabel="accuracy in % (95% CI)", ylim=(0, 103))
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right center", fontsize=10)
    return figure


def _training(plt: Any, *, out: Path, methods: Any) -> Any:
    """Training loss and validation accuracy along training, of each method that was trained for long enough."""
    labels = {m.trained_as: m.label if m.trained_as == name else "pretrained net" for name, m in methods.items()}
    trained = {name: label for name, label in labels.items() if name is not None}
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6))
    for name, label in trained.items():
        rows = meta.read_metrics(out / name)
        for axis, key in zip(axes, ("loss", "validation"), strict=True):
            points = np.array([(row["iteration"], row[key]) for row in rows if key in row]).T
            if not points.size:
                continue
            x, y = smooth(*points) if key == "loss" else (points[0], 100 * points[1])
            axis.plot(x, y, "o-" if key == "validation" else "-", ms=3, color=COLOURS[name], lw=2, label=label)
    axes[0].set(title="training loss, each method's own", xlabel="iteration", ylim=(0, None))
    axes[1].set(title="validation accuracy in %", xlabel="iteration")
    axes[1].grid(alpha=0.3)
    handles = {label: h for axis in axes for h, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if not handles:
        return None
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=10)
    return figure
