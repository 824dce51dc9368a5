"""The definition, by the C library's erf, number by number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def erf(x: NDArray[Any]) -> NDArray[Any]:
    return np.array([math.erf(number) for number in x.ravel().tolist()], x.dtype).reshape(x.shape)
