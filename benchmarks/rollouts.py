"""Environment steps a second: a family's batch beside Gymnasium's SyncVectorEnv and AsyncVectorEnv.

The same environments, tasks, seeds and actions for each of the three; rewards are compared before anything is timed.
Then what training has: 800 environments (40 tasks, 20 trajectories) that advance together, and Gymnasium's own
HalfCheetah-v5 in its vector environments, for scale.

    python benchmarks/rollouts.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from _common import Contender, announce, announce_threads, arguments, check_equal, measure, need, write

ENVIRONMENTS, STEPS, MANY = 16, 50, 800
NAMES = {"navigation": "Navigation2D", "half-cheetah": "HalfCheetahDirection"}


def actions_for(family: Any, count: int) -> Any:
    """Uniform within the bounds: (STEPS, count, action_size)."""
    rng = np.random.default_rng(0)
    return rng.uniform(family.low, family.high, (STEPS, count, family.action_size))


def batch(family: Any, count: int) -> Contender:
    """The family's states, advanced together."""
    tasks = family.sample_tasks(np.random.default_rng(1), count)
    seeds, actions = np.arange(count), actions_for(family, count)

    def run() -> Any:
        states = family.reset(tasks, seeds)
        total = np.zeros(count)
        for action in actions:
            states, rewards, _ = family.step(states, tasks, action)
            family.observe(states, tasks)
            total += rewards
        return total

    return Contender(f"metagrad, {count} together", run, lambda total: [total])


def environment(name: str, task: Any) -> Any:
    """One environment with its task, made in the process that runs it."""
    import gymnasium

    from metagrad import rl

    rl.register()
    env = gymnasium.make(name, disable_env_checker=True)
    if task is not None:
        env.unwrapped.task = task
    return env


def vector(kind: str, name: str, family: Any, count: int, tasks: Any) -> tuple[Contender, Any]:
    """Gymnasium's vector environment of so many, and what closes it."""
    makers = [partial(environment, name, None if tasks is None else tasks[k]) for k in range(count)]
    vectors = need("gymnasium").vector
    made = vectors.SyncVectorEnv(makers) if kind == "Sync" else vectors.AsyncVectorEnv(makers, context="spawn")
    actions = actions_for(family, count).astype(made.single_action_space.dtype)

    def run() -> Any:
        made.reset(seed=list(range(count)))
        total = np.zeros(count)
        for action in actions:
            total += made.step(action)[1]
        return total

    return Contender(f"{kind}VectorEnv, {count} of {name}", run, lambda total: [total]), made


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=7)
    announce()
    announce_threads()
    from metagrad import rl

    rows: list[dict[str, Any]] = []
    # A horizon that is not reached: a vector environment would start an episode anew.
    for title, family in (("navigation", rl.Navigation(horizon=1000)), ("half-cheetah", rl.HalfCheetah())):
        ours = batch(family, ENVIRONMENTS)
        tasks = family.sample_tasks(np.random.default_rng(1), ENVIRONMENTS)
        name = f"metagrad/{NAMES[title]}-v0"
        peers = [vector(kind, name, family, ENVIRONMENTS, tasks) for kind in ("Sync", "Async")]
        check_equal([ours, *[c for c, _ in peers]], 1e-12)
        if title == "half-cheetah":
            peers += [vector(kind, "HalfCheetah-v5", family, ENVIRONMENTS, None) for kind in ("Sync", "Async")]
        contenders = [ours, batch(family, MANY), *[c for c, _ in peers]]
        measure(contenders, options.repeats)
        claims = []
        for c in contenders:
            count = MANY if f"{MANY} together" in c.name else ENVIRONMENTS
            speed = count * STEPS / c.median
            claims.append([f"thousand steps a second: {c.name}", speed / 1e3, None])
            print(f"{title}, {c.name}: {speed:,.0f} environment steps a second")
        rows.append({"benchmark": f"Rollouts of {title}: environment steps a second", "claims": claims})
        for _, made in peers:
            made.close()
        family.close()
    write(options.json, rows)


if __name__ == "__main__":
    main()
