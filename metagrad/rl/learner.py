"""MAML for reinforcement learning: Algorithm 3 of Finn, Abbeel and Levine 2017 (arXiv 1703.03400).

     1: randomly initialize theta
     2: while not done do
     3:   sample batch of tasks T_i ~ p(T)
     4:   for all T_i do
     5:     sample K trajectories D using f_theta in T_i
     6:     evaluate the gradient of L_Ti(f_theta) using D
     7:     compute adapted parameters with gradient descent: theta'_i = theta - alpha * gradient
     8:     sample trajectories D'_i using f_theta'_i in T_i
     9:   end for
    10:   update theta <- theta - beta * (gradient for theta of the sum of L_Ti(f_theta'_i) using each D'_i)
    11: end while

The trajectories are drawn by `meta.adapt` with fresh data at each step, for all tasks at once; the update then
differentiates `meta.adapt` on the same trajectories.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.pytree import tree_map
from ..core.tensor import Tensor
from ..errors import OptionError, ShapeError, requires
from ..meta import State, adapt, doing
from ..operations import sum
from ..ops.windows import positive
from ..transforms import vmap
from .advantages import as_batch, require_rates
from .clock import Clock
from .family import as_family
from .objective import Objective, inner_loss
from .outer import is_number
from .rollouts import rollout
from .surrogates import surrogate as by_name

if TYPE_CHECKING:
    from .family import Family
    from .outer import Outer
    from .trajectories import Batch, Trajectories

Array = np.ndarray[Any, Any]


class Draw(NamedTuple):
    """A batch of tasks, and the seed of all that is random in an iteration on it."""

    tasks: Array
    seed: int


class Collected(NamedTuple):
    """The trajectories of all tasks before each inner step and after the last, and what is learned from each."""

    trajectories: list[Trajectories]
    batches: list[Batch]
    params: list[Any]
    """Those that drew them, with an axis of tasks."""


def for_each_task(params: Any, count: int) -> Any:
    """The parameters with a leading axis of so many tasks, for `rollout`.

    >>> import metagrad as mg
    >>> for_each_task({"w": mg.ones(3)}, 2)["w"].shape
    (2, 3)
    """
    return tree_map(lambda x: Tensor(np.repeat(np.asarray(x)[None], count, axis=0)), params)


def mean_return(returns: Array) -> float:
    """Of the tasks that have one: not of those whose trajectories were all dropped. NaN where none has.

    >>> mean_return(np.array([1.0, np.nan, 3.0]))
    2.0
    """
    kept = returns[np.isfinite(returns)]
    return float(kept.mean()) if kept.size else float("nan")


class MAML:
    """MAML on a family of environments; its `step` is one for `meta.Trainer`, its `sample` what that draws.

    REINFORCE inside: `steps` of `meta.adapt` with rate `lr` on the surrogate of a name, each on `rollouts` trajectories
    drawn for it. `outer` updates the meta-parameters (`TRPO`, `PPO`, `Ascent`). With `steps` 0 it is plain policy
    optimisation on all tasks. `first_order` takes the inner gradients as constants; what moves is `policy.adapted`.
    `clock` holds the seconds of "simulation", "policy", "advantages", "inner gradient" and "outer step" so far.

    Raises ShapeError for a policy whose outputs do not fit the family's actions, OptionError for what is no family or
    no outer update, and for other options.

    >>> import numpy as np
    >>> import metagrad as mg
    >>> from metagrad import rl
    >>> maml = rl.MAML(rl.Navigation(horizon=5), rl.GaussianPolicy(2, hidden=(8,)), rl.TRPO(), rollouts=4, tasks=3)
    >>> generator = np.random.default_rng(0)
    >>> state, report = maml.step(maml.init(mg.random.key(0)), maml.sample(generator))
    >>> sorted(report)
    ['dropped', 'gain', 'indefinite', 'kl', 'post_update', 'pre_update', 'residual', 'skipped', 'tries']
    >>> bool(report["kl"] <= 0.01)
    True
    """

    def __init__(
        self,
        family: Family,
        policy: Any,
        outer: Outer,
        *,
        steps: int = 1,
        lr: Any = 0.1,
        rollouts: int = 20,
        tasks: int = 20,
        surrogate: str = "log_likelihood",
        first_order: bool = False,
        discount: float = 0.99,
        gae_lambda: float = 1.0,
    ) -> None:
        as_family("MAML", family)
        if (outputs := getattr(policy, "outputs", family.action_size)) != family.action_size:
            need = f"a policy of {family.action_size} outputs, for {family.name}'s actions,"
            raise ShapeError(requires("MAML", need, outputs))
        if (discrete := getattr(policy, "discrete", family.discrete)) != family.discrete:
            kinds = "real numbers", "one of several"
            need = f"a policy whose actions are {kinds[family.discrete]}, as {family.name}'s are,"
            raise ShapeError(requires("MAML", need, f"{type(policy).__name__}: {kinds[discrete]}"))
        if isinstance(outer, type) or not callable(getattr(outer, "update", None)):
            raise OptionError(requires("MAML", "an outer update, such as TRPO()", repr(outer)))
        if "grads" in inspect.signature(outer.update).parameters:
            got = f"the optimiser {type(outer).__name__}; rl.Ascent makes an outer update of it"
            raise OptionError(requires("MAML", "an outer update, such as TRPO()", got))
        if is_number(lr) and not np.isfinite(lr):
            raise OptionError(requires("MAML", "an inner rate that is finite", lr))
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise OptionError(requires("MAML", "a whole number of steps, 0 or more", repr(steps)))
        require_rates(discount, gae_lambda)
        self.family, self.policy, self.outer = family, policy, outer
        self.steps, self.lr, self.first_order = steps, lr, first_order
        self.rollouts = positive("MAML", "rollouts", rollouts)
        self.tasks = positive("MAML", "tasks", tasks)
        self.surrogate = by_name(surrogate)
        self.discount, self.gae_lambda = discount, gae_lambda
        self.clock = Clock()

    def init(self, key: Any) -> State:
        """Line 1: parameters of the policy, and the outer update's state."""
        params = self.policy.init(key, self.family.observation_size)
        return State(params, self.outer.init(params))

    def sample(self, generator: np.random.Generator) -> Draw:
        """Line 3, and a seed."""
        return Draw(self.family.sample_tasks(generator, self.tasks), int(generator.integers(2**62)))

    def step(self, state: State, draw: Draw) -> tuple[State, dict[str, float]]:
        """Lines 4 to 10: the new state and the report, with the mean return before and after the inner steps."""
        trajectories, batches, _ = self.collect(state.params, draw.tasks, np.random.default_rng(draw.seed))
        doing("outer step")
        with self.clock("outer step"):
            objective = self.objective(state.params, batches)
            params, outer, report = self.outer.update(objective, state.optimizer, state.params)
        returns = {
            "pre_update": mean_return(trajectories[0].returns()),
            "post_update": mean_return(trajectories[-1].returns()),
        }
        found = {name: value for name, value in returns.items() if np.isfinite(value)}  # none where all were dropped
        return State(params, outer), found | {"dropped": float(np.sum([t.dropped for t in trajectories]))} | report

    def objective(self, params: Any, batches: list[Batch]) -> Objective:
        """What line 10 takes the gradient of."""
        *supports, query = batches
        return Objective(
            self.policy,
            self.surrogate,
            supports,
            query,
            params,
            lr=self.lr,
            first_order=self.first_order,
            adapted=self.policy.adapted(params),
        )

    def collect(
        self,
        params: Any,
        tasks: Array,
        generator: np.random.Generator,
        *,
        steps: int | None = None,
        lr: Any = None,
        rollouts: int | None = None,
    ) -> Collected:
        """Lines 4 to 9 for all tasks together; steps, rate and rollouts are those of training unless given."""
        steps = self.steps if steps is None else steps
        found = Collected([], [], [])

        def fresh(step: int, theta: Any) -> Batch:
            """Line 5 (and 8): trajectories by each task's own parameters."""
            count = self.rollouts if rollouts is None else rollouts
            drawn = rollout(self.family, self.policy, theta, tasks, count, generator, self.clock)
            with self.clock("advantages"):
                batch = as_batch(drawn, discount=self.discount, gae_lambda=self.gae_lambda)
            found.trajectories.append(drawn)
            found.batches.append(batch)
            found.params.append(theta)
            return batch

        def loss(theta: Any, batch: Batch) -> Any:
            """Of all tasks: as each has its own parameters, the sum's gradient is each one's own."""
            return sum(vmap(lambda p, b: inner_loss(self.policy, self.surrogate, p, b))(theta, batch))

        with self.clock.rest("inner gradient"):
            adapted = adapt(
                loss,
                for_each_task(params, len(tasks)),
                fresh,
                steps=steps,
                lr=self.lr if lr is None else lr,
                adapted=self.policy.adapted(params),
            )
        fresh(steps, adapted)
        return found

    def returns(
        self,
        params: Any,
        tasks: Array,
        generator: np.random.Generator,
        *,
        steps: int | None = None,
        lr: Any = None,
        rollouts: int | None = None,
    ) -> Array:
        """The mean return of each task after 0, 1, ... steps: (tasks, steps + 1). Arguments as for `collect`."""
        found = self.collect(params, tasks, generator, steps=steps, lr=lr, rollouts=rollouts)
        return np.stack([t.returns() for t in found.trajectories], axis=1)
