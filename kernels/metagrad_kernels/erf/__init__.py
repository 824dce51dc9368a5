"""The error function, erf(x) = 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, elementwise.

Contract:
    x: any shape and strides, float32 or float64.
    result: a new C-contiguous array of x's shape and type; x is not written to or kept.
    Within 2 units in the last place. The same input gives the same bits; several threads may call at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..dispatch import CPU, CUDA, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA)


def erf(x: NDArray[Any], *, implementation: str | None = None) -> NDArray[Any]:
    """erf(x).

    Raises:
        TypeError: a type other than float32 and float64.
        ValueError: an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"[erf] requires an array of float32 or float64 but got {x.dtype}")
    result: NDArray[Any] = module.erf(x)
    return result
