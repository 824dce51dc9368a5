"""Numba: the C library's erf in a loop, the numbers shared among all cores."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ..jit import compiled, const, mutable
from ..threads import parallel

if TYPE_CHECKING:
    from numpy.typing import NDArray


COST = 10.0
"""Nanoseconds of a number."""


def erf(x: NDArray[Any]) -> NDArray[Any]:
    numbers = np.ascontiguousarray(x).reshape(-1)
    result = np.empty_like(numbers)
    kernel = _kernel(x.dtype)
    parallel(lambda begin, end: kernel(numbers[begin:end], result[begin:end]), len(numbers), COST)
    return result.reshape(x.shape)


@functools.cache
def _kernel(dtype: np.dtype[Any]) -> Any:
    return compiled(_erf, types.void(const(dtype, 1), mutable(dtype, 1)))


# From here on the code is compiled.


def _erf(x: Any, result: Any) -> None:
    for i in range(x.size):
        result[i] = math.erf(x[i])
