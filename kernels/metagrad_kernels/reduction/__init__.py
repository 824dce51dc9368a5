"""Sums over an axis that is not the last: (a, r, b) to (a, b).

Contract:
    x: (a, r, b), float32 or float64, any strides; any size may be 0.
    result: a new C-contiguous array of that type; x is not written to or kept.
    Sums run over blocks of rows in that type and over the blocks in float64. The same input gives the same bits,
    whatever the number of threads; several threads may call at once. Implementations agree to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dispatch import CPU, CUDA, FLOATS, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA)


def sum_rows(x: NDArray[Any], *, implementation: str | None = None) -> NDArray[Any]:
    """The sum over r.

    Raises:
        TypeError: types other than the contract's.
        ValueError: another number of axes, or an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    if x.dtype not in FLOATS:
        raise TypeError(f"[reduction] requires float32 or float64 but got {x.dtype}")
    if x.ndim != 3:
        raise ValueError(f"[reduction] requires an array (a, r, b) but got shape {x.shape}")
    result: NDArray[Any] = module.sum_rows(x)
    return result
