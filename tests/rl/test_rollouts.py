"""Rollouts of all tasks together: reproducible, masked where an episode ended, dropped where the simulator broke."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import metagrad as mg
from metagrad import meta, optim, rl
from metagrad.errors import OptionError, ShapeError

ROOT = Path(__file__).parents[2]


def policy_and_params(family, tasks, seed=0, **options):
    policy = rl.policy_for(family, hidden=(8,), **options)
    return policy, rl.for_each_task(policy.init(mg.random.key(seed), family.observation_size), tasks)


def roll(family, tasks, each=4, seed=0, **options):
    policy, params = policy_and_params(family, len(tasks), **options)
    return rl.rollout(family, policy, params, tasks, each, np.random.default_rng(seed))


def test_a_step_s_observation_action_and_reward_belong_together():
    """Navigation by hand from the drawn actions: nothing is shifted by a step or mixed between tasks."""
    family = rl.Navigation(horizon=12)
    goals = family.sample_tasks(np.random.default_rng(0), 3)
    found = roll(family, goals)
    assert found.mask.all()
    for task, trajectory in np.ndindex(3, 4):
        position = np.zeros(2)
        for t in range(12):
            np.testing.assert_allclose(found.observations[task, trajectory, t], position, atol=1e-6)
            position = position + 0.1 * np.clip(found.actions[task, trajectory, t].astype(np.float64), -1, 1)
            reward = -np.linalg.norm(position - goals[task])
            assert found.rewards[task, trajectory, t] == pytest.approx(reward, abs=1e-9)


def test_log_probs_are_those_of_the_policy_of_each_task():
    family = rl.Navigation(horizon=5)
    goals = family.sample_tasks(np.random.default_rng(0), 2)
    policy = rl.GaussianPolicy(2, hidden=(8,))
    each = [policy.init(mg.random.key(k), 2) for k in range(2)]
    stacked = mg.core.pytree.tree_map(lambda *x: mg.stack(x), *each)
    found = rl.rollout(family, policy, stacked, goals, 3, np.random.default_rng(0))
    for task in range(2):
        expected = policy.apply(each[task], found.observations[task]).log_prob(found.actions[task])
        np.testing.assert_allclose(found.log_probs[task], expected, rtol=1e-5)


def test_equal_seeds_give_equal_trajectories_and_others_do_not():
    goals = rl.Navigation().sample_tasks(np.random.default_rng(0), 2)
    a, b, c = (roll(rl.Navigation(), goals, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a.actions, c.actions)


PROGRAM = """
import sys
import numpy as np
import metagrad as mg
from metagrad import meta, optim, rl
family = rl.HalfCheetah("velocity", horizon=8)
policy = rl.GaussianPolicy(6)
params = rl.for_each_task(policy.init(mg.random.key(0), family.observation_size), 3)
tasks = family.sample_tasks(np.random.default_rng(0), 3)
found = rl.rollout(family, policy, params, tasks, 5, np.random.default_rng(1))
assert family.threads == int(sys.argv[1])
family.close()
print(found.observations.tobytes().hex()[-4000:], found.rewards.tobytes().hex())
"""


def test_rollouts_do_not_depend_on_the_number_of_threads():
    pytest.importorskip("mujoco", reason="needs MuJoCo: pip install metagrad[rl]")
    printed = []
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}",
            "METAGRAD_NUM_THREADS": threads,
            "OMP_NUM_THREADS": threads,
        }
        command = [sys.executable, "-c", PROGRAM, threads]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        printed.append(done.stdout)
    assert printed[0] == printed[1]


def test_nothing_is_left_running():
    pytest.importorskip("mujoco", reason="needs MuJoCo: pip install metagrad[rl]")
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("threads are counted in /proc, which Linux alone has")
    family = rl.HalfCheetah(horizon=3, threads=3)
    roll(family, np.ones((2, 1)))
    running = len(os.listdir(tasks))
    family.close()
    waited = time.monotonic() + 10  # the system takes a moment to forget a thread that has ended
    while len(os.listdir(tasks)) > running - 3 and time.monotonic() < waited:
        time.sleep(0.01)
    assert len(os.listdir(tasks)) == running - 3


class Scripted(rl.Family):
    """Counts its steps; ends, or breaks, as its task says: (steps until the end, step that is NaN or -1)."""

    name, observation_size, action_size, task_size = "Scripted", 1, 1, 2
    low, high = -np.ones(1), np.ones(1)

    def sample_tasks(self, generator, count):
        return np.tile([5.0, -1.0], (count, 1))

    def reset(self, tasks, seeds):
        return np.zeros((len(tasks), 1))

    def step(self, states, tasks, actions):
        states = states + 1
        rewards = np.where(states[:, 0] == tasks[:, 1] + 1, np.nan, 1.0)
        return states, rewards, states[:, 0] >= tasks[:, 0]

    def observe(self, states, tasks):
        return states.copy()


def test_episodes_of_different_length_are_masked_and_cut_at_the_longest():
    found = roll(Scripted(20), [[1, -1], [3, -1], [5, -1]])
    assert found.mask.shape == (3, 4, 5)
    assert found.mask.sum(axis=2).tolist() == [[1] * 4, [3] * 4, [5] * 4]
    assert found.returns().tolist() == [1, 3, 5]
    for x in (found.observations[..., 0], found.actions[..., 0], found.rewards, found.log_probs):
        assert (x[found.mask == 0] == 0).all()


def test_a_simulator_that_gives_nan_loses_that_trajectory_only_and_says_which():
    words = (
        r"\[Scripted\] requires a simulator .* but got NaN or infinity in task 1 at step 2: its trajectory 0 is dropped"
    )
    with pytest.warns(RuntimeWarning) as said:
        found = roll(Scripted(20), [[4, -1], [4, 2]], each=2)
    assert len(said) == 2
    assert re.search(words, str(said[0].message))
    assert found.dropped.tolist() == [0, 2]
    assert found.mask.sum(axis=(1, 2)).tolist() == [8, 0]
    assert found.returns()[0] == 4
    batch = rl.as_batch(found)
    assert all(np.isfinite(x).all() for x in batch)


def test_training_goes_on_without_what_was_dropped():
    class Sometimes(Scripted):
        def sample_tasks(self, generator, count):
            return np.array([[4.0, 2.0], *[[5.0, -1.0]] * (count - 1)])

    maml = rl.MAML(Sometimes(20), rl.GaussianPolicy(1, hidden=(4,)), rl.TRPO(), tasks=3, rollouts=4)
    with pytest.warns(RuntimeWarning):
        state, report = maml.step(maml.init(mg.random.key(0)), maml.sample(np.random.default_rng(0)))
    assert report["dropped"] == 8  # 4 trajectories before the step and 4 after it
    assert all(np.isfinite(np.asarray(x)).all() for x in mg.core.pytree.flatten(state)[0])


def test_training_goes_on_where_all_trajectories_of_an_iteration_are_lost(tmp_path):
    class Once(Scripted):
        asked = 0

        def sample_tasks(self, generator, count):
            self.asked += 1
            return np.tile([5.0, 2.0 if self.asked == 2 else -1.0], (count, 1))

        def step(self, states, tasks, actions):
            states, rewards, ended = super().step(states, tasks, actions)
            return states, rewards + actions[:, 0], ended

    for outer in (rl.TRPO(), rl.Ascent(optim.Adam(1e-2)), rl.PPO(optim.Adam(1e-2))):
        maml = rl.MAML(Once(20), rl.GaussianPolicy(1, hidden=(4,)), outer, tasks=2, rollouts=4)
        folder = tmp_path / type(outer).__name__
        trainer = meta.Trainer(maml.step, maml.sample, folder, log_every=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            trainer.run(maml.init(mg.random.key(0)), 3, np.random.default_rng(0))
        rows = meta.read_metrics(folder)
        assert [row["dropped"] for row in rows] == [0, 16, 0]
        assert ["post_update" in row for row in rows] == [True, False, True]


def test_a_reset_that_gives_nan_is_laid_to_the_simulator():
    class Unborn(Scripted):
        def reset(self, tasks, seeds):
            return np.where(np.arange(len(tasks))[:, None] == 1, np.nan, 0.0)

    words = r"\[Scripted\] requires a simulator .* in task 0 at the reset: its trajectory 1 is dropped"
    with pytest.warns(RuntimeWarning, match=words) as said:
        found = roll(Unborn(20), [[3, -1]], each=3)
    assert len(said) == 1
    assert found.dropped.tolist() == [1]
    assert found.mask.sum() == 6


def test_what_is_no_generator_and_parameters_of_other_tasks_are_one_sentence():
    family, policy = Scripted(3), rl.GaussianPolicy(1, hidden=(4,))
    params = policy.init(mg.random.key(0), 1)
    with pytest.raises(OptionError, match=r"\[rollout\] requires a generator, such as .* but got 0"):
        rl.rollout(family, policy, rl.for_each_task(params, 1), [[3, -1]], 2, 0)
    with pytest.raises(ShapeError, match=r"first axis of 1 tasks, as for_each_task makes them, but got one of 2"):
        rl.rollout(family, policy, rl.for_each_task(params, 2), [[3, -1]], 2, np.random.default_rng(0))


def test_mujoco_in_any_gymnasium_environment_that_diverges_is_seen_too(tmp_path, monkeypatch):
    mujoco = pytest.importorskip("mujoco", reason="needs MuJoCo: pip install metagrad[rl]")
    gymnasium = pytest.importorskip("gymnasium", reason="needs Gymnasium: pip install metagrad[rl]")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log of its own
    body = "<body><joint type='slide' axis='1 0 0'/><geom size='0.1'/></body>"

    class Slide(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)
        task = np.zeros(1)

        def __init__(self):
            self.model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{body}</worldbody></mujoco>")
            self.data = mujoco.MjData(self.model)

        def reset(self, *, seed=None, options=None):
            mujoco.mj_resetData(self.model, self.data)
            return self.data.qpos.copy(), {}

        def step(self, action):
            mujoco.mj_step(self.model, self.data)
            return self.data.qpos.copy(), 0.0, False, False, {}

    family = rl.GymnasiumFamily(Slide, lambda g: np.zeros(1), horizon=5)
    states = family.reset(np.zeros((1, 1)), np.array([0]))
    states[0][0].data.qvel[0] = np.inf
    after, _, _ = family.step(states, np.zeros((1, 1)), np.zeros((1, 1)))
    assert not np.isfinite(after[0][1]).all()
    family.close()


def test_episodes_that_end_at_once_are_learned_from():
    maml = rl.MAML(Scripted(20), rl.GaussianPolicy(1, hidden=(4,)), rl.TRPO(), tasks=2, rollouts=4)
    draw = rl.Draw(np.array([[1.0, -1.0], [1.0, -1.0]]), 0)
    with pytest.warns(RuntimeWarning, match="the step is skipped"):  # all rewards are equal: there is no gradient
        _, report = maml.step(maml.init(mg.random.key(0)), draw)
    assert report["pre_update"] == 1


def test_mujoco_that_diverges_is_seen_as_nan_not_as_a_fresh_start(tmp_path, monkeypatch):
    pytest.importorskip("mujoco", reason="needs MuJoCo: pip install metagrad[rl]")
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log of its own
    family = rl.HalfCheetah(threads=1)
    tasks = np.ones((2, 1))
    states = family.reset(tasks, np.array([0, 1]))
    states[1, 3] = np.inf
    after, rewards, _ = family.step(states, tasks, np.zeros((2, 6)))
    assert np.isfinite(rewards[0])
    assert np.isfinite(after[0]).all()
    assert not (np.isfinite(after[1]).all() and np.isfinite(rewards[1]))
    family.close()


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            rl.GaussianPolicy(3, hidden=(8,)),
            r"whose actions are real and of shape \(2,\), .* but got float32 of shape \(3,\)",
        ),
        (rl.CategoricalPolicy(2, hidden=(8,)), r"whose actions are real and of shape \(2,\), .* but got int64"),
    ],
)
def test_a_policy_of_another_action_space_is_one_sentence(policy, words):
    params = rl.for_each_task(policy.init(mg.random.key(0), 2), 1)
    with pytest.raises(ShapeError, match=words):
        rl.rollout(rl.Navigation(), policy, params, np.zeros((1, 2)), 2, np.random.default_rng(0))


def test_observations_that_are_not_as_the_family_says_are_one_sentence():
    class Wrong(Scripted):
        def observe(self, states, tasks):
            return np.zeros((len(states), 3))

    with pytest.raises(ShapeError, match=r"\[rollout\] requires observations of 1 entries, .* but got shape \(3,\)"):
        roll(Wrong(5), [[1, -1]])


def test_a_categorical_policy_rolls_out_in_any_gymnasium_environment():
    pytest.importorskip("gymnasium", reason="needs Gymnasium: pip install metagrad[rl]")

    def set_length(env, task):
        env.length = float(task[0])

    family = rl.GymnasiumFamily("CartPole-v1", lambda g: g.uniform(0.3, 0.8, 1), set_length, horizon=30)
    maml = rl.MAML(family, rl.policy_for(family, hidden=(8,)), rl.TRPO(), tasks=2, rollouts=3)
    _, report = maml.step(maml.init(mg.random.key(0)), maml.sample(np.random.default_rng(0)))
    assert 5 < report["pre_update"] <= 30
    assert 0 < report["kl"] <= 0.01
    family.close()


class Careless(rl.CategoricalPolicy):
    """Logits for more actions than it says."""

    def init(self, key, observations):
        params = super().init(key, observations)
        self.outputs = 2
        return params


def test_an_action_that_the_environment_has_not_is_one_sentence():
    pytest.importorskip("gymnasium", reason="needs Gymnasium: pip install metagrad[rl]")
    family = rl.GymnasiumFamily("CartPole-v1", lambda g: g.uniform(0.3, 0.8, 1), lambda env, task: None, horizon=5)
    policy = Careless(9, hidden=(4,))
    params = rl.for_each_task(policy.init(mg.random.key(0), 4), 3)
    with pytest.raises(
        ShapeError, match=r"\[rollout\] requires actions from 0 to 1, as CartPole-v1's are, but got [2-8]"
    ):
        rl.rollout(family, policy, params, np.zeros((3, 1)), 8, np.random.default_rng(0))


def test_what_a_policy_makes_of_no_numbers_is_laid_to_the_policy():
    family = rl.Navigation(horizon=4)
    policy, params = policy_and_params(family, 2)
    params["log_std"] = mg.asarray(np.array([[0, 0], [np.nan, 0]], np.float32))
    words = r"\[rollout\] requires a policy that gives finite numbers but got NaN .* in task 1 at step 0: its 5 traj"
    with pytest.warns(RuntimeWarning, match=words) as said:
        found = rl.rollout(family, policy, params, np.zeros((2, 2)) + 0.4, 5, np.random.default_rng(0))
    assert len(said) == 1
    assert found.dropped.tolist() == [0, 5]
    assert np.isfinite(found.returns()[0])
    nowhere = {**params, "log_std": params["log_std"] * np.nan}
    with pytest.warns(RuntimeWarning, match="requires a policy"):
        lost = rl.rollout(family, policy, nowhere, np.ones((2, 2)), 5, np.random.default_rng(0))
    assert lost.dropped.tolist() == [5, 5]


def test_the_seconds_of_the_parts_are_those_of_the_whole():
    maml = rl.MAML(rl.Navigation(), rl.GaussianPolicy(2), rl.TRPO(), rollouts=10, tasks=5)
    params = maml.init(mg.random.key(0)).params
    draw = maml.sample(np.random.default_rng(0))
    began = time.perf_counter()
    maml.collect(params, draw.tasks, np.random.default_rng(0))
    assert sum(maml.clock.seconds.values()) > 0.8 * (time.perf_counter() - began)
    assert maml.clock.seconds["inner gradient"] > 0
