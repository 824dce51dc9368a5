"""Any family of Gymnasium environments, given how a task is sampled and set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, ShapeError, requires
from .family import Family
from .requirements import need

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]


class GymnasiumFamily(Family):
    """Environments made by `make()` (or by Gymnasium's name for them), one after the other in this process.

    `sample_task(generator)` gives a task, an array of one axis; `set_task(env, task)` puts it into an environment
    without its wrappers, by default its own method `set_task(task)` or attribute `task`. Observations and actions are a
    Box of one axis, or actions Discrete. The horizon is the environment's own limit of steps, unless one is given.

    Equal seeds give equal trajectories unless a wrapper keeps something from one episode to the next, as
    NormalizeObservation does: that is in no checkpoint either.

    Raises OptionError for other spaces, for an environment without a task, and where no horizon is known.

    >>> from metagrad import rl
    >>> def set_length(env, task): env.length = float(task[0])
    >>> family = rl.GymnasiumFamily("CartPole-v1", lambda g: g.uniform(0.3, 0.8, 1), set_length, horizon=50)
    >>> family.discrete, family.action_size, family.observation_size
    (True, 2, 4)
    """

    def __init__(
        self,
        make: str | Callable[[], Any],
        sample_task: Callable[[np.random.Generator], Any],
        set_task: Callable[[Any, Array], None] | None = None,
        *,
        horizon: int | None = None,
    ) -> None:
        gymnasium = need("gymnasium")
        for what, given in (("make", make), ("sample_task", sample_task)):
            if not (callable(given) or (what == "make" and isinstance(given, str))):
                raise OptionError(requires("GymnasiumFamily", f"a function for `{what}`", repr(given)))
        self._construct: Callable[[], Any] = (lambda: gymnasium.make(make)) if isinstance(make, str) else make
        self._sample = sample_task
        first = self._make()
        self.name = first.spec.id if first.spec is not None else type(first.unwrapped).__name__
        self._set = set_task or self._setter(first.unwrapped)
        self._pool = [first]
        limit = horizon if horizon is not None else first.spec and first.spec.max_episode_steps
        if limit is None:
            raise OptionError(requires(self.name, "a horizon", "an environment without a limit of steps"))
        super().__init__(limit)
        self._read_spaces(gymnasium.spaces, first)
        self.task_size = self._task(np.random.default_rng(0)).size

    def _make(self) -> Any:
        """A new environment. One of MuJoCo's that diverges is to be seen: by itself it would start anew, unsaid."""
        env = self._construct()
        model: Any = getattr(env.unwrapped, "model", None)
        if hasattr(getattr(model, "opt", None), "disableflags"):
            model.opt.disableflags |= need("mujoco").mjtDisableBit.mjDSBL_AUTORESET
        return env

    def _setter(self, env: Any) -> Callable[[Any, Array], None]:
        if callable(getattr(env, "set_task", None)):
            return lambda env, task: env.set_task(task)
        own = getattr(type(env), "task", None)  # a property is not read: there may be no task yet
        has = hasattr(type(env), "task") or "task" in vars(env)
        if has and not (isinstance(own, property) and own.fset is None):
            return lambda env, task: setattr(env, "task", task)
        need = "a task: a method set_task(task), an attribute task that can be set, or `set_task=`"
        raise OptionError(requires(self.name, need, f"{type(env).__name__} without one"))

    def _read_spaces(self, spaces: Any, env: Any) -> None:
        seen, acts = env.observation_space, env.action_space
        if not isinstance(seen, spaces.Box) or len(seen.shape) != 1:
            raise OptionError(requires(self.name, "observations that are a Box of one axis", seen))
        self.observation_size = seen.shape[0]
        if isinstance(acts, spaces.Discrete) and acts.start == 0:
            self.discrete, self.action_size = True, int(acts.n)
        elif isinstance(acts, spaces.Box) and len(acts.shape) == 1 and acts.is_bounded():
            self.action_size = acts.shape[0]
            self.low, self.high = acts.low.astype(np.float64), acts.high.astype(np.float64)
        else:
            raise OptionError(
                requires(self.name, "actions that are a bounded Box of one axis or Discrete from 0", acts)
            )
        self._action_dtype = acts.dtype

    def _task(self, generator: np.random.Generator) -> Array:
        given = self._sample(generator)
        try:
            task = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise ShapeError(requires(self.name, "a task that is an array of numbers", repr(given))) from error
        if task.ndim != 1 or task.size != getattr(self, "task_size", task.size):
            raise ShapeError(
                requires(self.name, "tasks that are arrays of one axis, all of one size", f"shape {task.shape}")
            )
        return task

    def sample_tasks(self, generator: np.random.Generator, count: int) -> Array:
        """So many, each by the sampler."""
        return np.stack([self._task(generator) for _ in range(count)])

    def reset(self, tasks: Array, seeds: Array) -> Array:
        """Running environments with their last observations, an array of objects. One reset ends those before it."""
        while len(self._pool) < len(tasks):
            self._pool.append(self._make())
        states = np.empty(len(tasks), object)
        for k, (env, task, seed) in enumerate(zip(self._pool, tasks, seeds, strict=False)):
            self._set(env.unwrapped, task)
            observation, _ = env.reset(seed=int(seed))
            states[k] = (env, observation)
        return states

    def step(self, states: Array, tasks: Array, actions: Array) -> tuple[Array, Array, Array]:
        """Each environment's own step."""
        after = np.empty(len(states), object)
        rewards, ended = np.zeros(len(states)), np.zeros(len(states), bool)
        for k, ((env, _), action) in enumerate(zip(states, actions, strict=True)):
            chosen = int(action) if self.discrete else action.astype(self._action_dtype)
            observation, rewards[k], terminated, truncated, _ = env.step(chosen)
            after[k], ended[k] = (env, observation), terminated or truncated
        return after, rewards, ended

    def observe(self, states: Array, tasks: Array) -> Array:
        """The last observations."""
        return np.stack([np.asarray(observation, np.float64) for _, observation in states])

    def close(self) -> None:
        """Close all environments; they are made again when they are needed."""
        while self._pool:
            self._pool.pop().close()
