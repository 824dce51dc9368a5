"""vmap: write a function for one element, run it for all of them in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.batching import BatchTrace, BatchTracer
from ..core.pytree import broadcast_prefix, flatten, leaves_with_nones, unflatten
from ..core.tensor import to_public, to_value
from ..errors import ShapeError, requires
from ..ops.shape import broadcast_to, moveaxis
from .trees import as_function, as_outputs, named_like

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value


def run_batched(
    function: Callable[..., Any], size: int, batched: tuple[bool, ...], values: tuple[Value, ...]
) -> tuple[Value, ...]:
    """Run a function of flat values that returns a sequence, mapped over axis 0 of the batched ones."""
    trace = BatchTrace(size)
    inputs = [BatchTracer(trace, v) if b else v for v, b in zip(values, batched, strict=True)]
    with trace.running():
        outputs = function(*inputs)
    return tuple([all_elements(trace, x) for x in outputs])


def all_elements(trace: BatchTrace, x: Value) -> Value:
    """A result for all elements, also where it is the same for each."""
    value, batched = trace.lower(x)
    return value if batched else broadcast_to(value, (trace.size, *getattr(value, "shape", ())))


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """Map a function over an axis of its arguments.

    `in_axes` is an axis, None for an argument that is the same for all elements, or a tuple of these (or of trees of
    these) for each argument; `out_axes` says where the mapped axis stands in the results. Keyword arguments are mapped
    over axis 0. Results equal the loop's to rounding.

    Raises ShapeError where sizes differ or nothing is mapped.

    >>> import metagrad as mg
    >>> mg.vmap(lambda x, y: mg.sum(x * y), in_axes=(0, None))(mg.ones((3, 2)), mg.asarray([1.0, 2.0]))
    Tensor([3., 3., 3.], dtype=float64)
    """
    as_function("vmap", f)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        if isinstance(axes, tuple) and len(axes) != len(args):
            raise ShapeError(requires("vmap", f"in_axes for {len(args)} arguments", f"{len(axes)} of them"))
        each = axes if isinstance(axes, tuple) else (axes,) * len(args)
        parts = {k: flatten(arg) for k, (arg, axis) in enumerate(zip(args, each, strict=True)) if axis is not None}
        try:
            leaf_axes = [axis for k, (found, _) in parts.items() for axis in _axes_of(each[k], args[k], found)]
        except ValueError as error:
            raise ShapeError(requires("vmap", "in_axes that are a prefix of the arguments", in_axes)) from error
        call_args: list[Any] = list(args)
        if kwargs:
            parts[len(args)] = flatten(kwargs)
            leaf_axes += [0] * len(parts[len(args)][0])
            call_args.append(kwargs)
        leaves = [leaf for found, _ in parts.values() for leaf in found]
        values = [to_value(x) for x in leaves]
        sizes = {}
        moved = []
        for value, axis in zip(values, leaf_axes, strict=True):
            if axis is None:
                moved.append(value)
                continue
            if type(axis) is not int and not isinstance(axis, int | np.integer):
                raise ShapeError(requires("vmap", "in_axes of numbers and None", repr(axis)))
            shape = getattr(value, "shape", ())
            if not -len(shape) <= axis < len(shape):
                raise ShapeError(requires("vmap", f"an argument with an axis {axis} to map", f"shape {shape}"))
            sizes[shape[axis]] = shape
            moved.append(value if axis == 0 else moveaxis(value, axis, 0))
        if len(sizes) != 1:
            got = "nothing to map" if not sizes else "shapes " + " and ".join(str(s) for s in sizes.values())
            raise ShapeError(requires("vmap", "mapped axes of one size", got))
        trace = BatchTrace(next(iter(sizes)))
        inputs = [
            leaf if axis is None else BatchTracer(trace, value)
            for value, leaf, axis in zip(moved, leaves, leaf_axes, strict=True)
        ]
        rest = iter(inputs)
        for k, (found, structure) in parts.items():
            call_args[k] = unflatten(structure, [next(rest) for _ in found])
        call_kwargs = call_args.pop() if kwargs else {}
        with trace.running():
            result = f(*call_args, **call_kwargs)
            outputs, out_tree = as_outputs("vmap", result, some=False)
            axes = _axes_of(out_axes, result, outputs)
            mapped = [to_public(_placed(trace, x, axis)) for x, axis in zip(outputs, axes, strict=True)]
        return unflatten(out_tree, mapped)

    return named_like(f, wrapped)


def _axes_of(axes: Any, tree: Any, leaves: list[Any]) -> list[Any]:
    """An axis for each leaf. None in the tree is an empty subtree and takes none, None among the axes is a value."""
    if axes is None or isinstance(axes, int | np.integer):
        return [axes] * len(leaves)
    spread = broadcast_prefix(axes, tree)
    return [axis for axis, leaf in zip(spread, leaves_with_nones(tree), strict=True) if leaf is not None]


def _placed(trace: BatchTrace, x: Value, axis: int | None) -> Value:
    value, batched = trace.lower(x)
    if axis is None:
        if batched:
            raise ShapeError(
                requires(
                    "vmap", "a result that is the same for all elements where out_axes is None", "one that differs"
                )
            )
        return value
    value = all_elements(trace, x)
    return value if axis == 0 else moveaxis(value, 0, axis)
