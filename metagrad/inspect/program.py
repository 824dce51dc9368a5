"""A graph laid open for reading: programs inside it unfolded, each equation with its place, its needs and its cost.

A `Step` is an equation as a reader meets it. Its `path` says where it stands: the named scopes of the function, and a
name for each taking of a derivative, put where it was called. So in `inner step 1 / gradient / conv2d 0` stands what
the inner gradient makes of a layer, and in `gradient / inner step 1 / gradient / conv2d 0` what the outer one makes of
that.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.graph import Equation, Graph, Var
from ..errors import DTypeError, requires

if TYPE_CHECKING:
    from ..core.primitive import Primitive
    from ..core.provenance import Derivation, Operation

Path = tuple[str, ...]


@dataclass(eq=False, slots=True)
class Step:
    """One equation. `reads` and `users` are the numbers of the steps that it depends on and that depend on it."""

    number: int
    equation: Equation
    inputs: tuple[Any, ...]
    outputs: tuple[Var, ...]
    order: int
    path: Path
    origin: int | None
    flops: int
    bytes: int
    reads: list[int]
    users: list[int]
    needed: bool = False
    """Whether the result depends on it."""

    @property
    def primitive(self) -> Primitive:
        return self.equation.primitive


def nbytes(x: Any) -> int:
    """The memory of an array like `x`; 0 for a Python scalar."""
    return math.prod(x.shape) * int(x.dtype.itemsize) if isinstance(x, Var) else 0


class Program:
    """A graph's steps, in the order in which they run, and the names of its variables.

    Equations that hold a program (checkpoint, custom_vjp) are replaced by what they run. Their orders count on from
    the function's: what a checkpoint computes again is of order 0.
    """

    def __init__(self, inputs: list[Var], constants: list[Var], names: dict[Var, str]) -> None:
        self.inputs = inputs
        self.constants = constants
        self.names = names
        self.numbers: set[Var] = set()
        """Constants that are written as what they are, wherever they are read."""
        self.values: dict[Var, Any] = {}
        """Of constants."""
        self.steps: list[Step] = []
        self.outputs: list[Any] = []
        self.maker: dict[Var, int] = {}

    @classmethod
    def of(cls, operation: str, graph: Any) -> Program:
        """Raises DTypeError, which names the operation, for what is no Graph."""
        if not isinstance(graph, Graph):
            need = "a Graph, as mg.make_graph(f)(*args) gives it,"
            raise DTypeError(requires(operation, need, f"{type(graph).__name__} {graph!r}"))
        named = {var: name for var, name in zip(graph.inputs, graph.names, strict=False) if name}
        program = cls(list(graph.inputs), [], named)
        program._unfold(graph, {}, _Derivations(graph), (), 0, "")
        program._mark_needed()
        return program

    def _unfold(
        self, graph: Graph, given: dict[Var, Any], derivations: _Derivations, within: Path, base: int, prefix: str
    ) -> list[Any]:
        """Add a graph's equations, whose inputs are `given`; what its outputs are here."""
        known = dict(given)
        numbers: dict[Operation, int] = {}

        def place(var: Var) -> Var:
            """The variable here: a new one inside, because a program may run twice."""
            known[var] = here = Var(var.shape, var.dtype, var.device, var.number) if prefix else var
            self.names.setdefault(here, prefix + var.name)
            return here

        for var in graph.inputs:
            if var not in known:
                place(var)
        for var, value in graph.constants:
            self.constants.append(place(var))
            self.values[known[var]] = value
            if var.shape == () and isinstance(value, np.ndarray | np.generic):
                self.names[known[var]] = f"{value.item():g}"  # a number says more than a name
                self.numbers.add(known[var])
        for equation in graph.equations:
            inputs = tuple([known[x] if isinstance(x, Var) else x for x in equation.inputs])
            path = within + derivations.path(equation)
            primitive: Any = equation.primitive
            if hasattr(primitive, "subgraph"):
                inner = primitive.subgraph(*equation.inputs)
                name = prefix + equation.outputs[0].name
                results = self._unfold(
                    inner,
                    dict(zip(inner.inputs, [x for x in inputs if isinstance(x, Var)], strict=True)),
                    _Derivations(inner, equation.scope),
                    (*path, f"{primitive.name} {name}"),
                    base + equation.order - primitive.depth,
                    f"{name}.",
                )
                known.update(zip(equation.outputs, results, strict=True))
                continue
            numbers[equation] = len(self.steps)
            origin = None if equation.origin is None else numbers.get(equation.origin)
            outputs = tuple(map(place, equation.outputs))
            self._add(equation, inputs, outputs, base + equation.order, path, origin)
        self.outputs = [known[x] if isinstance(x, Var) else x for x in graph.outputs]
        return self.outputs

    def _add(
        self,
        equation: Equation,
        inputs: tuple[Any, ...],
        outputs: tuple[Var, ...],
        order: int,
        path: Path,
        origin: int | None,
    ) -> None:
        number, primitive = len(self.steps), equation.primitive
        reads = sorted({self.maker[x] for x in inputs if isinstance(x, Var) and x in self.maker})
        for k in reads:
            self.steps[k].users.append(number)
        self.maker.update(dict.fromkeys(outputs, number))
        flops = primitive.flops(outputs if len(outputs) > 1 else outputs[0], *inputs)
        moved = 0 if primitive.view else sum(map(nbytes, (*inputs, *outputs)))
        self.steps.append(Step(number, equation, inputs, outputs, order, path, origin, flops, moved, reads, []))

    def _mark_needed(self) -> None:
        for step in self.steps:
            step.needed = False
        waiting = [self.maker[x] for x in self.outputs if isinstance(x, Var) and x in self.maker]
        while waiting:
            step = self.steps[waiting.pop()]
            if not step.needed:
                step.needed = True
                waiting += step.reads

    def without(self, left_out: set[int], instead: dict[Var, Any]) -> Program:
        """The program with some steps left out, and variables replaced; with what its result needs only."""
        program = Program(self.inputs, self.constants, self.names)
        program.numbers, program.values = self.numbers, self.values
        numbers: dict[int, int] = {}

        def found(x: Any) -> Any:
            while isinstance(x, Var) and x in instead:
                x = instead[x]
            return x

        for step in self.steps:
            if step.number not in left_out:
                numbers[step.number] = len(program.steps)
                inputs = tuple(map(found, step.inputs))
                origin = None if step.origin is None else numbers.get(step.origin)
                program._add(step.equation, inputs, step.outputs, step.order, step.path, origin)
        program.outputs = [found(x) for x in self.outputs]
        program._mark_needed()
        unused = {step.number for step in program.steps if not step.needed}
        return program.without(unused, {}) if unused else program

    def needed(self) -> Program:
        """The program without the steps that its result does not depend on."""
        return self.without({step.number for step in self.steps if not step.needed}, {})

    def name(self, x: Any) -> str:
        """How a variable or a scalar is written."""
        return self.names.get(x, x.name) if isinstance(x, Var) else f"{x:g}" if isinstance(x, float) else repr(x)


