"""Numba: NumPy starts a loop of its own for each row, and uses one core."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..jit import const, mutable
from ..threads import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

COST = 0.1
"""Nanoseconds of an element."""


def add_row(x: NDArray[Any], row: NDArray[Any]) -> NDArray[Any]:
    a, r, b = x.shape
    result = np.empty(x.shape, x.dtype)
    arrays = np.ascontiguousarray(x), np.ascontiguousarray(row), result
    _kernel(x.dtype)(*arrays, units=a * r, cost=COST * b)
    return result


@functools.cache
def _kernel(dtype: np.dtype[Any]) -> Kernel:
    return Kernel(_add_row, const(dtype, 3), const(dtype, 2), mutable(dtype, 3))


# From here on the code is compiled.


def _add_row(x: Any, row: Any, result: Any, begin: int, end: int) -> None:
    r, b = x.shape[1:]
    for unit in range(begin, end):
        a, i = divmod(unit, r)
        for j in range(b):
            result[a, i, j] = x[a, i, j] + row[a, j]
