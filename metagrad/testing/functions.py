"""Functions of other libraries, named as such, so that the checks know how to differentiate them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DTypeError, requires
from .libraries import Given, Jax, Library, Metagrad, Torch

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Function:
    """A function and the library that differentiates it. Call it as the function."""

    f: Callable[..., Any]
    library: Library

    def __call__(self, *args: Any) -> Any:
        return self.f(*args)


def as_function(check: str, f: Any) -> Function:
    """A function as one of metagrad, unless it says otherwise; raises DTypeError for what cannot be called."""
    if not callable(f):
        raise DTypeError(requires(check, "a function", f"{type(f).__name__} {f!r}"))
    if isinstance(f, Function):
        return f
    if owner := _owner(f):
        name = getattr(f, "__name__", type(f).__name__)
        raise DTypeError(requires(check, around(owner), f"{owner}'s {name} itself"))
    return Function(f, Metagrad())


_NAMES = {"torch": "PyTorch", "jax": "JAX", "numpy": "NumPy"}


def around(owner: str) -> str:
    """What a function of another library needs."""
    return f"metagrad.testing.{owner}_function(f) around a function of {_NAMES[owner]}"


def calls(f: Any) -> str:
    """The other library that a function's body names, PyTorch or JAX, or nothing."""
    try:
        named = inspect.getclosurevars(f)
    except (TypeError, ValueError):  # no Python function, or one that names what is not there yet
        return ""
    objects = [*named.globals.values(), *named.nonlocals.values()]
    owners = [str(getattr(x, "__name__", "")).partition(".")[0] for x in objects]
    return next((owner for owner in owners if owner in ("torch", "jax")), "")


def require_own(check: str, library: Library, name: str, x: Any) -> None:
    """Raise DTypeError for a floating-point array of another library, which would be taken for data."""
    owner = _owner(x)
    if owner and "float" in str(getattr(x, "dtype", "")) and not library.is_array(x):
        need = f"NumPy's arrays for a function of {library.name} (or {around(owner)})"
        raise DTypeError(requires(check, need, f"{owner}'s {type(x).__name__} at argument {name}"))


def _owner(f: Any) -> str:
    """The other library that a function or an array says it comes from, or nothing."""
    bound = getattr(f, "__self__", None)
    places = [f, *type(f).__mro__, bound, *getattr(bound, "__mro__", ())]
    roots = {str(getattr(place, "__module__", "")).partition(".")[0].removesuffix("lib") for place in places}
    return next((name for name in _NAMES if name in roots), "")


def torch_function(f: Callable[..., Any]) -> Function:
    """A function of PyTorch tensors, such as `torch.nn.functional.gelu`, an `autograd.Function.apply` or a module.

    Its derivatives are those of `torch.autograd`. Forward mode is checked where a check is asked for it, and nests in
    reverse mode alone. Arguments may be NumPy's or PyTorch's, in float64.

    >>> import torch, numpy as np                                         # doctest: +SKIP
    >>> bool(check_gradients(torch_function(torch.tanh), [np.ones(3)]))   # doctest: +SKIP
    True
    """
    return Function(f, Torch())


def jax_function(f: Callable[..., Any]) -> Function:
    """A function of JAX arrays. It runs in float64 (`jax.enable_x64`), in both modes unless a check is told otherwise.

    >>> import jax, numpy as np                                               # doctest: +SKIP
    >>> bool(check_gradients(jax_function(jax.numpy.tanh), [np.ones(3)]))     # doctest: +SKIP
    True
    """
    return Function(f, Jax())


def numpy_function(
    f: Callable[..., Any], gradient: Callable[..., Any], hvp: Callable[..., Any] | None = None
) -> Function:
    """A function of NumPy arrays to a scalar, with derivatives that were written by hand.

    `gradient(*args)` takes what f takes, data too, and returns a tree like the argument, or a tuple of these for
    several; for data None, or nothing. For order 2, `hvp(args, tangents)` returns the Hessian-vector product in the
    same form; data has None for a tangent.

    >>> import numpy as np
    >>> from metagrad.testing import check_gradients
    >>> f = numpy_function(lambda x: np.sum(x**3), gradient=lambda x: 3 * x**2, hvp=lambda x, v: 6 * x[0] * v[0])
    >>> bool(check_gradients(f, [np.ones(4)]))
    True
    """
    return Function(f, Given(f, gradient, hvp))