class _Derivations:
    """The names of the derivatives that were taken in a graph, and the paths that they make."""

    def __init__(self, graph: Graph, scope: Path = ()) -> None:
        self.scope = scope
        """In which the graph stands: paths begin below it."""
        self.paths: dict[Operation, Path] = {}
        found = dict.fromkeys(d for e in graph.equations for d in _taken(e))
        self.labels: dict[Derivation, str] = {}
        for _, group in itertools.groupby(sorted(found, key=_kind), key=_kind):
            alike = list(group)
            for k, derivation in enumerate(alike, 1):
                self.labels[derivation] = derivation.mode if len(alike) == 1 else f"{derivation.mode} {k}"

    def path(self, equation: Operation) -> Path:
        found = self.paths.get(equation)
        if found is None:
            origin, derivation = equation.origin, equation.derivation
            if origin is None or derivation is None:
                found = self._below(equation.scope)
            else:
                of, called = self.path(origin), self._below(derivation.scope)
                rest = of[len(called) :] if of[: len(called)] == called else of
                found = (*called, self.labels[derivation], *rest)
            self.paths[equation] = found
        return found

    def _below(self, scope: Path) -> Path:
        return scope[len(self.scope) :] if scope[: len(self.scope)] == self.scope else scope


def _taken(equation: Operation | None) -> list[Derivation]:
    """The derivatives that made an equation, the first one first. Its origins need not be in its graph."""
    found: list[Derivation] = []
    while equation is not None:
        found += [equation.derivation] if equation.derivation is not None else []
        equation = equation.origin
    return found[::-1]


def _kind(derivation: Derivation) -> tuple[str, Path]:
    return derivation.mode, derivation.scope
