"""CuPy's `ndarray` and functions on memory of the CPU, with CuPy's manners: nothing mixes with NumPy unasked.

A module that stands for `cupy`: `arrays.exp`, `arrays.empty`, ... take and return `ndarray`s. NumPy's functions given
one hand over to these, as they do to CuPy's. It has the functions and arguments of `vocabulary`, all of which CuPy has,
and is as strict as CuPy or stricter: a NumPy array among the arguments, or an implicit conversion to one, is a
TypeError; what a GPU leaves to chance is an error; a copy between host and device is one only by `get`, `item`,
`asarray` and the like, and `no_host_copies` forbids those, as capturing a CUDA graph does.
"""

from __future__ import annotations

import functools
import math
import operator
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .build import EmulationError, launch
from .recording import recorded, refuse_in_a_graph
from .vocabulary import ATTRIBUTES, FUNCTIONS, METHODS, READS_THE_DEVICE, SIGNATURELESS, UFUNC_OPTIONS, UFUNCS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["HostCopyError", "asarray", "launch", "ndarray", "no_host_copies"]

_ALIGNMENT = 512
"""Bytes: what CuPy's memory pool gives."""

_forbidden: ContextVar[bool] = ContextVar("forbidden", default=False)


class HostCopyError(EmulationError):
    """A copy between host and device where `no_host_copies` is open."""


@contextmanager
def no_host_copies() -> Iterator[None]:
    """Forbid copies between host and device inside: HostCopyError names the operation."""
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def _host_copy(operation: str, host: Any) -> None:
    """Say that one happens."""
    if _forbidden.get():
        got = f"one of {host.dtype}{list(host.shape)}"
        raise HostCopyError(f"[{operation}] requires leave for a copy between host and device but got {got}")


class Device:
    """The one device there is."""

    id = 0

    def __repr__(self) -> str:
        return "<emulated device>"


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
        host = self.read("get")
        if out is None:
            return host.copy()
        out[...] = host
        return out  # type: ignore[no-any-return]

    def read(self, operation: str) -> np.ndarray[Any, Any]:
        """The memory, for an operation that copies it to the host."""
        _host_copy(operation, self.host)
        return self.host

    def set(self, array: np.ndarray[Any, Any]) -> None:
        """A copy from NumPy."""
        self.read("set")[...] = array

    def item(self) -> Any:
        return self.read("item").item()

    def tolist(self) -> Any:
        return self.read("tolist").tolist()

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __dlpack__(self, **options: Any) -> Any:
        return self.host.__dlpack__()

    def __dlpack_device__(self) -> Any:
        return self.host.__dlpack_device__()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if isinstance(options.get("out"), tuple):
            (options["out"],) = options["out"]
        if method != "__call__":
            return getattr(_ufunc(ufunc.__name__), method)(*inputs, **options)
        found = getattr(sys.modules[__name__], ufunc.__name__, None)
        return NotImplemented if found is None else found(*inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        home: Any = sys.modules[__name__]
        for part in function.__module__.split(".")[1:]:
            home = getattr(home, part, None)
        found = getattr(home, function.__name__, None)
        if found is None or any(not issubclass(t, ndarray | np.ndarray) for t in types):
            return NotImplemented
        return found(*args, **kwargs)

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        return bool(self.read("bool"))

    def __int__(self) -> int:
        return int(self.read("int"))

    def __float__(self) -> float:
        return float(self.read("float"))

    def __index__(self) -> int:
        return self.read("index").__index__()

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    def __getitem__(self, index: Any) -> Any:
        items = _index(index)
        if any(isinstance(i, np.ndarray) and i.dtype.kind == "b" for i in items):
            self.read("getitem by a boolean mask")
        if all(i is not Ellipsis for i in items):
            items = (*items, Ellipsis)  # so that an element is a view, too
        return wrapped(recorded(operator.getitem, (self.host, items), {}))

    def __setitem__(self, index: Any, value: Any) -> None:
        items = _index(index)
        if any(isinstance(i, np.ndarray) and i.dtype.kind in "iu" for i in items):
            hits = np.zeros(self.host.shape, np.int64)
            np.add.at(hits, items, 1)
            if hits.max(initial=0) > 1:
                raise EmulationError("[setitem] requires places that differ but got one twice: which is last is chance")
        recorded(operator.setitem, (self.host, items, bare(value)), {})

    def __repr__(self) -> str:
        return repr(self.read("repr"))

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            return wrapped(getattr(self.host, name))
        if name not in METHODS:
            raise AttributeError(f"emulated arrays have no {name}: what they have is in vocabulary.py")
        return _on_memory(getattr(self.host, name))


def _index(index: Any) -> tuple[Any, ...]:
    """Its items; refuses those that CuPy would copy to the device."""
    items = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, list) for i in items):
        raise TypeError("an index must not be a list: CuPy would copy it to the device")
    return tuple(map(bare, items))


