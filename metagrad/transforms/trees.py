"""What goes into a transform and what comes out, leaf by leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten, leaf_names
from ..core.tensor import to_value
from ..errors import DTypeError, requires

if TYPE_CHECKING:
    from ..core.trace import Value


def as_function(transform: str, f: Any) -> None:
    """Raises DTypeError for what cannot be called, such as the result of calling the function."""
    if not callable(f):
        raise DTypeError(requires(transform, "a function", f"{type(f).__name__} {f!r}"))


def as_inputs(transform: str, tree: Any) -> tuple[list[Value], Any]:
    """The values of all leaves that are to be differentiated, and the tree's structure; raises DTypeError, naming it,
    for one that is not floating point."""
    leaves, structure = flatten(tree)
    values = []
    for i, leaf in enumerate(leaves):
        value = np.asarray(leaf) if type(leaf) is float else to_value(leaf)
        dtype = getattr(value, "dtype", None)
        if dtype is None or dtype.kind != "f":
            got = f"{type(leaf).__name__} {leaf!r}" if dtype is None else str(dtype)
            where = f"argument {leaf_names(tree)[i]}"
            raise DTypeError(requires(transform, "floating-point leaves where it differentiates", f"{got} at {where}"))
        values.append(value)
    return values, structure


def as_outputs(transform: str, result: Any, *, some: bool = True) -> tuple[list[Value], Any]:
    """The values of a function's result, and its structure; raises DTypeError for what is no array, and where there is
    none, if there are to be some."""
    leaves, structure = flatten(result)
    if some and not leaves:
        raise DTypeError(requires(transform, "a function that returns an array or a tree of arrays", repr(result)))
    values = []
    for leaf in leaves:
        value = np.asarray(leaf) if type(leaf) in (float, int, bool) else to_value(leaf)
        if not hasattr(value, "dtype"):
            raise DTypeError(requires(transform, "a function that returns arrays", f"{type(leaf).__name__} {leaf!r}"))
        values.append(value)
    return values, structure
