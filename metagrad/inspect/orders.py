"""Is a computation truly second order, what would first-order MAML leave out of it, and what would that save?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..ops.reductions import StopGradient
from ..transforms import make_graph
from .cost import Cost, cost_of, outermost
from .derivative_orders import meaning
from .first_order import cut_of
from .notation import count, many
from .program import Program
from .readable import Readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.graph import Graph


@dataclass
class OrderReport(Readable):
    """What `order_report` found; said in words where it is shown.

    Attributes:
        second_order: whether the computation is truly second order (see `order_report`).
        orders: equations that the result depends on, by derivative order.
        cost: of all that the result depends on.
        first_order_cost: of that without what first-order MAML cuts.
        cut: equations cut, by the outermost named scope.
        cut_operations: the same, by operation.
        why: where it is not second order, what ends the derivative.
    """

    second_order: bool
    orders: dict[int, int]
    cost: Cost
    first_order_cost: Cost
    cut: dict[str, int]
    cut_operations: dict[str, int]
    why: str

    def __repr__(self) -> str:
        higher = sum(n for order, n in self.orders.items() if order >= 2)
        total = sum(self.orders.values())
        if self.second_order:
            said = (
                f"second order: the result depends on {many(total, 'equation')}, {higher:,} of them of order 2 or more"
            )
        else:
            said = f"not second order: {self.why}"
        lines = [said]
        for order, equations in self.orders.items():
            flops = self.cost.by_order[order].flops
            lines.append(f"  order {order}: {many(equations, 'equation')}, {count(flops, 'flop')}, {meaning(order)}")
        if self.second_order:
            lines += self._saving()
        return "\n".join(lines)

    def _saving(self) -> list[str]:
        before, after = self.cost, self.first_order_cost
        gone = before.total.equations - after.total.equations
        flops = before.total.flops - after.total.flops
        part = ", ".join(f"{name} {n:,}" for name, n in _most(self.cut))
        kinds = ", ".join(f"{name} {n:,}" for name, n in _most(self.cut_operations))
        return [
            "first-order MAML takes each inner derivative for a constant; here that cuts",
            f"  {many(gone, 'equation')} of {before.total.equations:,} ({_share(gone, before.total.equations)})",
            f"  {count(flops, 'flop')} of {count(before.total.flops)} ({_share(flops, before.total.flops)})",
            f"  live memory from at most {count(before.peak, 'B')} to {count(after.peak, 'B')}",
            f"  in: {part}",
            f"  of: {kinds}",
        ]


def order_report(f: Callable[..., Any], *args: Any) -> OrderReport:
    """Whether f(*args) is truly second order, what first-order MAML would cut of it, and what that would save.

    f is truly second order if its result depends on an equation of order 2 or more that depends on an argument of f. An
    equation's order is 0 for what a function computes and one more than that of the equation whose derivative it is. So
    the derivative of a derivative must have been taken, at the arguments and not at constants, and must be in the
    result. A meta-gradient through the inner gradients is; first-order MAML, a plain
    gradient, and an inner gradient behind `stop_gradient` are not.

    What first-order MAML cuts is what is there only because derivatives were differentiated: all equations of order 2
    or more, and those of order 1 through which nothing but their cotangents flows. `first_order_cut` gives the rest.

    Raises what `mg.make_graph` raises, DTypeError for an f that returns no tensor among it.

    >>> import metagrad as mg
    >>> print(mg.inspect.order_report(mg.grad(lambda x: x * x * x), 2.0))
    not second order: no derivative of a derivative is taken, only first derivatives
      order 0: 1 equation, 1 flop, the function itself
      order 1: 6 equations, 6 flop, made by a derivative
    >>> mg.inspect.order_report(mg.grad(mg.grad(lambda x: x * x * x)), 2.0).second_order
    True
    """
    graph = make_graph(f)(*args)
    program = Program.of("order_report", graph)
    needed = program.needed()
    moving = _moving(needed)
    second = any(s.order >= 2 and s.number in moving for s in needed.steps)
    cut, instead = cut_of(needed)
    rest = needed.without(cut, instead)
    remaining = {s.equation for s in rest.steps} if second else set()
    gone = [s for s in needed.steps if s.equation not in remaining] if second else []
    return OrderReport(
        second,
        dict(sorted(Counter(s.order for s in needed.steps).items())),
        cost_of(needed),
        cost_of(rest),
        dict(Counter(map(outermost, gone))),
        dict(Counter(s.primitive.name for s in gone)),
        "" if second else _why(program, needed, graph),
    )


def assert_second_order(f: Callable[..., Any], *args: Any) -> None:
    """Raises AssertionError, with the report, unless f(*args) is truly second order (see `order_report`).

    >>> import metagrad as mg
    >>> mg.inspect.assert_second_order(mg.grad(mg.grad(mg.sin)), 0.5)
    """
    report = order_report(f, *args)
    if not report.second_order:
        raise AssertionError(str(report))


def _moving(program: Program) -> set[int]:
    """The steps that depend on an input."""
    moving: set[int] = set()
    for step in program.steps:
        if any(x in program.inputs for x in step.inputs) or not moving.isdisjoint(step.reads):
            moving.add(step.number)
    return moving


def _why(program: Program, needed: Program, graph: Graph) -> str:
    """What keeps a computation from being second order."""
    highest = max((s.order for s in program.steps), default=0)
    if any(s.order >= 2 for s in needed.steps):
        return "its second derivatives do not depend on the arguments"
    if highest >= 2:
        return "derivatives of derivatives are computed, but the result does not depend on them"
    behind = _behind_derivatives(program)
    stops = [
        s
        for s in program.steps
        if isinstance(s.primitive, StopGradient) and s.number in behind and (s.needed or s.equation.differentiated)
    ]
    if highest and stops:
        places = list(dict.fromkeys(str(s.equation.source) for s in stops if s.equation.source))
        said = "; ".join(places[:3]) + (f"; and {len(places) - 3} more lines" if len(places) > 3 else "")
        return f"stop_gradient makes a constant of a derivative (first-order MAML does), at {said}"
    differentiated = {e.order for e in (*graph.equations, *(s.equation for s in program.steps)) if e.differentiated}
    if any(order >= 1 for order in differentiated):
        return (
            "a derivative of a derivative is taken, but it is constant, so that no equation is left of it "
            "(that of a quadratic function is; that of one linear in pieces is 0)"
        )
    if highest:
        return "no derivative of a derivative is taken, only first derivatives"
    if differentiated:
        return "the derivative that is taken is constant (that of a linear function is), so that a second one is 0"
    return "no derivative of what depends on the arguments is taken; give mg.grad of the function, not the function"


def _behind_derivatives(program: Program) -> set[int]:
    """The steps that read what a derivative made, also through others."""
    behind: set[int] = set()
    for step in program.steps:
        if any(program.steps[k].order or k in behind for k in step.reads):
            behind.add(step.number)
    return behind


def _most(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])[:6]


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f}%" if whole else "0%"
