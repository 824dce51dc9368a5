"""Which element is wrong: a direction that shows an error is halved until one element is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import KinkError
from .report import Worst

if TYPE_CHECKING:
    from collections.abc import Callable

    from .libraries import Scalar
    from .problem import Problem

FEW = 8
"""So many elements are looked at one by one."""


def worst_element(
    problem: Problem, base: Scalar, d: Scalar, mode: str, v: Any, i: int, allowed: Callable[[float, float], float]
) -> Worst | None:
    """The element of argument i whose derivative of d by `mode` is furthest from the numeric derivative of `base`.

    Of two halves the one that is off more is kept: it holds at least half of the error. So it takes 2 log2(n) numeric
    derivatives. None where a part of the direction meets a kink.
    """
    gradient = problem.gradient(d)[i] if mode == "reverse" else None

    def compared(direction: Any) -> tuple[float, Any, float]:
        """What is given along a direction in the argument, what is right, and the size of the two."""
        moves = [direction if i == j else None for j in range(len(problem.point))]
        expected = problem.estimate(base, moves)
        if gradient is not None:
            products = (gradient * direction)[direction != 0]  # beside it an infinity may stand
            return float(products.sum()), expected, float(abs(products).sum())
        zeros = [np.zeros_like(x) if w is None else w for x, w in zip(problem.point, moves, strict=True)]
        got = problem.pushed(d, zeros)
        return got, expected, abs(got)

    def only(places: Any) -> Any:
        direction = np.zeros(v.size)
        direction[places] = v.ravel()[places]
        return direction.reshape(v.shape)

    def off(places: Any) -> float:
        got, expected, _ = compared(only(places))
        return abs(got - float(expected.value)) if np.isfinite(got) else np.inf

    try:
        places = np.arange(v.size)
        while len(places) > 1:
            parts = np.array_split(places, 2 if len(places) > FEW else len(places))
            places = max(parts, key=off)
        unit = np.zeros(v.size)
        unit[places] = 1.0
        got, expected, _ = compared(unit.reshape(v.shape))
        rest = None
        if v.size > 1:
            given, wanted, size = compared(only(np.delete(np.arange(v.size), places)))
            rest = bool(abs(given - wanted.value) <= allowed(max(size, abs(wanted.value)), wanted.error))
    except KinkError:
        return None
    index = tuple(map(int, np.unravel_index(int(places[0]), v.shape)))
    return Worst(index, v.shape, got, expected, rest)
