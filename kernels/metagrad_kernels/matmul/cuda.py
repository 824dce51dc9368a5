"""CUDA C++: tiles in shared memory, on tensor cores for TF32; a long k is cut into strips where there are few tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..launch import Source, namespace, type_name
from ..reduction import cuda as reduction
from .operand import operand

if TYPE_CHECKING:
    from .operand import Operand

SIDES = (64, 32)
"""Of the tiles that a block makes."""
DEPTH = 16
"""Of the tiles along k, as in matmul.cu."""
ENOUGH = 264
"""Blocks that keep a GPU busy."""
STRIP = 256
"""The least of k that is worth a block of its own."""

SOURCE = Source(
    __file__,
    "matmul.cu",
    {
        **{f"multiply<{t}, {side}>": most for t in ("float", "double") for side, most in ((64, 128), (32, 168))},
        "multiply_tf32<64>": 128,
    },
)


def matmul(x: Any, y: Any, precision: str) -> Any:
    xp, (a, n, k), m = namespace(x), x.shape, y.shape[2]
    result = xp.empty((a, n, m), x.dtype)
    if not result.size:
        return result
    on_tensor_cores = precision == "tf32" and x.dtype == np.float32
    side, depth = tiling(a, n, k, m, SIDES[:1] if on_tensor_cores else SIDES)
    strips = max(1, -(-k // depth))
    into = xp.empty((1, strips, result.size), x.dtype) if strips > 1 else result
    kernel = f"multiply_tf32<{side}>" if on_tensor_cores else f"multiply<{type_name(x.dtype)}, {side}>"
    threads = side * side // (32 if on_tensor_cores else 16)
    left, right = operand(x), operand(y)
    sizes = (a, n, k, m, *_steps(left), *_steps(right), depth)
    grid = -(-n // side) * -(-m // side) * a * strips
    SOURCE.launch(kernel, (grid,), (threads,), left.array, right.array, into, *map(np.int64, sizes))
    return reduction.sum_rows(into).reshape(result.shape) if strips > 1 else result


def tiling(a: int, n: int, k: int, m: int, sides: tuple[int, ...]) -> tuple[int, int]:
    """The side of the tiles, and how much of k a block takes: by the shape alone, as it decides in which order k is
    summed."""
    tiles = [a * -(-n // side) * -(-m // side) for side in sides]
    chosen = next((i for i, count in enumerate(tiles) if count >= ENOUGH), len(sides) - 1)
    strips = max(1, min(k // STRIP, ENOUGH // tiles[chosen]))
    return sides[chosen], -(-max(k, 1) // (strips * DEPTH)) * DEPTH


def _steps(x: Operand) -> tuple[int, int, int]:
    """Numbers from a matrix, a row and a column of the operand to the next."""
    columns = x.array.shape[2]
    return (x.stride, 1, columns) if x.transposed else (x.stride, columns, 1)
