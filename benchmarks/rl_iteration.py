"""Where the seconds of an iteration of MAML go, by the published settings: simulation, policy, inner gradient, ...

python benchmarks/rl_iteration.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from _common import announce, announce_threads, arguments, write


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=3)
    announce()
    announce_threads()
    import metagrad as mg
    from metagrad import rl

    rows: list[dict[str, Any]] = []
    settings: dict[str, Any] = {
        "2D navigation, 20 goals, 20 trajectories": (rl.Navigation(), rl.TRPO(0.01), {"lr": 0.5, "tasks": 20}),
        "half-cheetah direction, 40 tasks, 20 trajectories": (rl.HalfCheetah(), rl.TRPO(0.02), {"tasks": 40}),
    }
    for title, (family, outer, setting) in settings.items():
        maml = rl.MAML(family, rl.policy_for(family), outer, rollouts=20, **setting)
        generator = np.random.default_rng(0)
        state, _ = maml.step(maml.init(mg.random.key(0)), maml.sample(generator))
        maml.clock.seconds.clear()
        began = time.perf_counter()
        for _ in range(options.repeats):
            state, _ = maml.step(state, maml.sample(generator))
        claims: list[list[Any]] = [["s an iteration", (time.perf_counter() - began) / options.repeats, None]]
        claims += [[f"s of it: {part}", s / options.repeats, None] for part, s in maml.clock.seconds.items()]
        for what, seconds, _ in claims:
            print(f"{title}: {seconds:.2f} {what}")
        rows.append({"benchmark": f"An iteration of MAML: {title}", "claims": claims})
        family.close()
    write(options.json, rows)


if __name__ == "__main__":
    main()
