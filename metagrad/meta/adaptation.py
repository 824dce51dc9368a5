"""The inner loop: gradient steps on a task, unrolled in plain sight, so that an outer derivative sees each of them."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np
import optree

from ..core.pytree import flatten, unflatten
from ..core.tensor import Tensor, public
from ..errors import OptionError, requires
from ..ops.arithmetic import add, add_scaled, astype, multiply, negative
from ..transforms import grad, named_scope, stop_gradient

if TYPE_CHECKING:
    from collections.abc import Callable


def adapt(
    loss: Callable[[Any, Any], Any],
    params: Any,
    support: Any,
    *,
    steps: int,
    lr: Any,
    first_order: bool = False,
    adapted: Any = None,
    every_step: bool = False,
) -> Any:
    """The parameters after `steps` steps of gradient descent on a task.

    A step is params <- params - lr * grad(loss)(params, support), where `loss(params, batch)` is a scalar. `lr` is a
    number, a tree of numbers or arrays like `params` (or a prefix of it), or a function of the step, counted from 0,
    that gives one of these. `support` is a batch, or a function of (step, params) that gives one. `first_order` treats
    each gradient as a constant. `adapted` is a tree of booleans like `params` (or a prefix): the leaves that move, all
    of them by default. With `every_step` the result is the list of the parameters after each step. Dtypes stay those of
    `params`. Step k is traced in the named scope "inner step k", counted from 1.

    Finn, Abbeel and Levine 2017, "Model-agnostic meta-learning for fast adaptation of deep networks", equation 1.

    Raises OptionError for a negative or fractional number of steps, for rates that are no numbers, and for a tree of
    rates or of booleans that does not fit `params`.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> def loss(w, batch): return (w - batch) ** 2
    >>> meta.adapt(loss, 0.0, 1.0, steps=2, lr=0.25)
    Tensor(0.75, dtype=float64)
    >>> mg.grad(lambda w: loss(meta.adapt(loss, w, 1.0, steps=1, lr=0.25), 1.0))(0.0)
    Tensor(-0.5, dtype=float64)
    >>> mg.grad(lambda w: loss(meta.adapt(loss, w, 1.0, steps=1, lr=0.25, first_order=True), 1.0))(0.0)
    Tensor(-1., dtype=float64)
    """
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise OptionError(requires("adapt", "a whole number of steps, 0 or more", repr(steps)))
    leaves, structure = flatten(params)
    moves = [bool(m) for m in _spread("adapted", True if adapted is None else adapted, params, len(leaves))]
    trajectory = []
    for step in range(steps):
        with named_scope(f"inner step {step + 1}"):
            batch = support(step, params) if callable(support) else support
            rates = _spread("lr", lr(step) if callable(lr) else lr, params, len(leaves))
            gradients = _gradients(loss, leaves, structure, moves, batch, first_order)
            moved = iter(_descend(list(compress(leaves, moves)), gradients, list(compress(rates, moves))))
            leaves = [next(moved) if moving else leaf for leaf, moving in zip(leaves, moves, strict=True)]
            params = unflatten(structure, leaves)
        trajectory.append(params)
    return trajectory if every_step else params


def all_but(params: Any, *names: str) -> Any:
    """A tree of booleans like `params`, for `adapted`: False for the leaves whose own key is one of the names.

    >>> from metagrad import meta
    >>> meta.all_but(({"kernel": 1.0, "bias": 2.0}, {"offset": 3.0}), "offset")
    ({'kernel': True, 'bias': True}, {'offset': False})

    Raises OptionError for a name that no leaf has.
    """
    keys = {path[-1] for path in optree.tree_paths(params) if path}
    if unknown := set(names) - keys:
        raise OptionError(requires("all_but", f"names of leaves, {sorted(map(str, keys))}", f"{sorted(unknown)}"))
    return optree.tree_map_with_path(lambda path, leaf: not path or path[-1] not in names, params)


def _gradients(
    loss: Callable[[Any, Any], Any], leaves: list[Any], structure: Any, moves: list[bool], batch: Any, first_order: bool
) -> list[Any]:
    """The loss's gradients for the leaves that move."""
    if first_order:  # cut before the gradient too, so that no outer trace records what it will not use
        leaves = [stop_gradient(x) if isinstance(x, Tensor) else x for x in leaves]

    def partial(moving: list[Any]) -> Any:
        rest = iter(moving)
        return loss(
            unflatten(structure, [next(rest) if m else leaf for leaf, m in zip(leaves, moves, strict=True)]), batch
        )

    moving = [leaf for leaf, m in zip(leaves, moves, strict=True) if m]
    if not moving:
        return []
    gradients = grad(partial)(moving)
    return stop_gradient(gradients) if first_order else gradients  # type: ignore[no-any-return]


@public
def _descend(leaves: list[Any], gradients: list[Any], rates: list[Any]) -> list[Any]:
    """leaf - rate * gradient for each, in the gradient's dtype, which is the leaf's."""
    return [_stepped(leaf, gradient, rate) for leaf, gradient, rate in zip(leaves, gradients, rates, strict=True)]


def _stepped(leaf: Any, gradient: Any, rate: Any) -> Any:
    if isinstance(rate, bool) or not (isinstance(rate, int | float | np.number) or hasattr(rate, "shape")):
        raise OptionError(requires("adapt", "learning rates that are numbers or arrays", repr(rate)))
    if hasattr(rate, "shape") and not isinstance(rate, np.number):
        return add(leaf, astype(negative(multiply(rate, gradient)), gradient.dtype))
    return add_scaled(leaf, gradient, -float(rate))  # a Python number is weak: it leaves float32 alone


def _spread(name: str, prefix: Any, params: Any, leaves: int) -> list[Any]:
    """One value for each leaf of the parameters."""
    if isinstance(prefix, bool | int | float):
        return [prefix] * leaves
    try:
        return optree.broadcast_prefix(prefix, params)
    except (ValueError, TypeError) as error:
        raise OptionError(
            requires("adapt", f"`{name}` to be one value or a tree like the parameters", repr(prefix))
        ) from error
