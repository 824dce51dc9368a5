"""Sums, products, extremes and statistics over axes."""

from __future__ import annotations

import builtins
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metagrad_kernels.reduction import sum_rows

from ..core.devices import namespace
from ..core.primitive import Aval, Primitive
from ..errors import OptionError, ShapeError, requires
from .arithmetic import abs as abs_
from .arithmetic import add, astype, divide, filled, multiply, sqrt_or_zero, square, subtract, where
from .dtypes import weak
from .elementwise import shape_of
from .exponential import exp, log
from .predicates import equal, isfinite
from .shape import Rearrangement, broadcast_to, normal_axes, normal_axis, reshape, whole_numbers, with_array

if TYPE_CHECKING:
    from ..core.trace import Value


LARGE = 1 << 17
"""Elements from which a sum is worth a kernel on all cores. BLAS keeps to one thread below three times as many."""


@dataclass(frozen=True, eq=False, repr=False)
class Reduction(Primitive):
    """Axes become one number each."""

    axes: tuple[int, ...]
    keepdims: bool

    def kept(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What is left of a shape."""
        return tuple([1 if a in self.axes else n for a, n in enumerate(shape) if self.keepdims or a not in self.axes])

    def abstract(self, x: Any) -> Aval:
        return Aval(self.kept(x.shape), _dtype_of_result(type(self), x.dtype), x.device)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return type(self)(tuple([a + 1 for a in self.axes]), self.keepdims).bind(x)

    def expand(self, y: Value, x: Value) -> Value:
        """A reduced value that broadcasts against x: with its axes back, of size 1, unless nothing is left of it."""
        if self.keepdims or len(self.axes) == len(x.shape):
            return y
        return reshape(y, tuple([1 if a in self.axes else n for a, n in enumerate(x.shape)]))


class Sum(Reduction, Rearrangement):
    work = 1
    uses_inputs = False

    def forward(self, x: Any) -> Any:
        on_device = type(x) is not np.ndarray and namespace(x) is not np
        # A product with ones: BLAS adds up rows several times faster than a reduction over any axis but the last.
        if x.size > 256 and x.dtype.kind == "f" and x.flags.c_contiguous:
            rows, shape = _rows(self, x.shape)
            if rows is not None:
                # BLAS would wake its own threads for larger ones, which then spin beside ours.
                if x.dtype.char in "fd" and (on_device or x.size >= LARGE):
                    return sum_rows(x.reshape(rows)).reshape(shape)
                if not on_device:
                    return np.matmul(_ones(rows[1], x.dtype.char), x.reshape(rows)).reshape(shape)
        return (np.sum if on_device else _add_reduce)(x, axis=self.axes, keepdims=self.keepdims)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return broadcast_to(self.expand(cotangent, x), x.shape)


@functools.lru_cache(256)
def _dtype_of_result(reduction: type[Reduction], dtype: Any) -> Any:
    return reduction((0,), False).forward(np.ones(1, dtype)).dtype


_add_reduce: Any = np.add.reduce


@functools.lru_cache(4096)
def _rows(reduction: Sum, shape: tuple[int, ...]) -> tuple[tuple[int, int, int] | None, tuple[int, ...]]:
    """The shape (before, n, after) in which axis 1 is summed, where there is one and it is not the last; the result's
    shape."""
    axes, kept = reduction.axes, reduction.kept(shape)
    if not axes or axes[-1] + 1 == len(shape) or axes[-1] - axes[0] + 1 != len(axes):
        return None, kept
    before, within, after = shape[: axes[0]], shape[axes[0] : axes[-1] + 1], shape[axes[-1] + 1 :]
    return (math.prod(before), math.prod(within), math.prod(after)), kept


@functools.lru_cache(256)
def _ones(n: int, kind: str) -> Any:
    return np.ones((1, n), kind)


class Extreme(Reduction):
    """The derivative goes to the elements that are the extreme, in equal shares."""

    def shares(self, output: Value, x: Value) -> Value:
        hit = astype(equal(x, self.expand(output, x)), x.dtype)
        return divide(hit, sum(hit, axis=self.axes, keepdims=True))

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return multiply(self.expand(cotangent, x), self.shares(output, x))

    def jvp(self, i: int, tangent: Value, output: Value, x: Value) -> Value:
        return sum(multiply(tangent, self.shares(output, x)), axis=self.axes, keepdims=self.keepdims)

    def abstract(self, x: Any) -> Aval:
        if builtins.any(x.shape[a] == 0 for a in self.axes):
            raise ShapeError(
                requires(self.name, "axes with at least one element", f"shape {x.shape}, axes {self.axes}")
            )
        return super().abstract(x)


class Max(Extreme):
    def forward(self, x: Any) -> Any:
        return np.max(x, axis=self.axes, keepdims=self.keepdims)


class Min(Extreme):
    def forward(self, x: Any) -> Any:
        return np.min(x, axis=self.axes, keepdims=self.keepdims)


class Any_(Reduction):
    name = "any"
    differentiable = False

    def forward(self, x: Any) -> Any:
        return np.any(x, axis=self.axes, keepdims=self.keepdims)


class All(Reduction):
    differentiable = False

    def forward(self, x: Any) -> Any:
        return np.all(x, axis=self.axes, keepdims=self.keepdims)


@dataclass(frozen=True, eq=False, repr=False)
class CumulativeSum(Rearrangement):
    """Running sums along an axis, from the front or from the back."""

    work = 1
    axis: int
    backward: bool

    def forward(self, x: Any) -> Any:
        return (
            np.flip(np.cumsum(np.flip(x, self.axis), axis=self.axis), self.axis)
            if self.backward
            else np.cumsum(x, self.axis)
        )

    def abstract(self, x: Any) -> Aval:
        return Aval(x.shape, np.cumsum(np.ones(1, x.dtype)).dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return CumulativeSum(self.axis, not self.backward).bind(cotangent)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return CumulativeSum(self.axis + 1, self.backward).bind(x)


def _reduce(primitive: Any, name: str, x: Value, axis: Any, keepdims: bool) -> Value:
    return primitive(normal_axes(name, axis, len(shape_of(x))), bool(keepdims)).bind(with_array(x))


def sum(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum over an axis, several, or all."""
    return _reduce(Sum, "sum", x, axis, keepdims)


def max(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element; ties share the derivative equally."""
    return _reduce(Max, "max", x, axis, keepdims)


def min(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element; ties share the derivative equally."""
    return _reduce(Min, "min", x, axis, keepdims)


def any(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether some element is true."""
    return _reduce(Any_, "any", x, axis, keepdims)


def all(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether every element is true."""
    return _reduce(All, "all", x, axis, keepdims)


def _count(x: Value, axis: Any, name: str) -> int:
    shape = shape_of(x)
    return math.prod([shape[a] for a in normal_axes(name, axis, len(shape))])


def mean(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The arithmetic mean over an axis, several, or all."""
    return divide(sum(x, axis=axis, keepdims=keepdims), _count(x, axis, "mean"))


def var(x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    """The variance, sum((x - mean)^2) / (n - correction)."""
    deviation = subtract(x, mean(x, axis=axis, keepdims=True))
    return divide(sum(square(deviation), axis=axis, keepdims=keepdims), _count(x, axis, "var") - correction)


def std(x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False) -> Any:
    """The standard deviation; where it is 0 its derivatives are 0."""
    return sqrt_or_zero(var(x, axis=axis, correction=correction, keepdims=keepdims))


def prod(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """The product over an axis, several, or all; of integers and booleans in 64 bits.

    A tree of multiplications, with no division: derivatives of every order are exact with any number of zeros in x.
    """
    from .indexing import slice_axis

    x = with_array(x)
    wide = _dtype_of_result(Sum, x.dtype)
    x = x if x.dtype == wide else astype(x, wide)
    shape = shape_of(x)
    axes = normal_axes("prod", axis, len(shape))
    reduced = tuple([1 if a in axes else n for a, n in enumerate(shape)])
    for a in axes:
        while (n := x.shape[a]) > 1:
            half = n // 2
            halves = multiply(slice_axis(x, a, 0, half), slice_axis(x, a, half, 2 * half))
            x = halves if n == 2 * half else _joined(halves, slice_axis(x, a, 2 * half, n), a)
        if n == 0:
            x = broadcast_to(filled(1, x, ()), tuple([1 if b == a else m for b, m in enumerate(x.shape)]))
    return reshape(x, reduced if keepdims else tuple([n for a, n in enumerate(shape) if a not in axes]))


def _joined(x: Value, y: Value, axis: int) -> Value:
    from .shape import concat

    return concat([x, y], axis=axis)


def logsumexp(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) without overflow; -inf where all elements are, with derivative 0: no finite step leaves it."""
    from ..core.trace import Tracer

    x = with_array(x)
    peak = max(x, axis=axis, keepdims=True)
    if isinstance(peak, Tracer):
        peak = StopGradient().bind(peak)
    peak = where(isfinite(peak), peak, 0)
    total = sum(exp(subtract(x, peak)), axis=axis, keepdims=True)
    nothing = equal(total, 0)
    result = where(nothing, -math.inf, add(log(where(nothing, 1, total)), peak))
    return result if keepdims else reshape(result, shape_of(sum_shape(x, axis)))


def sum_shape(x: Value, axis: Any) -> Aval:
    shape = shape_of(x)
    axes = normal_axes("logsumexp", axis, len(shape))
    return Aval(tuple([n for a, n in enumerate(shape) if a not in axes]), x.dtype)


class StopGradient(Primitive):
    """The identity, with no derivative: also for shifts that cancel."""

    work = 0
    view = True
    differentiable = False

    def forward(self, x: Any) -> Any:
        return x

    def abstract(self, x: Any) -> Aval:
        return x  # type: ignore[no-any-return]

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return self.bind(x)


def cumulative_sum(x: Any, /, *, axis: int | None = None, include_initial: bool = False) -> Any:
    """Running sums along an axis (of a one-dimensional array if none is given); with a 0 in front on request."""
    from .shape import concat

    shape = shape_of(x)
    if axis is None and len(shape) != 1:
        raise ShapeError(
            requires("cumulative_sum", "an axis for an array that is not one-dimensional", f"shape {shape}")
        )
    axis = normal_axis("cumulative_sum", axis or 0, len(shape))
    running = CumulativeSum(axis, False).bind(x)
    if not include_initial:
        return running
    first = filled(0, running, tuple([1 if a == axis else n for a, n in enumerate(shape)]))
    return concat([first, running], axis=axis)


def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """The differences of neighbours along an axis, taken n times, after `prepend` and `append` were joined to x.

    Raises OptionError for a negative n, ShapeError for what cannot be joined.

    >>> import metagrad as mg
    >>> mg.diff(mg.asarray([1.0, 4.0, 9.0, 16.0]), n=2)
    Tensor([2., 2.], dtype=float64)
    """
    from .indexing import slice_axis
    from .shape import concat

    axis = normal_axis("diff", axis, len(shape_of(x)))
    (times,) = whole_numbers("diff", n, "an order that is a whole number")
    if times < 0:
        raise OptionError(requires("diff", "an order of at least 0", times))
    parts = [part for part in (prepend, x, append) if part is not None]
    joined = x if len(parts) == 1 else concat(parts, axis=axis)
    for _ in range(times):
        size = joined.shape[axis]
        joined = subtract(slice_axis(joined, axis, 1, size), slice_axis(joined, axis, 0, size - 1))
    return joined


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> Any:
    """(sum |x|^ord)^(1/ord) over an axis, several, or all; ord may be inf, -inf or 0. At 0 its derivatives are 0."""
    ord = weak(ord)
    if ord == 2:
        return sqrt_or_zero(sum(square(x), axis=axis, keepdims=keepdims))
    size = abs_(x)
    if ord == math.inf:
        return max(size, axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return min(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return sum(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return sum(astype(equal(x, 0), x.dtype) * -1 + 1, axis=axis, keepdims=keepdims)
    if not isinstance(ord, int | float) or ord < 0:
        raise OptionError(requires("vector_norm", "an ord of 0 or more, inf or -inf", repr(ord)))
    from .arithmetic import pow
    from .predicates import greater

    positive = greater(size, 0)
    total = sum(where(positive, pow(where(positive, size, 1), float(ord)), 0), axis=axis, keepdims=keepdims)
    nonzero = greater(total, 0)
    return where(nonzero, pow(where(nonzero, total, 1), 1 / ord), 0)
