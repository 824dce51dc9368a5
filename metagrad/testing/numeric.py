"""Numeric directional derivatives, each with an estimate of its own error.

Two oracles. The complex step has no subtraction, so no digit is lost, but it needs a program that is right on complex
numbers. Extrapolated central differences take any program that is smooth around the point, and notice where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.graph import Graph
from ..core.pytree import flatten
from ..core.tensor import Tensor, to_value
from ..errors import ShapeError, TraceError, requires
from ..operations import asarray
from ..transforms import make_graph
from .differences import WithinDomain, central_difference
from .estimates import EPS, Estimate, NotAnalyticError, number
from .scales import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..core.graph import Equation, Var

Array = Any


def require_analytic(graph: Graph, perturbed: Sequence[Var]) -> None:
    """Raise NotAnalyticError where a perturbed value reaches a primitive that is not analytic."""
    for equation in _reached(graph, perturbed).values():
        if not equation.primitive.analytic:
            need = "primitives that are right on complex numbers"
            raise NotAnalyticError(requires("complex_step", need, equation.primitive.name))


def _reached(graph: Graph, sources: Sequence[Var]) -> dict[Var, Equation]:
    """The variables that some others lead to, with their equations."""
    reached: dict[Var, Equation] = {}
    for equation in graph.equations:
        if any(x in reached or x in sources for x in equation.inputs if not isinstance(x, int | float)):
            reached.update(dict.fromkeys(equation.outputs, equation))
    return reached


def complex_step(
    f: Callable[..., Any], args: Sequence[Array], direction: Sequence[Array], *, step: float | None = None
) -> Estimate:
    """The derivative of a function of arrays to an array along a direction: Im f(x + i h v) / h, exact to rounding.

    f is traced into a Graph, which then runs on complex numbers. The error is O(h^2), nothing for h = 1e-20 of the
    smallest entry that moves (Squire and Trapp 1998, "Using complex variables to estimate derivatives of real
    functions"). But h is 1e-100 of the largest at least, since smaller numbers would underflow: entries below that are
    measured only as far as f does not vary over h. What that leaves, and rounding, show when the arguments move by
    their last places and h is smaller. An entry of `direction` that is None leaves its argument as it is. Raises
    NotAnalyticError for programs with comparisons, absolute values and so on, ShapeError for a direction that is not of
    the arguments' shapes.

    >>> import math, metagrad as mg
    >>> complex_step(mg.exp, [1.0], [1.0]).value == math.e
    True
    """
    point = [np.asarray(x) for x in args]
    moves = [None if v is None else np.asarray(v) for v in direction]
    shapes, wanted = (
        [np.shape(x if v is None else v) for x, v in zip(point, moves, strict=False)],
        [x.shape for x in point],
    )
    if len(moves) != len(point) or shapes != wanted:
        got = ", ".join("None" if v is None else str(v.shape) for v in moves) or "none"
        need = f"a direction of shapes {', '.join(map(str, wanted))}, those of the arguments,"
        raise ShapeError(requires("complex_step", need, got))
    return complex_step_of(make_graph(f)(*args), point, moves, step=step)


def complex_step_of(
    graph: Graph, args: Sequence[Array], direction: Sequence[Array], *, step: float | None = None
) -> Estimate:
    """`complex_step` of a function that is a Graph already."""
    require_analytic(graph, [var for var, v in zip(graph.inputs, direction, strict=True) if v is not None])
    step = _unseen_step(args, direction) if step is None else step

    def along(point: Sequence[Array], h: float) -> Any:
        values = [x if v is None else x + 1j * h * v for x, v in zip(point, direction, strict=True)]
        with np.errstate(all="ignore"):
            (output,) = graph.evaluate(values)
        return np.imag(output) / h

    value = along(args, step)
    spread = np.max([abs(along(_last_places(args, k), step / 8) - value) for k in (4, -4)], axis=0)
    return Estimate(number(value), number(64 * EPS * abs(value) + spread), "complex step")


def _unseen_step(point: Sequence[Array], direction: Sequence[Array]) -> float:
    """So small a step that its square is nothing beside any entry that moves, far above the numbers that underflow."""
    moving = [abs(x[(v != 0) & (x != 0)]) for x, v in zip(point, direction, strict=True) if v is not None]
    smallest = min((float(np.min(x, initial=1.0)) for x in moving), default=1.0)
    return max(1e-20 * smallest, 1e-100 * min(1.0, extent(point, direction)), 1e-250)


def _last_places(point: Sequence[Array], units: int) -> list[Array]:
    """The point with every other entry so many units of rounding larger, and the rest smaller."""
    return [x * (1.0 + units * EPS * (1 - 2 * (np.arange(x.size) % 2))).reshape(x.shape) for x in point]


def largest_value(graph: Graph, args: Sequence[Array]) -> float:
    """The largest size of the numbers that a graph makes of its arguments."""
    every = [out for out in _reached(graph, graph.inputs) if out.dtype.kind == "f"]
    with np.errstate(all="ignore"):
        found = Graph(graph.inputs, graph.constants, graph.equations, every).evaluate(list(args))
    sizes = [float(np.max(abs(np.asarray(x)), initial=0.0)) for x in found]
    return max((size for size in sizes if np.isfinite(size)), default=0.0)


def extent(point: Sequence[Array], direction: Sequence[Array]) -> float:
    """The size of the arguments that move: their largest entry, or 1 where that is nothing."""
    found = [float(np.max(abs(x), initial=0.0)) for x, v in zip(point, direction, strict=True) if v is not None]
    return max(found, default=0.0) or 1.0


def numeric_derivative(
    f: Callable[..., Any], args: Sequence[Array], direction: Sequence[Array], *, step: float = STEP, unit: float = EPS
) -> Estimate:
    """The derivative of a function of float64 arrays to an array along a direction, by the better oracle that serves.

    An entry of `direction` that is None leaves its argument as it is. `step` is the first that differences try,
    `unit` the roundoff of f's arithmetic. Raises KinkError where there is no derivative.

    >>> import metagrad as mg
    >>> numeric_derivative(lambda x: mg.sum(abs(x) * x), [mg.asarray([1.0, -2.0])], [mg.asarray([1.0, 0.5])]).oracle
    'central differences'
    """
    point = [np.asarray(x) for x in args]
    moves = [None if v is None else np.asarray(v) for v in direction]
    try:
        return complex_step(f, point, moves)
    except (NotAnalyticError, TraceError):

        def g(t: float) -> Any:
            return np.asarray(f(*[asarray(x) for x in moved(point, moves, t)]))

        return central_difference(WithinDomain(g), step=step, length=extent(point, moves), unit=unit)


def moved(point: Sequence[Array], direction: Sequence[Array], t: float) -> list[Array]:
    """The point x + t v; an entry of the direction that is None does not move."""
    return [x if v is None else x + t * v for x, v in zip(point, direction, strict=True)]


def float_leaves(tree: Any) -> list[int]:
    """Which leaves of a tree are floating point."""
    return [k for k, leaf in enumerate(flatten(tree)[0]) if np.dtype(getattr(leaf, "dtype", type(leaf))).kind == "f"]


def plain(x: Any) -> Any:
    """A leaf as a NumPy array, where it is not traced."""
    return np.asarray(to_value(x)) if type(x) is Tensor or not isinstance(x, Tensor) else x
