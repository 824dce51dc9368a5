"""Few-shot classification: MAML learns a new character from one drawing (Finn, Abbeel and Levine 2017, section 5.2).

    python examples/omniglot.py --dataset strokes               # no data needed, less than three minutes
    python examples/omniglot.py --download                      # the paper's 5-way 1-shot, which takes hours
    python examples/omniglot.py --data FOLDER --ways 20 --shots 5
    python examples/omniglot.py --data FOLDER --methods matching siamese prototypical
    python examples/omniglot.py --data FOLDER --resume          # go on with a run that was stopped

A task has N ways and K shots: N characters, K drawings of each to learn from (the support set), and Q queries of each
to classify. Each character of each task is turned by a random multiple of 90 degrees. No character is in two of the
parts for training, validation and test: 1,100, 100 and 423 of Omniglot's, or the same shares of the embedded strokes'.

The setting is the paper's, unless an option says otherwise. 5-way: 1 inner step of alpha = 0.4 in training, 32 tasks an
iteration. 20-way: 5 steps of 0.1, 16 tasks. As many queries as shots, Adam with step 0.001, 60,000 iterations, four
convolutions of 64 filters, or four linear layers with --net mlp. The inner steps' loss is the sum over the N K examples
divided by K, not their mean. Batch norm's offset is meta-learned and not adapted. Of all validations the parameters
with the best accuracy, after the steps that the paper tests with (3 in 5-way, 5 in 20-way), are tested.

--norm says whose mean and variance batch norm takes in training, for the query pictures; support pictures always have
those of the support set. Tests report each way that the net allows:
- transductive: the queries of a task are normalised together, which lets them help each other. The more there are, the
  more: the accuracy is one with so many queries.
- inductive: each query's answer is its own. Queries are normalised by the statistics of the support set under the same
  parameters; with --norm running by the running averages; with --norm none not at all.
`results.json` has a row for each method, such a mode and number of steps.

Other methods see the same test tasks: nearest neighbour in pixels and in features of a pretrained net, fine-tuning of
that net, matching, Siamese and prototypical networks (`omniglot_baselines.py` says how each is made).
"""

from __future__ import annotations

import argparse
import sys
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _experiment import Record, device_options, finite, guarded, mean_and_ci95, rate, whole, write_json
from omniglot_baselines import Finetune, Matching, NearestFeatures, NearestPixels, Prototypical, Siamese
from omniglot_figures import draw_all
from omniglot_methods import LAST_STEP, MAML, FirstOrderMAML, Method, Result, Trained, task_sizes

from metagrad import data, meta
from metagrad.errors import DataError, OptionError

if TYPE_CHECKING:
    from pathlib import Path

METHODS: dict[str, type[Method]] = {
    "maml": MAML,
    "fomaml": FirstOrderMAML,
    "nearest_neighbour_pixels": NearestPixels,
    "nearest_neighbour_features": NearestFeatures,
    "finetune": Finetune,
    "matching": Matching,
    "siamese": Siamese,
    "prototypical": Prototypical,
}
DEFAULT_METHODS = ("maml", "nearest_neighbour_pixels", "nearest_neighbour_features")
SHOWN_STEPS = (0, 1, 3, 5, 10)
CHECKPOINT_EVERY = 200
SETTINGS = (
    *("dataset", "ways", "shots", "queries", "net", "filters", "norm", "dtype", "seed"),
    *("validate_every", "validation_tasks"),
)


class Defaults(NamedTuple):
    """What a data set is trained with, where no option says otherwise."""

    filters: int
    meta_batch: tuple[int, int]
    """For few ways, and for more than FEW_WAYS."""
    iterations: tuple[int, int]
    """Of meta-learning through inner steps, and of other training."""
    beta: float
    """The step of Adam."""
    validate_every: int
    validation_tasks: int


DEFAULTS = {
    "omniglot": Defaults(64, (32, 16), (60000, 20000), 1e-3, 500, 200),
    "strokes": Defaults(16, (8, 4), (2500, 500), 1e-2, 100, 100),
}
FEW_WAYS = 10
"""Up to here the paper's settings for 5 ways are taken, beyond those for 20."""


