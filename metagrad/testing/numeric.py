"""Numeric directional derivatives, each with an estimate of its own error.

Two oracles. The complex step has no subtraction, so no digit is lost, but it needs a program that is right on complex
numbers. Extrapolated central differences take any program that is smooth around the point, and notice where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.pytree import flatten
from ..core.tensor import Tensor, to_value
from ..errors import MetagradError, TraceError, requires
from ..operations import asarray
from ..transforms import make_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..core.graph import Graph, Var

Array = Any
_EPS = float(np.finfo(np.float64).eps)


class NotAnalyticError(MetagradError, TypeError):
    """A program with an operation that means nothing on complex numbers: a complex step cannot measure it."""


class KinkError(MetagradError, ArithmeticError):
    """A point at or near which a function has no derivative: one-sided differences disagree, or nothing converges."""


class Estimate(NamedTuple):
    """A numeric derivative, and by how much it is probably wrong (absolutely)."""

    value: float
    error: float
    oracle: str


def random_direction(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A direction with entries of either sign and sizes between 0.5 and 1.5: none so small that it hides an error."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)


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
    """The derivative of a scalar function of arrays along a direction: Im f(x + i h v) / h, exact to rounding.

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
    value = float(np.imag(output)) / step
    return Estimate(value, 64 * _EPS * max(1.0, abs(value), abs(float(np.real(output)))), "complex step")


def central_difference(g: Callable[[float], float], *, step: float = 0.05, rows: int = 8) -> Estimate:
    """g'(0) from central differences D(h) = (g(h) - g(-h)) / 2h, extrapolated to h = 0.

    D(h) = g'(0) + a h^2 + b h^4 + ..., so a table of halved steps removes one power after the other:
    T[i][j] = T[i][j-1] + (T[i][j-1] - T[i-1][j-1]) / (4^j - 1) (Richardson 1911; Ridders 1982).
    The entry that differs least from its neighbours is the value; that difference and the rounding of g are the error.

    Raises KinkError where one-sided differences disagree in the limit, or the table does not converge.

    >>> import math
    >>> estimate = central_difference(math.exp)
    >>> abs(estimate.value - 1.0) <= max(estimate.error, 1e-11)
    True
    >>> central_difference(abs)
    Traceback (most recent call last):
        ...
    metagrad.testing.numeric.KinkError: [central_difference] requires a derivative but got one-sided slopes 1 and -1
    """
    middle = g(0.0)
    size = abs(middle)
    table: list[list[float]] = []
    best = Estimate(np.nan, np.inf, "central differences")
    slopes: list[tuple[float, float]] = []
    h = step
    for i in range(rows):
        after, before = g(h), g(-h)
        size = max(size, abs(after), abs(before))
        slopes.append(((after - middle) / h, (middle - before) / h))
        row = [(after - before) / (2 * h)]
        for j in range(1, i + 1):
            left, above = row[j - 1], table[i - 1][j - 1]
            row.append(left + (left - above) / (4**j - 1))
            error = max(abs(row[j] - left), abs(row[j] - above)) + 4 * _EPS * size / h
            if error < best.error:
                best = Estimate(row[j], error, "central differences")
        table.append(row)
        h /= 2
    if not np.isfinite(size):
        raise KinkError(requires("central_difference", "finite values around the point", size))
    right, left = (2 * fine - coarse for fine, coarse in zip(slopes[-1], slopes[-2], strict=True))
    slope = max(abs(right), abs(left))
    if abs(right - left) > 1e-3 * slope + 1e-5 * size:
        got = f"one-sided slopes {right:.4g} and {left:.4g}"
        raise KinkError(requires("central_difference", "a derivative", got))
    if best.error > 1e-5 * max(slope, size):
        raise KinkError(
            requires("central_difference", "a smooth function near the point", f"an error of {best.error:.1e}")
        )
    return best


def numeric_derivative(f: Callable[..., Any], args: Sequence[Array], direction: Sequence[Array]) -> Estimate:
    """The derivative of a scalar function of float64 arrays along a direction, by the better oracle that serves.

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
        pass

    def along(t: float) -> float:
        return float(f(*[asarray(x if v is None else x + t * v) for x, v in zip(point, moves, strict=True)]))

    return central_difference(along)


def float_leaves(tree: Any) -> list[int]:
    """Which leaves of a tree are floating point."""
    return [k for k, leaf in enumerate(flatten(tree)[0]) if np.dtype(getattr(leaf, "dtype", type(leaf))).kind == "f"]


def plain(x: Any) -> Any:
    """A leaf as a NumPy array, where it is not traced."""
    return np.asarray(to_value(x)) if type(x) is Tensor or not isinstance(x, Tensor) else x
