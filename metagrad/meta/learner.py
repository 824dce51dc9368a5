"""The step that every learner here takes: the gradient of an objective, handed to an optimiser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..operations import mean
from ..transforms import value_and_grad, vmap

if TYPE_CHECKING:
    from collections.abc import Callable


class State(NamedTuple):
    """What training changes: the (meta-)parameters theta, and the state of their optimiser."""

    params: Any
    optimizer: Any


class Learner:
    """Minimises `objective(params, batch)`, a scalar, by `optimizer`; its `step` is one for `Trainer`.

    `optimizer` has `init(params) -> state` and `update(gradients, state, params) -> (params, state)`.

    >>> import metagrad as mg
    >>> from metagrad import meta, optim
    >>> learner = meta.Learner(lambda w, batch: mg.mean((w - batch) ** 2), optim.SGD(0.25))
    >>> state, value = learner.step(learner.init(mg.asarray(0.0)), mg.ones(3))
    >>> value, state.params
    (Tensor(1., dtype=float64), Tensor(0.5, dtype=float64))
    """

    def __init__(self, objective: Callable[[Any, Any], Any], optimizer: Any) -> None:
        self.objective = objective
        self.optimizer = optimizer

    def init(self, params: Any) -> State:
        """The parameters, with the optimiser's first state."""
        return State(params, self.optimizer.init(params))

    def step(self, state: State, batch: Any) -> tuple[State, Any]:
        """The state after one update, and the objective before it."""
        value, gradients = value_and_grad(self.objective)(state.params, batch)
        return State(*self.optimizer.update(gradients, state.optimizer, state.params)), value


def over_tasks(loss: Callable[[Any, Any, Any], Any]) -> Callable[[Any, tuple[Any, Any]], Any]:
    """The objective of learners that take a task in one pass: the mean over tasks of `loss(params, support, query)`.

    Its tasks are (support, query), trees of arrays with a leading axis of tasks, which run through `vmap`.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> objective = meta.over_tasks(lambda w, support, query: mg.mean((support + w - query) ** 2))
    >>> objective(1.0, (mg.zeros((4, 5)), mg.ones((4, 5))))
    Tensor(0., dtype=float64)
    """

    def objective(params: Any, tasks: tuple[Any, Any]) -> Any:
        return mean(vmap(lambda support, query: loss(params, support, query))(*tasks))

    return objective
