"""Exponentials, logarithms, trigonometric and hyperbolic functions and their inverses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .arithmetic import add, divide, multiply, negative, sqrt, square, subtract, where
from .elementwise import Elementwise, UnaryByInput, UnaryByOutput
from .predicates import equal

if TYPE_CHECKING:
    from ..core.trace import Value


class Exp(UnaryByOutput):
    analytic = True
    forward = np.exp

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, output)


class Expm1(UnaryByOutput):
    analytic = True
    forward = np.expm1

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, add(output, 1))


class Log(UnaryByInput):
    analytic = True
    forward = np.log

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, inputs[0])


class Log1p(UnaryByInput):
    analytic = True
    forward = np.log1p

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, add(inputs[0], 1))


class Log2(UnaryByInput):
    analytic = True
    forward = np.log2

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, multiply(inputs[0], math.log(2)))


class Log10(UnaryByInput):
    analytic = True
    forward = np.log10

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, multiply(inputs[0], math.log(10)))


class Sin(UnaryByInput):
    analytic = True
    forward = np.sin

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, cos(inputs[0]))


class Cos(UnaryByInput):
    analytic = True
    forward = np.cos

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return negative(multiply(d, sin(inputs[0])))


class Tan(UnaryByOutput):
    analytic = True
    forward = np.tan

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, add(square(output), 1))


class Asin(UnaryByInput):
    analytic = True
    forward = np.arcsin

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, sqrt(subtract(1, square(inputs[0]))))


class Acos(UnaryByInput):
    analytic = True
    forward = np.arccos

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return negative(divide(d, sqrt(subtract(1, square(inputs[0])))))


class Atan(UnaryByInput):
    analytic = True
    forward = np.arctan

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, add(square(inputs[0]), 1))


class Sinh(UnaryByInput):
    analytic = True
    forward = np.sinh

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, cosh(inputs[0]))


class Cosh(UnaryByInput):
    analytic = True
    forward = np.cosh

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, sinh(inputs[0]))


class Tanh(UnaryByOutput):
    analytic = True
    forward = np.tanh

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, subtract(1, square(output)))


class Asinh(UnaryByInput):
    analytic = True
    forward = np.arcsinh

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, sqrt(add(square(inputs[0]), 1)))


class Acosh(UnaryByInput):
    analytic = True
    forward = np.arccosh

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, sqrt(subtract(square(inputs[0]), 1)))


class Atanh(UnaryByInput):
    analytic = True
    forward = np.arctanh

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return divide(d, subtract(1, square(inputs[0])))


class Atan2(UnaryByInput):
    """The angle of the point (x=inputs[1], y=inputs[0]); at (0, 0) the derivatives are 0 at every order."""

    forward = np.arctan2

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        y, x = inputs
        radius = add(square(x), square(y))
        zero = equal(radius, 0)
        quotient = where(zero, 0, divide(d, where(zero, 1, radius)))
        return negative(multiply(quotient, y)) if i else multiply(quotient, x)


class Hypot(Elementwise):
    """sqrt(x^2 + y^2) without overflow; at (0, 0) the derivatives are 0 at every order."""

    forward = np.hypot

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        zero = equal(output, 0)
        return multiply(d, where(zero, 0, divide(inputs[i], where(zero, 1, output))))


class LogAddExp(Elementwise):
    """log(exp(x) + exp(y)) without overflow."""

    name = "logaddexp"
    forward = np.logaddexp

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        nothing = equal(output, -math.inf)
        return multiply(d, where(nothing, 0, exp(where(nothing, 0, subtract(inputs[i], output)))))


def exp(x: Any, /) -> Any:
    """e ** x."""
    return Exp().bind(x)


def expm1(x: Any, /) -> Any:
    """e ** x - 1, exact near 0."""
    return Expm1().bind(x)


def log(x: Any, /) -> Any:
    """The natural logarithm."""
    return Log().bind(x)


def log1p(x: Any, /) -> Any:
    """log(1 + x), exact near 0."""
    return Log1p().bind(x)


def log2(x: Any, /) -> Any:
    """The logarithm to base 2."""
    return Log2().bind(x)


def log10(x: Any, /) -> Any:
    """The logarithm to base 10."""
    return Log10().bind(x)


def sin(x: Any, /) -> Any:
    """The sine of x in radians."""
    return Sin().bind(x)


def cos(x: Any, /) -> Any:
    """The cosine of x in radians."""
    return Cos().bind(x)


def tan(x: Any, /) -> Any:
    """The tangent of x in radians."""
    return Tan().bind(x)


def asin(x: Any, /) -> Any:
    """The inverse sine, in radians."""
    return Asin().bind(x)


def acos(x: Any, /) -> Any:
    """The inverse cosine, in radians."""
    return Acos().bind(x)


def atan(x: Any, /) -> Any:
    """The inverse tangent, in radians."""
    return Atan().bind(x)


def atan2(y: Any, x: Any, /) -> Any:
    """The angle of the point (x, y), in radians; at (0, 0) with derivatives 0."""
    return Atan2().bind(y, x)


def sinh(x: Any, /) -> Any:
    """The hyperbolic sine."""
    return Sinh().bind(x)


def cosh(x: Any, /) -> Any:
    """The hyperbolic cosine."""
    return Cosh().bind(x)


def tanh(x: Any, /) -> Any:
    """The hyperbolic tangent."""
    return Tanh().bind(x)


def asinh(x: Any, /) -> Any:
    """The inverse hyperbolic sine."""
    return Asinh().bind(x)


def acosh(x: Any, /) -> Any:
    """The inverse hyperbolic cosine."""
    return Acosh().bind(x)


def atanh(x: Any, /) -> Any:
    """The inverse hyperbolic tangent."""
    return Atanh().bind(x)


def hypot(x: Any, y: Any, /) -> Any:
    """sqrt(x^2 + y^2) without overflow; 0 at (0, 0) with derivatives 0."""
    return Hypot().bind(x, y)


def logaddexp(x: Any, y: Any, /) -> Any:
    """log(exp(x) + exp(y)) without overflow."""
    return LogAddExp().bind(x, y)
