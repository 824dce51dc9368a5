"""CUDA C++: a block owns some rows of the result and looks for what is theirs, so that each sum has one order.

It reads the whole index: nothing is sorted, which CUDA's libraries do not do while a graph is captured, and an index of
meta-learning is short. Where the result is small and the index long, strips of the index have blocks of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dispatch import FLOATS
from ..launch import Source, aligned, namespace, type_name
from ..reduction import cuda as reduction

_UNITS = {16: "uint4", 8: "long", 4: "int", 2: "unsigned short", 1: "unsigned char"}
SOURCE = Source(
    __file__,
    "scatter.cu",
    {
        "last_writer": 32,
        **{f"scatter_add<{t}>": 48 for t in ("float", "double", "long")},
        **{f"gather<{unit}>": 40 for unit in _UNITS.values()},
    },
)
THREADS = 256
ENOUGH = 264
"""Blocks that keep a GPU busy."""
STRIP = 1024
"""The least of an index that is worth a block of its own."""


def scatter_add(x: Any, index: Any, size: int) -> Any:
    xp, (n, width) = namespace(x), x.shape
    sums = xp.empty((size, width), x.dtype)
    if not sums.size:
        return sums
    columns = min(THREADS, 1 << (width - 1).bit_length())
    across, down = -(-width // columns), -(-size // (THREADS // columns))
    strips = max(1, min(n // STRIP, ENOUGH // (across * down))) if x.dtype in FLOATS else 1
    depth = max(1, -(-n // strips))
    into = xp.empty((1, strips, sums.size), x.dtype) if strips > 1 else sums
    numbers = (*map(np.int64, (n, size, width, depth)), np.int32(columns))
    arrays = (xp.ascontiguousarray(x), xp.ascontiguousarray(index), into)
    SOURCE.launch(f"scatter_add<{type_name(x.dtype)}>", (down, across, strips), (THREADS,), *arrays, *numbers)
    return reduction.sum_rows(into).reshape(sums.shape) if strips > 1 else sums


def last_writer(index: Any, size: int) -> Any:
    xp, n = namespace(index), index.shape[0]
    found = xp.full((size,), -1, np.int64)
    if n and size:
        arrays = [xp.ascontiguousarray(index), found]
        SOURCE.launch("last_writer", (-(-n // THREADS),), (THREADS,), *arrays, np.int64(n), np.int64(size))
    return found


def gather(x: Any, index: Any) -> Any:
    xp, (size, columns), (n,) = namespace(x), x.shape, index.shape
    x, rows = xp.ascontiguousarray(x), xp.empty((n, columns), x.dtype)
    if rows.size:
        length = columns * x.dtype.itemsize
        unit = next(unit for unit in _UNITS if length % unit == 0 and aligned(x, to=unit))
        width = length // unit
        numbers = map(np.int64, (n, size, width))
        grid = (-(-n * width // THREADS),)
        SOURCE.launch(f"gather<{_UNITS[unit]}>", grid, (THREADS,), x, xp.ascontiguousarray(index), rows, *numbers)
    return rows
