"""Numba: one pass over memory, and no mask is ever stored."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from ..jit import const, mutable, ufunc
from ..threads import WORTH, Kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

COST = 0.13
"""Nanoseconds of an element."""


def relu(x: NDArray[Any]) -> NDArray[Any]:
    return _run(_rectified, _relu, x)


def masked(y: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    return _run(_where_positive, _masked, y, g)


def _run(of_numbers: Callable[..., Any], of_rows: Callable[..., None], *inputs: NDArray[Any]) -> NDArray[Any]:
    result = np.empty(inputs[0].shape, inputs[0].dtype)
    if result.size * COST < WORTH:  # a ufunc takes half as long to call
        _ufunc(of_numbers)(*inputs, result)
    else:
        flat = [x.ravel() for x in (*inputs, result)]
        _kernel(of_rows, result.dtype)(*flat, units=result.size, cost=COST)
    return result


@functools.cache
def _kernel(of_rows: Callable[..., None], dtype: np.dtype[Any]) -> Kernel:
    inputs = [const(dtype, 1)] * (1 if of_rows is _relu else 2)
    return Kernel(of_rows, *inputs, mutable(dtype, 1))


@functools.cache
def _ufunc(of_numbers: Callable[..., Any]) -> Any:
    return ufunc(of_numbers, 1 if of_numbers is _rectified else 2)


# From here on the code is compiled. Loops that start at 0 are those that LLVM vectorises.


def _positive(context: Any, x: Any) -> Any:
    """x > 0, which an ordinary comparison would call invalid for a NaN: NumPy warns of that after a ufunc."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.IntType(x.bitwidth)
        signed = builder.icmp_signed(">", builder.bitcast(args[0], kind), kind(0))
        return builder.and_(signed, builder.fcmp_ordered("ord", args[0], args[0]))

    return types.boolean(x), emit


positive: Any = intrinsic(_positive)


@register_jitable
def _rectified(x: Any) -> Any:
    return x if positive(x) or x != x else type(x)(0)


@register_jitable
def _where_positive(y: Any, g: Any) -> Any:
    return g if positive(y) else type(g)(0)


def _relu(x: Any, y: Any, begin: int, end: int) -> None:
    x, y = x[begin:end], y[begin:end]
    for i in range(len(y)):
        y[i] = _rectified(x[i])


def _masked(y: Any, g: Any, result: Any, begin: int, end: int) -> None:
    y, g, result = y[begin:end], g[begin:end], result[begin:end]
    for i in range(len(y)):
        result[i] = _where_positive(y[i], g[i])
