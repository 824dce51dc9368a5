"""Arithmetic and powers, extremes and choice."""

from __future__ import annotations

import builtins
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metagrad_kernels.row_addition import add_row

from ..core.devices import namespace
from ..core.primitive import Aval, not_an_array
from ..errors import DTypeError, requires
from .dtypes import as_dtype
from .elementwise import Elementwise, UnaryByInput, shape_of
from .predicates import equal, floor_divide, greater, logical_and, sign

if TYPE_CHECKING:
    from ..core.trace import Value


LARGE = 1 << 17
"""Elements from which a kernel adds rows."""
LONG = 16
"""Elements of a row from which it does."""


class Add(Elementwise):
    analytic = True
    uses_inputs = uses_output = False

    def forward(self, x: Any, y: Any) -> Any:
        if type(x) is np.ndarray and x.size >= LARGE and _of_one_type(x, y) and (sizes := _rows(x.shape, y.shape)):
            a, r, b = sizes
            return add_row(x.reshape(a, r, b), y.reshape(a, b)).reshape(x.shape)
        return np.add(x, y)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return d


def _of_one_type(x: Any, y: Any) -> bool:
    return type(y) is np.ndarray and x.dtype == y.dtype and x.dtype.char in "fd" and x.flags.c_contiguous


def _rows(large: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(a, r, b) where one shape broadcasts to the other as (a, 1, b) to (a, r, b), in rows that are worth it."""
    lack = len(large) - len(small)
    small = (1,) * lack + small
    repeated = [k for k, n in enumerate(large) if n != small[k]] if lack >= 0 else []
    if not repeated or builtins.max(small[repeated[0] : repeated[-1] + 1]) > 1:
        return None
    first, last = repeated[0], repeated[-1] + 1
    a, r, b = (math.prod(part) for part in (large[:first], large[first:last], large[last:]))
    return (a, r, b) if b >= LONG else None


class Subtract(Elementwise):
    analytic = True
    uses_inputs = uses_output = False
    forward = np.subtract

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return negative(d) if i else d


class Negative(Elementwise):
    analytic = True
    uses_inputs = uses_output = False
    forward = np.negative

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return negative(d)


class Multiply(UnaryByInput):
    analytic = True
    forward = np.multiply

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, inputs[1 - i])


@dataclass(frozen=True, eq=False, repr=False)
class AddScaled(Elementwise):
    """x + scale y for a Python number: a step of gradient descent in one operation."""

    work = 2
    analytic = True
    uses_inputs = uses_output = False
    scale: float

    def forward(self, x: Any, y: Any) -> Any:
        scaled = np.multiply(y, self.scale)
        if type(x) is not np.ndarray or type(scaled) is not np.ndarray or x.dtype != scaled.dtype:
            return np.add(x, scaled)
        in_place = scaled.shape[scaled.ndim - x.ndim :] == x.shape
        return np.add(x, scaled, out=scaled if in_place else None)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, self.scale) if i else d


class Divide(Elementwise):
    analytic = True
    forward = np.divide

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        quotient = divide(d, inputs[1])
        return negative(multiply(quotient, output)) if i else quotient


class Square(UnaryByInput):
    analytic = True
    forward = np.square

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, multiply(inputs[0], 2))


class Abs(UnaryByInput):
    """|x|; the derivative at 0 is 0."""

    forward = np.abs

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, sign(inputs[0]))


class CopySign(UnaryByInput):
    """|x| with the sign of y; the derivative at x = 0 is 0."""

    name = "copysign"
    forward = np.copysign

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        x, y = inputs
        return None if i else multiply(multiply(d, sign(x)), copysign(1.0, y))


class NextAfter(UnaryByInput):
    """The number next to x in the direction of y: x and one spacing, which is constant wherever it is smooth."""

    name = "nextafter"
    forward = np.nextafter

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return None if i else d


class Sqrt(Elementwise):
    analytic = True
    uses_inputs = False
    forward = np.sqrt

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(multiply(d, 0.5), output)


@dataclass(frozen=True, eq=False, repr=False)
class PowScalar(UnaryByInput):
    """x ** exponent for a Python number: a polynomial stays one, with no 0 * infinity at x = 0."""

    analytic = True
    exponent: float

    def forward(self, x: Any) -> Any:
        return x * x * x if self.exponent == 3 else np.power(x, self.exponent)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        n = self.exponent
        return multiply(d, n if n == 1 else multiply(_pow_scalar(inputs[0], n - 1), n)) if n else None


class Pow(Elementwise):
    """x ** y; at x = 0 the derivatives are their limits."""

    analytic = True

    def forward(self, x: Any, y: Any) -> Any:
        try:
            return np.power(x, y)
        except ValueError:
            if np.any(np.less(y, 0)):
                need = "a floating-point base for exponents below 0"
                raise DTypeError(requires("pow", need, f"{np.result_type(x, y)} and an exponent {np.min(y)}")) from None
            raise

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        x, y = inputs
        if i == 0:
            corner = logical_and(equal(x, 0), equal(y, 0))  # y x^(y - 1) is 0 for y = 0, and has a derivative in y
            return multiply(d, multiply(y, pow(x, where(corner, 1, subtract(y, 1)))))
        zero = equal(x, 0)
        return multiply(d, where(zero, 0, multiply(_log(where(zero, 1, x)), output)))


class Remainder(UnaryByInput):
    """x - floor(x / y) y."""

    forward = np.remainder

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return negative(multiply(d, floor_divide(*inputs))) if i else d


class Maximum(UnaryByInput):
    """max(x, y); equal inputs share the derivative."""

    forward = np.maximum

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, _share(inputs[i], inputs[1 - i], d))


class Minimum(UnaryByInput):
    """min(x, y); equal inputs share the derivative."""

    forward = np.minimum

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, _share(inputs[1 - i], inputs[i], d))


def _share(winner: Value, loser: Value, like: Value) -> Value:
    """1 where `winner` is greater, 0.5 where equal, else 0."""
    return add(
        where(greater(winner, loser), like.dtype.type(1), 0), where(equal(winner, loser), like.dtype.type(0.5), 0)
    )


_BOOL = np.dtype(np.bool_)


class Where(Elementwise):
    """x where the condition holds, else y. The branch not chosen gets exactly zero."""

    work = 0
    analytic = True
    uses_output = False

    def forward(self, condition: Any, x: Any, y: Any) -> Any:
        if getattr(condition, "dtype", None) is not _BOOL:
            self._check(condition)
        if isinstance(condition, builtins.bool | np.bool_) and (xp := namespace(x, y)) is not np:
            condition = xp.full((), builtins.bool(condition))
        return np.where(condition, x, y)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        if i == 0:
            return None
        return where(inputs[0], d, 0) if i == 1 else where(inputs[0], 0, d)

    def abstract(self, *inputs: Any) -> Aval:
        self._check(inputs[0])
        return super().abstract(*inputs)

    def _check(self, condition: Any) -> None:
        dtype = getattr(condition, "dtype", None)
        if type(condition) is not builtins.bool if dtype is None else dtype.kind != "b":
            raise DTypeError(requires("where", "a boolean condition, as x != 0 is", dtype or repr(condition)))


@dataclass(frozen=True, eq=False, repr=False)
class Cast(Elementwise):
    """The same numbers in another dtype."""

    work = 0
    uses_inputs = True
    uses_output = False
    dtype: Any

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        return bool(self.dtype.kind == "f")

    def forward(self, x: Any) -> Any:
        return x.astype(self.dtype)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return d


_ADD, _SUBTRACT, _NEGATIVE, _MULTIPLY, _DIVIDE = Add(), Subtract(), Negative(), Multiply(), Divide()
_SQUARE, _ABS, _SQRT, _WHERE = Square(), Abs(), Sqrt(), Where()


def add(x: Any, y: Any, /) -> Any:
    """x + y, elementwise with broadcasting."""
    return _ADD.bind(x, y)


def subtract(x: Any, y: Any, /) -> Any:
    """x - y, elementwise with broadcasting."""
    return _SUBTRACT.bind(x, y)


def negative(x: Any, /) -> Any:
    """-x."""
    return _NEGATIVE.bind(x)


def positive(x: Any, /) -> Any:
    """x."""
    return x


def multiply(x: Any, y: Any, /) -> Any:
    """x y, elementwise with broadcasting."""
    return _MULTIPLY.bind(x, y)


def divide(x: Any, y: Any, /) -> Any:
    """x / y, elementwise with broadcasting."""
    return _DIVIDE.bind(x, y)


def add_scaled(x: Any, y: Any, scale: float, /) -> Any:
    """x + scale y, elementwise with broadcasting, for a Python number `scale`."""
    return AddScaled(float(scale)).bind(x, y)


def square(x: Any, /) -> Any:
    """x ** 2."""
    return _SQUARE.bind(x)


def reciprocal(x: Any, /) -> Any:
    """1 / x."""
    return _DIVIDE.bind(1, x)


def abs(x: Any, /) -> Any:
    """|x|, with derivative 0 at 0."""
    return _ABS.bind(x)


def copysign(x: Any, y: Any, /) -> Any:
    """|x| with the sign of y, that of -0 too; its derivative in x is 0 at 0, and in y always."""
    return CopySign().bind(x, y)


def nextafter(x: Any, y: Any, /) -> Any:
    """The floating-point number next to x in the direction of y."""
    return NextAfter().bind(x, y)


def sqrt(x: Any, /) -> Any:
    """The square root; its derivative at 0 is infinite."""
    return _SQRT.bind(x)


def sqrt_or_zero(x: Any) -> Any:
    """The square root with derivative 0 at every order where x = 0: for norms, deviations and optimisers."""
    positive_x = greater(x, 0)
    return where(positive_x, sqrt(where(positive_x, x, 1)), 0)


def pow(x: Any, y: Any, /) -> Any:
    """x ** y, elementwise with broadcasting; a Python number as exponent is treated as a constant of the operation."""
    if type(y) is int or type(y) is float:
        if y == 2:
            return square(x)
        floating = getattr(getattr(x, "dtype", None), "kind", "f") == "f"
        if floating:
            return _pow_scalar(x, y)
    return Pow().bind(x, y)


def _pow_scalar(x: Value, exponent: float) -> Value:
    return x if exponent == 1 else PowScalar(exponent).bind(x)


def _log(x: Value) -> Value:
    from .exponential import log

    return log(x)


def remainder(x: Any, y: Any, /) -> Any:
    """x - floor(x / y) y: the sign is the divisor's."""
    return Remainder().bind(x, y)


def maximum(x: Any, y: Any, /) -> Any:
    """The larger of the two, elementwise; equal inputs share the derivative."""
    return Maximum().bind(x, y)


def minimum(x: Any, y: Any, /) -> Any:
    """The smaller of the two, elementwise; equal inputs share the derivative."""
    return Minimum().bind(x, y)


def clip(x: Any, /, min: Any = None, max: Any = None) -> Any:
    """x limited to [min, max]; the derivative at an edge is 0.5."""
    if min is not None:
        x = maximum(x, min)
    return x if max is None else minimum(x, max)


def where(condition: Any, x: Any, y: Any, /) -> Any:
    """x where the condition holds, else y. What was not chosen leaks no NaN into the derivative.

    Raises DTypeError for a condition that is not boolean.
    """
    return _WHERE.bind(condition, x, y)


def astype(x: Any, dtype: Any, /) -> Any:
    """The same numbers in another dtype. Raises DTypeError for complex dtypes and names of none."""
    wanted = as_dtype("astype", dtype)
    if type(x) in (int, float, builtins.bool):
        return np.asarray(x, dtype=wanted)
    if not hasattr(x, "dtype"):
        raise DTypeError(requires("astype", "an array or a number", not_an_array(x)))
    return x if x.dtype == wanted else Cast(wanted).bind(x)


def zeros_for(x: Value) -> Any:
    """Plain zeros of a value's shape and dtype, on its device."""
    return namespace(x).zeros(shape_of(x), x.dtype)


def filled(value: float, like: Value, shape: tuple[int, ...] | None = None) -> Any:
    """A plain array of one number, of a value's dtype and shape (or another), on its device."""
    return namespace(like).full(shape_of(like) if shape is None else shape, value, like.dtype)
