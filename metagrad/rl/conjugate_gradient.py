"""Conjugate gradient for a matrix that is known by its products (Hestenes and Stiefel 1952)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..ops.windows import positive

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]


class Solution(NamedTuple):
    """What conjugate gradient found for A x = b."""

    x: Array
    iterations: int
    residual: float
    """|A x - b| / |b|, as the iteration carries it on."""
    indefinite: bool
    """A direction p with p^T A p <= 0 was met: x is the last iterate before it, b itself where it was the first."""


def conjugate_gradient(
    product: Callable[[Array], Array], b: Array, iterations: int = 10, tolerance: float = 1e-10
) -> Solution:
    """Solve A x = b for a positive definite A from x = 0, with at most so many products `product(v)` = A v.

    Stops when |residual| <= tolerance |b|, and at a direction along which A is not positive or not finite.

    >>> A = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> conjugate_gradient(lambda v: A @ v, np.array([1.0, 2.0])).x
    array([0.2, 0.6])
    """
    iterations = positive("conjugate_gradient", "iterations", iterations)
    b = np.asarray(b, np.float64)
    x, residual, direction = np.zeros_like(b), b.copy(), b.copy()
    norm = squared = float(residual @ residual)
    if norm == 0.0:
        return Solution(x, 0, 0.0, False)
    for k in range(iterations):
        image = np.asarray(product(direction), np.float64)
        curvature = float(direction @ image)
        if not (np.isfinite(curvature) and curvature > 0):
            return Solution(x if k else b.copy(), k, (squared / norm) ** 0.5, True)
        step = squared / curvature
        x += step * direction
        residual -= step * image
        before, squared = squared, float(residual @ residual)
        if squared <= tolerance**2 * norm:
            return Solution(x, k + 1, (squared / norm) ** 0.5, False)
        direction = residual + squared / before * direction
    return Solution(x, iterations, (squared / norm) ** 0.5, False)
