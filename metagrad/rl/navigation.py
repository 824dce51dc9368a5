"""2D navigation: a point moves to a goal that it does not see (Finn, Abbeel and Levine 2017, section 5.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.records import integer
from ..errors import OptionError, requires
from .family import Family

Array = np.ndarray[Any, Any]

REACH = 0.5
STEP = 0.1
NEAR = 0.01
REWARDS = ("distance", "squared_distance")


class Navigation(Family):
    """A point that starts at (0, 0) and moves by actions in [-0.1, 0.1]^2; the task is the goal, U[-0.5, 0.5]^2.

    It observes its position. The reward of a step is minus the distance to the goal after it (`reward="distance"`, the
    authors' code) or minus its square (`"squared_distance"`, the paper). An episode ends after `horizon` steps, or when
    both coordinates are within 0.01 of the goal's. Raises OptionError for another reward.

    >>> import numpy as np
    >>> from metagrad import rl
    >>> family = rl.Navigation()
    >>> goals = np.array([[0.3, 0.0]])
    >>> states = family.reset(goals, np.array([0]))
    >>> states, rewards, terminated = family.step(states, goals, np.array([[0.1, 0.0]]))
    >>> states.tolist(), rewards.round(3).tolist(), terminated.tolist()
    ([[0.1, 0.0]], [-0.2], [False])
    """

    name = "Navigation"
    observation_size = action_size = task_size = 2
    low, high = np.full(2, -STEP), np.full(2, STEP)

    def __init__(self, reward: str = "distance", horizon: int = 100) -> None:
        super().__init__(horizon)
        if reward not in REWARDS:
            raise OptionError(requires("Navigation", f"a reward that is one of {', '.join(REWARDS)}", repr(reward)))
        self.reward = reward

    def sample_tasks(self, generator: np.random.Generator, count: int) -> Array:
        """Goals (count, 2)."""
        return generator.uniform(-REACH, REACH, (integer(self.name, "count", count), 2))

    def reset(self, tasks: Array, seeds: Array) -> Array:
        """Positions (environments, 2): the origin, whatever the seed."""
        return np.zeros((len(tasks), 2))

    def step(self, states: Array, tasks: Array, actions: Array) -> tuple[Array, Array, Array]:
        """Move; actions beyond the bounds are clipped."""
        states = states + np.clip(actions, self.low, self.high)
        apart = states - tasks
        squared = (apart**2).sum(axis=-1)
        rewards = -np.sqrt(squared) if self.reward == "distance" else -squared
        return states, rewards, (np.abs(apart) < NEAR).all(axis=-1)

    def observe(self, states: Array, tasks: Array) -> Array:
        """The positions."""
        return states.copy()
