"""The definition, in NumPy, which hands it to a BLAS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def matmul(x: NDArray[Any], y: NDArray[Any], precision: str) -> NDArray[Any]:
    result: NDArray[Any] = np.matmul(x, y, order="C")
    return result