def _operator(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *others: Any) -> Any:
        if any(
            isinstance(other, ndarray) is False
            and hasattr(type(other), "__array_ufunc__")
            and type(other).__array_ufunc__ is None
            for other in others
        ):
            return NotImplemented
        return wrapped(recorded(getattr(np.ndarray, name), (self.host, *bare(others)), {}))

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


def _on_memory(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return wrapped(recorded(function, bare(args), {k: bare(v) for k, v in kwargs.items()}))

    return call


@functools.lru_cache(256)
def _function(name: str) -> Callable[..., Any]:
    """NumPy's function of this name, for the arguments that CuPy's has."""
    home: Any = functools.reduce(getattr, name.split(".")[:-1], np)
    run, arguments = _on_memory(getattr(home, name.rpartition(".")[2])), FUNCTIONS[name]

    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) > len(arguments) or not set(kwargs).issubset(arguments[len(args) :]):
            got = f"{len(args)} arguments and {', '.join(kwargs) or 'none'} by name"
            raise TypeError(f"[{name}] requires arguments among those of CuPy's, {arguments}, but got {got}")
        if name in READS_THE_DEVICE:
            args[0].read(name)
        if name.startswith("linalg."):
            refuse_in_a_graph(name)
        return run(*args, **kwargs)

    return call


