"""Arrays from nothing. They carry no trace; floating point defaults to float64, as in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.tensor import own
from ..core.trace import Tracer
from ..errors import DTypeError, requires
from .arithmetic import zeros_for
from .elementwise import shape_of

if TYPE_CHECKING:
    from ..core.trace import Value


def asarray(x: Any, /, *, dtype: Any = None, device: str | None = None) -> Any:
    """A Tensor with its own copy of the data; a traced value stays traced.

    `x`: a Tensor, a NumPy array, a number or nested lists of these. Raises DTypeError for complex numbers, strings
    and ragged lists, DeviceError for a device that is not here.
    """
    from ..arrays import to_device
    from .arithmetic import astype
    from .shape import stack

    if _holds_traced(x):
        x = stack([asarray(item) for item in x])
    elif isinstance(x, list | tuple) or not hasattr(x, "dtype"):
        try:
            x = np.array(x)
        except ValueError:
            raise DTypeError(
                requires("asarray", "numbers or nested lists of equal lengths", f"{type(x).__name__}")
            ) from None
        x = own(x)
    if dtype is not None:
        x = astype(x, dtype)
    return x if device is None else to_device(x, device)


def _holds_traced(x: Any) -> bool:
    return isinstance(x, list | tuple) and any(isinstance(item, Tracer) or _holds_traced(item) for item in x)


def zeros(shape: Any, *, dtype: Any = None) -> Any:
    """An array of zeros."""
    return np.zeros(shape, dtype=dtype)


def ones(shape: Any, *, dtype: Any = None) -> Any:
    """An array of ones."""
    return np.ones(shape, dtype=dtype)


def full(shape: Any, fill_value: Any, *, dtype: Any = None) -> Any:
    """An array of one value, which may be traced."""
    from .arithmetic import astype
    from .shape import broadcast_to

    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    value = fill_value if dtype is None else astype(fill_value, dtype)
    return np.full(shape, value) if type(value) in (int, float, bool) else broadcast_to(value, shape)


def zeros_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Zeros of the shape and dtype of x."""
    if hasattr(x, "dtype"):
        found = zeros_for(x)
        return found if dtype is None else found.astype(dtype)
    return np.zeros((), dtype=dtype if dtype is not None else type(x))


def ones_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Ones of the shape and dtype of x."""
    return zeros_like(x, dtype=dtype) + np.ones((), dtype=dtype or getattr(x, "dtype", None) or type(x))


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None) -> Any:
    """An array of one value of the shape and dtype of x."""
    return full(shape_of(x), fill_value, dtype=dtype or getattr(x, "dtype", None))


def empty(shape: Any, *, dtype: Any = None) -> Any:
    """An array of zeros: nothing here is uninitialised."""
    return zeros(shape, dtype=dtype)


def empty_like(x: Any, /, *, dtype: Any = None) -> Any:
    """Zeros of the shape and dtype of x."""
    return zeros_like(x, dtype=dtype)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None) -> Any:
    """Evenly spaced numbers in [start, stop); with one argument, in [0, start)."""
    return np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype=dtype)


def linspace(start: float, stop: float, /, num: int, *, dtype: Any = None, endpoint: bool = True) -> Any:
    """`num` evenly spaced numbers from start to stop."""
    return np.linspace(start, stop, num, dtype=dtype, endpoint=endpoint)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None) -> Any:
    """Ones on the k-th diagonal, zeros elsewhere."""
    return np.eye(n_rows, n_cols, k=k, dtype=np.float64 if dtype is None else dtype)


def tril(x: Any, /, *, k: int = 0) -> Any:
    """The lower triangle of the last two axes, up to the k-th diagonal; zeros above."""
    return _masked(x, _lower(x, k))


def triu(x: Any, /, *, k: int = 0) -> Any:
    """The upper triangle of the last two axes, from the k-th diagonal; zeros below."""
    return _masked(x, ~_lower(x, k - 1))


def _lower(x: Value, k: int) -> Any:
    rows, columns = x.shape[-2:]
    return np.tri(rows, columns, k=k, dtype=np.bool_)


def _masked(x: Value, mask: Any) -> Value:
    from .arithmetic import where

    return where(mask, x, 0)


def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    """Coordinate arrays of a grid spanned by one-dimensional ones; indexing "xy" or "ij"."""
    from .shape import broadcast_to, reshape, swapaxes

    n = len(arrays)
    shape = tuple(a.shape[0] for a in arrays)
    grids = [
        broadcast_to(reshape(a, tuple(a.shape[0] if j == i else 1 for j in range(n))), shape)
        for i, a in enumerate(arrays)
    ]
    return [swapaxes(g, 0, 1) for g in grids] if indexing == "xy" and n > 1 else grids
