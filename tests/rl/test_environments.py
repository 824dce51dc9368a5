"""Environments with tasks: as Gymnasium wants them, with the rewards of the protocol, one equal to its batch."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from metagrad import rl
from metagrad.errors import OptionError, ShapeError
from metagrad.rl import requirements

gymnasium = pytest.importorskip("gymnasium", reason="needs Gymnasium: pip install metagrad[rl]")
pytest.importorskip("mujoco", reason="needs MuJoCo: pip install metagrad[rl]")

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"}
NAMES = ["Navigation2D", "HalfCheetahDirection", "HalfCheetahVelocity", "AntDirection", "AntVelocity"]
FAMILIES = {
    "Navigation2D": rl.Navigation,
    "HalfCheetahDirection": lambda: rl.HalfCheetah("direction"),
    "HalfCheetahVelocity": lambda: rl.HalfCheetah("velocity"),
    "AntDirection": lambda: rl.Ant("direction"),
    "AntVelocity": lambda: rl.Ant("velocity"),
}


def make(name):
    rl.register()
    return gymnasium.make(f"metagrad/{name}-v0", disable_env_checker=True)


@pytest.mark.parametrize("name", NAMES)
def test_gymnasium_s_own_check_passes(name):
    from gymnasium.utils.env_checker import check_env

    env = make(name).unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it advises against the unbounded spaces that these environments have
        check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_task_can_be_sampled_set_and_read(name):
    env = make(name).unwrapped
    with pytest.raises(ShapeError, match=r"requires a task that is set or sampled by a reset but got none yet"):
        env.task  # noqa: B018
    env.reset(seed=0)
    first = env.task
    assert np.array_equal(env.reset()[1]["task"], first)  # it stays
    tasks = [env.sample_task(np.random.default_rng(k)) for k in range(30)]
    assert len({tuple(t) for t in tasks}) > 1
    assert np.array_equal(env.task, first)  # sampling does not set
    env.task = tasks[3]
    assert np.array_equal(env.task, tasks[3])
    assert np.array_equal(env.reset(options={"task": tasks[5]})[1]["task"], tasks[5])
    with pytest.raises(ShapeError, match=r"requires a task of shape \(\d,\) but got array.* of shape \(9,\)"):
        env.task = np.zeros(9)
    with pytest.raises(ShapeError, match=r"requires a task of shape .* but got 'left'"):
        env.task = "left"
    with pytest.raises(ShapeError, match=r"requires a task of shape|requires tasks of numbers"):
        env.task = [[1.0], [1.0, 2.0]]
    with pytest.raises(OptionError, match=r"requires no option of a reset but task but got \['tasks'\]"):
        env.reset(options={"tasks": tasks[5]})
    with pytest.raises(OptionError, match=r"requires an action of finite numbers but got array\(\[nan"):
        env.step(np.full(env.action_space.shape, np.nan))
    with pytest.raises(OptionError, match="tasks of finite numbers"):
        env.task = tasks[3] * np.nan
    env.close()


@pytest.mark.parametrize("name", NAMES)
def test_one_environment_is_its_place_in_a_batch(name):
    """Equal seeds, tasks and actions give equal trajectories, bit for bit, whoever else is in the batch."""
    family, env = FAMILIES[name](), make(name)
    rng = np.random.default_rng(1)
    tasks, seeds = family.sample_tasks(rng, 3), np.array([5, 6, 7])
    states = family.reset(tasks, seeds)
    assert name == "Navigation2D" or not np.array_equal(states[0], states[1])  # a seed of its own each
    env.reset(seed=6, options={"task": tasks[1]})
    for _ in range(15):
        actions = rng.uniform(family.low, family.high, (3, family.action_size))
        states, rewards, ended = family.step(states, tasks, actions)
        seen, reward, terminated, _, _ = env.step(actions[1])
        assert np.array_equal(seen, family.observe(states, tasks)[1])
        assert (reward, terminated) == (rewards[1], ended[1])
        if terminated:
            break
    env.close()
    family.close()


def test_an_episode_is_truncated_at_the_horizon():
    env = make("HalfCheetahDirection")
    env.reset(seed=0)
    truncated = [env.step(env.action_space.sample())[3] for _ in range(200)]
    assert truncated == [False] * 199 + [True]
    env.close()


def test_navigation_has_both_rewards_and_ends_at_the_goal():
    goal = np.array([[0.2, -0.1]])
    for reward, expected in (("distance", -np.hypot(0.1, 0.1)), ("squared_distance", -0.02)):
        family = rl.Navigation(reward)
        states = family.reset(goal, np.array([0]))
        states, rewards, ended = family.step(states, goal, np.array([[0.1, 0.0]]))
        assert rewards[0] == pytest.approx(expected, rel=1e-12)
        assert not ended[0]
        assert family.step(states, goal, np.array([[0.095, -0.095]]))[2][0]  # both within 0.01
        assert not family.step(states, goal, np.array([[0.1, -0.08]]))[2][0]  # one is not
    assert np.array_equal(family.step(np.zeros((1, 2)), goal, np.array([[9.0, -9.0]]))[0], [[0.1, -0.1]])
    goals = family.sample_tasks(np.random.default_rng(0), 2000)
    assert np.abs(goals).max() < 0.5 < np.abs(goals).max() + 0.01


def test_locomotion_rewards_are_those_of_the_protocol():
    """Recomputed from positions, by an independent simulation with MuJoCo's own stepping."""
    import mujoco

    for family, cost, alive in ((rl.HalfCheetah, 0.05, 0.0), (rl.Ant, 0.005, 0.05)):
        for kind in ("direction", "velocity"):
            made = family(kind)
            tasks = made.sample_tasks(np.random.default_rng(3), 1)
            states = made.reset(tasks, np.array([1]))
            action = np.random.default_rng(4).uniform(-1, 1, (1, made.action_size))
            data = mujoco.MjData(made.model)
            mujoco.mj_setState(made.model, data, states[0], mujoco.mjtState.mjSTATE_FULLPHYSICS)
            before = data.qpos[0]
            data.ctrl[:] = action[0]
            for _ in range(5):
                data.qacc_warmstart[:] = data.qacc_warmstart if _ else 0
                mujoco.mj_step(made.model, data)
            v = (data.qpos[0] - before) / 0.05
            forward = tasks[0, 0] * v if kind == "direction" else (alive > 0) - abs(v - tasks[0, 0])
            after, rewards, ended = made.step(states, tasks, action)
            np.testing.assert_allclose(after[0, 1 : 1 + made.model.nq], data.qpos, rtol=1e-6, atol=1e-7)
            assert rewards[0] == pytest.approx(forward + alive - cost * (action**2).sum(), abs=1e-5)
            assert not ended[0]
            made.close()


