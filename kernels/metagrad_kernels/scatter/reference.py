"""The definition, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def scatter_add(x: NDArray[Any], index: NDArray[Any], size: int) -> NDArray[Any]:
    sums = np.zeros((size, x.shape[1]), x.dtype)
    np.add.at(sums, index, x)
    return sums


def last_writer(index: NDArray[Any], size: int) -> NDArray[Any]:
    found = np.full(size, -1)
    np.maximum.at(found, index, np.arange(len(index)))
    return found


def gather(x: NDArray[Any], index: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(x[index])
