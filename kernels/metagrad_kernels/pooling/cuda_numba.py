"""CUDA in Python: a thread for one number of the result, which it gathers from the cells or windows that it needs.

A window's cell (a, b) is the pixel (y + a, z + b) of the image. No two threads write to one number, so the transposes
go over the windows that cover their pixel instead of adding to the pixels of a window.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import cuda

from ..cuda_numba import INT, Kernel, array, device
from ..dispatch import FLOATS
from ..launch import namespace
from . import index_type

if TYPE_CHECKING:
    from . import Pair, PairOfPairs

THREADS = 128


def max_pool(x: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> tuple[Any, Any]:
    xp = namespace(x)
    values = xp.empty((len(x), *size, x.shape[3]), x.dtype)
    indices = xp.empty(values.shape, index_type(window))
    _run(MAX_POOL, (x,), (values, indices), window, stride, padding)
    return values, indices


def window_gather(x: Any, indices: Any, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    cells = namespace(x).empty(indices.shape, x.dtype)
    _run(WINDOW_GATHER, (x, indices), (cells,), window, stride, padding)
    return cells


def window_scatter(g: Any, indices: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    images = namespace(g).empty((len(g), *size, g.shape[3]), g.dtype)
    _run(WINDOW_SCATTER, (g, indices), (images,), window, stride, padding)
    return images


def avg_pool(x: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    means = namespace(x).empty((len(x), *size, x.shape[3]), x.dtype)
    _run(AVG_POOL, (x,), (means,), window, stride, padding, x.dtype.type(1 / math.prod(window)))
    return means


def avg_pool_transpose(g: Any, size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Any:
    images = namespace(g).empty((len(g), *size, g.shape[3]), g.dtype)
    _run(AVG_POOL_TRANSPOSE, (g,), (images,), window, stride, padding, g.dtype.type(1 / math.prod(window)))
    return images


def _run(
    kernel: Kernel,
    reads: tuple[Any, ...],
    writes: tuple[Any, ...],
    window: Pair,
    stride: Pair,
    padding: PairOfPairs,
    *share: Any,
) -> None:
    arrays = *map(namespace(writes[0]).ascontiguousarray, reads), *writes
    (top, _), (left, _) = padding
    blocks = -(-writes[0].size // THREADS)
    if blocks:
        kernel.launch((blocks,), (THREADS,), *arrays, *window, *stride, top, left, *share)


# From here on the code is compiled, for a GPU.


@device
def place(k: int, shape: Any) -> Any:
    """The k-th place of an array of four axes."""
    rest, c = divmod(k, shape[3])
    rest, j = divmod(rest, shape[2])
    n, i = divmod(rest, shape[1])
    return n, i, j, c


def _max_pool(x: Any, values: Any, indices: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int) -> None:
    k = cuda.grid(1)
    if k < values.size:
        n, i, j, c = place(k, values.shape)
        y, z = i * sh - top, j * sw - left
        first_a, first_b = max(-y, 0), max(-z, 0)
        best, index = x[n, y + first_a, z + first_b, c], first_a * kw + first_b
        for a in range(first_a, min(kh, x.shape[1] - y)):
            for b in range(first_b, min(kw, x.shape[2] - z)):
                pixel = x[n, y + a, z + b, c]
                if pixel > best or (math.isnan(pixel) and not math.isnan(best)):
                    best, index = pixel, a * kw + b
        values[n, i, j, c] = best
        indices[n, i, j, c] = index


def _window_gather(x: Any, indices: Any, cells: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int) -> None:
    k = cuda.grid(1)
    if k < cells.size:
        n, i, j, c = place(k, cells.shape)
        a, b = divmod(np.int64(indices[n, i, j, c]), kw)
        y, z = i * sh - top + a, j * sw - left + b
        inside = a < kh and 0 <= y < x.shape[1] and 0 <= z < x.shape[2]
        cells[n, i, j, c] = x[n, y, z, c] if inside else 0


def _window_scatter(g: Any, indices: Any, images: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int) -> None:
    k = cuda.grid(1)
    if k < images.size:
        n, y, z, c = place(k, images.shape)
        y, z = y + top, z + left
        total = images.dtype.type(0)
        for i in range(max((y - kh) // sh + 1, 0), min(y // sh + 1, g.shape[1])):
            for j in range(max((z - kw) // sw + 1, 0), min(z // sw + 1, g.shape[2])):
                if indices[n, i, j, c] == (y - i * sh) * kw + z - j * sw:
                    total += g[n, i, j, c]
        images[n, y - top, z - left, c] = total


def _avg_pool(x: Any, means: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, share: Any) -> None:
    k = cuda.grid(1)
    if k < means.size:
        n, i, j, c = place(k, means.shape)
        y, z = i * sh - top, j * sw - left
        total = means.dtype.type(0)
        for a in range(max(-y, 0), min(kh, x.shape[1] - y)):
            for b in range(max(-z, 0), min(kw, x.shape[2] - z)):
                total += x[n, y + a, z + b, c]
        means[n, i, j, c] = total * share


def _avg_pool_transpose(
    g: Any, images: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, share: Any
) -> None:
    k = cuda.grid(1)
    if k < images.size:
        n, y, z, c = place(k, images.shape)
        y, z = y + top, z + left
        total = images.dtype.type(0)
        for i in range(max((y - kh) // sh + 1, 0), min(y // sh + 1, g.shape[1])):
            for j in range(max((z - kw) // sw + 1, 0), min(z // sw + 1, g.shape[2])):
                total += g[n, i, j, c]
        images[n, y - top, z - left, c] = total * share


_REAL = [array(dtype, 4) for dtype in FLOATS]
_INDEX = [array(dtype, 4) for dtype in ("uint8", "uint16", "uint32")]
_SIZES = (INT,) * 6
MAX_POOL = Kernel(_max_pool, [(x, x, index, *_SIZES) for x in _REAL for index in _INDEX])
WINDOW_GATHER = Kernel(_window_gather, [(x, index, x, *_SIZES) for x in _REAL for index in _INDEX])
WINDOW_SCATTER = Kernel(_window_scatter, [(g, index, g, *_SIZES) for g in _REAL for index in _INDEX])
AVG_POOL = Kernel(_avg_pool, [(x, x, *_SIZES, x.dtype) for x in _REAL])
AVG_POOL_TRANSPOSE = Kernel(_avg_pool_transpose, [(g, g, *_SIZES, g.dtype) for g in _REAL])
