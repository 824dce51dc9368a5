"""The same row added to all: (a, r, b) + (a, b), the transpose of the sum over r.

Contract:
    x: (a, r, b), row: (a, b), both float32 or both float64, any strides; any size may be 0.
    result: a new C-contiguous array of that type; x and row are not written to or kept.
    Implementations agree to the bit. Several threads may call at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dispatch import CPU, CUDA, FLOATS, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA)


def add_row(x: NDArray[Any], row: NDArray[Any], *, implementation: str | None = None) -> NDArray[Any]:
    """x[a, r, b] + row[a, b].

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes that do not fit, or an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    if x.dtype not in FLOATS or row.dtype != x.dtype:
        raise TypeError(
            f"[row_addition] requires two arrays of float32 or of float64 but got {x.dtype} and {row.dtype}"
        )
    if x.ndim != 3 or row.shape != x.shape[::2]:
        raise ValueError(f"[row_addition] requires arrays (a, r, b) and (a, b) but got {x.shape} and {row.shape}")
    result: NDArray[Any] = module.add_row(x, row)
    return result
