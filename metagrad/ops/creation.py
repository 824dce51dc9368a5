"""Arrays from nothing. They carry no trace; floating point defaults to float64, as in NumPy."""

from __future__ import annotations

import math
from operator import index as as_index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import module, placed
from ..core.devices import namespace, out_of_memory
from ..core.primitive import Aval
from ..core.tensor import own
from ..core.trace import Tracer
from ..errors import DTypeError, OptionError, ShapeError, TraceError, requires
from .arithmetic import add, astype, multiply, where
from .dtypes import optional_dtype, result_type
from .elementwise import shape_of
from .predicates import floor
from .shape import as_shape, broadcast_to, reshape, stack, swapaxes

if TYPE_CHECKING:
    from ..core.trace import Value


def asarray(x: Any, /, *, dtype: Any = None, device: str | None = None) -> Any:
    """A Tensor with its own copy of the data; a traced value stays traced.

    `x`: a Tensor, a NumPy array, a number or nested lists of these; or an array of another library on a GPU, whose
    memory it shares. `device`: "cpu", "cuda", "emulated" (kernels for the GPU run on the CPU, slowly), or where x is.

    Raises DTypeError for complex numbers, strings and ragged lists, DeviceError for a device that is not here.
    """
    wanted = optional_dtype("asarray", dtype)

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
    if wanted is not None:
        x = astype(x, wanted)
    return x if device is None else placed(x, device)


def _holds_traced(x: Any) -> bool:
    return isinstance(x, list | tuple) and any(isinstance(item, Tracer) or _holds_traced(item) for item in x)


