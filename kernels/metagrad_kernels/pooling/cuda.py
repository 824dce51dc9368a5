"""CUDA C++: a thread for 16 bytes of the result where channels and addresses allow, else for one number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..launch import Source, aligned, namespace, type_name
from . import index_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from . import Pair, PairOfPairs

THREADS = 128


def _entries() -> Iterator[str]:
    for real, wide in (("float", 4), ("double", 2)):
        for index, width in (("char", wide), ("char", 1), ("short", 1), ("int", 1)):
            for kernel in ("max_pool", "window_gather", "window_scatter"):
                yield f"{kernel}<{real}, unsigned {index}, {width}>"
        for width in (wide, 1):
            for kernel in ("avg_pool", "avg_pool_transpose"):
                yield f"{kernel}<{real}, {width}>"


SOURCE = Source(__file__, "pooling.cu", dict.fromkeys(_entries(), 64))


def max_pool(x: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> tuple[Any, Any]:
    xp = namespace(x)
    values = xp.empty((len(x), *size, x.shape[3]), x.dtype)
    indices = xp.empty(values.shape, index_type(window))
    _run("max_pool", [x], [values, indices], x.shape, size, window, stride, padding)
    return values, indices


def window_gather(x: Any, indices: Any, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    cells = namespace(x).empty(indices.shape, x.dtype)
    _run("window_gather", [x, indices], [cells], x.shape, indices.shape[1:3], window, stride, padding)
    return cells


def window_scatter(g: Any, indices: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    images = namespace(g).empty((len(g), *size, g.shape[3]), g.dtype)
    _run("window_scatter", [g, indices], [images], images.shape, g.shape[1:3], window, stride, padding)
    return images


def avg_pool(x: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    means = namespace(x).empty((len(x), *size, x.shape[3]), x.dtype)
    share = x.dtype.type(1 / math.prod(window))
    _run("avg_pool", [x], [means], x.shape, size, window, stride, padding, share)
    return means


def avg_pool_transpose(g: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    images = namespace(g).empty((len(g), *size, g.shape[3]), g.dtype)
    share = g.dtype.type(1 / math.prod(window))
    _run("avg_pool_transpose", [g], [images], images.shape, g.shape[1:3], window, stride, padding, share)
    return images


def _run(
    kernel: str,
    reads: list[Any],
    writes: list[Any],
    images: tuple[int, ...],
    windows: Pair,
    window: Pair,
    stride: Pair,
    padding: PairOfPairs,
    *share: Any,
) -> None:
    result = writes[0]
    if not result.size:
        return
    arrays = [*map(namespace(result).ascontiguousarray, reads), *writes]
    types = [type_name(result.dtype), *[type_name(a.dtype) for a in arrays if a.dtype.kind == "u"]]
    n, rows, columns, channels = result.shape
    width = _width(arrays, channels)
    length = columns * (channels // width)
    across = min(THREADS, 1 << (length - 1).bit_length())
    down = THREADS // across
    grid = -(-n * rows // down), min(-(-length // across), 65535)
    (top, _), (left, _) = padding
    sizes = map(np.int32, (*images[1:3], *windows, channels, *window, *stride, top, left))
    entry = f"{kernel}<{', '.join(types)}, {width}>"
    SOURCE.launch(entry, grid, (across, down), *arrays, np.int64(n), *sizes, *share)


def _width(arrays: list[Any], channels: int) -> int:
    """How many channels a thread makes: those that one access of 16 bytes moves, or 1."""
    width = 16 // max(a.itemsize for a in arrays)
    fits = channels % width == 0 and aligned(*arrays)
    return width if fits and all(a.dtype.kind == "f" or a.itemsize == 1 for a in arrays) else 1