class Experiment:
    """The data set, its tasks, and each method trained and tested on them."""

    def __init__(self, args: argparse.Namespace, out: Path) -> None:
        self.args, self.out = args, out
        self.splits = data.split(load(args))
        parts = zip(self.splits._fields, self.splits, strict=True)
        for name, part in sorted(parts, key=lambda named: len(named[1])):
            try:  # tasks that cannot be are refused now, not when training is over
                data.Episodes(part, **task_sizes(args))
            except OptionError as error:
                raise OptionError(f"{error}, in the part for {name}") from None
        self.methods = {name: METHODS[name](args, self.splits) for name in args.methods}
        self._trained: dict[str, tuple[Any, meta.Best | None]] = {}

    def generators(self) -> list[np.random.Generator]:
        """Those of training, validation and test tasks: the same for every method, so that all see the same tasks."""
        seeds = np.random.SeedSequence([self.args.seed, self.args.ways, self.args.shots]).spawn(3)
        return [np.random.default_rng(s) for s in seeds]

    @cached_property
    def validation(self) -> Any:
        episodes = data.Episodes(self.splits.validation, **task_sizes(self.args))
        return episodes(self.generators()[1], self.args.validation_tasks)

    @cached_property
    def tests(self) -> Any:
        return data.Episodes(self.splits.test, **task_sizes(self.args))(self.generators()[2], self.args.test_tasks)

    def iterations(self, name: str) -> int:
        """Of a method's training."""
        trained_as = METHODS[name].trained_as
        if trained_as is None:
            return 0
        through_steps, other = DEFAULTS[self.args.dataset].iterations
        return self.args.iterations or (through_steps if issubclass(METHODS[name], MAML) else other)

    def params(self, name: str) -> Any:
        """The parameters that are tested: those of the best validation, where there was one."""
        trained_as = METHODS[name].trained_as
        if trained_as is None:
            return None
        if trained_as not in self._trained:
            method = self.methods.get(trained_as) or METHODS[trained_as](self.args, self.splits)
            assert isinstance(method, Trained)
            self._trained[trained_as] = self._train(trained_as, method)
        return self._trained[trained_as][0]

    def _train(self, name: str, method: Trained) -> tuple[Any, meta.Best | None]:
        args = self.args
        params = method.init()
        learner = method.learner(params)
        trainer = meta.Trainer(
            method.stepper(learner),
            method.sample,
            self.out / name,
            settings={"method": name, **self._settings(), **method.settings()},
            validate=lambda state: method.score(state.params, self.validation),
            validate_every=args.validate_every,
            checkpoint_every=CHECKPOINT_EVERY,
            log_every=10,
            capture=args.capture,
            label=f"{method.label}, {args.ways}-way {args.shots}-shot",
        )
        state = trainer.run(learner.init(params), self.iterations(name), self.generators()[0], resume=args.resume)
        best = trainer.best
        return (state if best is None else best.state).params, best

    def _settings(self) -> dict[str, Any]:
        """What determines a training, whatever the method; the data set's own step of Adam goes without saying."""
        own = self.args.beta == DEFAULTS[self.args.dataset].beta
        names = [*SETTINGS, *([] if own else ["beta"])]
        settings = {name.replace("_", "-"): getattr(self.args, name) for name in names}
        return {**settings, "pictures": self.splits.train.fingerprint}

    def test(self, name: str) -> dict[str, Result]:
        """By mode, what a method makes of the test tasks."""
        method, params = self.methods[name], self.params(name)
        method.choose(params, self.validation)
        return {mode: method.evaluate(params, self.tests, mode, LAST_STEP) for mode in method.modes}

    def facts(self) -> dict[str, Any]:
        """For the record: which parameters were tested, and the step sizes on a task."""
        best = {
            name: {"best_iteration": best.iteration, "validation_accuracy": best.score}
            for name, (_, best) in self._trained.items()
            if best is not None
        }
        sizes = {name: {"step_size": m.step_size} for name, m in self.methods.items() if m.step_size is not None}
        return {name: {**best.get(name, {}), **sizes.get(name, {})} for name in {**best, **sizes}}


