"""What the experiments of reinforcement learning share: the methods, their training and their test, rows and table."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _experiment import Record, counted, finite, mean_and_ci95, rate, whole, write_json

import metagrad as mg
from metagrad import meta, optim, rl

if TYPE_CHECKING:
    from collections.abc import Callable

TEST_STEPS = 3
LATER = 1 / 2
"""The size of the steps after the first, as a share of it, in the published tests."""
SHORTER = (1 / 4, 1 / 8)
"""What else is tried on the validation tasks, where that is asked for."""
MAY_CHANGE = {"iterations", "methods", "first_order", "out", "resume", "threads"}
MAY_CHANGE |= {"shorter_steps", "test_tasks", "test_rollouts", "validate_every", "checkpoint_every"}
"""Options that a resumed run may have otherwise; first order is in the method."""
GOALS = 0  # the seed of the test tasks: the same for every run
CONTEXT = 10
Array = np.ndarray[Any, Any]


class Method(NamedTuple):
    """A way to find the parameters from which a task is learned."""

    label: str
    steps: int = 0  # inner steps in training; 0 is plain policy optimisation on all tasks
    first_order: bool = False
    informed: bool = False  # sees the task
    context: int = 0  # adapts a vector beside the observation, and nothing else
    trained: bool = True
    early: bool = False  # not made to adapt, but kept where it adapts best

    @property
    def kept_for_adapting(self) -> bool:
        """Whether the best iterate is that with the highest return after steps, not before any."""
        return self.steps > 0 or self.early


METHODS = {
    "maml": Method("MAML", steps=1),
    "fomaml": Method("first-order MAML", steps=1, first_order=True),
    "context": Method("context vector", steps=1, context=CONTEXT),
    "pretrained": Method("pretrained", steps=0),
    "pretrained_early": Method("pretrained, kept where it adapts best", early=True),
    "random": Method("random", trained=False),
    "oracle": Method("oracle", informed=True),
}
UNLESS_NAMED = "fomaml", "pretrained_early"  # are left out


class Setting(NamedTuple):
    """What the paper uses on an environment."""

    inner_lr: float
    rollouts: int
    tasks: int
    max_kl: float
    iterations: int
    test_rollouts: int


class Experiment:
    """One method on one family of environments: train it, then test it."""

    def __init__(self, args: argparse.Namespace, name: str, family: rl.Family) -> None:
        self.args, self.name, self.method = args, name, METHODS[name]
        self.folder = Path(args.out) / name
        self.family = rl.Informed(family) if self.method.informed else family
        self.learner = rl.MAML(
            self.family,
            rl.policy_for(self.family, context=self.method.context),
            outer(args),
            steps=self.method.steps,
            lr=args.inner_lr,
            rollouts=args.rollouts,
            tasks=args.tasks,
            surrogate=args.surrogate,
            first_order=self.method.first_order,
        )
        self.best: meta.Best | None = None

    def train(self) -> Any:
        """The best parameters on tasks of their own: after 1 to 3 steps if the method is to adapt, else before any."""
        args, learner = self.args, self.learner
        state = learner.init(mg.random.key(args.seed))
        if not self.method.trained:
            return state.params
        trainer = meta.Trainer(
            learner.step,
            learner.sample,
            self.folder,
            settings={"method": self.name} | {k: v for k, v in vars(args).items() if k not in MAY_CHANGE},
            validate=lambda state: self.validated(state.params, TEST_STEPS if self.method.kept_for_adapting else 0),
            validate_every=args.validate_every,
            label=f"{self.method.label}, {args.env}",
            log_every=1,
            checkpoint_every=args.checkpoint_every,
        )
        state = trainer.run(state, args.iterations, self._generator(1), resume=args.resume)
        self.best = trainer.best
        return state.params if trainer.best is None else trainer.best.state.params

    def _generator(self, use: int) -> np.random.Generator:
        """Of training tasks, validation tasks, ...: the same for every method."""
        return np.random.default_rng([self.args.seed, use])

    def validated(self, params: Any, steps: int, later: float = LATER) -> float:
        """The mean return on tasks of its own, the same at every call: after the steps, or before any where none is."""
        seen = self.family.sample_tasks(self._generator(2), self.args.tasks)
        returns = self.adapted(params, seen, self.args.rollouts, self._generator(3), steps, later)[1]
        return rl.mean_return(returns[:, min(steps, 1) :])

    def shorter(self, params: Any) -> float:
        """The share that the steps after the first should have of it, by the validation tasks."""
        return max((LATER, *SHORTER), key=lambda later: self.validated(params, TEST_STEPS, later))

    def test(self, params: Any, later: float = LATER) -> Array:
        """Mean returns of the fixed tasks after 0, 1, ... steps: (tasks, 1 + TEST_STEPS)."""
        goals = self.family.sample_tasks(np.random.default_rng(GOALS), self.args.test_tasks)
        with meta.Progress(f"{self.method.label}, {self.args.env}, test", 1) as progress:
            returns = self.adapted(params, goals, self.args.test_rollouts, self._generator(4), later=later)[1]
            progress(1)
        return returns

    def adapted(
        self,
        params: Any,
        tasks: Array,
        rollouts: int,
        generator: np.random.Generator,
        steps: int = TEST_STEPS,
        later: float = LATER,
    ) -> tuple[list[rl.Trajectories], Array]:
        """(trajectories after each step, returns): an oracle knows the task and takes no step."""
        taken, alpha = 0 if self.method.informed else steps, float(self.args.inner_lr)

        def rate(step: int) -> float:
            return alpha if step == 0 else alpha * later

        found = self.learner.collect(params, tasks, generator, steps=taken, lr=rate, rollouts=rollouts)
        returns = np.stack([t.returns() for t in found.trajectories], axis=1)
        return found.trajectories, np.repeat(returns, 1 + steps, axis=1) if self.method.informed else returns

    def seconds(self) -> dict[str, float]:
        """Where they went, by part, training and test of this run together."""
        return {name: round(value, 2) for name, value in self.learner.clock.seconds.items()}


def outer(args: argparse.Namespace) -> rl.Outer:
    """The outer update by its name."""
    if args.outer == "trpo":
        return rl.TRPO(args.max_kl)
    optimizer = optim.Adam(args.outer_lr)
    return rl.Ascent(optimizer) if args.outer == "adam" else rl.PPO(optimizer)


def rows_of(experiment: Experiment, returns: Array, later: float = LATER) -> list[dict[str, Any]]:
    """The rows of results.json: the mean return over tasks, and half the width of its 95% confidence interval.

    Where the later steps are no halves of the first, this is in the method's name.
    """
    args = experiment.args
    kept = [column[np.isfinite(column)] for column in returns.T]  # tasks whose simulator gave numbers
    found = [mean_and_ci95(column) if column.size else (np.nan, np.nan) for column in kept]
    return [
        {
            "method": experiment.name + (f"_{later:g}" if later != LATER else ""),
            "env": args.env,
            "steps": step,
            "return": finite(found[step][0]),
            "ci95": finite(found[step][1]),
            "tasks": len(kept[step]),
            "iterations": args.iterations if experiment.method.trained else 0,
            "seed": args.seed,
        }
        for step in range(1 + TEST_STEPS)
    ]


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """With defaults, but for what has none."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def cell(row: dict[str, Any]) -> str:
    """A return with its confidence interval, where there is one."""
    if row["return"] is None:
        return "none"
    return f"{row['return']:.2f}" + ("" if row["ci95"] is None else f" ±{row['ci95']:.2f}")


