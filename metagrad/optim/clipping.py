"""Limits on gradients: functions of a tree, that `chain` puts before an optimiser."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten, unflatten
from ..core.tensor import to_public, to_value
from ..errors import OptionError, requires
from ..ops.arithmetic import add, astype, divide, multiply, sqrt_or_zero, where
from ..ops.arithmetic import clip as clip_values
from ..ops.losses import SumOfSquares
from ..ops.predicates import greater
from .rules import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value
    from .rules import Optimizer, Params, State


class _Chain:
    def __init__(self, clips: tuple[Callable[[Params], Params], ...], optimizer: Optimizer) -> None:
        self.clips = clips
        self.init = optimizer.init
        self._update = optimizer.update

    def update(self, grads: Params, state: State, params: Params) -> tuple[Params, State]:
        for clip in self.clips:
            grads = clip(grads)
        return self._update(grads, state, params)


def chain(*parts: Any) -> Optimizer:
    """An optimiser that sends its gradients through functions of a tree first: `chain(clip_by_value(10.0), Adam())`.

    Raises OptionError where the last part is no optimiser, or another one no function.
    """
    if not parts or not hasattr(parts[-1], "update") or not all(callable(p) for p in parts[:-1]):
        raise OptionError(requires("chain", "functions of a tree of gradients, then an optimiser", parts))
    return _Chain(parts[:-1], parts[-1])


def clip_by_value(limit: float) -> Callable[[Params], Params]:
    """The function of a tree that limits each element to [-limit, limit].

    Raises OptionError for a negative limit.
    """
    limit = number("clip_by_value", "limit", limit, 0)

    def clip(grads: Params) -> Params:
        return _map_values(lambda leaves: [clip_values(g, -limit, limit) for g in leaves], grads)

    return clip


def clip_by_norm(max_norm: float) -> Callable[[Params], Params]:
    """The function of a tree that scales each leaf whose Euclidean norm is above `max_norm` down to it.

    Raises OptionError for a negative norm.
    """
    max_norm = number("clip_by_norm", "max_norm", max_norm, 0)
    return lambda grads: _map_values(lambda leaves: [_limited([g], max_norm)[0] for g in leaves], grads)


def clip_by_global_norm(max_norm: float) -> Callable[[Params], Params]:
    """The function of a tree that scales all leaves by one factor, so that their joint norm is at most `max_norm`.

    Raises OptionError for a negative norm.
    """
    max_norm = number("clip_by_global_norm", "max_norm", max_norm, 0)
    return lambda grads: _map_values(lambda leaves: _limited(leaves, max_norm), grads)


def _limited(leaves: list[Value], max_norm: float) -> list[Value]:
    if not leaves:
        return leaves
    squares = [SumOfSquares(len(g.shape), 1.0).bind(g) for g in leaves]
    norm = sqrt_or_zero(functools.reduce(add, squares))
    above = greater(norm, max_norm)
    factor = where(above, divide(max_norm, where(above, norm, 1)), 1)
    return [multiply(g, astype(factor, g.dtype)) for g in leaves]


def _map_values(function: Callable[[list[Value]], list[Value]], tree: Params) -> Params:
    leaves, structure = flatten(tree)
    with np.errstate(all="ignore"):
        return unflatten(structure, [to_public(x) for x in function([to_value(x) for x in leaves])])
