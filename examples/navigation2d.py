"""A point learns to reach a goal that it does not see, from 20 trajectories (Finn et al. 2017, section 5.3).

    python examples/navigation2d.py                    # the published setting, some hours on two cores
    python examples/navigation2d.py --iterations 20    # a look at it, some three minutes
    python examples/navigation2d.py --resume           # go on with a run that was stopped

Five methods: MAML; the same that adapts a context vector only; a policy pretrained on all goals; a random one; and an
oracle, which sees the goal. Each of the first four is adapted to a test goal by REINFORCE, with steps of alpha,
alpha / 2, alpha / 2. The setting is that of the published run: alpha 0.5, 20 trajectories of at most 100 steps for each
of 20 goals an iteration, TRPO outside with a KL of 0.01, 500 iterations, of which the best on goals of its own is kept
(by the return after 1 to 3 steps; where nothing is learned about adapting, before any); the test has 40 goals with 40
trajectories each. `--inner-lr 0.1 --reward squared_distance` is the paper's text.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment import counted, guarded
from _figures import save_all
from _rl_experiment import METHODS, Formatter, Setting, complete, options, run
from _rl_figures import common

from metagrad import rl
from metagrad.rl.navigation import REWARDS

if TYPE_CHECKING:
    from pathlib import Path

SETTING = Setting(inner_lr=0.5, rollouts=20, tasks=20, max_kl=0.01, iterations=500, test_rollouts=40)
SHOWN = np.array([[0.35, 0.3], [-0.4, 0.2], [0.1, -0.45]])


def draw_all(out: Path, trained: dict[str, Any]) -> list[str]:
    """Draw every picture; returns the file names."""
    pictures = {f"trajectories-{name}.png": partial(_paths, name=name, trained=trained) for name in trained}
    return save_all(out, pictures | common(trained))


def _paths(plt: Any, name: str, trained: dict[str, Any]) -> Any:
    """Five trajectories to each of three goals, before any step and after each."""
    experiment, params, _ = trained[name]
    trajectories, _ = experiment.adapted(params, SHOWN, experiment.args.test_rollouts, np.random.default_rng(7))
    columns = len(trajectories)
    figure, axes = plt.subplots(
        len(SHOWN), columns, figsize=(2.6 * columns + 0.6, 2.7 * len(SHOWN)), sharex=True, sharey=True, squeeze=False
    )
    for column, found in enumerate(trajectories):
        axes[0][column].set_title(f"after {counted(column, 'step')}", fontsize=11)
        for row, goal in enumerate(SHOWN):
            axis = axes[row][column]
            for k in range(min(5, found.mask.shape[1])):
                path = found.observations[row, k][found.mask[row, k] > 0]
                axis.plot(path[:, 0], path[:, 1], lw=1.1, alpha=0.8)
            axis.plot(0, 0, "s", color="black", ms=5)
            axis.plot(*goal, "*", color="#c0392b", ms=14, mec="white")
            axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
            axis.text(
                0.03,
                0.03,
                f"mean return {found.returns()[row]:.1f}".replace("-", "\N{MINUS SIGN}"),
                transform=axis.transAxes,
                fontsize=9,
                bbox={"fc": "white", "ec": "none", "alpha": 0.7, "pad": 1},
            )
    between = "\n" if columns == 1 else " "
    figure.suptitle(f"{METHODS[name].label}: trajectories{between}from the square to the star")
    return figure


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="MAML for 2D navigation: trains, tests and draws.",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    options(parser, SETTING)
    parser.add_argument("--reward", choices=REWARDS, default=REWARDS[0], help="minus the distance, or its square")
    args = parser.parse_args(argv)
    args.env = "navigation2d"
    return complete(args, SETTING)


def main(argv: list[str] | None = None) -> int:
    def work() -> None:
        args = parse(argv)
        run(args, rl.Navigation(args.reward), draw_all)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
