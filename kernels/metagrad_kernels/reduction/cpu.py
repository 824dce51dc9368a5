"""Numba: the rows are added up as they lie in memory, on all cores."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ..columns import BLOCK, columns, flush, width
from ..jit import const, mutable
from ..threads import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sum_rows(x: NDArray[Any]) -> NDArray[Any]:
    a, _, b = x.shape
    result = np.empty((a, b), x.dtype)
    wide = width(a, b, x.itemsize)
    units, cost = a * -(-b // wide), 0.12 * x.shape[1] * wide
    _kernel(x.dtype)(np.ascontiguousarray(x), result, wide, units=units, cost=cost)
    return result


@functools.cache
def _kernel(dtype: np.dtype[Any]) -> Kernel:
    return Kernel(_sum_rows, const(dtype, 3), mutable(dtype, 2), types.intp)


def _sum_rows(x: Any, result: Any, wide: int, begin: int, end: int) -> None:
    r, b = x.shape[1:]
    for unit in range(begin, end):
        a, first, last = columns(unit, b, wide)
        n = last - first
        sums, totals = np.zeros(n, x.dtype), np.zeros(n)
        for i in range(r):
            row = x[a, i, first:last]
            for j in range(n):
                sums[j] += row[j]
            if i % BLOCK == BLOCK - 1 or i == r - 1:
                flush(sums, totals)
        for j in range(n):
            result[a, first + j] = totals[j]
