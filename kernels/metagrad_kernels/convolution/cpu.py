"""Numba: each result is made of register tiles that read the images where they lie, on all cores.

Nothing is copied but what would waste lanes: weights and cotangents with a number of channels that fills no vector are
padded, and images with very few channels are first laid out as columns, one for each tap and channel.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types

from ..jit import compiled, const, mutable
from ..threads import parallel
from ..tile import ROWS, VECTOR_BYTES, gathered, lanes, outer, turned, vectors_for
from .geometry import Geometry, backward_phases, forward_phases, sources

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .geometry import Pair, Phase

FEW = 8
"""Images with fewer channels are laid out as columns: a tap would bring too little work."""
CHUNK = 1024
"""Pixels whose products are summed before the next are read: their cotangents stay in the cache."""
_POINT = Geometry()
_INT64 = np.dtype(np.int64)


def convolution(x: NDArray[Any], w: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    tasks, kh, kw, c, o = w.shape
    size = geometry.output_size(x.shape[2:4], (kh, kw))
    if c < FEW and (kh, kw) != (1, 1):
        return convolution(_columns(x, geometry, (kh, kw)), w.reshape(tasks, 1, 1, kh * kw * c, o), _POINT)
    y = np.empty((tasks, x.shape[1], *size, o), x.dtype)
    b = _whole_vectors(w.reshape(tasks, kh * kw, c, o))
    _gather(x, b, y, forward_phases(geometry, x.shape[2:4], (kh, kw)))
    return y


def input_gradient(g: NDArray[Any], w: NDArray[Any], geometry: Geometry, size: Pair) -> NDArray[Any]:
    tasks, kh, kw, c, o = w.shape
    if c < FEW and (kh, kw) != (1, 1):
        columns = input_gradient(g, w.reshape(tasks, 1, 1, kh * kw * c, o), _POINT, g.shape[2:4])
        return _fold(columns, geometry, (kh, kw), size)
    x = np.empty((tasks, g.shape[1], *size, c), g.dtype)
    b = _transposed(np.ascontiguousarray(w).reshape(tasks, kh * kw, c, o))
    _gather(g, b, x, backward_phases(geometry, size, (kh, kw)))
    return x


def weight_gradient(x: NDArray[Any], g: NDArray[Any], geometry: Geometry, window: Pair) -> NDArray[Any]:
    tasks, n, h, wide, c = x.shape
    o = g.shape[-1]
    if c < FEW and window != (1, 1):
        w = weight_gradient(_columns(x, geometry, window), g, _POINT, (1, 1))
        return w.reshape(tasks, *window, c, o)
    if c < ROWS:  # a tile reads so many channels
        x = np.pad(x, [(0, 0)] * 4 + [(0, ROWS - c)])
    table = sources(geometry, (h, wide), window)
    b = _whole_vectors(g.reshape(tasks, n, g.shape[2] * g.shape[3], o))
    w = np.zeros((tasks, window[0] * window[1], x.shape[-1], b.shape[-1]), x.dtype)
    x = np.ascontiguousarray(x).reshape(tasks, n, h * wide, x.shape[-1])
    units = tasks * w.shape[1] * -(-w.shape[2] // ROWS)
    kernel = _kernel(_outer_tiles, x.dtype)
    zeros = np.zeros(w.shape[2], x.dtype)
    if x.size and b.size:
        parallel(lambda begin, end: kernel(x, b, w, table, zeros, begin, end), units)
    return np.ascontiguousarray(w[:, :, :c, :o]).reshape(tasks, *window, c, o)


def _gather(a: NDArray[Any], b: NDArray[Any], out: NDArray[Any], phases: tuple[Phase, ...]) -> None:
    """Fill `out`, all of whose pixels the phases name."""
    tasks, n = a.shape[:2]
    a = np.ascontiguousarray(a).reshape(tasks, n, a.shape[2] * a.shape[3], a.shape[4])
    flat = out.reshape(tasks, n, out.shape[2] * out.shape[3], out.shape[4])
    kernel = _kernel(_gather_tiles, a.dtype)
    zeros = np.zeros(a.shape[-1], a.dtype)
    if not out.size:
        return
    for phase in phases:
        units = tasks * -(-n * len(phase.pixels) // ROWS)
        parallel(lambda begin, end, phase=phase: kernel(a, b, flat, *phase, zeros, begin, end), units)  # type: ignore[misc]


def _whole_vectors(x: NDArray[Any]) -> NDArray[Any]:
    """Contiguous, the last axis padded with zeros to a multiple of the vector's lanes."""
    lack = -x.shape[-1] % lanes(x.itemsize)
    return np.ascontiguousarray(np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, lack)]) if lack else x)


