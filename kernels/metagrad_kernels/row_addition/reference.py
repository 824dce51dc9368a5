"""The definition, in NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add_row(x: NDArray[Any], row: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = np.add(x, row[:, np.newaxis], order="C")
    return result
