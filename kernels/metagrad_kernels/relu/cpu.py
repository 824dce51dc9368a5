"""Numba: one pass over memory, and no mask is ever stored."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..jit import const, mutable
from ..threads import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

COST = 0.13
"""Nanoseconds of an element."""


def relu(x: NDArray[Any]) -> NDArray[Any]:
    return _run(_relu, x)


def masked(y: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    return _run(_masked, y, g)


def _run(function: Callable[..., None], *inputs: NDArray[Any]) -> NDArray[Any]:
    result = np.empty(inputs[0].shape, inputs[0].dtype)
    flat = [x.ravel() for x in (*inputs, result)]
    _kernel(function, result.dtype)(*flat, units=result.size, cost=COST)
    return result


@functools.cache
def _kernel(function: Callable[..., None], dtype: np.dtype[Any]) -> Kernel:
    inputs = [const(dtype, 1)] * (1 if function is _relu else 2)
    return Kernel(function, *inputs, mutable(dtype, 1))


# From here on the code is compiled. Loops that start at 0 are those that LLVM vectorises.


def _relu(x: Any, y: Any, begin: int, end: int) -> None:
    zero = x.dtype.type(0)
    x, y = x[begin:end], y[begin:end]
    for i in range(len(y)):
        y[i] = zero if x[i] <= zero else x[i]  # a NaN is not <= 0, and stays


def _masked(y: Any, g: Any, result: Any, begin: int, end: int) -> None:
    zero = y.dtype.type(0)
    y, g, result = y[begin:end], g[begin:end], result[begin:end]
    for i in range(len(y)):
        result[i] = g[i] if y[i] > zero else zero
