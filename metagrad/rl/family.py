"""A family of environments that differ in their task, as functions of many states at once.

This is what rollouts need: all tasks and trajectories advance together. A single Gymnasium environment is a family's
batch of one (`environment.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import OptionError, ShapeError, requires
from ..ops.windows import positive
from .requirements import need

Array = np.ndarray[Any, Any]


class Family(ABC):
    """Environments that share spaces and dynamics, less a task: an array of shape (task_size,), such as a goal.

    States are an array whose first axis counts the environments, which advance independently of each other: what
    happens to one does not depend on which others are there. All randomness of an environment comes from its seed.
    """

    name: str
    observation_size: int
    action_size: int
    """Entries of an action; the number of actions where they are discrete."""
    task_size: int
    discrete = False
    low: Array
    """Bounds of the actions, (action_size,); unused where they are discrete."""
    high: Array

    def __init__(self, horizon: int) -> None:
        self.horizon = positive(self.name, "horizon", horizon)

    @abstractmethod
    def sample_tasks(self, generator: np.random.Generator, count: int) -> Array:
        """So many tasks, (count, task_size)."""

    @abstractmethod
    def reset(self, tasks: Array, seeds: Array) -> Array:
        """The first state of an environment for each task and seed."""

    @abstractmethod
    def step(self, states: Array, tasks: Array, actions: Array) -> tuple[Array, Array, Array]:
        """(states, rewards, terminated) after actions within the bounds; the last two of shape (environments,)."""

    @abstractmethod
    def observe(self, states: Array, tasks: Array) -> Array:
        """Observations (environments, observation_size), float64."""

    def close(self) -> None:  # noqa: B027 (most have nothing to give back)
        """Give back what outlives the object: threads, windows."""

    def to_actions(self, outputs: Array) -> Array:
        """What a policy's outputs (..., action_size) do: [-1, 1] is stretched to the bounds, and clipped there."""
        if self.discrete:
            return outputs
        inside = np.clip(np.asarray(outputs, np.float64), -1.0, 1.0)
        return np.asarray(self.low + 0.5 * (inside + 1.0) * (self.high - self.low))

    def check_tasks(self, tasks: Any) -> Array:
        """The tasks as float64; raises ShapeError unless they are of shape (count, task_size), OptionError for NaN."""
        try:
            found = np.asarray(tasks, np.float64)
        except (TypeError, ValueError) as error:
            raise ShapeError(requires(self.name, "tasks of numbers, all of one shape", error)) from error
        if found.ndim != 2 or not len(found) or found.shape[1] != self.task_size:
            need = f"tasks of shape (count, {self.task_size}), a row each,"
            raise ShapeError(requires(self.name, need, f"shape {found.shape}"))
        if not np.isfinite(found).all():
            raise OptionError(requires(self.name, "tasks of finite numbers", found[~np.isfinite(found).all(axis=1)][0]))
        return found

    @cached_property
    def observation_space(self) -> Any:
        """Gymnasium's space of one observation."""
        spaces = need("gymnasium").spaces
        return spaces.Box(-np.inf, np.inf, (self.observation_size,), np.float64)

    @cached_property
    def action_space(self) -> Any:
        """Gymnasium's space of one action."""
        spaces = need("gymnasium").spaces
        if self.discrete:
            return spaces.Discrete(self.action_size)
        return spaces.Box(self.low, self.high, dtype=np.float64)


def as_family(name: str, family: Any) -> Family:
    """Raises OptionError for anything else, such as one environment."""
    if isinstance(family, Family):
        return family
    advice = "; GymnasiumFamily makes a family of Gymnasium's" if hasattr(family, "action_space") else ""
    raise OptionError(requires(name, "a family of environments", f"{family!r}{advice}"))


class Informed(Family):
    """A family whose observations end with the task: what an oracle sees.

    >>> from metagrad import rl
    >>> rl.Informed(rl.Navigation()).observation_size
    4
    """

    def __init__(self, family: Family) -> None:
        self.name = f"{family.name}, informed"
        super().__init__(family.horizon)
        self.family = family
        self.observation_size = family.observation_size + family.task_size
        self.action_size, self.task_size, self.discrete = family.action_size, family.task_size, family.discrete
        if not family.discrete:
            self.low, self.high = family.low, family.high

    def sample_tasks(self, generator: np.random.Generator, count: int) -> Array:
        """Those of the family."""
        return self.family.sample_tasks(generator, count)

    def reset(self, tasks: Array, seeds: Array) -> Array:
        """As the family's."""
        return self.family.reset(tasks, seeds)

    def step(self, states: Array, tasks: Array, actions: Array) -> tuple[Array, Array, Array]:
        """As the family's."""
        return self.family.step(states, tasks, actions)

    def observe(self, states: Array, tasks: Array) -> Array:
        """(environments, observation_size + task_size)."""
        return np.concatenate([self.family.observe(states, tasks), tasks], axis=-1)

    def close(self) -> None:
        """Close the family."""
        self.family.close()
