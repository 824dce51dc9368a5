"""Numba: the C library's erf in a loop, the numbers shared among all cores."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..jit import const, mutable
from ..threads import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


COST = 10.0
"""Nanoseconds of a number."""


def erf(x: NDArray[Any]) -> NDArray[Any]:
    numbers = np.ascontiguousarray(x).reshape(-1)
    result = np.empty_like(numbers)
    _kernel(x.dtype)(numbers, result, units=len(numbers), cost=COST)
    return result.reshape(x.shape)


@functools.cache
def _kernel(dtype: np.dtype[Any]) -> Kernel:
    return Kernel(_erf, const(dtype, 1), mutable(dtype, 1))


# From here on the code is compiled.


def _erf(x: Any, result: Any, begin: int, end: int) -> None:
    for i in range(begin, end):
        result[i] = math.erf(x[i])
