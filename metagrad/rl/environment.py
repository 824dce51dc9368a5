"""One environment of a family as Gymnasium knows it: the family's batch of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from ..errors import OptionError, ShapeError, requires
from . import locomotion, navigation

if TYPE_CHECKING:
    from .family import Family

Array = np.ndarray[Any, Any]


class TaskEnvironment(gymnasium.Env[Array, Any]):
    """An environment with a task that can be sampled, set and read.

    `reset(seed=, options={"task": ...})` sets it; without it the task stays, and the first reset samples one. Actions
    are those of the action space. The trajectory of a seed, a task and actions is that of a rollout with the same.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self._task: Array | None = None
        self._states: Array | None = None
        self._time = 0

    @property
    def task(self) -> Array:
        """The task, (task_size,)."""
        if self._task is None:
            raise ShapeError(requires(self.family.name, "a task that is set or sampled by a reset", "none yet"))
        return self._task.copy()

    @task.setter
    def task(self, task: Any) -> None:
        shape = np.asarray(task, object).shape
        if shape != (self.family.task_size,):
            need = f"a task of shape ({self.family.task_size},)"
            raise ShapeError(requires(self.family.name, need, f"{task!r} of shape {shape}"))
        self._task = self.family.check_tasks([task])[0]

    def sample_task(self, generator: np.random.Generator | None = None) -> Array:
        """A task of the distribution, drawn by the environment's own generator unless one is given. Does not set it."""
        return np.asarray(self.family.sample_tasks(self.np_random if generator is None else generator, 1)[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """(observation, {"task": ...})."""
        super().reset(seed=seed)
        if unknown := set(options or ()) - {"task"}:
            raise OptionError(requires(self.family.name, "no option of a reset but task", sorted(unknown)))
        if options:
            self.task = options["task"]
        elif self._task is None:
            self.task = self.sample_task()
        start = self.np_random.integers(2**31) if seed is None else seed
        self._states = self.family.reset(self.task[None], np.array([start]))
        self._time = 0
        return self._observation(), {"task": self.task}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """(observation, reward, terminated, truncated at the family's horizon, {"task": ...})."""
        action = np.asarray(action)
        if action.shape != self.action_space.shape:
            need = f"an action of shape {self.action_space.shape}"
            raise ShapeError(requires(self.family.name, need, f"shape {action.shape}"))
        if action.dtype.kind not in "fiu" or not np.isfinite(action).all():
            raise OptionError(requires(self.family.name, "an action of finite numbers", repr(action)))
        if self._states is None:
            raise ShapeError(requires(self.family.name, "a reset before the first step", "none"))
        tasks = self.task[None]
        self._states, rewards, terminated = self.family.step(self._states, tasks, action[None])
        self._time += 1
        truncated = self._time >= self.family.horizon
        return self._observation(), float(rewards[0]), bool(terminated[0]), truncated, {"task": self.task}

    def _observation(self) -> Array:
        assert self._states is not None
        return np.asarray(self.family.observe(self._states, self.task[None])[0])

    def close(self) -> None:
        """Close the family."""
        self.family.close()


FAMILIES = {"Navigation": navigation.Navigation, "HalfCheetah": locomotion.HalfCheetah, "Ant": locomotion.Ant}


def make(family: str, **options: Any) -> TaskEnvironment:
    """The environment that Gymnasium makes of a name: one of a family, with its options.

    Raises OptionError for a render mode.
    """
    if options.pop("render_mode", None) is not None:
        raise OptionError(requires(family, "no render_mode", "one; metagrad.rl.frames draws the states of a rollout"))
    made: Any = FAMILIES[family]
    if family != "Navigation":
        options = {"threads": 1, **options}  # one environment gives threads nothing to share
    return TaskEnvironment(made(**options))
