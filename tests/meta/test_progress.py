"""What is shown of a run while it goes on."""

from __future__ import annotations

import io

import numpy as np

import metagrad as mg
from metagrad import meta, rl
from metagrad.meta import progress as shown


def lines(monkeypatch, run, total=2):
    """What stands in a log when every occasion to write a line is taken."""
    monkeypatch.setattr(shown, "_LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with meta.Progress("training", total, stream=stream) as progress:
        run(progress)
    meta.doing("nothing that anybody shows")
    return stream.getvalue().splitlines()


def test_a_long_iteration_says_what_it_is_doing_until_it_is_over(monkeypatch):
    def run(progress):
        meta.doing("time step 3/200")
        progress.metrics({"loss": 0.5})
        progress(1)
        meta.doing("outer step")
        progress(2)

    first, *others = lines(monkeypatch, run)
    assert first.startswith("training: 0/2  0 s")
    assert first.endswith("time step 3/200")
    assert ["time step" in line for line in others] == [False] * 3
    assert ["outer step" in line for line in others] == [False, True, False]
    assert all(line.endswith("loss 0.5") for line in others)


def test_the_innermost_of_two_says_it(monkeypatch):
    inner = []

    def run(progress):
        inner.extend(lines(monkeypatch, lambda _: meta.doing("inside")))
        meta.doing("outside")

    assert lines(monkeypatch, run)[-1].endswith("outside")
    assert [line.endswith("inside") for line in inner] == [True]


def test_rollouts_say_how_far_they_are(monkeypatch):
    family, policy = rl.Navigation(horizon=3), rl.GaussianPolicy(2, hidden=(4,))
    params = rl.for_each_task(policy.init(mg.random.key(0), 2), 2)
    goals = np.full((2, 2), 0.4)
    found = lines(monkeypatch, lambda _: rl.rollout(family, policy, params, goals, 5, np.random.default_rng(0)))
    assert [line.partition(" s  ")[2] for line in found] == [f"10 trajectories, time step {t}/3" for t in (1, 2, 3)]