def test_the_simulator_s_bits_do_not_depend_on_its_threads():
    found = []
    for threads in (1, 2, 3):
        family = rl.Ant("velocity", threads=threads)
        rng = np.random.default_rng(0)
        tasks = family.sample_tasks(rng, 7)
        states = family.reset(tasks, np.arange(7))
        for _ in range(10):
            states, _, _ = family.step(states, tasks, rng.uniform(-1, 1, (7, 8)))
        found.append(states)
        family.close()
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_an_oracle_sees_the_task_and_nothing_else_changes():
    plain, told = rl.Navigation(), rl.Informed(rl.Navigation())
    goals = plain.sample_tasks(np.random.default_rng(0), 2)
    states = told.reset(goals, np.array([0, 1]))
    assert np.array_equal(told.observe(states, goals), np.concatenate([np.zeros((2, 2)), goals], axis=1))
    a, b = (f.step(states, goals, np.full((2, 2), 0.05)) for f in (plain, told))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def cartpole(**options):
    def set_length(env, task):
        env.length = float(task[0])

    return rl.GymnasiumFamily("CartPole-v1", lambda g: g.uniform(0.3, 0.8, 1), set_length, horizon=30, **options)


def test_any_gymnasium_environment_joins_with_a_task_sampler():
    family = cartpole()
    tasks = np.array([[0.3], [0.8]])
    states = family.reset(tasks, np.array([3, 3]))
    assert [env.unwrapped.length for env, _ in states] == [0.3, 0.8]
    for _ in range(5):
        states, rewards, _ = family.step(states, tasks, np.array([1, 1]))
    assert rewards.tolist() == [1, 1]
    seen = family.observe(states, tasks)
    assert not np.array_equal(seen[0], seen[1])  # the task counts
    family.close()


