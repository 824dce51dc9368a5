"""Tracing into a Graph, naming its parts, and cutting it."""

from __future__ import annotations

import inspect
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.graph import Graph, trace_graph
from ..core.primitive import abstractify
from ..core.provenance import context
from ..core.pytree import flatten, leaf_names, unflatten
from ..core.tensor import to_value
from ..ops.reductions import StopGradient
from .trees import as_function, as_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value


def make_graph(f: Callable[..., Any]) -> Callable[..., Graph]:
    """The function that traces `f` on symbolic arrays like its arguments and returns the `Graph`.

    Arguments by name are inputs too. Values that `f` closes over become constants of the graph. Python control flow on
    traced values raises TraceError.

    >>> import metagrad as mg
    >>> print(mg.make_graph(lambda x: mg.sum(mg.exp(x)))(mg.zeros(3)))
    inputs     a: f64[3]
    <BLANKLINE>
    order 0
      b = exp(a)          f64[3]
      c = sum(b; axes 0)  f64[]
    <BLANKLINE>
    outputs    c
    """
    as_function("make_graph", f)

    def traced(*args: Any, **kwargs: Any) -> Graph:
        leaves, structure = flatten((args, kwargs))
        avals = [abstractify(_array(leaf), "make_graph") for leaf in leaves]
        out_tree: Any = None

        def flat(*inputs: Any) -> list[Value]:
            nonlocal out_tree
            given, named = unflatten(structure, list(inputs))
            values, out_tree = as_outputs("make_graph", f(*given, **named))
            return values

        graph = trace_graph(flat, avals, annotate=True, names=_names(f, args))
        graph.in_tree = structure
        graph.out_tree = out_tree
        return graph

    return traced


def _names(f: Callable[..., Any], args: tuple[Any, ...]) -> list[str]:
    """For each leaf of the arguments how the function's own code would read it; nothing for arrays by themselves."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    called = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    called += [f"args[{k}]" for k in range(len(called), len(args))]
    return [name + leaf if leaf else "" for name, arg in zip(called, args, strict=False) for leaf in leaf_names(arg)]


def _array(leaf: Any) -> Value:
    return np.asarray(leaf) if type(leaf) in (float, int, bool) else to_value(leaf)


class named_scope(ContextDecorator):
    """Equations traced inside carry the name: a layer, an inner step. So do the derivatives of them.

    A context manager, or a decorator of a function.

    >>> import metagrad as mg
    >>> def f(x):
    ...     with mg.named_scope("layer"):
    ...         return mg.tanh(x)
    >>> mg.make_graph(f)(1.0).equations[0].scope
    ('layer',)
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def _recreate_cm(self) -> named_scope:
        return named_scope(self.name)  # a decorated function may call itself

    def __enter__(self) -> None:
        self.before = context.scope
        context.scope = (*self.before, self.name)

    def __exit__(self, *error: object) -> None:
        context.scope = self.before


def stop_gradient(x: Any) -> Any:
    """x, an array or a tree of arrays, as a constant to every derivative.

    >>> import metagrad as mg
    >>> mg.grad(lambda x: x * mg.stop_gradient(x))(3.0)
    Tensor(3., dtype=float64)
    """
    leaves, structure = flatten(x)
    return unflatten(structure, [StopGradient()(leaf) for leaf in leaves])
