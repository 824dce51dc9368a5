"""MAML learns to fit a sine wave from ten points in one gradient step (Finn, Abbeel and Levine 2017, section 5.1).

    python examples/sinusoid.py                         # 10 and 5 shots, about a minute
    python examples/sinusoid.py --iterations 70000      # the paper's length
    python examples/sinusoid.py --resume                # go on with a run that was stopped

Four methods: MAML; first-order MAML, the same with each inner gradient taken as a constant; a net pretrained on all
tasks at once and fine-tuned; and an oracle, which is told amplitude and phase. The setting is the paper's: a net
1-40-40-1 with ReLU, float32, weights from a truncated normal of standard deviation 0.01, biases 0; 25 tasks an
iteration with K support and K query points each; Adam with step 0.001; 1 inner step of size alpha = 0.01 in training.
Test tasks have K support points, which they are adapted to by full-batch gradient descent, and K other points, on which
the error is measured. The step size of fine-tuning is alpha for the meta-learners, and 0.02 (K of 10 or more) or 0.01
(fewer) for the pretrained net. The oracle has nothing to learn about a task and takes no step: its error is the same
number throughout. The last iterates are tested, or with `--average` a running mean of those of the same training:
Adam's constant step leaves the last one noisy.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _experiment import Record, device_options, finite, guarded, mean_and_ci95, rate, whole, write_json
from sinusoid_figures import diverged, draw_all

import metagrad as mg
from metagrad import data, meta, nn, optim

META_BATCH = 25
TEST_STEPS = 10
SHOWN_STEPS = (0, 1, 5, 10)
CHUNK = 500  # test tasks adapted at once: bounds the memory


class Method(NamedTuple):
    """A way to find the parameters from which a task is learned."""

    label: str
    meta: bool  # learns through inner steps
    first_order: bool = False
    informed: bool = False  # sees amplitude and phase


METHODS = {
    "maml": Method("MAML", meta=True),
    "fomaml": Method("first-order MAML", meta=True, first_order=True),
    "pretrained": Method("pretrained", meta=False),
    "oracle": Method("oracle", meta=False, informed=True),
}


def network() -> Any:
    dense = partial(nn.Dense, kernel_init=nn.initializers.truncated_normal(0.01))
    return nn.Sequential(dense(40), nn.relu, dense(40), nn.relu, dense(1))


NET = network()


def loss(params: Any, batch: Any) -> Any:
    """The mean squared error of the net on a batch (x, y)."""
    x, y = batch
    return nn.mean_squared_error(NET.apply(params, x), y)


def sample(generator: np.random.Generator, method: Method, shots: int, tasks: int = META_BATCH) -> Any:
    """(support, query) of so many new tasks, as the method sees them."""
    batch, episode = data.episodes(generator, tasks, shots)
    if not method.informed:
        return episode
    return tuple((batch.informed(x), y) for x, y in episode)


def sample_joint(generator: np.random.Generator, method: Method, shots: int) -> Any:
    """The same points for a net that does not adapt: all of them are query points."""
    (x, y), (x2, y2) = sample(generator, method, shots)
    everything = np.concatenate([x, x2], axis=1), np.concatenate([y, y2], axis=1)
    return everything, everything


class Experiment:
    """One method at one number of shots: train it, then test it."""

    def __init__(self, args: argparse.Namespace, name: str, shots: int) -> None:
        self.args, self.name, self.shots, self.method = args, name, shots, METHODS[name]
        self.folder = Path(args.out) / f"{shots}-shot" / name
        self.step_size = (
            args.alpha if self.method.meta else 0.0 if self.method.informed else 0.02 if shots >= 10 else 0.01
        )

    def train(self) -> Any:
        """The trained parameters."""
        args, method = self.args, self.method
        steps = args.inner_steps if method.meta else 0  # joint training is MAML without inner steps
        adam = optim.Adam(1e-3)
        optimizer = adam if args.average is None else optim.Averaged(adam, args.average)
        maml = meta.MAML(loss, optimizer, steps=steps, lr=self.step_size, first_order=method.first_order)
        params = NET.init(mg.random.key(args.seed), (3 if method.informed else 1,))
        params = mg.to_device(params, args.device)
        draw = partial(sample if method.meta else sample_joint, method=method, shots=self.shots)
        train, _ = self.generators()

        def measure(state: Any, tasks: Any, post_update: Any) -> dict[str, float]:
            if not method.meta:
                return {"loss": float(post_update)}
            before = maml.meta_loss(state.params, tasks, steps=0)
            return {"pre_update": float(before), "post_update": float(post_update)}

        trainer = meta.Trainer(
            maml.step,
            lambda generator: mg.to_device(draw(generator), args.device),
            self.folder,
            settings={
                "method": self.name,
                "shots": self.shots,
                "seed": args.seed,
                "inner-steps": steps,
                "alpha": self.step_size if method.meta else None,
                **({} if args.average is None else {"average": args.average}),
            },
            measure=measure,
            log_every=10,
            label=f"{method.label}, {self.shots}-shot",
            capture=args.capture,
        )
        state = trainer.run(maml.init(params), args.iterations, train, resume=args.resume)
        return state.params if args.average is None else optimizer.average(state.optimizer)

    def generators(self) -> list[np.random.Generator]:
        """Those of training and of test tasks: the same for every method, so that all see the same tasks."""
        seeds = np.random.SeedSequence([self.args.seed, self.shots]).spawn(2)
        return [np.random.default_rng(s) for s in seeds]

    def trajectory(self, params: Any, support: Any) -> list[Any]:
        """The parameters after 0, 1, 2, ... steps on a task."""
        return [params, *meta.adapt(loss, params, support, steps=TEST_STEPS, lr=self.step_size, every_step=True)]

    def test(self, params: Any) -> np.ndarray[Any, Any]:
        """Query errors of all test tasks after 0, 1, 2, ... steps: shape (tasks, 1 + TEST_STEPS)."""
        _, generator = self.generators()
        tasks = sample(generator, self.method, self.shots, self.args.test_tasks)
        support, query = mg.to_device(tasks, self.args.device)

        def errors(support: Any, query: Any) -> Any:
            return mg.stack([loss(p, query) for p in self.trajectory(params, support)])

        found = []
        for start in range(0, self.args.test_tasks, CHUNK):
            part = slice(start, start + CHUNK)
            found.append(mg.vmap(errors)(tuple(a[part] for a in support), tuple(a[part] for a in query)))
        return np.concatenate([np.asarray(f, np.float64) for f in found])

    def curves(self, params: Any, support: Any, grid: Any) -> list[np.ndarray[Any, Any]]:
        """What the net says on a grid after 0, 1, 2, ... steps on one task."""
        support, grid = mg.to_device((support, grid), self.args.device)
        return [np.asarray(NET.apply(p, grid)) for p in self.trajectory(params, support)]


def rows_of(experiment: Experiment, errors: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """The rows of results.json: mean query error and half the width of its 95% confidence interval.

    Both are None where a task that diverged leaves no finite mean.
    """
    means, halves = mean_and_ci95(errors)
    return [
        {
            "method": experiment.name,
            "shots": experiment.shots,
            "steps": step,
            "mse": finite(means[step]),
            "ci95": finite(halves[step]),
            "tasks": len(errors),
            "iterations": experiment.args.iterations,
            "seed": experiment.args.seed,
        }
        for step in SHOWN_STEPS
    ]


def cell(row: dict[str, Any]) -> str:
    if row["tasks"] == 1 and row["mse"] is not None:
        return f"{row['mse']:.3f}"
    return "diverges" if row["mse"] is None or row["ci95"] is None else f"{row['mse']:.3f} ±{row['ci95']:.3f}"


def print_table(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"Query MSE on {args.test_tasks} test tasks, {args.iterations} iterations, seed {args.seed}"
    title += "" if args.average is None else f", running mean of the iterates ({args.average:g})"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("shots", justify="right")
    table.add_column("method")
    for step in SHOWN_STEPS:
        table.add_column(f"{step} step{'s' * (step != 1)}", justify="right")
    for shots in args.shots:
        for name in args.methods:
            found = {r["steps"]: r for r in rows if r["shots"] == shots and r["method"] == name}
            cells = [cell(found[s]) for s in SHOWN_STEPS]
            table.add_row(str(shots), METHODS[name].label, *cells)
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def run(args: argparse.Namespace) -> None:
    record = Record(args)
    record.begin()
    out = record.out
    rows: list[dict[str, Any]] = []
    trained: dict[tuple[int, str], tuple[Experiment, Any, Any]] = {}
    for shots in args.shots:
        for name in args.methods:
            experiment = Experiment(args, name, shots)
            params = experiment.train()
            errors = experiment.test(params)
            trained[shots, name] = experiment, params, errors
            rows += rows_of(experiment, errors)
    write_json(out / "results.json", rows)
    print_table(rows, args)
    for (shots, _), (experiment, _, errors) in trained.items():
        if count := diverged(errors):
            label, tasks = experiment.method.label, len(errors)
            print(f"{label}, {shots}-shot: {count} of {tasks} tasks diverge with steps of {experiment.step_size:g}")
    pictures = draw_all(out, trained)
    record.finish()
    print(f"Written to {out}: results.json, {', '.join(pictures)}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="MAML on sinusoids: trains, tests and draws.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--shots", type=whole, nargs="+", default=[10, 5], help="support points of a task, one or several"
    )
    parser.add_argument("--inner-steps", type=whole, default=1, help="inner steps in training")
    parser.add_argument("--alpha", type=rate, default=0.01, help="size of an inner step")
    parser.add_argument(
        "--average",
        type=partial(rate, below=1),
        metavar="DECAY",
        help="test a running mean of the iterates that forgets at this rate, such as 0.999, in place of the last one",
    )
    parser.add_argument("--iterations", type=whole, default=4000, help="meta-updates; the paper's number is 70000")
    parser.add_argument(
        "--seed", type=partial(whole, least=0), default=0, help="of the first parameters and of all tasks"
    )
    parser.add_argument("--out", default="out/sinusoid", help="folder for results, pictures and checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in --out")
    parser.add_argument("--first-order", action="store_true", help="leave out MAML, keep its first-order form")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), help="what to train")
    parser.add_argument("--test-tasks", type=whole, default=600, help="tasks to test on")
    device_options(parser)
    args = parser.parse_args(argv)
    args.shots = list(dict.fromkeys(args.shots))
    args.methods = [m for m in METHODS if m in args.methods and not (args.first_order and m == "maml")]
    if not args.methods:
        parser.error("--first-order requires a method besides maml but got --methods maml")
    return args


def main(argv: list[str] | None = None) -> int:
    return guarded(lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main())
