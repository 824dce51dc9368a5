"""Comparisons, logic and rounding: functions that are constant wherever they are smooth."""

from __future__ import annotations

from typing import Any

import numpy as np

from .elementwise import Predicate


class Sign(Predicate):
    forward = np.sign


class Floor(Predicate):
    forward = np.floor


class Ceil(Predicate):
    forward = np.ceil


class Trunc(Predicate):
    forward = np.trunc


class Round(Predicate):
    """To the nearest integer, halves to even."""

    forward = np.rint


class FloorDivide(Predicate):
    forward = np.floor_divide


class Equal(Predicate):
    forward = np.equal


class NotEqual(Predicate):
    forward = np.not_equal


class Less(Predicate):
    forward = np.less


class LessEqual(Predicate):
    forward = np.less_equal


class Greater(Predicate):
    forward = np.greater


class GreaterEqual(Predicate):
    forward = np.greater_equal


class LogicalAnd(Predicate):
    forward = np.logical_and


class LogicalOr(Predicate):
    forward = np.logical_or


class LogicalXor(Predicate):
    forward = np.logical_xor


class LogicalNot(Predicate):
    forward = np.logical_not


class BitwiseAnd(Predicate):
    forward = np.bitwise_and


class BitwiseOr(Predicate):
    forward = np.bitwise_or


class BitwiseXor(Predicate):
    forward = np.bitwise_xor


class BitwiseInvert(Predicate):
    forward = np.bitwise_invert


class BitwiseLeftShift(Predicate):
    forward = np.left_shift


class BitwiseRightShift(Predicate):
    forward = np.right_shift


class IsNan(Predicate):
    forward = np.isnan


class IsInf(Predicate):
    forward = np.isinf


class IsFinite(Predicate):
    forward = np.isfinite


class SignBit(Predicate):
    name = "signbit"
    forward = np.signbit


def floor_divide(x: Any, y: Any, /) -> Any:
    """floor(x / y)."""
    return FloorDivide().bind(x, y)


def sign(x: Any, /) -> Any:
    """-1, 0 or 1."""
    return Sign().bind(x)


def floor(x: Any, /) -> Any:
    """The largest integer not above x."""
    return Floor().bind(x)


def ceil(x: Any, /) -> Any:
    """The smallest integer not below x."""
    return Ceil().bind(x)


def trunc(x: Any, /) -> Any:
    """The integer part of x."""
    return Trunc().bind(x)


def round(x: Any, /) -> Any:
    """The nearest integer, halves to even."""
    return Round().bind(x)


def equal(x: Any, y: Any, /) -> Any:
    """x == y, elementwise."""
    return Equal().bind(x, y)


def not_equal(x: Any, y: Any, /) -> Any:
    """x != y, elementwise."""
    return NotEqual().bind(x, y)


def less(x: Any, y: Any, /) -> Any:
    """x < y, elementwise."""
    return Less().bind(x, y)


def less_equal(x: Any, y: Any, /) -> Any:
    """x <= y, elementwise."""
    return LessEqual().bind(x, y)


def greater(x: Any, y: Any, /) -> Any:
    """x > y, elementwise."""
    return Greater().bind(x, y)


def greater_equal(x: Any, y: Any, /) -> Any:
    """x >= y, elementwise."""
    return GreaterEqual().bind(x, y)


def logical_and(x: Any, y: Any, /) -> Any:
    """x and y, elementwise."""
    return LogicalAnd().bind(x, y)


def logical_or(x: Any, y: Any, /) -> Any:
    """x or y, elementwise."""
    return LogicalOr().bind(x, y)


def logical_xor(x: Any, y: Any, /) -> Any:
    """Either x or y, elementwise."""
    return LogicalXor().bind(x, y)


def logical_not(x: Any, /) -> Any:
    """not x, elementwise."""
    return LogicalNot().bind(x)


def bitwise_and(x: Any, y: Any, /) -> Any:
    """x & y for integers and booleans."""
    return BitwiseAnd().bind(x, y)


def bitwise_or(x: Any, y: Any, /) -> Any:
    """x | y for integers and booleans."""
    return BitwiseOr().bind(x, y)


def bitwise_xor(x: Any, y: Any, /) -> Any:
    """x ^ y for integers and booleans."""
    return BitwiseXor().bind(x, y)


def bitwise_invert(x: Any, /) -> Any:
    """~x for integers and booleans."""
    return BitwiseInvert().bind(x)


def bitwise_left_shift(x: Any, y: Any, /) -> Any:
    """x << y for integers."""
    return BitwiseLeftShift().bind(x, y)


def bitwise_right_shift(x: Any, y: Any, /) -> Any:
    """x >> y for integers."""
    return BitwiseRightShift().bind(x, y)


def isnan(x: Any, /) -> Any:
    """Whether x is NaN, elementwise."""
    return IsNan().bind(x)


def isinf(x: Any, /) -> Any:
    """Whether x is infinite, elementwise."""
    return IsInf().bind(x)


def signbit(x: Any, /) -> Any:
    """Whether the sign of x is negative, elementwise: also that of -0."""
    return SignBit().bind(x)


def isfinite(x: Any, /) -> Any:
    """Whether x is neither NaN nor infinite, elementwise."""
    return IsFinite().bind(x)
