"""Half-cheetah and ant on Gymnasium's MuJoCo models, all environments advanced together by MuJoCo's threads.

A state is MuJoCo's full physics state (time, positions, velocities, ...), from which everything else is computed, so a
step depends on nothing but the state and the action: not on the thread that takes it, nor on a warm start.
"""

from __future__ import annotations

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data.records import integer
from ..errors import OptionError, requires
from ..ops.windows import positive
from .family import Family
from .rendering import headless
from .requirements import need

Array = np.ndarray[Any, Any]

RESET_NOISE = 0.1
FRAMES = 5
"""Simulator steps that an action is held for, as in Gymnasium's environments."""


def _default_threads() -> int:
    from metagrad_kernels.threads import threads

    return threads


class Locomotion(Family):
    """A robot whose task is a direction to run in, -1 or 1, or a velocity to hold, along x.

    `task` is "direction" or "velocity"; `threads` those of the simulator, by default as many as metagrad's kernels use.
    Positions start at the model's plus U[-0.1, 0.1], velocities at 0.1 N(0, 1).

    Raises OptionError for another task, and where Gymnasium or MuJoCo is not installed.
    """

    model_file = ""
    top_speed = 0.0
    unseen = 0
    """Leading positions that are not observed, because nothing depends on them."""

    def __init__(self, task: str = "direction", horizon: int = 200, threads: int | None = None) -> None:
        super().__init__(horizon)
        if task not in ("direction", "velocity"):
            raise OptionError(requires(self.name, "a task that is direction or velocity", repr(task)))
        self.task = task
        self.task_size = 1
        self.threads = _default_threads() if threads is None else positive(self.name, "threads", threads)
        headless()
        self._mujoco = need("mujoco")
        self.model = self._load()
        self.observation_size = self.model.nq + self.model.nv - self.unseen
        self.action_size = self.model.nu
        self.low, self.high = self.model.actuator_ctrlrange.T.astype(np.float64)
        self.dt = FRAMES * self.model.opt.timestep

    def _load(self) -> Any:
        found = importlib.util.find_spec("gymnasium")  # not imported: only its files are needed
        if found is None or found.origin is None:
            need("gymnasium")
        assert found is not None
        assert found.origin is not None
        path = Path(found.origin).parent / "envs" / "mujoco" / "assets" / self.model_file
        model = self._mujoco.MjModel.from_xml_path(str(path))
        # A simulation that diverges is to be seen as NaN, not to start anew from the first position in silence.
        model.opt.disableflags |= self._mujoco.mjtDisableBit.mjDSBL_AUTORESET
        return model

    @cached_property
    def _pool(self) -> tuple[Any, list[Any]]:
        rollout = need("mujoco.rollout")
        workers = 0 if self.threads == 1 else self.threads
        return rollout.Rollout(nthread=workers), [self._mujoco.MjData(self.model) for _ in range(max(1, workers))]

    def close(self) -> None:
        """End the threads; they start again with the next step."""
        pool = self.__dict__.pop("_pool", None)
        if pool is not None:
            pool[0].close()

    def sample_tasks(self, generator: np.random.Generator, count: int) -> Array:
        """Directions -1 or 1 with equal probability, or velocities U[0, top_speed]: (count, 1)."""
        count = integer(self.name, "count", count)
        if self.task == "velocity":
            return generator.uniform(0.0, self.top_speed, (count, 1))
        return generator.choice([-1.0, 1.0], (count, 1))

    def reset(self, tasks: Array, seeds: Array) -> Array:
        """Full physics states (environments, n), each drawn by a generator of its own seed."""
        mujoco, model = self._mujoco, self.model
        kind = mujoco.mjtState.mjSTATE_FULLPHYSICS
        first = np.zeros(mujoco.mj_stateSize(model, kind))
        mujoco.mj_getState(model, mujoco.MjData(model), first, kind)
        states = np.tile(first, (len(tasks), 1))
        for state, seed in zip(states, seeds, strict=True):
            generator = np.random.default_rng(int(seed))
            state[1 : 1 + model.nq] += generator.uniform(-RESET_NOISE, RESET_NOISE, model.nq)
            state[1 + model.nq : 1 + model.nq + model.nv] = RESET_NOISE * generator.standard_normal(model.nv)
        return states

    def step(self, states: Array, tasks: Array, actions: Array) -> tuple[Array, Array, Array]:
        """Hold the actions for five steps of the simulator; actions beyond the bounds are clipped."""
        actions = np.clip(np.asarray(actions, np.float64), self.low, self.high)
        held = np.repeat(actions[:, None], FRAMES, axis=1)
        pool, data = self._pool
        path, _ = pool.rollout(self.model, data, states, held)
        after = np.array(path[:, -1])
        # An environment that is not finite stays so: MuJoCo stops it, and leaves the rest of its path as it was.
        velocity = (after[:, 1] - states[:, 1]) / self.dt
        rewards, terminated = self.score(velocity, tasks[:, 0], actions, after)
        return after, rewards, terminated

    def score(self, velocity: Array, task: Array, actions: Array, states: Array) -> tuple[Array, Array]:
        """(rewards, terminated) of steps with a velocity along x; all of shape (environments, ...)."""
        raise NotImplementedError

    def observe(self, states: Array, tasks: Array) -> Array:
        """Positions less those that are unseen, and velocities."""
        return states[:, 1 + self.unseen : 1 + self.model.nq + self.model.nv].copy()


class HalfCheetah(Locomotion):
    """The reward is direction * v, or -|v - velocity|, less 0.05 |action|^2; velocities U[0, 2]; 200 steps.

    Observations are (positions less x, velocities), (17,). An episode ends at the horizon only.
    """

    name = "HalfCheetah"
    model_file = "half_cheetah.xml"
    top_speed = 2.0
    unseen = 1

    def score(self, velocity: Array, task: Array, actions: Array, states: Array) -> tuple[Array, Array]:
        """See the class."""
        forward = task * velocity if self.task == "direction" else -np.abs(velocity - task)
        return forward - 0.05 * (actions**2).sum(axis=-1), np.zeros(len(states), bool)


class Ant(Locomotion):
    """The reward is direction * v, or 1 - |v - velocity|, plus 0.05 for being healthy, less 0.005 |action|^2.

    Velocities U[0, 3]; 200 steps; it is healthy while its height is in [0.2, 1], else the episode ends. Observations
    are (positions less x and y, velocities), (27,), without contact forces, and no cost is put on these.
    """

    name = "Ant"
    model_file = "ant.xml"
    top_speed = 3.0
    unseen = 2

    def score(self, velocity: Array, task: Array, actions: Array, states: Array) -> tuple[Array, Array]:
        """See the class."""
        forward = task * velocity if self.task == "direction" else 1.0 - np.abs(velocity - task)
        height = states[:, 3]
        healthy = np.isfinite(states).all(axis=-1) & (height >= 0.2) & (height <= 1.0)
        return forward + 0.05 * healthy - 0.005 * (actions**2).sum(axis=-1), ~healthy
