"""The public array: an immutable buffer with the standard operators, and the boundary between users and the engine.

Inside the engine plain arrays flow as they are. At the boundary a user's array is copied, so that nobody can change a
buffer that a graph still needs, and what goes out is a `Tensor`, whose NumPy view is read-only.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

from ..errors import DTypeError, ImmutableError, TraceError, requires
from .devices import device_of
from .numpy_protocol import NumPyProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_SCALARS = (float, int, bool, type(None), str, slice, type(Ellipsis))


class _Reads(threading.local):
    """Whether values may be read by the host, in this thread."""

    refuse: Callable[[str], Exception] | None = None
    """Where set: what to raise, of the operation that would read a value of a device."""


reads = _Reads()
operators: Any = None
"""The namespace of public operations; `metagrad` hands itself in."""
adopt: Any = None
"""What makes a plain array of another library's on a GPU, without a copy; `metagrad` hands it in."""


def own(array: Any) -> Any:
    """A plain array that nobody else can write to: a copy, since a read-only array may be another's view.

    Raises DTypeError for complex numbers, strings and objects.
    """
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        what = "complex numbers are refused: split into real and imaginary parts" if array.dtype.kind == "c" else ""
        raise DTypeError(requires("asarray", "real numbers or booleans", f"dtype {array.dtype}{what and '; ' + what}"))
    return array if isinstance(array, np.generic) else array.copy()


def to_value(x: Any) -> Any:
    """What the engine sees of an argument: a Tensor's buffer, an owned copy of an array; containers item by item."""
    kind = type(x)
    if kind is Tensor:
        return x._value
    if isinstance(x, Tensor):
        trace = x.trace  # type: ignore[attr-defined]
        if not trace.alive:
            raise trace.escaped()
        return x
    if kind in _SCALARS:
        return x
    if kind is tuple or kind is list:
        return kind([to_value(item) for item in x])
    if isinstance(x, np.ndarray | np.generic):
        return own(x)
    if kind is complex:
        return own(np.asarray(x))
    if hasattr(kind, "__array_function__") and hasattr(kind, "get"):  # CuPy's
        return own(x)
    if hasattr(x, "__cuda_array_interface__"):
        return adopt(x)
    if hasattr(x, "__array__") and hasattr(x, "__dlpack__") and not isinstance(x, type):
        return own(np.asarray(x))
    return x


def to_public(x: Any) -> Any:
    """What the user sees of a result."""
    kind = type(x)
    if kind is tuple or kind is list:
        return kind([to_public(item) for item in x])
    if isinstance(x, Tensor):
        return x
    if hasattr(x, "dtype"):
        return Tensor(x)
    return kind(*map(to_public, x)) if isinstance(x, tuple) else Tensor(own(np.asarray(x)))


