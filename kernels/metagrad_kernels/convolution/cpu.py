"""Numba: each result is made of register tiles that read the images where they lie, on all cores.

A tile reads, for each tap of the window, the channels of one pixel. Images with very few channels get a border of zeros
instead, so that a whole row of the window, which lies in one piece, is read at once; and a tile of their gradient is
what windows bring to a row of taps, which is then added up where windows meet. Weights and cotangents are padded to
whole vectors of channels.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import types

from ..jit import const, mutable
from ..threads import Kernel
from ..tile import ROWS, lanes
from . import loops
from .geometry import backward, forward, forward_rows, kept, sources, window_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .geometry import Gathering, Geometry, Pair

FEW = 8
"""Images with fewer channels are read and made by rows of the window: a tap alone would bring too little work."""
PART = 4096
"""Pixels of a task, at least, whose products have a sum of their own, so that other threads sum the others."""
MOST_PARTS = 64
"""Of a task."""
FLOP = 0.02
"""Nanoseconds of a multiplication and an addition, to tell what is worth another thread."""
_INT64 = np.dtype(np.int64)


def convolution(
    x: NDArray[Any], w: NDArray[Any], geometry: Geometry, bias: NDArray[Any] | None = None, precision: str = "float32"
) -> NDArray[Any]:
    tasks, kh, kw, _, o = w.shape
    y = np.empty((tasks, x.shape[1], *geometry.output_size(x.shape[2:4], (kh, kw)), o), x.dtype)
    pixels, by_rows, depth = _reading(x, geometry, (kh, kw))
    b = _whole_vectors(w.reshape(tasks, kh if by_rows else kh * kw, depth, o))
    plan = _plan(geometry, x.shape[2:4], (kh, kw), forward_rows if by_rows else forward, x.shape[1])
    _gather(pixels, b, y, plan, None if bias is None else _whole_vectors(bias))
    return y


def input_gradient(
    g: NDArray[Any], w: NDArray[Any], geometry: Geometry, size: Pair, precision: str = "float32"
) -> NDArray[Any]:
    tasks, kh, kw, c, o = w.shape
    n, (h, wide) = g.shape[1], size
    x = np.empty((tasks, n, h, wide, c), g.dtype)
    g, w = np.ascontiguousarray(g), np.ascontiguousarray(w)
    if c >= FEW or kw == 1:
        b = _transposed(w.reshape(tasks, kh * kw, c, o))
        _gather(_flat(g), b, x, _plan(geometry, size, (kh, kw), backward, n))
    elif x.size:
        b = _transposed(w.reshape(tasks, kh, kw * c, o))
        (top, _), (left, _) = geometry.padding
        moves = kw, *geometry.stride, top, left, *geometry.dilation
        cost = FLOP * math.prod(g.shape[2:]) * kh / h * b.shape[-1]
        _kernel(loops.add_rows, x.dtype, c)(g, b, x, *moves, units=tasks * n * h, cost=cost)
    return x


def weight_gradient(
    x: NDArray[Any], g: NDArray[Any], geometry: Geometry, window: Pair, precision: str = "float32"
) -> NDArray[Any]:
    tasks, n, _, _, c = x.shape
    o = g.shape[-1]
    pixels, by_rows, depth = _reading(x, geometry, window)
    table = (window_rows if by_rows else sources)(geometry, x.shape[2:4], window)
    b = _whole_vectors(g.reshape(tasks, n, g.shape[2] * g.shape[3], o))
    parts = max(1, min(MOST_PARTS, n * len(table) // PART))
    rows = max(depth, ROWS)  # a tile reads so many elements, and those beyond the depth are left out at the end
    w = np.zeros((tasks, parts, table.shape[1], rows, b.shape[-1]), x.dtype)
    if x.size and b.size:
        units = tasks * parts * table.shape[1] * -(-rows // ROWS)
        cost = FLOP * ROWS * n * len(table) / parts * b.shape[-1]
        _kernel(loops.outer_tiles, x.dtype)(pixels, b, w, table, units=units, cost=cost)
    total = w.sum(axis=1) if parts > 1 else w[:, 0]
    return np.ascontiguousarray(total[:, :, :depth, :o]).reshape(tasks, *window, c, o)


class _Reading(NamedTuple):
    """How tiles read images: `depth` elements from a pixel on, those of a whole row of the window or those of a tap."""

    pixels: NDArray[Any]
    by_rows: bool
    depth: int


def _reading(x: NDArray[Any], geometry: Geometry, window: Pair) -> _Reading:
    c = x.shape[-1]
    if c < FEW and geometry.dilation[1] == 1:
        return _Reading(_flat(_with_border(x, geometry.padding)), True, window[1] * c)
    x = np.ascontiguousarray(x) if c >= ROWS else _with_border(x, ((0, 0), (0, 0)))
    return _Reading(_flat(x), False, c)


def _with_border(x: NDArray[Any], padding: tuple[Pair, Pair]) -> NDArray[Any]:
    """The images with zeros around them, in memory that goes on for ROWS elements after the last."""
    tasks, n, h, wide, c = x.shape
    (top, bottom), (left, right) = padding
    shape = tasks, n, top + h + bottom, left + wide + right, c
    memory = np.empty(math.prod(shape) + ROWS, x.dtype)
    memory[-ROWS:] = 0
    bordered = memory[:-ROWS].reshape(shape)
    if bordered.size:
        rows = (v.reshape(tasks * n, v.shape[2], -1) for v in (np.ascontiguousarray(x), bordered))
        _kernel(loops.border, x.dtype)(*rows, top, left * c, units=tasks * n, cost=0.15 * math.prod(shape[2:]))
    return bordered


def _flat(x: NDArray[Any]) -> NDArray[Any]:
    """(tasks, n, pixels, channels)."""
    tasks, n, h, wide, c = x.shape
    return x.reshape(tasks, n, h * wide, c)


class _Plan(NamedTuple):
    """A gathering for some number of images, with the tiles of a task and the taps that they meet in all."""

    gathering: Gathering
    tiles: int
    taps: int


@kept
def _plan(
    geometry: Geometry, size: Pair, window: Pair, gatherings: Callable[..., tuple[Gathering, ...]], n: int
) -> _Plan:
    """The gathering whose tiles meet the fewest taps."""

    def planned(gathering: Gathering) -> _Plan:
        counts, taps = gathering.phases.T
        tiles = -(-n * counts // ROWS)
        return _Plan(gathering, int(tiles.sum()), int(tiles @ taps))

    return min(map(planned, gatherings(geometry, size, window)), key=lambda plan: plan.taps)


def _gather(
    a: NDArray[Any], b: NDArray[Any], out: NDArray[Any], plan: _Plan, start: NDArray[Any] | None = None
) -> None:
    """Fill `out`, all of whose pixels the plan names, with sums that start at (tasks, columns), or at 0."""
    if not out.size:
        return
    tasks, _, depth, columns = b.shape
    zeros = np.zeros(depth, a.dtype)
    start = np.zeros((tasks, columns), a.dtype) if start is None else start
    cost = FLOP * ROWS * depth * columns * plan.taps / plan.tiles
    kernel = _kernel(loops.gather_tiles, a.dtype)
    kernel(a, b, _flat(out), *plan.gathering, start, zeros, units=tasks * plan.tiles, cost=cost)


def _whole_vectors(x: NDArray[Any]) -> NDArray[Any]:
    """Contiguous, the last axis padded with zeros to a multiple of the vector's lanes."""
    lack = -x.shape[-1] % lanes(x.itemsize)
    return np.ascontiguousarray(np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, lack)]) if lack else x)


def _transposed(w: NDArray[Any]) -> NDArray[Any]:
    """The matrices (c, o) of (tasks, k, c, o) as (o, c), with c filled up to whole vectors by whatever it is."""
    tasks, k, c, o = w.shape
    target = np.empty((tasks, k, o, c + -c % lanes(w.itemsize)), w.dtype)
    _kernel(loops.transpose, w.dtype)(w, target, units=tasks * k, cost=0.15 * c * o)
    return target


@functools.cache
def _kernel(function: Callable[..., None], dtype: np.dtype[Any], *compiled_in: int) -> Kernel:
    read, written, table, row = const(dtype, 4), mutable(dtype, 4), const(_INT64, 2), const(_INT64, 1)
    arguments = {
        loops.border: (const(dtype, 3), mutable(dtype, 3), types.intp, types.intp),
        loops.transpose: (read, written),
        loops.gather_tiles: (read, read, written, table, row, row, row, const(dtype, 2), const(dtype, 1)),
        loops.add_rows: (const(dtype, 5), read, mutable(dtype, 5), *compiled_in, *[types.intp] * 7),
        loops.outer_tiles: (read, read, mutable(dtype, 5), table),
    }[function]
    return Kernel(function, *arguments)
