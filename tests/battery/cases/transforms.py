"""What transforms are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

import metagrad as mg

from .table import Cases, real

CASES = Cases()
row = CASES.row

row("stop_gradient", real(2, 3), ref=lambda x: x, derivative="none")
row(
    "checkpoint",
    real(2, 3),
    real(3),
    f=mg.checkpoint(lambda x, y: (mg.sin(x) * y, mg.exp(y))),
    ref=lambda x, y: (np.sin(x) * y, np.exp(y)),
)


@mg.custom_vjp
def _cube(x: Any, y: Any) -> Any:
    return x**3 * y


_cube.defvjp(
    lambda x, y: (x**3 * y, (x, y)),
    lambda residuals, g: (3 * g * residuals[0] ** 2 * residuals[1], g * residuals[0] ** 3),
)
row("custom_vjp", real(2, 3), real(2, 3), f=_cube, ref=lambda x, y: x**3 * y, derivative="own")