class Plain(gymnasium.Env):
    """An environment without a task."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)


class Pictures(Plain):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)
    task = None


class Unbounded(Plain):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    task = None


class Endless(Plain):
    task = None


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (Plain, r"\[Plain\] requires a task: a method set_task\(task\), .* but got Plain without one"),
        (Pictures, r"\[Pictures\] requires observations that are a Box of one axis but got Box"),
        (Unbounded, r"\[Unbounded\] requires actions that are a bounded Box .* but got Box"),
        (Endless, r"\[Endless\] requires a horizon but got an environment without a limit of steps"),
    ],
)
def test_environments_that_do_not_fit_are_one_sentence(env, words):
    horizon = None if env is Endless else 5
    with pytest.raises(OptionError, match=words):
        rl.GymnasiumFamily(env, lambda g: np.zeros(1), horizon=horizon)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rl.Navigation("cube"), r"\[Navigation\] requires a reward that is one of .* but got 'cube'"),
        (lambda: rl.HalfCheetah("dance"), r"\[HalfCheetah\] requires a task that is direction or velocity but got"),
        (lambda: rl.Navigation(horizon=0), r"\[Navigation\] requires .*horizon.* but got 0"),
    ],
)
def test_settings_that_do_not_exist_are_one_sentence(call, words):
    with pytest.raises(OptionError, match=words):
        call()


@pytest.mark.parametrize("package", ["mujoco", "gymnasium"])
def test_a_missing_package_says_which_extra_brings_it(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    words = rf'\[rl\] requires {package}, which `pip install "metagrad\[rl\]"` installs'
    with pytest.raises(OptionError, match=words):
        (rl.HalfCheetah if package == "mujoco" else rl.register)()


def test_frames_are_pictures_or_one_sentence():
    family = rl.HalfCheetah()
    states = family.reset(np.ones((2, 1)), np.array([0, 1]))
    try:
        pictures = rl.frames(family, states, 64, 48)
    except OptionError as error:
        assert "requires a display, or MUJOCO_GL" in str(error)  # noqa: PT017
        pytest.skip(f"nothing can draw here: {error}")
    assert pictures.shape == (2, 48, 64, 3)
    assert pictures.std() > 10
    assert not np.array_equal(pictures[0], pictures[1])


def test_without_anything_to_draw_with_it_is_one_sentence(monkeypatch):
    import mujoco

    def broken(*arguments):
        raise RuntimeError("no display")

    monkeypatch.setattr(mujoco, "Renderer", broken, raising=False)
    with pytest.raises(OptionError, match=r"\[frames\] requires a display, or MUJOCO_GL=egl .* but got RuntimeError"):
        rl.frames(rl.HalfCheetah(), np.zeros((1, 1)))


def test_gymnasium_makes_our_environments_by_the_module_s_name():
    code = (
        "import gymnasium; env = gymnasium.make('gymnasium_metagrad:metagrad/Navigation2D-v0'); print(env.reset()[0])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert found.stdout.strip() == "[0. 0.]", found.stderr


class Own(Plain):
    """With a task that is an attribute of the object."""

    def __init__(self):
        self.task = np.zeros(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}


class Fixed(Plain):
    """With a task that cannot be set."""

    @property
    def task(self):
        return np.zeros(2)


def test_a_task_that_is_an_attribute_is_set_if_it_can_be():
    made = []
    family = rl.GymnasiumFamily(lambda: made.append(Own()) or made[-1], lambda g: g.normal(size=2), horizon=3)
    tasks = family.sample_tasks(np.random.default_rng(0), 1)
    family.reset(tasks, np.array([0]))
    assert made[0].task.tolist() == tasks[0].tolist()
    with pytest.raises(
        OptionError, match=r"requires a task: a method set_task\(task\), an attribute task that can be set"
    ):
        rl.GymnasiumFamily(Fixed, lambda g: g.normal(size=2), horizon=3)


def test_a_package_that_breaks_on_import_is_one_sentence(monkeypatch):
    def broken(name):
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    monkeypatch.setattr(importlib, "import_module", broken)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    with pytest.raises(
        OptionError,
        match=r"requires mujoco that can be imported but got AttributeError: .*; MUJOCO_GL is osmesa: unset it",
    ):
        requirements.need("mujoco")


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (np.zeros((0, 2)), r"tasks of shape \(count, 2\), a row each, but got shape \(0, 2\)"),
        ("x", "tasks of numbers, all of one shape"),
    ],
)
def test_tasks_that_are_none_are_one_sentence(tasks, words):
    with pytest.raises(ShapeError, match=words):
        rl.Navigation().check_tasks(tasks)


def test_only_a_robot_has_frames():
    with pytest.raises(OptionError, match=r"\[frames\] requires a robot, such as HalfCheetah\(\) but got Navigation"):
        rl.frames(rl.Navigation(), np.zeros((1, 2)))


@pytest.mark.parametrize("name", NAMES)
def test_our_own_environments_join_as_any_of_gymnasium_s(name):
    family = rl.GymnasiumFamily(
        lambda: make(name), lambda g: g.uniform(0.1, 0.4, FAMILIES[name]().task_size), horizon=3
    )
    tasks = family.sample_tasks(np.random.default_rng(0), 2)
    states = family.reset(tasks, np.array([0, 1]))
    assert [env.unwrapped.task.tolist() for env, _ in states] == tasks.tolist()
    family.close()
