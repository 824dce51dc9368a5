"""Rollouts: all tasks and trajectories advance together, with one evaluation of the policy a time step."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten
from ..errors import OptionError, ShapeError, requires
from ..meta import doing
from ..ops.windows import positive
from ..transforms import vmap
from .clock import Clock
from .trajectories import Trajectories

if TYPE_CHECKING:
    from .family import Family

Array = np.ndarray[Any, Any]


def rollout(
    family: Family,
    policy: Any,
    params: Any,
    tasks: Any,
    trajectories: int,
    generator: np.random.Generator,
    clock: Clock | None = None,
) -> Trajectories:
    """So many trajectories of each task, by a policy whose `params` have a leading axis of tasks.

    Everything random comes from `generator`: equal states of it give equal trajectories, whatever the simulator's
    number of threads (that of the BLAS may change the last bits of what is learned, and with them all that follows).
    A trajectory in which the simulator or the policy gives numbers that are not finite is dropped and counted, and a
    RuntimeWarning says in which task and step. `clock` adds up the seconds of "simulation" and "policy".

    Raises ShapeError for tasks, observations or actions that do not fit the family's spaces, and for parameters without
    an axis of these tasks; OptionError for what is no generator.

    >>> import numpy as np
    >>> import metagrad as mg
    >>> from metagrad import rl
    >>> family, policy = rl.Navigation(), rl.GaussianPolicy(2, hidden=(8,))
    >>> params = rl.for_each_task(policy.init(mg.random.key(0), 2), 3)
    >>> found = rl.rollout(family, policy, params, np.zeros((3, 2)) + 0.4, 5, np.random.default_rng(0))
    >>> found.rewards.shape
    (3, 5, 100)
    """
    clock = Clock() if clock is None else clock
    tasks = family.check_tasks(tasks)
    count, each = len(tasks), positive("rollout", "trajectories", trajectories)
    if not isinstance(generator, np.random.Generator):
        raise OptionError(requires("rollout", "a generator, such as numpy.random.default_rng(0)", repr(generator)))
    size = count * each
    own = np.repeat(tasks, each, axis=0)
    if sizes := {np.shape(leaf)[:1] for leaf in flatten(params)[0]} - {(count,)}:
        need = f"parameters with a first axis of {count} tasks, as for_each_task makes them,"
        raise ShapeError(
            requires("rollout", need, " and ".join(f"one of {size[0]}" if size else "none" for size in sizes))
        )
    act = vmap(policy.apply)
    with clock("simulation"):
        states = family.reset(own, generator.integers(2**31, size=size))
        seen = _observed(family, states, own)
    broken = np.asarray(~np.isfinite(seen).all(axis=1))
    alive = ~broken
    _warn(family, broken, each, "the reset")
    columns: list[tuple[Array, ...]] = []
    for time in range(family.horizon):
        doing(f"{size} trajectories, time step {time + 1}/{family.horizon}")
        with clock("policy"):
            inputs = np.where(alive[:, None], seen, 0).astype(policy.dtype).reshape(count, each, -1)
            distribution = act(params, inputs)
            drawn = distribution.sample(generator)
            _check_actions(family, drawn, (count, each))
            log_probs = np.asarray(distribution.log_prob(drawn))
        astray = alive & ~np.isfinite(log_probs.reshape(size))
        _warn_of_policy(astray.reshape(count, each), time)
        broken |= astray
        alive = alive & ~astray
        rows = np.flatnonzero(alive)
        if not rows.size and columns:
            break
        rewards, ended = np.zeros(size), np.zeros(0, bool)
        with clock("simulation"):
            if rows.size:
                actions = family.to_actions(drawn.reshape(size, *drawn.shape[2:])[rows])
                states[rows], rewards[rows], ended = family.step(states[rows], own[rows], actions)
                seen[rows] = _observed(family, states[rows], own[rows])
        columns.append((inputs, drawn, rewards.reshape(count, each), alive.reshape(count, each), log_probs))
        wrong = alive & ~(np.isfinite(seen).all(axis=1) & np.isfinite(rewards))
        _warn(family, wrong, each, f"step {time}")
        broken |= wrong
        alive = alive & ~wrong
        alive[rows[ended]] = False
        if not alive.any():
            break
    return _gathered(columns, broken.reshape(count, each), policy.dtype)


def _observed(family: Family, states: Array, tasks: Array) -> Array:
    seen = family.observe(states, tasks)
    if seen.shape != (len(states), family.observation_size):
        need = f"observations of {family.observation_size} entries, as the space of {family.name} says,"
        raise ShapeError(requires("rollout", need, f"shape {seen.shape[1:]}"))
    return seen


def _check_actions(family: Family, actions: Array, leading: tuple[int, int]) -> None:
    entries = () if family.discrete else (family.action_size,)
    kind = "i" if family.discrete else "f"
    if actions.shape != leading + entries or actions.dtype.kind != kind:
        wanted = "integers" if family.discrete else f"real and of shape {entries}"
        need = f"a policy whose actions are {wanted}, as {family.name}'s are,"
        raise ShapeError(requires("rollout", need, f"{actions.dtype} of shape {actions.shape[2:]}"))
    if family.discrete and (outside := actions[(actions < 0) | (actions >= family.action_size)]).size:
        need = f"actions from 0 to {family.action_size - 1}, as {family.name}'s are,"
        raise ShapeError(requires("rollout", need, outside[0]))


def _warn(family: Family, wrong: Array, each: int, when: str) -> None:
    for place in np.flatnonzero(wrong):
        task, trajectory = divmod(int(place), each)
        got = f"NaN or infinity in task {task} at {when}: its trajectory {trajectory} is dropped"
        warnings.warn(requires(family.name, "a simulator that gives finite numbers", got), RuntimeWarning, stacklevel=3)


def _warn_of_policy(astray: Array, time: int) -> None:
    for task in np.flatnonzero(astray.any(axis=1)):
        got = f"NaN or infinity in task {task} at step {time}: its {astray[task].sum()} trajectories are dropped"
        warnings.warn(requires("rollout", "a policy that gives finite numbers", got), RuntimeWarning, stacklevel=3)


def _gathered(columns: list[tuple[Array, ...]], lost: Array, dtype: Any) -> Trajectories:
    """The steps stacked along the third axis; what is filled up, or lost, is 0 throughout: nothing can learn of it."""
    observations, actions, rewards, taken, log_probs = (np.stack(c, axis=2) for c in zip(*columns, strict=True))
    kept = taken & ~lost[:, :, None]

    def cut(x: Array) -> Array:
        return np.where(kept.reshape(kept.shape + (1,) * (x.ndim - 3)), x, np.zeros((), x.dtype))

    return Trajectories(
        cut(observations), cut(actions), cut(rewards), kept.astype(dtype), cut(log_probs), lost.sum(axis=1)
    )