def zeros(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """An array of zeros."""
    return _filled("zeros", 0, shape, dtype, device)


def ones(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """An array of ones."""
    return _filled("ones", 1, shape, dtype, device)


def _filled(name: str, value: int, shape: Any, dtype: Any, device: str | None) -> Any:
    return _made(name, module(device), value, as_shape(name, shape), optional_dtype(name, dtype) or np.dtype(float))


def _made(name: str, xp: Any, value: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    try:
        if type(value) is int and value in (0, 1):
            return (xp.ones if value else xp.zeros)(shape, dtype)
        return xp.full(shape, value, dtype)
    except MemoryError as error:
        made = Aval(shape, np.dtype(dtype))
        size = math.prod(shape) * made.dtype.itemsize
        raise out_of_memory(name, repr(made), size, xp, error) from error


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """An array of one value, which may be traced."""
    return _full("full", as_shape("full", shape), fill_value, dtype, module(device))


def _full(name: str, shape: tuple[int, ...], fill_value: Any, dtype: Any, xp: Any) -> Any:
    wanted = optional_dtype(name, dtype)
    if type(fill_value) in (int, float, bool):
        return _made(name, xp, fill_value, shape, np.asarray(fill_value).dtype if wanted is None else wanted)
    value = fill_value if wanted is None else astype(fill_value, wanted)
    return broadcast_to(value, shape)


def zeros_like(x: Any, /, *, dtype: Any = None, device: str | None = None) -> Any:
    """Zeros of the shape and dtype of x."""
    return _filled_like("zeros_like", 0, x, dtype, device)


def ones_like(x: Any, /, *, dtype: Any = None, device: str | None = None) -> Any:
    """Ones of the shape and dtype of x."""
    return _filled_like("ones_like", 1, x, dtype, device)


def _filled_like(name: str, value: int, x: Any, dtype: Any, device: str | None) -> Any:
    xp = namespace(x) if device is None else module(device)
    wanted: Any = optional_dtype(name, dtype)
    if wanted is None:
        wanted = getattr(x, "dtype", type(x))
    return _made(name, xp, value, shape_of(x), wanted)


def full_like(x: Any, /, fill_value: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """An array of one value of the shape and dtype of x."""
    xp = namespace(x) if device is None else module(device)
    wanted = getattr(x, "dtype", None) if dtype is None else dtype
    return _full("full_like", shape_of(x), fill_value, wanted, xp)


def empty(shape: Any, *, dtype: Any = None, device: str | None = None) -> Any:
    """An array of zeros: nothing here is uninitialised."""
    return _filled("empty", 0, shape, dtype, device)


def empty_like(x: Any, /, *, dtype: Any = None, device: str | None = None) -> Any:
    """Zeros of the shape and dtype of x."""
    return zeros_like(x, dtype=dtype, device=device)


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: str | None = None) -> Any:
    """Evenly spaced numbers in [start, stop); with one argument, in [0, start).

    Raises TraceError for traced bounds, because their values are a shape.
    """
    wanted = optional_dtype("arange", dtype)
    bounds = (0, start, step) if stop is None else (start, stop, step)
    for x in bounds:
        if isinstance(x, Tracer):
            raise TraceError(requires("arange", "bounds of known values (they make a shape)", repr(x)))
    if any(shape_of(x) != () for x in bounds) or step == 0:
        raise OptionError(requires("arange", "numbers, and a step other than 0", f"start, stop and step {bounds}"))
    return module(device).arange(*bounds, dtype=wanted)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, endpoint: bool = True, device: str | None = None
) -> Any:
    """`num` evenly spaced numbers from start to stop, along a new first axis where these are arrays.

    Differentiable in both ends.

    >>> import metagrad as mg
    >>> mg.jacfwd(lambda stop: mg.linspace(0.0, stop, 3))(8.0)
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """
    (count,) = as_shape("linspace", (num,))
    wanted = optional_dtype("linspace", dtype)
    rank = max(len(shape_of(start)), len(shape_of(stop)))
    floating = result_type(start, stop, 1.0)
    xp = namespace(start, stop) if device is None else module(device)
    t = xp.linspace(0, 1, count, endpoint=endpoint, dtype=floating).reshape(-1, *(1,) * rank)
    points = add(multiply(start, 1 - t), multiply(stop, t))
    if wanted is None:
        return points
    return astype(floor(points) if wanted.kind in "iu" else points, wanted)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: str | None = None) -> Any:
    """Ones on the k-th diagonal, zeros elsewhere."""
    rows, columns = as_shape("eye", (n_rows, n_rows if n_cols is None else n_cols))
    return module(device).eye(rows, columns, k=_diagonal("eye", k), dtype=optional_dtype("eye", dtype) or np.float64)


def eye_like(x: Value, n: int) -> Any:
    """The plain identity of a value's dtype, on its device."""
    return namespace(x).eye(n, dtype=x.dtype)


def tril(x: Any, /, *, k: int = 0) -> Any:
    """The lower triangle of the last two axes, up to the k-th diagonal; zeros above."""
    return where(_lower("tril", x, _diagonal("tril", k)), x, 0)


def triu(x: Any, /, *, k: int = 0) -> Any:
    """The upper triangle of the last two axes, from the k-th diagonal; zeros below."""
    return where(~_lower("triu", x, _diagonal("triu", k) - 1), x, 0)


def _lower(name: str, x: Value, k: int) -> Any:
    if len(shape_of(x)) < 2:
        raise ShapeError(requires(name, "at least two axes", f"shape {shape_of(x)}"))
    rows, columns = x.shape[-2:]
    return namespace(x).tri(rows, columns, k=k, dtype=np.bool_)


def _diagonal(name: str, k: Any) -> int:
    try:
        return as_index(k)
    except TypeError:
        raise OptionError(requires(name, "a diagonal k that is a whole number", repr(k))) from None


def meshgrid(*arrays: Any, indexing: str = "xy") -> Any:
    """Coordinate arrays of a grid spanned by one-dimensional ones; indexing "xy" or "ij"."""
    if indexing not in ("xy", "ij"):
        raise OptionError(requires("meshgrid", "indexing 'xy' or 'ij'", repr(indexing)))
    shapes = [shape_of(a) for a in arrays]
    if any(len(found) != 1 for found in shapes):
        raise ShapeError(requires("meshgrid", "one-dimensional arrays", f"shapes {shapes}"))
    n = len(arrays)
    shape = tuple(a.shape[0] for a in arrays)
    grids = [
        broadcast_to(reshape(a, tuple(a.shape[0] if j == i else 1 for j in range(n))), shape)
        for i, a in enumerate(arrays)
    ]
    return [swapaxes(g, 0, 1) for g in grids] if indexing == "xy" and n > 1 else grids
