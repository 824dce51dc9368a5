"""A half-cheetah or an ant learns which way to run, or how fast, from 20 trajectories (Finn et al. 2017, section 5.3).

    python examples/locomotion.py --env cheetah-dir     # or cheetah-vel, ant-dir, ant-vel
    python examples/locomotion.py --env ant-vel --iterations 10 --methods maml random
    python examples/locomotion.py --env cheetah-dir --resume

Gymnasium's MuJoCo models (`pip install "metagrad[rl]"`). The methods are those of `navigation2d.py`; the setting is the
paper's: alpha 0.1, 20 trajectories (40 for the ant's direction) of 200 steps for each of 40 tasks an iteration, TRPO
outside with a KL of 0.01 (0.02 for the cheetah's direction). Rewards, models and resets are not those of the simulator
that the paper used, so returns compare with the methods beside them, not with published ones.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from _experiment import guarded, whole
from _figures import save_all
from _rl_experiment import Formatter, Setting, complete, options, run
from _rl_figures import common

from metagrad import rl
from metagrad.core.pytree import tree_map
from metagrad.errors import OptionError

if TYPE_CHECKING:
    from pathlib import Path

PAPER = Setting(inner_lr=0.1, rollouts=20, tasks=40, max_kl=0.01, iterations=100, test_rollouts=20)
ENVIRONMENTS = {
    "cheetah-dir": (partial(rl.HalfCheetah, "direction"), PAPER._replace(max_kl=0.02)),
    "cheetah-vel": (partial(rl.HalfCheetah, "velocity"), PAPER),
    "ant-dir": (partial(rl.Ant, "direction"), PAPER._replace(rollouts=40)),
    "ant-vel": (partial(rl.Ant, "velocity"), PAPER),
}
SHOWN = {"direction": [[-1.0], [1.0]], "velocity": [[0.5], [1.5]]}


def draw_all(out: Path, trained: dict[str, Any]) -> list[str]:
    """Draw every picture, and an animation where that is possible; returns the file names."""
    names = save_all(out, common(trained))
    name = next((m for m in ("maml", "fomaml") if m in trained), None)
    if name is None:
        return names
    try:
        return [*names, _animate(out, trained[name])]
    except OptionError as error:
        print(f"No animation: {error}")
        return names


def _animate(out: Path, found: tuple[Any, Any, Any]) -> str:
    """Two tasks side by side, after one step on each."""
    from PIL import Image, ImageDraw

    experiment, params, _ = found
    family, learner = experiment.family, experiment.learner
    tasks = np.array(SHOWN[family.task])
    generator = np.random.default_rng(7)
    adapted = learner.collect(params, tasks, generator, steps=1).params[-1]
    films = []
    for k, task in enumerate(tasks):
        theta = tree_map(lambda x, k=k: x[k], adapted)
        films.append(rl.frames(family, _states(family, learner.policy, theta, task, generator)[::2]))
    pictures = []
    for shots in zip(*films, strict=False):
        picture = Image.fromarray(np.concatenate(shots, axis=1))
        for k, task in enumerate(tasks):
            text = f"{family.task} {task[0]:+g}" if family.task == "direction" else f"{family.task} {task[0]:g}"
            ImageDraw.Draw(picture).text((k * picture.width // len(tasks) + 8, 6), text, fill="white", font_size=18)
        pictures.append(picture)
    name = f"{experiment.args.env}.gif"
    pictures[0].save(out / name, save_all=True, append_images=pictures[1:], duration=round(2000 * family.dt), loop=0)
    return name


def _states(family: Any, policy: Any, params: Any, task: Any, generator: np.random.Generator) -> Any:
    """The states of one trajectory."""
    tasks = task[None]
    states = family.reset(tasks, generator.integers(2**31, size=1))
    path = [states[0]]
    for _ in range(family.horizon):
        outputs = policy.apply(params, family.observe(states, tasks).astype(policy.dtype)).sample(generator)
        states, _, ended = family.step(states, tasks, family.to_actions(outputs))
        path.append(states[0])
        if ended[0]:
            break
    return np.stack(path)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="MAML for locomotion: trains, tests and draws.",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    parser.add_argument("--env", choices=list(ENVIRONMENTS), default="cheetah-dir", help="robot and task")
    options(parser, None)
    parser.add_argument("--threads", type=whole, default=None, help="of the simulator (default: all cores)")
    args = parser.parse_args(argv)
    return complete(args, ENVIRONMENTS[args.env][1])


def main(argv: list[str] | None = None) -> int:
    def work() -> None:
        args = parse(argv)
        run(args, ENVIRONMENTS[args.env][0](threads=args.threads), draw_all)

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