def boundary(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Call a function of values with a user's arguments, and give Tensors back."""
    values = [to_value(x) for x in args]
    for x in values:
        if isinstance(x, Tensor):  # traced: IEEE warnings are already off
            result = function(*values, **{k: to_value(v) for k, v in kwargs.items()}) if kwargs else function(*values)
            return result if isinstance(result, Tensor) else to_public(result)
    with np.errstate(all="ignore"):
        return to_public(function(*values, **{k: to_value(v) for k, v in kwargs.items()} if kwargs else {}))


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function of values a function for users."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        return boundary(function, args, kwargs)  # type: ignore[no-any-return]

    wrapped.values = function  # type: ignore[attr-defined]
    return wrapped


def _restore(array: Any) -> Tensor:
    """What pickle calls."""
    return Tensor(array)


class Tensor(NumPyProtocol):
    """An immutable n-dimensional array, as the Python array API standard describes it.

    Made by `mg.asarray` and by every operation. Inside a transform the same class stands for a traced value.

    >>> import metagrad as mg
    >>> x = mg.asarray([1.0, 2.0, 3.0])
    >>> (x * x).sum()
    Tensor(14., dtype=float64)
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value

    # What it is.
    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self._value.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the elements."""
        return self._value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def device(self) -> str:
        """Where the elements are: "cpu", "cuda:0" and so on, or "emulated"."""
        return device_of(self._value)

    def to_device(self, device: str, /, *, stream: None = None) -> Any:
        """The same numbers on another device, "cpu", "cuda" or "emulated"; itself where they are there already.

        Raises DeviceError for a device that is not here, and for a traced value on another one.
        """
        return operators.asarray(self, device=device)

    # What leaves the engine.
    def concrete(self, operation: str, advice: str = "") -> Any:
        """The plain array inside; raises TraceError, with the advice, for a traced value, and CaptureError for one of a
        device while a step is captured."""
        if reads.refuse is not None and self.device != "cpu":
            raise reads.refuse(operation)
        return self._value

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a read-only NumPy array, without a copy on the CPU."""
        value = self.concrete("numpy")
        array = np.asarray(value.get() if hasattr(value, "get") else value)
        base: Any = array
        while isinstance(base, np.ndarray):  # locked down to the buffer, so that no view can be unlocked again
            base.flags.writeable = False
            base = base.base
        return array.view()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if copy:
            return np.array(array, dtype=dtype)
        return array if dtype is None else array.astype(dtype, copy=False)

    def item(self) -> Any:
        """The one element, as a Python number."""
        return self.concrete("item").item()

    def tolist(self) -> Any:
        """The elements as Python numbers, in lists of lists."""
        return self.concrete("tolist").tolist()

    def __float__(self) -> float:
        return float(self._scalar("float"))

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __bool__(self) -> bool:
        return bool(self._scalar("bool"))

    def __index__(self) -> int:
        value = self._scalar("index")
        if value.dtype.kind not in "iu":
            raise DTypeError(requires("index", "an integer", repr(self)))
        return int(value)

    def _scalar(self, operation: str) -> Any:
        value = self.concrete(operation)
        if value.size != 1:
            raise TraceError(requires(operation, "an array of one element", f"shape {self.shape}"))
        return value.reshape(())

    def __dlpack__(self, **options: Any) -> Any:
        value = self.concrete("dlpack")
        return np.asarray(value).copy().__dlpack__(**options) if self.device == "cpu" else value.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        value = self.concrete("dlpack")
        return (np.asarray(value) if self.device == "cpu" else value).__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> Any:
        """The memory on the GPU, for other libraries to read. AttributeError elsewhere, as the protocol asks."""
        return self.concrete("__cuda_array_interface__").__cuda_array_interface__

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return operators

    def __repr__(self) -> str:
        text = np.array2string(np.asarray(self.numpy()), separator=", ", prefix="Tensor(")
        return f"Tensor({text}, dtype={self.dtype})"

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.ndim == 0 else str(self), spec)

    def __len__(self) -> int:
        return self._rows("len")

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(self._rows("iter"))])

    def _rows(self, operation: str) -> int:
        if not self.shape:
            raise DTypeError(requires(operation, "an array with at least one axis", "shape ()"))
        return self.shape[0]

    def __eq__(self, other: object) -> Any:
        return operators.equal(self, other)

    def __ne__(self, other: object) -> Any:
        return operators.not_equal(self, other)

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> Tensor:
        return self

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self

    def __reduce__(self) -> Any:
        return (_restore, (np.array(self.numpy()),))

    # Operators.
    def __lt__(self, other: Any) -> Any:
        return operators.less(self, other)

    def __le__(self, other: Any) -> Any:
        return operators.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return operators.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return operators.greater_equal(self, other)

    def __add__(self, other: Any) -> Any:
        return operators.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return operators.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return operators.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return operators.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return operators.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return operators.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return operators.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return operators.divide(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return operators.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return operators.floor_divide(other, self)

    def __mod__(self, other: Any) -> Any:
        return operators.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return operators.remainder(other, self)

    def __pow__(self, other: Any) -> Any:
        return operators.pow(self, other)

    def __rpow__(self, other: Any) -> Any:
        return operators.pow(other, self)

    def __matmul__(self, other: Any) -> Any:
        return operators.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return operators.matmul(other, self)

    def __and__(self, other: Any) -> Any:
        return operators.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Any:
        return operators.bitwise_and(other, self)

    def __or__(self, other: Any) -> Any:
        return operators.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Any:
        return operators.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Any:
        return operators.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Any:
        return operators.bitwise_xor(other, self)

    def __lshift__(self, other: Any) -> Any:
        return operators.bitwise_left_shift(self, other)

    def __rlshift__(self, other: Any) -> Any:
        return operators.bitwise_left_shift(other, self)

    def __rshift__(self, other: Any) -> Any:
        return operators.bitwise_right_shift(self, other)

    def __rrshift__(self, other: Any) -> Any:
        return operators.bitwise_right_shift(other, self)

    def __invert__(self) -> Any:
        return operators.bitwise_invert(self)

    def __neg__(self) -> Any:
        return operators.negative(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return operators.abs(self)

    def __getitem__(self, index: Any) -> Any:
        return operators.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise ImmutableError(
            requires("setitem", "an array that can change (x.at[index].set(value) makes a new one)", "a Tensor")
        )

    def __delitem__(self, index: Any) -> None:
        raise ImmutableError(requires("delitem", "an array that can change", "a Tensor"))

    @property
    def at(self) -> Any:
        """Functional updates: `x.at[index].set(v)`, `x.at[index].add(v)`."""
        return operators.At(self)

    # The operations that people write as methods.
    def astype(self, dtype: Any) -> Any:
        """`mg.astype`."""
        return operators.astype(self, dtype)

    def reshape(self, *shape: Any) -> Any:
        """`mg.reshape`; the sizes may stand apart: `x.reshape(2, 3)`."""
        return operators.reshape(self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """`mg.sum`."""
        return operators.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        """`mg.mean`."""
        return operators.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """`mg.max`."""
        return operators.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """`mg.min`."""
        return operators.min(self, axis=axis, keepdims=keepdims)

    @property
    def T(self) -> Any:
        """The transpose of a matrix; raises ShapeError for other ranks (use `mT` for stacks of matrices)."""
        return operators.transpose(self)

    @property
    def mT(self) -> Any:
        """The last two axes swapped: `mg.matrix_transpose`."""
        return operators.matrix_transpose(self)
