"""checkpoint: keep a function's inputs instead of its intermediates, and run it again when its derivative is needed.

The primitive holds a *program*, a function of flat values. Each of its rules is again the primitive, around a program
made of the first: the pullback of a checkpointed program is itself checkpointed. So memory is saved at every order, and
the family is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core import provenance
from ..core.forward import ForwardTrace, ForwardTracer
from ..core.graph import Graph, trace_graph
from ..core.primitive import Primitive, abstractify, handed
from ..core.pytree import flatten, unflatten
from ..core.reverse import ReverseTrace, pull_back
from ..core.tensor import to_public, to_value
from .batching import run_batched
from .trees import as_function, as_outputs, named_like

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value

Program = Any
"""A function of flat values that returns a tuple of values; `depth` is how many derivatives were taken of it."""


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """The program of a graph whose constants were lifted to be its first inputs."""

    graph: Graph
    depth = 0

    def __repr__(self) -> str:
        return f"{len(self.graph.equations)} equations"

    def __call__(self, *values: Value) -> tuple[Value, ...]:
        return tuple(self.graph.evaluate(list(values)))


@dataclass(frozen=True, eq=False, repr=False)
class Pullback:
    """(inputs, cotangents of the outputs) -> cotangents of the needed inputs."""

    program: Program
    needed: tuple[bool, ...]

    @property
    def depth(self) -> int:
        return 1 + int(self.program.depth)

    def __repr__(self) -> str:
        return f"pullback of {self.program!r}"

    def __call__(self, *values: Value) -> tuple[Value, ...]:
        n = len(self.needed)
        trace = ReverseTrace("checkpoint")
        inputs = [trace.source(v) if need else v for v, need in zip(values[:n], self.needed, strict=True)]
        sources = [x.node for x, need in zip(inputs, self.needed, strict=True) if need]
        with trace.running():
            outputs = self.program(*inputs)
        seeds = [(trace.lower(x)[1], g) for x, g in zip(outputs, values[n:], strict=True)]
        del outputs, inputs
        found = pull_back(seeds, sources)
        originals = [v for v, need in zip(values[:n], self.needed, strict=True) if need]
        return tuple(handed.zeros_like(v) if g is None else g for g, v in zip(found, originals, strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class Pushforward:
    """(inputs, tangents of those that have one) -> tangents of the outputs."""

    program: Program
    moving: tuple[bool, ...]

    @property
    def depth(self) -> int:
        return 1 + int(self.program.depth)

    def __repr__(self) -> str:
        return f"pushforward of {self.program!r}"

    def __call__(self, *values: Value) -> tuple[Value, ...]:
        n = len(self.moving)
        trace = ForwardTrace("checkpoint")
        tangents = iter(values[n:])
        inputs = [
            ForwardTracer(trace, v, next(tangents)) if m else v for v, m in zip(values[:n], self.moving, strict=True)
        ]
        with trace.running():
            outputs = self.program(*inputs)
        lowered = [trace.lower(x) for x in outputs]
        return tuple(handed.zeros_like(v) if t is None else t for v, t in lowered)


@dataclass(frozen=True, eq=False, repr=False)
class Batched:
    """The program for all elements of a mapped axis."""

    program: Program
    size: int
    batched: tuple[bool, ...]

    @property
    def depth(self) -> int:
        return int(self.program.depth)

    def __repr__(self) -> str:
        return f"{self.program!r} for {self.size} elements"

    def __call__(self, *values: Value) -> tuple[Value, ...]:
        return run_batched(self.program, self.size, self.batched, values)


@dataclass(frozen=True, eq=False, repr=False)
class Checkpoint(Primitive):
    """A program that is run again rather than remembered."""

    interned = False
    uses_output = False
    program: Program

    def forward(self, *inputs: Any) -> Any:
        return self.program(*inputs)

    def abstract(self, *inputs: Any) -> Any:
        return tuple(abstractify(x) for x in self.subgraph(*inputs).outputs)

    @property
    def depth(self) -> int:
        return int(self.program.depth)

    def subgraph(self, *inputs: Any) -> Graph:
        """The program as a Graph, for inputs like these."""
        return (
            self.program.graph
            if isinstance(self.program, Run)
            else trace_graph(self.program, list(inputs), annotate=True)
        )

    def vjp_all(self, needed: Any, cotangent: Any, output: Any, *inputs: Value) -> list[Value]:
        cotangents = [handed.zeros_like(o) if g is None else g for g, o in zip(cotangent, output, strict=True)]
        found = iter(Checkpoint(Pullback(self.program, needed)).bind(*inputs, *cotangents))
        return [next(found) if need else None for need in needed]

    def jvp_all(self, tangents: list[Value], output: Any, *inputs: Value) -> Any:
        moving = tuple(t is not None for t in tangents)
        given = [t for t in tangents if t is not None]
        return Checkpoint(Pushforward(self.program, moving)).bind(*inputs, *given)

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Any:
        size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
        return Checkpoint(Batched(self.program, size, batched)).bind(*inputs)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, remembered by its inputs only: its intermediates are computed again when a derivative needs them.

    Differentiable to any order, and what `f` closes over keeps its gradient. `f` is traced into a Graph at each call,
    so Python control flow on its values raises TraceError (Chen et al. 2016, "Training deep nets with sublinear memory
    cost").

    >>> import metagrad as mg
    >>> mg.grad(mg.grad(mg.checkpoint(lambda x: mg.sin(x) ** 2)))(0.0)
    Tensor(2., dtype=float64)
    """
    as_function("checkpoint", f)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaves, in_tree = flatten((args, kwargs))
        values = [to_value(x) for x in leaves]
        out_tree: Any = None

        def flat(*inputs: Any) -> list[Value]:
            nonlocal out_tree
            given, named = unflatten(in_tree, list(inputs))
            found, out_tree = as_outputs("checkpoint", f(*given, **named))
            return found

        avals = [abstractify(v) if hasattr(v, "dtype") else v for v in values]
        graph = trace_graph(flat, avals, annotate=provenance.noting > 0)
        lifted = Graph([var for var, _ in graph.constants] + graph.inputs, [], graph.equations, graph.outputs)
        constants = [value for _, value in graph.constants]
        outputs = Checkpoint(Run(lifted)).bind(*constants, *[v for v in values if hasattr(v, "dtype")])
        return unflatten(out_tree, [to_public(x) for x in outputs])

    return named_like(f, wrapped)
