"""What first-order MAML leaves out of a graph, and the graph that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.graph import Equation, Graph, Var, numbers
from ..ops.arithmetic import Add
from .program import Program

if TYPE_CHECKING:
    from ..core.provenance import Operation


def first_order_cut(graph: Graph) -> Graph:
    """The graph without what first-order MAML leaves out: one that can be read, drawn and run.

    Gone are all equations of order 2 or more, those of order 1 through which nothing but their cotangents flows (see
    `order_report`), and what the result did not depend on. Of MAML's meta-gradient it leaves the first-order one.

    Raises DTypeError for what is no Graph.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> def loss(w, target): return mg.cosh(w - target)
    >>> def after(w, first_order): return loss(meta.adapt(loss, w, 1.0, steps=1, lr=0.5, first_order=first_order), 2.0)
    >>> graph = mg.make_graph(mg.grad(lambda w: after(w, False)))(0.3)
    >>> mg.inspect.first_order_cut(graph)(0.3), mg.grad(after)(0.3, True)
    (Tensor(-1.73956351, dtype=float64), Tensor(-1.73956351, dtype=float64))
    """
    program = Program.of("first_order_cut", graph).needed()
    return _graph_of(program.without(*cut_of(program)), graph)


def cut_of(program: Program) -> tuple[set[int], dict[Var, Any]]:
    """The numbers of the steps that are gone where the derivative of a derivative is zero, and what is left of sums.

    A walk back is linear in its cotangents and adds them by `add`: a zero one takes with it what it alone flows
    through, and leaves of a sum the other summand.
    """
    cut: set[int] = set()
    zero: set[Var] = set()
    instead: dict[Var, Any] = {}
    for step in program.steps:
        if step.order == 0:
            continue
        gone = [x for x in step.inputs if isinstance(x, Var) and x in zero]
        if isinstance(step.primitive, Add):
            if len(gone) == 1:
                cut.add(step.number)
                instead[step.outputs[0]] = next(x for x in step.inputs if x is not gone[0])
            wholly = len(gone) == 2
        else:
            wholly = step.order >= 2 or bool(gone)
        if wholly:
            cut.add(step.number)
            zero.update(step.outputs)
    instead.update((x, 0.0) for x in program.outputs if isinstance(x, Var) and x in zero)
    return cut, instead


def _graph_of(program: Program, whole: Graph) -> Graph:
    """A program as a graph of its own, with the arguments and the structure of the result of the whole one."""
    here: dict[Var, Var] = {}
    again: dict[Operation, Operation] = {}
    unused = numbers(whole.names)

    def place(x: Var) -> Var:
        here[x] = Var(x.shape, x.dtype, x.device, next(unused))
        return here[x]

    def read(x: Any) -> Any:
        if isinstance(x, Var) and x not in here:  # what made it is gone
            constants.append((place(x), np.zeros(x.shape, x.dtype)))
        return here[x] if isinstance(x, Var) else x

    inputs = [place(x) for x in program.inputs]
    used = {x for step in program.steps for x in step.inputs if isinstance(x, Var)} | set(program.outputs)
    constants = [(place(x), program.values[x]) for x in program.constants if x in used]
    equations = []
    for step in program.steps:
        old = step.equation
        origin = None if old.origin is None else again.get(old.origin, old.origin)
        outputs = tuple(map(place, step.outputs))
        new = Equation(old.primitive, tuple(map(read, step.inputs)), outputs, old.source, old.scope, origin)
        new.derivation, new.order, new.differentiated = old.derivation, step.order, old.differentiated
        again[old] = new
        equations.append(new)
    results: list[Any] = []
    for x, was in zip(program.outputs, whole.outputs, strict=True):
        if isinstance(was, Var) and not isinstance(x, Var):
            constants.append((place(was), np.full(was.shape, x, was.dtype)))
            x = was
        results.append(read(x))
    found = Graph(inputs, constants, equations, results, whole.names)
    found.in_tree, found.out_tree = whole.in_tree, whole.out_tree
    return found
