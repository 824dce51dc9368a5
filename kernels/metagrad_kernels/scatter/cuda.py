"""CUDA C++: a block owns some rows of the result and looks for what is theirs, so that each sum has one order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import Source, namespace, type_name

SOURCE = Source(
    __file__,
    "scatter.cu",
    {"last_writer": 32} | {f"scatter_add<{t}>": 48 for t in ("float", "double", "long")},
)
THREADS = 256


def scatter_add(x: Any, index: Any, size: int) -> Any:
    xp, (n, width) = namespace(x), x.shape
    sums = xp.empty((size, width), x.dtype)
    if sums.size:
        columns = min(THREADS, 1 << (width - 1).bit_length())
        grid = (-(-size // (THREADS // columns)), -(-width // columns))
        arrays = [xp.ascontiguousarray(x), xp.ascontiguousarray(index), sums]
        numbers = [np.int64(n), np.int64(size), np.int64(width), np.int32(columns)]
        SOURCE.launch(f"scatter_add<{type_name(x.dtype)}>", grid, (THREADS,), *arrays, *numbers)
    return sums


def last_writer(index: Any, size: int) -> Any:
    xp, n = namespace(index), index.shape[0]
    found = xp.full((size,), -1, np.int64)
    if n and size:
        arrays = [xp.ascontiguousarray(index), found]
        SOURCE.launch("last_writer", (-(-n // THREADS),), (THREADS,), *arrays, np.int64(n))
    return found
