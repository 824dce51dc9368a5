"""custom_vjp: a plain function with a derivative of the user's own."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.batching import BatchTrace, BatchTracer
from ..core.graph import Graph, trace_graph
from ..core.primitive import Primitive, abstractify, handed
from ..core.pytree import flatten, unflatten
from ..core.tensor import to_public, to_value
from ..errors import DTypeError, MissingRuleError, ShapeError, requires
from ..ops.reductions import sum as sum_
from .batching import all_elements, run_batched

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value


@dataclass(frozen=True, eq=False, repr=False)
class Rule:
    """What a reverse trace keeps of a call: the user's backward function with its residuals."""

    backward: Callable[[tuple[Value, ...]], list[Value]]
    uses_inputs = True
    uses_output = True
    joint = True

    def vjp_all(self, needed: Any, cotangent: Any, output: Any, *inputs: Value) -> list[Value]:
        filled = [handed.zeros_like(o) if g is None else g for g, o in zip(cotangent, output, strict=True)]
        return self.backward(tuple(filled))


@dataclass(frozen=True, eq=False, repr=False)
class CustomVJP(Primitive):
    """A flat function, and the flat function that a reverse trace runs in its place."""

    name = "custom_vjp"
    interned = False
    depth = 0
    of: str
    """The name of the user's function."""
    function: Any = field(repr=False)
    linearize: Any = field(repr=False)

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)

    def abstract(self, *inputs: Any) -> Any:
        return tuple(abstractify(x) for x in self.subgraph(*inputs).outputs)

    def subgraph(self, *inputs: Any) -> Graph:
        """The function as a Graph, for inputs like these."""
        return trace_graph(self.function, list(inputs), annotate=True)

    def jvp_all(self, tangents: list[Value], output: Any, *inputs: Value) -> Any:
        raise MissingRuleError(requires("custom_vjp", "reverse mode", "forward mode: the function has only a VJP"))

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Any:
        size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)

        def function(*values: Value) -> tuple[Value, ...]:
            return run_batched(self.function, size, batched, values)

        def linearize(*values: Value) -> Any:
            trace = BatchTrace(size)
            mapped = [BatchTracer(trace, v) if b else v for v, b in zip(values, batched, strict=True)]
            with trace.running():
                outputs, rule = self.linearize(*mapped)
                lowered = tuple([all_elements(trace, x) for x in outputs])

            def backward(cotangents: tuple[Value, ...]) -> list[Value]:
                with trace.running():  # once more: the residuals live at its level
                    found = rule.backward(tuple([BatchTracer(trace, g) for g in cotangents]))
                    each = [None if g is None else all_elements(trace, g) for g in found]
                return [g if g is None or b else sum_(g, axis=0) for g, b in zip(each, batched, strict=True)]

            return lowered, Rule(backward)

        return CustomVJP(self.of, function, linearize).bind(*inputs)


class custom_vjp:
    """Give a function its own derivative: decorate it, then name the two halves with `defvjp(forward, backward)`.

    `forward(*args) -> (output, residuals)` runs in the function's place when a derivative is taken;
    `backward(residuals, cotangent) -> tuple` gives a cotangent, or None for zero, for each argument. Both are
    differentiated in turn by outer transforms, so higher orders are those of the rule as written. Arguments and results
    are pytrees. Both halves get all arguments by position, in the order of the function's signature: those that a call
    names, and the defaults of those that it leaves out.

    Raises DTypeError for arguments that do not fit the signature, or that can only be named.

    >>> import metagrad as mg
    >>> @mg.custom_vjp
    ... def straight_through(x):
    ...     return mg.round(x)
    >>> straight_through.defvjp(lambda x: (mg.round(x), None), lambda _, g: (g,))
    >>> mg.grad(straight_through)(0.7)
    Tensor(1., dtype=float64)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.halves: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def defvjp(self, forward: Callable[..., Any], backward: Callable[..., Any]) -> None:
        """Set the two halves of the derivative."""
        self.halves = (forward, backward)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.halves is None:
            raise MissingRuleError(requires("custom_vjp", "defvjp(forward, backward) before the first call", "none"))
        args = self._by_position(args, kwargs)
        forward_half, backward_half = self.halves
        leaves, in_tree = flatten(args)
        values = [to_value(x) for x in leaves]
        arrays = [hasattr(v, "dtype") or isinstance(v, int | float) for v in values]  # the others are options
        out_tree: Any = None

        def public_args(given: tuple[Value, ...]) -> Any:
            rest = iter([to_public(v) if hasattr(v, "dtype") else v for v in given])
            return unflatten(in_tree, [next(rest) if a else v for v, a in zip(values, arrays, strict=True)])

        def function(*values: Value) -> tuple[Value, ...]:
            nonlocal out_tree
            outputs, out_tree = flatten(self.function(*public_args(values)))
            return tuple([to_value(x) for x in outputs])

        def linearize(*values: Value) -> Any:
            nonlocal out_tree
            output, residuals = forward_half(*public_args(values))
            outputs, out_tree = flatten(output)
            structure = out_tree

            def backward(cotangents: tuple[Value, ...]) -> list[Value]:
                found = backward_half(residuals, unflatten(structure, [to_public(g) for g in cotangents]))
                return [g for g, a in zip(_flat_cotangents(found, args), arrays, strict=True) if a]

            return tuple([to_value(x) for x in outputs]), Rule(backward)

        inputs = [v for v, a in zip(values, arrays, strict=True) if a]
        name = getattr(self.function, "__name__", type(self.function).__name__)
        outputs = CustomVJP(name, function, linearize).bind(*inputs)
        return unflatten(out_tree, [to_public(x) for x in outputs])

    def _by_position(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The arguments of a call, defaults among them, in the order of the signature."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            got = f"{len(args)} by position and {sorted(kwargs)} by name: {error}"
            raise DTypeError(requires("custom_vjp", f"arguments for {self.signature}", got)) from None
        bound.apply_defaults()
        if bound.kwargs:
            need = "parameters that can be given by position"
            raise DTypeError(requires("custom_vjp", need, f"{sorted(bound.kwargs)}, which can only be named"))
        return bound.args

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """That of the function; anything by position for a built-in that does not say."""
        try:
            return inspect.signature(self.function)
        except ValueError:
            return inspect.signature(lambda *args: None)


def _flat_cotangents(found: Any, args: tuple[Any, ...]) -> list[Value]:
    """The user's tuple of cotangents as a list for the leaves of the arguments."""
    if not isinstance(found, tuple) or len(found) != len(args):
        raise ShapeError(
            requires("custom_vjp", f"a backward function that returns a tuple of {len(args)}", repr(found))
        )
    flat: list[Value] = []
    for cotangent, arg in zip(found, args, strict=True):
        leaves, structure = flatten(arg)
        if cotangent is None:
            flat += [None] * len(leaves)
            continue
        given, other = flatten(cotangent)
        if other != structure:
            raise ShapeError(requires("custom_vjp", f"a cotangent of structure {structure}", other))
        for leaf, g in zip(leaves, given, strict=True):
            value = to_value(g)
            if getattr(value, "shape", ()) != getattr(leaf, "shape", ()):
                raise ShapeError(requires("custom_vjp", f"a cotangent of shape {leaf.shape}", f"shape {value.shape}"))
            flat.append(value)
    return flat
