"""What goes into a transform and what comes out, leaf by leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten, leaf_names
from ..core.tensor import to_value
from ..errors import DTypeError, requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value


def as_function(transform: str, f: Any) -> None:
    """Raises DTypeError for what cannot be called, such as the result of calling the function."""
    if not callable(f):
        raise DTypeError(requires(transform, "a function", f"{type(f).__name__} {f!r}"))


def as_input(transform: str, leaf: Any, where: Callable[[], str]) -> Value:
    """The value of a leaf that is to be differentiated; raises DTypeError, naming it, unless it is floating point."""
    if type(leaf) is float:
        return np.asarray(leaf)
    value = to_value(leaf)
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.kind != "f":
        got = f"{type(leaf).__name__} {leaf!r}" if dtype is None else str(dtype)
        raise DTypeError(requires(transform, "floating-point leaves where it differentiates", f"{got} at {where()}"))
    return value


def as_inputs(transform: str, tree: Any) -> tuple[list[Value], Any]:
    """The values of all leaves of a tree of primals, and its structure."""
    leaves, structure = flatten(tree)
    values = [
        as_input(transform, leaf, lambda i=i: f"argument {leaf_names(tree)[i]}")  # type: ignore[misc]
        for i, leaf in enumerate(leaves)
    ]
    return values, structure


def as_outputs(transform: str, result: Any) -> tuple[list[Value], Any]:
    """The values of a function's result, and its structure; raises DTypeError where there is no array in it."""
    leaves, structure = flatten(result)
    if not leaves:
        raise DTypeError(requires(transform, "a function that returns an array or a tree of arrays", repr(result)))
    values = []
    for leaf in leaves:
        value = np.asarray(leaf) if type(leaf) in (float, int, bool) else to_value(leaf)
        if not hasattr(value, "dtype"):
            raise DTypeError(requires(transform, "a function that returns arrays", f"{type(leaf).__name__} {leaf!r}"))
        values.append(value)
    return values, structure