def _transposed(w: NDArray[Any]) -> NDArray[Any]:
    """The matrices (c, o) of (tasks, k, c, o) as (o, c in whole vectors)."""
    tasks, k, c, o = w.shape
    target = np.zeros((tasks, k, o, c + -c % lanes(w.itemsize)), w.dtype)
    kernel = _kernel(_transpose, w.dtype)
    parallel(lambda begin, end: kernel(w, target, begin, end), tasks * k)
    return target


def _columns(x: NDArray[Any], geometry: Geometry, window: Pair) -> NDArray[Any]:
    """The images as (tasks, n, oh, ow, kh * kw * c): what stands under the window at each output pixel."""
    tasks, n, h, wide, c = x.shape
    high, width = geometry.output_size((h, wide), window)
    padded = np.pad(x, ((0, 0), (0, 0), *geometry.padding, (0, 0)))
    a, b, i, j, k = padded.strides
    (s, t), (d, e) = geometry.stride, geometry.dilation
    shape, strides = (tasks, n, high, width, *window, c), (a, b, i * s, j * t, i * d, j * e, k)
    return np.lib.stride_tricks.as_strided(padded, shape, strides).reshape(tasks, n, high, width, math.prod(window) * c)


def _fold(columns: NDArray[Any], geometry: Geometry, window: Pair, size: Pair) -> NDArray[Any]:
    """The transpose of `_columns`: each column's entries added to the pixels that they came from."""
    tasks, n, high, width, depth = columns.shape
    c = depth // math.prod(window)
    columns = columns.reshape(tasks, n, high * width, math.prod(window), c)
    # Through the largest first index, -1 in the table names an extra pixel that is cut off.
    x = np.zeros((tasks, n, size[0] * size[1] + 1, c), columns.dtype)
    for tap, pixels in enumerate(sources(geometry, size, window).T):
        x[:, :, pixels] += columns[:, :, :, tap]  # within a tap no pixel comes twice, but for the extra one
    return np.ascontiguousarray(x[:, :, :-1]).reshape(tasks, n, *size, c)


@functools.cache
def _kernel(function: Callable[..., None], dtype: np.dtype[Any]) -> Any:
    array = const(dtype, 4)
    if function is _transpose:
        return compiled(function, types.void(array, mutable(dtype, 4), types.intp, types.intp))
    tables = [const(_INT64, 2)] if function is _outer_tiles else [const(_INT64, 1), const(_INT64, 1), const(_INT64, 2)]
    units = (types.intp, types.intp)
    return compiled(function, types.void(array, array, mutable(dtype, 4), *tables, const(dtype, 1), *units))


# From here on the code is compiled. Addresses are integers; a row of zeros stands where the image ends.


