"""CuPy's `ndarray` and functions on memory of the CPU, with CuPy's manners: nothing mixes with NumPy unasked.

A module that stands for `cupy`: `arrays.exp`, `arrays.empty`, ... take and return `ndarray`s. NumPy's functions given
one hand over to these, as they do to CuPy's. A NumPy array among the arguments, or an implicit conversion to one, is a
TypeError, and a copy to the host is one only by `get`, `item` and the like.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .build import launch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["asarray", "launch", "ndarray"]

_ALIGNMENT = 512
"""Bytes: what CuPy's memory pool gives."""


class Device:
    """The one device there is."""

    id = 0


class Memory(NamedTuple):
    """Where an array's numbers are."""

    ptr: int


class ndarray:
    """An array that stands for one on a GPU; `host` is the memory it has here."""

    __slots__ = ("__weakref__", "host")
    __hash__ = None  # type: ignore[assignment]
    device = Device()

    def __init__(self, host: np.ndarray[Any, Any]) -> None:
        self.host = host

    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    strides = property(lambda self: self.host.strides)
    itemsize = property(lambda self: self.host.itemsize)
    nbytes = property(lambda self: self.host.nbytes)
    flags = property(lambda self: self.host.flags)
    T = property(lambda self: wrapped(self.host.T))
    data = property(lambda self: Memory(self.host.ctypes.data))

    def get(self, *, out: Any = None) -> np.ndarray[Any, Any]:
        """A copy in NumPy."""
        if out is None:
            return self.host.copy()
        out[...] = self.host
        return out  # type: ignore[no-any-return]

    def set(self, array: np.ndarray[Any, Any]) -> None:
        """A copy from NumPy."""
        self.host[...] = array

    def item(self) -> Any:
        return self.host.item()

    def tolist(self) -> Any:
        return self.host.tolist()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        if isinstance(kwargs.get("out"), tuple):
            (kwargs["out"],) = kwargs["out"]
        return _function(ufunc)(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(not issubclass(t, ndarray | np.ndarray) for t in types):
            return NotImplemented
        return _function(function)(*args, **kwargs)

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        return bool(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __float__(self) -> float:
        return float(self.host)

    def __index__(self) -> int:
        return operator.index(self.host)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, index: Any) -> Any:
        return wrapped(self.host[bare(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[bare(index)] = bare(value)

    def __repr__(self) -> str:
        return repr(self.host)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _function(getattr(self.host, name))


def _operator(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *others: Any) -> Any:
        if any(
            isinstance(other, ndarray) is False
            and hasattr(type(other), "__array_ufunc__")
            and type(other).__array_ufunc__ is None
            for other in others
        ):
            return NotImplemented
        return wrapped(getattr(self.host, name)(*bare(others)))

    method.__name__ = name
    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
):
    for _form in (f"__{_name}__", f"__r{_name}__"):
        setattr(ndarray, _form, _operator(_form))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


def bare(x: Any) -> Any:
    """The memory of arrays, in containers too; refuses NumPy's own arrays as CuPy does."""
    if isinstance(x, ndarray):
        return x.host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if type(x) in (tuple, list):
        return type(x)(map(bare, x))
    return x


def wrapped(x: Any) -> Any:
    """What a function of NumPy's returned, as CuPy's would be: scalars are arrays without axes."""
    if isinstance(x, np.ndarray | np.generic):
        return ndarray(np.asarray(x))
    if type(x) in (tuple, list):
        return type(x)(map(wrapped, x))
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*map(wrapped, x))
    return x


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapped(function(*bare(args), **{k: bare(v) for k, v in kwargs.items()}))

    return call


def empty(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    """Memory full of NaN, or of -1, aligned as CuPy's is."""
    dtype = np.dtype(dtype)
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    count = int(np.prod(sizes, dtype=np.int64)) * dtype.itemsize
    memory = np.full(count + _ALIGNMENT, 0xFF, np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    return ndarray(memory[begin : begin + count].view(dtype).reshape(sizes, order=order))


def asarray(x: Any, dtype: Any = None, order: Any = None) -> ndarray:
    """Of a NumPy array, a list or a number: a copy that stands for one on the device. Of an ndarray, itself."""
    if isinstance(x, ndarray):
        return wrapped(np.asarray(x.host, dtype=dtype, order=order))  # type: ignore[no-any-return]
    host = np.asarray(x, dtype=dtype)
    copy = empty(host.shape, host.dtype)
    copy.host[...] = host
    return copy


def array(x: Any, dtype: Any = None, copy: bool = True) -> ndarray:
    """A copy."""
    return asarray(x.get() if isinstance(x, ndarray) else x, dtype=dtype)


def ascontiguousarray(x: Any, dtype: Any = None) -> ndarray:
    """Itself where it is C-contiguous and of this dtype, else a copy that is."""
    wanted = x.dtype if dtype is None else np.dtype(dtype)
    if x.flags.c_contiguous and x.dtype == wanted:
        return x  # type: ignore[no-any-return]
    copy = empty(x.shape, wanted)
    copy.host[...] = x.host
    return copy


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    """Zeros."""
    made = empty(shape, dtype)
    made.host[...] = 0
    return made


def asnumpy(x: Any) -> np.ndarray[Any, Any]:
    """A copy in NumPy."""
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def __getattr__(name: str) -> Any:
    found = getattr(np, name)
    return _function(found) if callable(found) and not isinstance(found, type) else found
