"""What rollouts give, and what is learned from: arrays (task, trajectory, time, ...), with a mask over time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..operations import maximum, sum

Array = np.ndarray[Any, Any]


class Trajectories(NamedTuple):
    """Trajectories of all tasks, filled up with zeros to the longest; `mask` says which steps were taken.

    One that the simulator broke has no step at all, and is counted in `dropped`.
    """

    observations: Array
    """(tasks, trajectories, time, o), before each action."""
    actions: Array
    """(tasks, trajectories, time, a), as the policy drew them, or (tasks, trajectories, time) of integers."""
    rewards: Array
    """(tasks, trajectories, time), float64."""
    mask: Array
    """(tasks, trajectories, time), 1 where a step was taken, else 0; in the observations' dtype."""
    log_probs: Array
    """(tasks, trajectories, time), of the actions by the policy that drew them."""
    dropped: Array
    """(tasks,), the trajectories in which the simulator gave numbers that are not finite."""

    def returns(self) -> Array:
        """The mean over a task's trajectories of the sum of rewards, (tasks,); NaN where all were dropped."""
        kept = (self.mask > 0).any(axis=2)
        with np.errstate(invalid="ignore"):
            return np.asarray((self.rewards * self.mask).sum(axis=(1, 2), dtype=np.float64) / kept.sum(axis=1))

    def steps(self) -> int:
        """The steps that were taken and kept."""
        return int(self.mask.sum(dtype=np.float64))


class Batch(NamedTuple):
    """What a surrogate learns from: of one task (trajectories, time, ...), of several with an axis of tasks before."""

    observations: Any
    actions: Any
    advantages: Any
    mask: Any
    log_probs: Any


def masked_mean(values: Any, mask: Any) -> Any:
    """The mean of the values where the mask is 1; 0 where it is nowhere."""
    return sum(values * mask) / maximum(sum(mask), 1.0)
