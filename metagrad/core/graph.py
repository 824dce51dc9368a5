"""The Graph: a traced computation as plain data that can be read, drawn, costed and run.

Tracing runs a function on symbolic arrays. Each operation becomes an `Equation` that knows its primitive, the line of
user code it came from, its named scope, and, if a derivative rule made it, the equation whose derivative it is
(`origin`). Its `order` is 0 for what the function itself computes and 1 + the order of its origin otherwise: a backward
pass has order 1, the backward pass of a backward pass order 2.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DTypeError, ShapeError, requires
from . import provenance
from .primitive import Aval, Primitive, abstractify
from .provenance import Derivation, Operation, Replay, Source, current, graph_running
from .pytree import flatten, unflatten
from .tensor import to_public, to_value
from .trace import Trace, Tracer, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

viewer: Any = None
"""Gives what writes and draws graphs, with `brief`, `line` and `notebook`; `metagrad` hands it in."""


class Var(Aval):
    """A symbolic array of a graph, with a number for its name."""

    __slots__ = ("number",)

    def __init__(self, shape: tuple[int, ...], dtype: Any, device: str, number: int) -> None:
        super().__init__(shape, dtype, device)
        self.number = number

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def name(self) -> str:
        return _letters(self.number)

    def __repr__(self) -> str:
        return f"{self.name}:{super().__repr__()}"


def _letters(number: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    text, n = letters[number % 26], number // 26
    while n:
        n -= 1
        text, n = letters[n % 26] + text, n // 26
    return text


def numbers(names: Sequence[str]) -> Iterator[int]:
    """For the Vars of a graph whose inputs have these names: beside `b['w']` nothing else is called b."""
    taken = {name.partition("[")[0] for name in names if name}
    return (k for k in itertools.count() if _letters(k) not in taken) if taken else itertools.count()


class Equation(Operation):
    """One operation of a graph. `inputs` are Vars or Python scalars, `outputs` Vars."""

    __slots__ = ("inputs", "outputs")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Any, ...],
        outputs: tuple[Var, ...],
        source: Source | None,
        scope: tuple[str, ...],
        origin: Operation | None,
        derivation: Derivation | None = None,
    ) -> None:
        super().__init__(primitive, source, scope, origin, derivation)
        self.inputs = inputs
        self.outputs = outputs

    @property
    def params(self) -> dict[str, Any]:
        """The primitive's static parameters by name."""
        return self.primitive.params

    def __repr__(self) -> str:
        return str(viewer().line(self))


class GraphTracer(Tracer):
    """A symbolic array; `_value` is its Var."""

    __slots__ = ("equation",)

    def __init__(self, trace: GraphTrace, var: Var, equation: Equation | None) -> None:
        self.trace = trace
        self._value = var
        self.equation = equation

    @property
    def device(self) -> str:
        return self._value.device  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype}, traced by {self.trace.transform})"


class GraphTrace(Trace):
    """Writes every operation down instead of running it."""

    __slots__ = ("annotate", "constants", "equations", "names", "numbers")

    def __init__(self, annotate: bool, names: Sequence[str]) -> None:
        super().__init__("make_graph")
        self.annotate = annotate
        self.names = names
        self.numbers = numbers(names)
        self.equations: list[Equation] = []
        self.constants: dict[int, tuple[Var, Value]] = {}

    def new_var(self, aval: Aval) -> Var:
        return Var(aval.shape, aval.dtype, aval.device, next(self.numbers))

    def source(self, aval: Aval) -> GraphTracer:
        """A symbolic input."""
        return GraphTracer(self, self.new_var(aval), None)

    def read(self, x: Value) -> Any:
        """What an equation holds of an input: a Var, or a Python scalar as it is."""
        if isinstance(x, GraphTracer) and x.trace is self:
            return x._value
        if type(x) in (float, int, bool):
            return x
        if id(x) not in self.constants:
            self.constants[id(x)] = (self.new_var(abstractify(x)), x)
        return self.constants[id(x)][0]

    def process(self, primitive: Primitive, inputs: tuple[Value, ...]) -> Any:
        if not self.alive:
            raise self.escaped(primitive)
        read = tuple([self.read(x) for x in inputs])
        found = primitive.abstract(*read)
        several = type(found) is tuple
        outputs = tuple([self.new_var(aval) for aval in (found if several else (found,))])
        if self.annotate:
            now = current(primitive)
            equation = Equation(primitive, read, outputs, now.source, now.scope, now.origin, now.derivation)
        else:
            equation = Equation(primitive, read, outputs, None, (), None)
        self.equations.append(equation)
        tracers = tuple([GraphTracer(self, var, equation) for var in outputs])
        return tracers if several else tracers[0]

    def close(self, inputs: list[GraphTracer], outputs: list[Value]) -> Graph:
        """The finished graph."""
        read = [self.read(x) for x in outputs]
        return Graph([x._value for x in inputs], list(self.constants.values()), self.equations, read, self.names)