def load(args: argparse.Namespace) -> data.ImageClasses:
    """All classes of the data set, of either part."""
    if args.dataset == "strokes":
        return data.strokes()
    try:
        return data.omniglot(args.data, download=args.download)
    except DataError as error:
        raise DataError(f"{error}; --download fetches Omniglot, --dataset strokes does without") from error


def rows_of(experiment: Experiment, name: str, results: dict[str, Result]) -> list[dict[str, Any]]:
    """The rows of results.json: mean accuracy, a fraction, and half the width of its 95% confidence interval."""
    args, rows = experiment.args, []
    trained = METHODS[name].trained_as is not None
    for mode, result in results.items():
        means, halves = mean_and_ci95(result.accuracies)
        rows += [
            {
                "method": name,
                "ways": args.ways,
                "shots": args.shots,
                "queries": args.queries,
                "net": args.net if trained else "none",
                "norm": args.norm if trained else "none",
                "mode": mode,
                "steps": step,
                "accuracy": finite(means[step]),
                "ci95": finite(halves[step]),
                "tasks": len(result.accuracies),
                "iterations": experiment.iterations(name),
                "seed": args.seed,
                "dataset": args.dataset,
            }
            for step in range(len(means))
        ]
    return rows


def print_table(rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"Accuracy in % on {args.test_tasks} test tasks of {args.dataset}, {args.ways}-way {args.shots}-shot, "
        f"{args.ways} x {args.queries} queries a task, seed {args.seed}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("method")
    table.add_column("queries")
    for step in SHOWN_STEPS:
        table.add_column(f"{step} step{'s' * (step != 1)}", justify="right")
    found: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["method"], row["mode"]), {})[row["steps"]] = row
    for (name, mode), by_step in found.items():
        table.add_row(METHODS[name].label, mode, *[cell(by_step[s]) if s in by_step else "" for s in SHOWN_STEPS])
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    modes = {mode for _, mode in found}
    if "transductive" in modes:
        print(f"transductive: the {args.ways * args.queries} queries of a task are normalised together")
    if "inductive" in modes and args.norm != "none":
        by = "running averages" if args.norm == "running" else "the statistics of the support set"
        print(f"inductive: each query's answer is its own; nets normalise it by {by}")


def cell(row: dict[str, Any]) -> str:
    half = "" if row["ci95"] is None else f" ±{100 * row['ci95']:.2f}"
    return f"{100 * row['accuracy']:.2f}{half}"


