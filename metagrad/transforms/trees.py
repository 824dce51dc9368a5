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


def named_like(f: Any, wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """A transformed function with the name and the text of the one that it was made of, where that has them.

    Other than `functools.wraps` it takes over no attributes, which may say what the function itself does; and it takes
    a fifth of the time, for an inner loop transforms in every step.
    """
    if name := getattr(f, "__name__", None):
        wrapped.__name__ = name
        wrapped.__qualname__ = getattr(f, "__qualname__", name)
        wrapped.__module__ = getattr(f, "__module__", wrapped.__module__)
        wrapped.__doc__ = f.__doc__
        wrapped.__wrapped__ = f  # type: ignore[attr-defined]
    return wrapped


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
