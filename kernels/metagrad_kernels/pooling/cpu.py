"""Numba: window after window with the channels innermost, the images shared among all cores.

Channels lie side by side, so every inner loop becomes vector instructions, and what a window reads again is still in
the cache: the time is that of going through memory once. A kernel works on the images from `begin` to `end`.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from ..jit import const, mutable
from ..threads import Kernel
from . import index_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from . import Pair, PairOfPairs


def max_pool(
    x: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs
) -> tuple[NDArray[Any], NDArray[Any]]:
    values = np.empty((len(x), *size, x.shape[3]), x.dtype)
    indices = np.empty(values.shape, index_type(window))
    _run(_max_pool, (x,), (values, indices), window, stride, padding)
    return values, indices


def window_gather(
    x: NDArray[Any], indices: NDArray[Any], window: Pair, stride: Pair, padding: PairOfPairs
) -> NDArray[Any]:
    cells = np.empty(indices.shape, x.dtype)
    _run(_window_gather, (x, indices), (cells,), window, stride, padding, unrolled=True)
    return cells


def window_scatter(
    g: NDArray[Any], indices: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs
) -> NDArray[Any]:
    images = np.empty((len(g), *size, g.shape[3]), g.dtype)
    _run(_window_scatter, (g, indices), (images,), window, stride, padding)
    return images


def avg_pool(x: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> NDArray[Any]:
    means = np.empty((len(x), *size, x.shape[3]), x.dtype)
    _run(_avg_pool, (x,), (means,), window, stride, padding)
    return means


def avg_pool_transpose(g: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> NDArray[Any]:
    images = np.empty((len(g), *size, g.shape[3]), g.dtype)
    _run(_avg_pool_transpose, (g,), (images,), window, stride, padding)
    return images


def _run(
    function: Callable[..., None],
    reads: tuple[NDArray[Any], ...],
    writes: tuple[NDArray[Any], ...],
    window: Pair,
    stride: Pair,
    padding: PairOfPairs,
    unrolled: bool = False,
) -> None:
    """Run a kernel. Where it is `unrolled`, its window is compiled in."""
    dtypes = tuple(x.dtype for x in reads), tuple(x.dtype for x in writes)
    kernel = _kernel(function, *dtypes, window if unrolled else None)
    (top, _), (left, _) = padding
    arrays = *map(np.ascontiguousarray, reads), *writes
    pixels = max(math.prod(x.shape[1:]) for x in arrays)
    settings = *(() if unrolled else window), *stride, top, left
    kernel(*arrays, *settings, units=len(reads[0]), cost=0.5 * pixels)


@functools.cache
def _kernel(
    function: Callable[..., None],
    reads: tuple[np.dtype[Any], ...],
    writes: tuple[np.dtype[Any], ...],
    window: Pair | None,
) -> Kernel:
    arrays = [const(dtype, 4) for dtype in reads] + [mutable(dtype, 4) for dtype in writes]
    return Kernel(function, *arrays, *(window or [types.intp] * 2), *[types.intp] * 4)


# From here on the code is compiled. The cell (a, b) of the window (i, j) is the pixel (y + a, z + b) of the image.


def _max_pool(
    x: Any, values: Any, indices: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, begin: int, end: int
) -> None:
    rows, columns, channels = values.shape[1:]
    for image in range(begin, end):
        for i in range(rows):
            y = i * sh - top
            for j in range(columns):
                z = j * sw - left
                best, index = values[image, i, j], indices[image, i, j]
                a_first, b_first = max(-y, 0), max(-z, 0)
                best[:] = -np.inf
                index[:] = index.dtype.type(a_first * kw + b_first)
                for a in range(a_first, min(kh, x.shape[1] - y)):
                    for b in range(b_first, min(kw, x.shape[2] - z)):
                        cell = x[image, y + a, z + b]
                        place = index.dtype.type(a * kw + b)
                        for c in range(channels):
                            # True for a NaN, too, unless there was one before.
                            larger = not (cell[c] <= best[c]) and best[c] == best[c]
                            best[c] = cell[c] if larger else best[c]
                            index[c] = place if larger else index[c]


def _window_gather(
    x: Any, indices: Any, cells: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, begin: int, end: int
) -> None:
    height, width, channels = x.shape[1:]
    windows = cells.shape[1] * cells.shape[2]
    pixels, places, found = x.reshape(-1), indices.reshape(-1), cells.reshape(-1)
    for window in range(begin * windows, end * windows):
        image, number = window // windows, window % windows
        y, z = number // cells.shape[2] * sh - top, number % cells.shape[2] * sw - left
        own = np.uint64(window * channels)  # without a sign, or a negative index would be looked for
        for c in range(np.uint64(channels)):
            value = x.dtype.type(0)
            for a in range(kh):
                for b in range(kw):
                    inside = 0 <= y + a < height and 0 <= z + b < width
                    # Read in any case: then a choice among all cells is vector instructions.
                    cell = ((image * height + y + a) * width + z + b) * channels if inside else 0
                    pixel = pixels[np.uint64(cell) + c]
                    value = pixel if inside & (places[own + c] == a * kw + b) else value
            found[own + c] = value


def _window_scatter(
    g: Any, indices: Any, images: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, begin: int, end: int
) -> None:
    rows, columns, channels = g.shape[1:]
    zero = g.dtype.type(0)
    for image in range(begin, end):
        ready = 0
        for i in range(rows):
            y = i * sh - top
            ready = _clear(images[image], ready, y + kh)
            for j in range(columns):
                z = j * sw - left
                given, index = g[image, i, j], indices[image, i, j]
                for a in range(max(-y, 0), min(kh, images.shape[1] - y)):
                    for b in range(max(-z, 0), min(kw, images.shape[2] - z)):
                        cell = images[image, y + a, z + b]
                        place = index.dtype.type(a * kw + b)
                        for c in range(channels):
                            cell[c] += given[c] if index[c] == place else zero
        _clear(images[image], ready, images.shape[1])


def _avg_pool(
    x: Any, means: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, begin: int, end: int
) -> None:
    rows, columns, channels = means.shape[1:]
    share = x.dtype.type(1 / (kh * kw))
    for image in range(begin, end):
        for i in range(rows):
            y = i * sh - top
            for j in range(columns):
                z = j * sw - left
                mean = means[image, i, j]
                mean[:] = 0
                for a in range(max(-y, 0), min(kh, x.shape[1] - y)):
                    for b in range(max(-z, 0), min(kw, x.shape[2] - z)):
                        cell = x[image, y + a, z + b]
                        for c in range(channels):
                            mean[c] += cell[c]
                for c in range(channels):
                    mean[c] *= share


def _avg_pool_transpose(
    g: Any, images: Any, kh: int, kw: int, sh: int, sw: int, top: int, left: int, begin: int, end: int
) -> None:
    rows, columns, channels = g.shape[1:]
    share = g.dtype.type(1 / (kh * kw))
    for image in range(begin, end):
        ready = 0
        for i in range(rows):
            y = i * sh - top
            ready = _clear(images[image], ready, y + kh)
            for j in range(columns):
                z = j * sw - left
                given = g[image, i, j]
                for a in range(max(-y, 0), min(kh, images.shape[1] - y)):
                    for b in range(max(-z, 0), min(kw, images.shape[2] - z)):
                        cell = images[image, y + a, z + b]
                        for c in range(channels):
                            cell[c] += given[c] * share
        _clear(images[image], ready, images.shape[1])


@register_jitable
def _clear(image: Any, ready: int, end: int) -> int:
    """Zeros in the rows from `ready` to `end`, just before they are added to; from where to go on."""
    end = min(end, image.shape[0])
    for row in range(ready, end):
        image[row] = 0
    return max(ready, end)