def trace_graph(function: Any, avals: list[Any], *, annotate: bool, names: Sequence[str] = ()) -> Graph:
    """Trace a function of flat values that returns a list of values. Python scalars among them are not inputs.

    `annotate`: with lines, scopes and origins, which take half of the time. A graph that is only run does without.
    `names`: of inputs (see `Graph.names`).
    """
    trace = GraphTrace(annotate, names)
    inputs = [trace.source(aval) if isinstance(aval, Aval) else aval for aval in avals]
    with graph_running() if annotate else nullcontext(), trace.running():
        return trace.close([x for x in inputs if isinstance(x, GraphTracer)], list(function(*inputs)))


class _Plan(NamedTuple):
    """How to run a graph: every variable, constant and scalar has a place in a list; inputs come first."""

    start: list[Value]
    steps: list[tuple[Any, tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
    outputs: list[int]

    @staticmethod
    def of(graph: Graph, binder: Callable[[Equation], Any]) -> _Plan:
        """`binder` gives what runs an equation."""
        place: dict[Var, int] = {}
        start: list[Value] = []

        def put(value: Value) -> int:
            start.append(value)
            return len(start) - 1

        def find(x: Any) -> int:
            return place[x] if type(x) is Var else put(x)

        for var in graph.inputs:
            place[var] = put(None)
        for var, value in graph.constants:
            place[var] = put(value)
        steps = []
        for equation in graph.equations:
            inputs = tuple([find(x) for x in equation.inputs])
            for var in equation.outputs:
                place[var] = put(None)
            steps.append((binder(equation), inputs, tuple([place[var] for var in equation.outputs])))
        outputs = [find(x) for x in graph.outputs]
        needed = set(outputs)
        timed = []
        for bind, reads, writes in reversed(steps):
            done = {*reads, *writes} - needed
            needed |= done
            timed.append((bind, reads, writes, tuple(done)))
        return _Plan(start, timed[::-1], outputs)


def _bind(equation: Equation) -> Any:
    return equation.primitive.bind


class Graph:
    """A computation as data. Call it with arguments like those it was traced with, or read its `equations`.

    >>> import metagrad as mg
    >>> graph = mg.make_graph(mg.grad(lambda x: x * x * x))(2.0)
    >>> [equation.order for equation in graph.equations]
    [0, 0, 1, 1, 1, 1, 1, 1]
    >>> graph(3.0)
    Tensor(27., dtype=float64)
    """

    def __init__(
        self,
        inputs: list[Var],
        constants: list[tuple[Var, Value]],
        equations: list[Equation],
        outputs: list[Any],
        names: Sequence[str] = (),
    ) -> None:
        self.inputs = inputs
        self.constants = constants
        self.equations = equations
        self.outputs = outputs
        self.names = list(names)
        """Of inputs: `params[0]['bias']` for a leaf of an argument, empty for an argument that is an array."""
        self.in_tree: Any = None
        self.out_tree: Any = None
        self._plan: _Plan | None = None

    def evaluate(self, values: list[Value]) -> list[Value]:
        """Run it on flat values, letting go of each intermediate after its last use.

        Raises ShapeError for another number of values than it has inputs.
        """
        if len(values) != len(self.inputs):
            raise ShapeError(requires("graph", f"{len(self.inputs)} values, one for each input", len(values)))
        if provenance.noting:
            plan = _Plan.of(self, Replay())
        else:
            plan = self._plan = self._plan or _Plan.of(self, _bind)
        held = plan.start.copy()
        held[: len(values)] = values
        for bind, inputs, outputs, done in plan.steps:
            output = bind(*[held[k] for k in inputs])
            if type(output) is tuple:
                for k, o in zip(outputs, output, strict=True):
                    held[k] = o
            else:
                held[outputs[0]] = output
            for k in done:
                held[k] = None
        return [held[k] for k in plan.outputs]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it, with the arguments by position and by name that it was traced with. Python numbers take the dtype
        that they had there.

        Raises ShapeError or DTypeError where the arguments differ from those it was traced with.
        """
        leaves, tree = flatten((args, kwargs))
        if tree != self.in_tree:
            raise ShapeError(requires("graph", f"arguments of structure {self.in_tree}", tree))
        values = []
        for var, leaf in zip(self.inputs, leaves, strict=True):
            weak = type(leaf) in (float, int, bool) and np.result_type(var.dtype, leaf) == var.dtype
            value = np.asarray(leaf, var.dtype) if weak else to_value(leaf)
            found = abstractify(value if hasattr(value, "dtype") else np.asarray(value), "graph")
            if found.shape != var.shape:
                raise ShapeError(requires("graph", f"an argument of shape {var.shape}", f"shape {found.shape}"))
            if found.dtype != var.dtype:
                raise DTypeError(requires("graph", f"an argument of dtype {var.dtype}", f"dtype {found.dtype}"))
            values.append(value)
        with np.errstate(all="ignore"):
            return unflatten(self.out_tree, [to_public(x) for x in self.evaluate(values)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return str(viewer().notebook(self))

    def __repr__(self) -> str:
        """As `mg.inspect.text` writes it; of more than 200 equations, how many of which orders stand where."""
        return str(viewer().brief(self))