def label_of(method: str) -> str:
    """Of a method as the rows name it."""
    if method in METHODS:
        return METHODS[method].label
    name, _, later = method.rpartition("_")
    return f"{METHODS[name].label}, later steps {later} of the first"


def print_table(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Mean returns by method and steps."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    trained = counted(args.iterations, "iteration")
    title = f"Mean return on {args.test_tasks} fixed tasks, {args.env}, {trained}, seed {args.seed}"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method")
    for step in range(1 + TEST_STEPS):
        table.add_column(counted(step, "step"), justify="right")
    for name in dict.fromkeys(row["method"] for row in rows):
        table.add_row(label_of(name), *[cell(row) for row in rows if row["method"] == name])
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def run(args: argparse.Namespace, family: rl.Family, draw: Callable[..., list[str]]) -> None:
    """Train and test every method; `draw(out, trained)` makes the pictures."""
    record = Record(args)
    record.begin()
    rows: list[dict[str, Any]] = []
    trained: dict[str, tuple[Experiment, Any, Array]] = {}
    for name in args.methods:
        experiment = Experiment(args, name, family)
        params = experiment.train()
        returns = experiment.test(params)
        trained[name] = experiment, params, returns
        rows += rows_of(experiment, returns)
        if args.shorter_steps and not experiment.method.informed and (later := experiment.shorter(params)) != LATER:
            rows += rows_of(experiment, experiment.test(params, later), later)
    write_json(record.out / "results.json", rows)
    print_table(rows, args)
    pictures = draw(record.out, trained)
    record.finish(
        best={name: None if e.best is None else e.best.iteration for name, (e, _, _) in trained.items()},
        parts={name: e.seconds() for name, (e, _, _) in trained.items()},
    )
    family.close()
    print(f"Written to {record.out}: results.json, {', '.join(pictures)}")


def options(parser: argparse.ArgumentParser, defaults: Setting | None) -> None:
    """Those of every experiment; what `defaults` does not give is filled in by `complete`."""
    d = defaults or Setting(*[None] * len(Setting._fields))  # type: ignore[arg-type]
    add = parser.add_argument
    paper = "" if defaults else " (default: the paper's for the environment)"
    rollouts = f"trajectories of a task before each inner step and after{paper}"
    add("--iterations", type=whole, default=d.iterations, help=f"meta-updates{paper}")
    add("--tasks", type=whole, default=d.tasks, help=f"tasks an iteration{paper}")
    add("--rollouts", type=whole, default=d.rollouts, help=rollouts)
    add("--inner-lr", type=rate, default=d.inner_lr, help=f"size of an inner step{paper}")
    add("--outer", choices=["trpo", "adam", "ppo"], default="trpo", help="the outer update")
    positive = partial(rate, zero=False)
    add("--max-kl", type=positive, default=d.max_kl, help=f"of a step of TRPO{paper}")
    add("--outer-lr", type=positive, default=1e-3, help="of Adam, also inside PPO")
    add("--surrogate", choices=list(rl.SURROGATES), default="log_likelihood", help="what an inner step ascends")
    add("--seed", type=partial(whole, least=0), default=0, help="of parameters, tasks and trajectories")
    add("--out", default=None, help="folder for results, pictures and checkpoints (default: out/ENV)")
    add("--resume", action="store_true", help="go on from the checkpoints in --out")
    default = f"what to train (default: all but {' and '.join(UNLESS_NAMED)})"
    add("--methods", nargs="+", choices=list(METHODS), default=None, help=default)
    add("--first-order", action="store_true", help="first-order MAML in the place of MAML")
    shorter = f"test also with the later steps that do best on validation tasks, of {(LATER, *SHORTER)} times the first"
    add("--shorter-steps", action="store_true", help=shorter)
    add("--test-tasks", type=whole, default=40, help="fixed tasks to test on")
    add("--test-rollouts", type=whole, default=d.test_rollouts, help=f"trajectories of a test task at each step{paper}")
    add("--validate-every", type=whole, default=10, help="iterations between validations, of which the best is kept")
    add("--checkpoint-every", type=whole, default=10, help="iterations between checkpoints")


def complete(args: argparse.Namespace, setting: Setting) -> argparse.Namespace:
    """The environment's own setting where no option was given."""
    for key, value in setting._asdict().items():
        if getattr(args, key) is None:
            setattr(args, key, value)
    chosen = args.methods or [m for m in METHODS if m not in UNLESS_NAMED]
    if args.first_order:
        chosen = ["fomaml" if m == "maml" else m for m in chosen]
    args.methods = [m for m in METHODS if m in chosen]
    args.out = args.out or f"out/{args.env}"
    return args
