"""Numeric directional derivatives, each with an estimate of its own error.

Two oracles. The complex step has no subtraction, so no digit is lost, but it needs a program that is right on complex
numbers. Extrapolated central differences take any program that is smooth around the point, and notice where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten
from ..core.tensor import Tensor, to_value
from ..errors import TraceError, requires
from ..operations import asarray
from ..transforms import make_graph
from .differences import central_difference
from .estimates import EPS, Estimate, NotAnalyticError, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..core.graph import Graph, Var

Array = Any


def require_analytic(graph: Graph, perturbed: Sequence[Var]) -> None:
    """Raise NotAnalyticError where a perturbed value reaches a primitive that is not analytic."""
    reached = set(perturbed)
    for equation in graph.equations:
        if reached.intersection(x for x in equation.inputs if not isinstance(x, int | float)):
            if not equation.primitive.analytic:
                need = "primitives that are right on complex numbers"
                raise NotAnalyticError(requires("complex_step", need, equation.primitive.name))
            reached.update(equation.outputs)


def complex_step(
    f: Callable[..., Any], args: Sequence[Array], direction: Sequence[Array], *, step: float = 1e-30
) -> Estimate:
    """The derivative of a function of arrays to an array along a direction: Im f(x + i h v) / h, exact to rounding.

    f is traced into a Graph, which then runs on complex numbers. The error is O(h^2), nothing for h = 1e-30 (Squire and
    Trapp 1998, "Using complex variables to estimate derivatives of real functions"). An entry of `direction` that is
    None leaves its argument as it is. Raises NotAnalyticError for programs with comparisons, absolute values and so on.

    >>> import math, metagrad as mg
    >>> complex_step(mg.exp, [1.0], [1.0]).value == math.e
    True
    """
    return complex_step_of(make_graph(f)(*args), args, direction, step=step)


def complex_step_of(
    graph: Graph, args: Sequence[Array], direction: Sequence[Array], *, step: float = 1e-30
) -> Estimate:
    """`complex_step` of a function that is a Graph already."""
    require_analytic(graph, [var for var, v in zip(graph.inputs, direction, strict=True) if v is not None])
    values = [
        np.asarray(x) if v is None else x + 1j * step * np.asarray(v) for x, v in zip(args, direction, strict=True)
    ]
    with np.errstate(all="ignore"):
        (output,) = graph.evaluate(values)
    value = np.imag(output) / step
    error = 64 * EPS * np.maximum(1.0, np.maximum(abs(value), abs(np.real(output))))
    return Estimate(number(value), number(error), "complex step")


def numeric_derivative(f: Callable[..., Any], args: Sequence[Array], direction: Sequence[Array]) -> Estimate:
    """The derivative of a function of float64 arrays to an array along a direction, by the better oracle that serves.

    An entry of `direction` that is None leaves its argument as it is. Raises KinkError where there is no derivative.

    >>> import metagrad as mg
    >>> numeric_derivative(lambda x: mg.sum(abs(x) * x), [mg.asarray([1.0, -2.0])], [mg.asarray([1.0, 0.5])]).oracle
    'central differences'
    """
    point = [np.asarray(x) for x in args]
    moves = [None if v is None else np.asarray(v) for v in direction]
    try:
        return complex_step(f, point, moves)
    except (NotAnalyticError, TraceError):
        return central_difference(lambda t: np.asarray(f(*[asarray(x) for x in moved(point, moves, t)])))


def moved(point: Sequence[Array], direction: Sequence[Array], t: float) -> list[Array]:
    """The point x + t v; an entry of the direction that is None does not move."""
    return [x if v is None else x + t * v for x, v in zip(point, direction, strict=True)]


def float_leaves(tree: Any) -> list[int]:
    """Which leaves of a tree are floating point."""
    return [k for k, leaf in enumerate(flatten(tree)[0]) if np.dtype(getattr(leaf, "dtype", type(leaf))).kind == "f"]


def plain(x: Any) -> Any:
    """A leaf as a NumPy array, where it is not traced."""
    return np.asarray(to_value(x)) if type(x) is Tensor or not isinstance(x, Tensor) else x
