"""The average of the iterates, kept beside any optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.devices import namespace
from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import public, to_public, to_value
from ..errors import OptionError, ShapeError, requires
from ..ops.arithmetic import add, astype, divide, maximum, multiply, subtract
from .rules import Optimizer, Params, State, leaves_like, number


class Averaged:
    """Steps of another optimiser, and the average of the parameters after each: less noisy than the last of them.

    After step k (from 1), average = average + max(1 - decay, 1 / k) (p - average): the mean of all while they are few,
    then one that forgets at the rate `decay`. Gradients are taken, as without it, at the parameters themselves; the
    average, `optimizer.average(state)`, is for testing.

    Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging".

    Raises OptionError for what is no optimiser and for a decay outside [0, 1).

    >>> import metagrad as mg
    >>> optimizer = mg.optim.Averaged(mg.optim.SGD(0.5), decay=0.9)
    >>> params = mg.asarray(8.0)
    >>> state = optimizer.init(params)
    >>> for _ in range(3):
    ...     params, state = optimizer.update(params, state, params)
    >>> params, optimizer.average(state)  # of 4, 2 and 1
    (Tensor(1., dtype=float64), Tensor(2.33333333, dtype=float64))
    """

    name = "Averaged"

    def __init__(self, optimizer: Optimizer, decay: float = 0.999) -> None:
        if isinstance(optimizer, type) or not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise OptionError(requires(self.name, "an optimiser", repr(optimizer)))
        self.optimizer = optimizer
        self.decay = number(self.name, "decay", decay, 0, 1)

    def init(self, params: Params) -> State:
        """The other's state, and the parameters as their first average, at step 0."""
        inner = self.optimizer.init(params)
        values = [to_value(leaf) for leaf in flatten(params)[0]]
        step = to_public(namespace(*values).zeros((), np.int64))
        return {"step": step, "optimizer": inner, "average": tree_map(lambda x: to_public(to_value(x)), params)}

    def update(self, grads: Params, state: State, params: Params) -> tuple[Params, State]:
        """The other's step, and the average with it. Raises what the other raises, and ShapeError where the state
        is another's or the trees differ."""
        structure = flatten(params)[1]
        averages = leaves_like(self.name, "a state 'average'", self.average(state), structure)
        params, inner = self.optimizer.update(grads, state["optimizer"], params)
        step, averages = _moved(state["step"], averages, flatten(params)[0], self.decay)
        return params, {"step": step, "optimizer": inner, "average": unflatten(structure, averages)}

    def average(self, state: State) -> Params:
        """The average, a tree like the parameters. Raises ShapeError where the state is another's."""
        if not isinstance(state, dict) or not {"step", "optimizer", "average"} <= set(state):
            got = f"one with {sorted(state)}" if isinstance(state, dict) else type(state).__name__
            raise ShapeError(requires(self.name, "a state that its `init` or `update` made", got))
        return state["average"]


@public
def _moved(step: Any, averages: list[Any], leaves: list[Any], decay: float) -> Any:
    """The step after this one, and the averages with the leaves in them."""
    step = add(step, 1)
    share = maximum(divide(1.0, step), 1 - decay)
    return step, [
        add(average, multiply(astype(share, leaf.dtype), subtract(leaf, average)))
        for average, leaf in zip(averages, leaves, strict=True)
    ]