class _Ufunc:
    """A ufunc as CuPy's: those that it can reduce by, and no `at`, which adds in an order left to chance."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._run = _on_memory(getattr(np, name))

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not UFUNC_OPTIONS.issuperset(options):
            raise TypeError(f"[{self.name}] requires options among {sorted(UFUNC_OPTIONS)} but got {sorted(options)}")
        out = options.get("out")
        result = self._run(*inputs, **options)
        return result if out is None else out

    def reduce(self, x: Any, **options: Any) -> Any:
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`cupy_{self.name}.reduce` is not supported yet")
        return _on_memory(getattr(np, self.name).reduce)(x, **options)

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"`cupy_{self.name}.{name}` is not supported")


_ufunc = functools.lru_cache(256)(_Ufunc)


def empty(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    """Memory full of NaN, or of -1, aligned as CuPy's is."""
    dtype = np.dtype(dtype)
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    count = int(np.prod(sizes, dtype=np.int64)) * dtype.itemsize
    memory = np.full(count + _ALIGNMENT, 0xFF, np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    return ndarray(memory[begin : begin + count].view(dtype).reshape(sizes, order=order))


def asarray(a: Any, dtype: Any = None, order: Any = None) -> ndarray:
    """Of a NumPy array, a list or a number: a copy that stands for one on the device. Of an ndarray, itself."""
    if isinstance(a, ndarray):
        return wrapped(np.asarray(a.host, dtype=dtype, order=order))  # type: ignore[no-any-return]
    host = np.asarray(a, dtype=dtype)
    if host.ndim or isinstance(a, np.ndarray):
        _host_copy("asarray", host)
    return _copied(host)


def array(obj: Any, dtype: Any = None, copy: bool = True) -> ndarray:
    """A copy."""
    if not isinstance(obj, ndarray):
        return asarray(obj, dtype)
    return _copied(obj.host, dtype)


def _copied(host: np.ndarray[Any, Any], dtype: Any = None) -> ndarray:
    made = empty(host.shape, host.dtype if dtype is None else dtype)
    recorded(operator.setitem, (made.host, ..., host), {})
    return made


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    """Itself where it is C-contiguous and of this dtype, else a copy that is; with one axis at least, as CuPy's."""
    wanted = a.dtype if dtype is None else np.dtype(dtype)
    found = a if a.flags.c_contiguous and a.dtype == wanted else _copied(a.host, wanted)
    return found if a.ndim else found.reshape(1)


def zeros(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    """Zeros."""
    return full(shape, 0, dtype, order)


def ones(shape: Any, dtype: Any = float, order: Any = "C") -> ndarray:
    """Ones."""
    return full(shape, 1, dtype, order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: Any = "C") -> ndarray:
    """One value, a number or an array without axes."""
    value = bare(fill_value)
    made = empty(shape, np.asarray(value).dtype if dtype is None else dtype, order)
    recorded(operator.setitem, (made.host, ..., value), {})
    return made


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where an array of booleans is true, else y."""
    if not isinstance(condition, ndarray):
        raise AttributeError(f"{type(condition).__name__!r} object has no attribute 'astype'")
    return wrapped(recorded(np.where, (condition.host, bare(x), bare(y)), {}))


def asnumpy(a: Any) -> np.ndarray[Any, Any]:
    """A copy in NumPy."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Elements repeated as often as a number or a list says."""
    if isinstance(repeats, ndarray | np.ndarray):
        raise TypeError("'repeats' does not accept arrays: they are on the device, and the shape is not")
    return _function("repeat")(a, repeats, axis)


def _solve(a: ndarray, b: ndarray) -> Any:
    """As cuSOLVER, which does not say that a matrix is singular."""
    refuse_in_a_graph("solve")
    if a.shape[:-1] != b.shape[:-1]:
        raise ValueError("a must have (..., M, M) shape and b must have (..., M, K)")
    return _matrix_by_matrix(np.linalg.solve, lambda a, b: np.full_like(b, np.nan), a.host, b.host)


def _cholesky(a: ndarray) -> Any:
    """As cuSOLVER, which does not say that a matrix is not positive definite, and leaves it half done."""
    refuse_in_a_graph("cholesky")
    return _matrix_by_matrix(np.linalg.cholesky, np.tril, a.host)


def _matrix_by_matrix(function: Any, otherwise: Any, *stacks: Any) -> Any:
    """A function of the last two axes, and another where it fails."""
    try:
        return wrapped(function(*stacks))
    except np.linalg.LinAlgError:
        flat = [x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]) for x in stacks]
        found = []
        for matrices in zip(*flat, strict=True):
            try:
                found.append(function(*matrices))
            except np.linalg.LinAlgError:
                found.append(otherwise(*matrices))
        return wrapped(np.stack(found).reshape(stacks[-1].shape))


linalg = SimpleNamespace(
    solve=_solve, cholesky=_cholesky, **{n: _function(f"linalg.{n}") for n in ("eigh", "qr", "slogdet")}
)


def __getattr__(name: str) -> Any:
    if name in UFUNCS:
        return _ufunc(name)
    if name == "matmul":
        refuse_in_a_graph(name)
    if name in SIGNATURELESS:
        return _on_memory(getattr(np, name))
    if name in FUNCTIONS:
        return _function(name)
    if isinstance(getattr(np, name, None), type):
        return getattr(np, name)  # a dtype
    raise AttributeError(f"emulated arrays have no function {name}: what they have is in vocabulary.py")