def _transpose(w: Any, target: Any, begin: int, end: int) -> None:
    """Matrices [begin, end), in squares of a vector's lanes; element by element where these do not fit."""
    _, k, c, o = w.shape
    size = w.itemsize
    side = VECTOR_BYTES // size
    step, target_step = o * size, target.shape[3] * size
    for unit in range(begin, end):
        here, there = w[unit // k, unit % k], target[unit // k, unit % k]
        for i in range(0, c, side):
            for j in range(0, o, side):
                if i + side <= c and j + side <= o:
                    source = here.ctypes.data + i * step + j * size
                    turned(w, source, step, there.ctypes.data + j * target_step + i * size, target_step)
                else:
                    for p in range(i, min(i + side, c)):
                        for q in range(j, min(j + side, o)):
                            there[q, p] = here[p, q]


def _gather_tiles(
    a: Any, b: Any, out: Any, pixels: Any, taps: Any, table: Any, zeros: Any, begin: int, end: int
) -> None:
    """Tiles [begin, end) of out[t, n, pixels[q]] = sum over l of a[t, n, table[q, l]] @ b[t, taps[l]].

    a (tasks, n, sources, depth), b (tasks, k, depth, columns in whole vectors), out (tasks, n, results, columns).
    """
    _, n, _, depth = a.shape
    size = a.itemsize
    width, columns = b.shape[3], out.shape[3]
    a_step, b_step, out_step = depth * size, width * size, columns * size
    per_task = -(-n * len(pixels) // ROWS)
    rows = np.empty((len(taps), ROWS), np.int64)
    results = np.empty(ROWS, np.int64)
    b_rows = np.empty(len(taps), np.int64)
    out_rows = np.empty(ROWS, np.int64)
    spill = np.empty((ROWS, 4 * VECTOR_BYTES // size), a.dtype)
    for unit in range(begin, end):
        t = unit // per_task
        for m in range(ROWS):
            image, q = divmod((unit - t * per_task) * ROWS + m, len(pixels))
            if image < n:
                base = a.ctypes.data + (t * n + image) * a.shape[2] * a_step
                for k in range(len(taps)):
                    source = table[q, k]
                    rows[k, m] = zeros.ctypes.data if source < 0 else base + source * a_step
                results[m] = out.ctypes.data + ((t * n + image) * out.shape[2] + pixels[q]) * out_step
            else:
                rows[:, m] = zeros.ctypes.data
                results[m] = 0
        j = 0
        while j < width:
            vectors = vectors_for(width - j, VECTOR_BYTES // size)
            here = vectors * VECTOR_BYTES // size
            for k in range(len(taps)):
                b_rows[k] = b.ctypes.data + ((t * b.shape[1] + taps[k]) * depth * width + j) * size
            whole = j + here <= columns
            for m in range(ROWS):
                direct = whole and results[m] != 0
                out_rows[m] = results[m] + j * size if direct else spill.ctypes.data + m * spill.shape[1] * size
            gathered(vectors, a, rows.ctypes.data, b_rows.ctypes.data, len(taps), depth, b_step, out_rows.ctypes.data)
            if not whole:
                for m in range(ROWS):
                    image, q = divmod((unit - t * per_task) * ROWS + m, len(pixels))
                    if image < n:
                        out[t, image, pixels[q], j:] = spill[m, : columns - j]
            j += here


def _outer_tiles(x: Any, g: Any, w: Any, table: Any, zeros: Any, begin: int, end: int) -> None:
    """Tiles [begin, end) of w[t, k] += sum over n, q of x[t, n, table[q, k]] g[t, n, q] (an outer product).

    x (tasks, n, sources, c), g (tasks, n, results, columns in whole vectors), w (tasks, taps, c, columns). The last
    tile of a tap is shifted back to end at c; the rows that it shares with the one before are spilled.
    """
    _, n, stored, c = x.shape
    size = x.itemsize
    results, width = g.shape[2], g.shape[3]
    x_step, g_step = c * size, width * size
    tiles = -(-c // ROWS)
    per_task = w.shape[1] * tiles
    addresses = np.empty(CHUNK, np.int64)
    out_rows = np.empty(ROWS, np.int64)
    spill = np.zeros((ROWS, 4 * VECTOR_BYTES // size), x.dtype)
    unit = begin
    while unit < end:
        t = unit // per_task
        last = min(end, (t + 1) * per_task)
        for start in range(0, n * results, CHUNK):
            count = min(CHUNK, n * results - start)
            before = -1
            for tile in range(unit - t * per_task, last - t * per_task):
                tap, part = divmod(tile, tiles)
                if tap != before:
                    before = tap
                    image, q = divmod(start, results)
                    base = x.ctypes.data + (t * n + image) * stored * x_step
                    for p in range(count):
                        source = table[q, tap]
                        addresses[p] = zeros.ctypes.data if source < 0 else base + source * x_step
                        q += 1
                        if q == results:
                            q = 0
                            base += stored * x_step
                first = min(part * ROWS, c - ROWS)
                j = 0
                while j < width:
                    vectors = vectors_for(width - j, VECTOR_BYTES // size)
                    for m in range(ROWS):
                        row = w.ctypes.data + (((t * w.shape[1] + tap) * c + first + m) * width + j) * size
                        shared = first + m < part * ROWS
                        out_rows[m] = spill.ctypes.data + m * spill.shape[1] * size if shared else row
                    b = g.ctypes.data + ((t * n * results + start) * width + j) * size
                    outer(vectors, x, addresses.ctypes.data, first * size, b, count, g_step, out_rows.ctypes.data)
                    j += vectors * VECTOR_BYTES // size
        unit = last