def run(args: argparse.Namespace) -> None:
    record = Record(args)
    experiment = Experiment(args, record.out)
    record.begin()
    results = {name: experiment.test(name) for name in args.methods}
    rows = [row for name, found in results.items() for row in rows_of(experiment, name, found)]
    write_json(record.out / "results.json", rows)
    print_table(rows, args)
    facts = experiment.facts()
    for name, found in facts.items():
        if "best_iteration" in found:
            accuracy = 100 * found["validation_accuracy"]
            print(
                f"{METHODS[name].label}: best on validation after {found['best_iteration']} iterations, {accuracy:.2f}"
            )
    pictures = draw_all(record.out, experiment.methods, experiment.tests, results, args)
    record.finish(methods=facts)
    print(f"Written to {record.out}: results.json, {', '.join(pictures)}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Few-shot classification of characters: trains MAML and others, tests and draws.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    count = partial(whole, least=0)
    omniglot, strokes = DEFAULTS["omniglot"], DEFAULTS["strokes"]
    add("--dataset", choices=list(DEFAULTS), default="omniglot", help="strokes needs no data (default: omniglot)")
    add("--data", help="where Omniglot's zips or folders lie (default: METAGRAD_DATA, then the cache folder)")
    add("--download", action="store_true", help="fetch Omniglot to the cache folder, if it is not there")
    add("--ways", type=partial(whole, least=2), default=5, help="classes of a task (default: 5)")
    add("--shots", type=whole, default=1, help="support pictures of a class (default: 1)")
    add("--queries", type=whole, help="query pictures of a class (default: as many as shots)")
    add("--net", choices=["conv", "mlp"], default="conv", help="the paper's net (default: conv)")
    add("--filters", type=whole, help=f"of conv (default: {omniglot.filters}, for strokes {strokes.filters})")
    add(
        "--norm",
        choices=["transductive", "support", "running", "none"],
        default="transductive",
        help="whose statistics batch norm takes for queries in training (default: transductive)",
    )
    add("--first-order", action="store_true", help="first-order MAML in the place of MAML")
    add("--inner-steps", type=whole, help="in training (default: 1, beyond 10 ways 5)")
    add("--alpha", type=rate, help="size of an inner step (default: 0.4, beyond 10 ways 0.1)")
    add("--beta", type=rate, help=f"step of Adam (default: {omniglot.beta:g}, for strokes {strokes.beta:g})")
    add(
        "--meta-batch",
        type=whole,
        help=f"tasks an iteration (default: {omniglot.meta_batch[0]}, beyond 10 ways {omniglot.meta_batch[1]}; "
        f"for strokes {strokes.meta_batch[0]} and {strokes.meta_batch[1]})",
    )
    add(
        "--iterations",
        type=whole,
        help=f"of each training (default: {omniglot.iterations[0]} for MAML and {omniglot.iterations[1]} for others; "
        f"for strokes {strokes.iterations[0]} and {strokes.iterations[1]})",
    )
    add("--train-ways", type=partial(whole, least=2), help="of comparisons (default: prototypical 60, others 20)")
    add("--methods", nargs="+", choices=list(METHODS), default=list(DEFAULT_METHODS), help="what to train and test")
    add("--test-tasks", type=whole, default=600, help="tasks to test on (default: 600)")
    add(
        "--validate-every",
        type=whole,
        help=f"iterations between validations (default: {omniglot.validate_every}, for strokes "
        f"{strokes.validate_every})",
    )
    add(
        "--validation-tasks",
        type=whole,
        help=f"tasks of a validation, the same each time (default: {omniglot.validation_tasks}, for strokes "
        f"{strokes.validation_tasks})",
    )
    add("--dtype", choices=["float32", "float64"], default="float32", help="of the nets (default: float32)")
    add("--seed", type=count, default=0, help="of the first parameters and of all tasks (default: 0)")
    device_options(parser)
    add("--out", help="folder for results, pictures and checkpoints (default: out/DATASET-N-way-K-shot)")
    add("--resume", action="store_true", help="go on from the checkpoints in --out")
    args = parser.parse_args(argv)
    if args.dataset == "strokes" and (args.data or args.download):
        parser.error("--data and --download require --dataset omniglot but got --dataset strokes")
    if args.data and args.download:
        parser.error("--download requires that --data is not given but got both")
    fill(args)
    return args


def fill(args: argparse.Namespace) -> None:
    """The defaults that depend on other options; `iterations` stays None where each method has its own."""
    defaults, many = DEFAULTS[args.dataset], args.ways > FEW_WAYS
    chosen = {
        "queries": args.shots,
        "filters": defaults.filters,
        "inner_steps": 5 if many else 1,
        "alpha": 0.1 if many else 0.4,
        "meta_batch": defaults.meta_batch[many],
        "beta": defaults.beta,
        "validate_every": defaults.validate_every,
        "validation_tasks": defaults.validation_tasks,
        "out": f"out/{args.dataset}-{args.ways}-way-{args.shots}-shot",
    }
    for name, value in chosen.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.test_steps = 5 if many else 3
    wanted = ["fomaml" if args.first_order and name == "maml" else name for name in args.methods]
    args.methods = [name for name in METHODS if name in wanted]


def main(argv: list[str] | None = None) -> int:
    return guarded(lambda: run(parse(argv)))


if __name__ == "__main__":
    sys.exit(main())
