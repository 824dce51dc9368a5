"""The definition, in NumPy, as it is written in the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def standardize(x: Array, eps: float) -> tuple[Array, Array]:
    centred = x - _mean(x)
    s = 1 / np.sqrt(_mean(centred * centred) + x.dtype.type(eps))
    return centred * s, s[:, 0]


def pullback(y: Array, s: Array, g: Array) -> Array:
    return np.asarray(s[:, None] * (g - _mean(g) - y * _mean(g * y)))


def pullback_gradients(y: Array, s: Array, g: Array, c: Array) -> tuple[Array, Array, Array]:
    of_y = -s[:, None] * (c * _mean(g * y) + g * _mean(c * y))
    of_s = np.sum(c * (g - _mean(g) - y * _mean(g * y)), axis=1)
    return of_y, of_s, pullback(y, s, c)


def _mean(x: Array) -> Array:
    return np.asarray(x.mean(axis=1, keepdims=True, dtype=np.float64), x.dtype)
