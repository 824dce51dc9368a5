"""From rewards to advantages: discounted returns, the linear baseline on features, generalised advantages.

All on plain arrays with axes (..., time), for all tasks and trajectories at once, in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, requires
from .trajectories import Batch

if TYPE_CHECKING:
    from .trajectories import Trajectories

Array = np.ndarray[Any, Any]

RIDGE = 1e-5
CLIP = 10.0


def discounted(values: Array, rate: float) -> Array:
    """The sum over s >= t of rate^(s - t) values_s, along the last axis.

    >>> discounted(np.array([1.0, 1.0, 1.0]), 0.5)
    array([1.75, 1.5 , 1.  ])
    """
    total = np.array(values, np.float64)
    for t in range(total.shape[-1] - 2, -1, -1):
        total[..., t] += rate * total[..., t + 1]
    return total


def features(observations: Array) -> Array:
    """Of observations (..., time, o): these and their squares, t/100, its square and cube, 1: (..., time, 2 o + 4).

    Observations are clipped to +-10. Duan et al. 2016, "Benchmarking deep reinforcement learning for continuous
    control", section 2.
    """
    clipped = np.clip(np.asarray(observations, np.float64), -CLIP, CLIP)
    length = clipped.shape[-2]
    t = np.arange(length) / 100.0
    time = np.broadcast_to(np.stack([t, t**2, t**3, np.ones(length)], axis=-1), (*clipped.shape[:-1], 4))
    return np.concatenate([clipped, clipped**2, time], axis=-1)


def linear_baseline(observations: Array, targets: Array, mask: Array, ridge: float = RIDGE) -> Array:
    """Values (tasks, trajectories, time) of the ridge regression, for each task, of the targets on the features.

    The coefficients w of a task solve (F^T F + ridge I) w = F^T targets over the steps that its mask keeps. Values are
    0 beyond them.

    >>> seen = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
    >>> targets = 3 * seen[..., 0] + 1
    >>> bool(np.allclose(linear_baseline(seen, targets, np.ones((1, 4, 5))), targets, atol=1e-3))
    True
    """
    tasks, trajectories, time = mask.shape
    f = features(observations) * mask[..., None]
    rows = f.reshape(tasks, trajectories * time, -1)
    across = np.swapaxes(rows, 1, 2)
    gram = across @ rows + ridge * np.eye(rows.shape[-1])
    moment = across @ (targets * mask).reshape(tasks, -1, 1)
    return np.asarray(f @ np.linalg.solve(gram, moment)[:, None])[..., 0]


def generalized_advantages(rewards: Array, values: Array, discount: float, gae_lambda: float) -> Array:
    """(..., time): the sum over s >= t of (discount gae_lambda)^(s - t) delta_s, delta_t = r_t + discount V_t+1 - V_t.

    The value after the last step is 0: an episode's horizon is its end, and the baseline knows the time. With
    `gae_lambda` 1 this is the discounted return less the baseline.

    Schulman et al. 2016, "High-dimensional continuous control using generalized advantage estimation", equation 16.

    >>> generalized_advantages(np.array([1.0, 1.0]), np.array([0.5, 0.5]), 1.0, 1.0)
    array([1.5, 0.5])
    """
    following = np.concatenate([values[..., 1:], np.zeros_like(values[..., :1])], axis=-1)
    return discounted(rewards + discount * following - values, discount * gae_lambda)


def standardized(advantages: Array, mask: Array) -> Array:
    """Less their mean and by their standard deviation over the kept steps of each task, (tasks, trajectories, time)."""
    count = np.maximum(mask.sum(axis=(1, 2), keepdims=True, dtype=np.float64), 1.0)
    apart = (advantages - (advantages * mask).sum(axis=(1, 2), keepdims=True) / count) * mask
    deviation = np.sqrt((apart**2).sum(axis=(1, 2), keepdims=True) / count)
    return np.asarray(apart / (deviation + 1e-8))


def require_rates(discount: float, gae_lambda: float) -> None:
    """Raise OptionError for rates outside of [0, 1]."""
    for name, rate in (("discount", discount), ("gae_lambda", gae_lambda)):
        if not 0 <= rate <= 1:
            raise OptionError(requires("advantages", f"a {name} from 0 to 1", rate))


def as_batch(trajectories: Trajectories, *, discount: float = 0.99, gae_lambda: float = 1.0) -> Batch:
    """What a surrogate learns from: advantages over a baseline fitted to each task, and standardised for each task.

    Standardised is what the authors' code does where it says centred. Its baseline is that of the data before, which is
    another task's in training: here it is fitted to the trajectories at hand.

    Raises OptionError for rates outside of [0, 1].
    """
    require_rates(discount, gae_lambda)
    mask = np.asarray(trajectories.mask, np.float64)
    rewards = trajectories.rewards * mask
    values = linear_baseline(trajectories.observations, discounted(rewards, discount), mask)
    advantages = standardized(generalized_advantages(rewards, values, discount, gae_lambda) * mask, mask)
    kind = trajectories.mask.dtype
    return Batch(
        trajectories.observations,
        trajectories.actions,
        advantages.astype(kind),
        trajectories.mask,
        trajectories.log_probs,
    )
