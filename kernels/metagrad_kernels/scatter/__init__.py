"""Rows written where an index says, added up or the last one counting, and rows read there.

`scatter_add(x, index, size)[r]` is the sum of the rows x[i] with index[i] = r, `last_writer(index, size)[r]` the last i
with index[i] = r, -1 where there is none, and `gather(x, index)[i]` is the row x[index[i]].

Contract:
    x: (n, k), float32, float64 or int64, and for `gather` of any type, (size, k); index: (n,) of int64. Any strides.
    Each number of the index is in [0, size). On a device that is not checked: no memory of others' is touched, nothing
    is added, and all bits of the row that is read are set, which makes NaN, or -1.
    results: (size, k) of x's type, (size,) of int64, (n, k) of x's type, new and C-contiguous; no input is written to
    or kept.
    A sum runs in the order of i, so implementations agree to the bit, but for a small result of floats and more than
    2,000 i: there one may have strips of i summed by themselves, and agrees with the others to rounding. The same input
    always gives the same bits. Several threads may call at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..dispatch import CUDA, FLOATS, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATION = Operation(__name__, REFERENCE, CUDA)
_INDEX = np.dtype(np.int64)


def scatter_add(x: NDArray[Any], index: NDArray[Any], size: int, *, implementation: str | None = None) -> NDArray[Any]:
    """The sums (size, k) of rows.

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes that do not fit, or an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    if x.dtype not in (*FLOATS, _INDEX) or index.dtype != _INDEX:
        need = "rows of float32, float64 or int64 and an index of int64"
        raise TypeError(f"[scatter] requires {need} but got {x.dtype} and {index.dtype}")
    if x.ndim != 2 or index.shape != x.shape[:1]:
        raise ValueError(f"[scatter] requires rows (n, k) and an index (n,) but got {x.shape} and {index.shape}")
    sums: NDArray[Any] = module.scatter_add(x, index, size)
    return sums


def last_writer(index: NDArray[Any], size: int, *, implementation: str | None = None) -> NDArray[Any]:
    """The last place of each number in an index, (size,). Raises as `scatter_add`."""
    module = OPERATION.choose(index, implementation)
    if index.dtype != _INDEX:
        raise TypeError(f"[scatter] requires an index of int64 but got {index.dtype}")
    if index.ndim != 1:
        raise ValueError(f"[scatter] requires an index (n,) but got {index.shape}")
    found: NDArray[Any] = module.last_writer(index, size)
    return found


def gather(x: NDArray[Any], index: NDArray[Any], *, implementation: str | None = None) -> NDArray[Any]:
    """The rows of x that an index names, (n, k). Raises as `scatter_add`."""
    module = OPERATION.choose(x, implementation)
    if index.dtype != _INDEX:
        raise TypeError(f"[scatter] requires an index of int64 but got {index.dtype}")
    if x.ndim != 2 or index.ndim != 1:
        raise ValueError(f"[scatter] requires rows (size, k) and an index (n,) but got {x.shape} and {index.shape}")
    rows: NDArray[Any] = module.gather(x, index)
    return rows
