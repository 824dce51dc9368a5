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
from ..tile import ROWS, VECTOR_BYTES, gathered, lanes, outer, turned, vectors_for
from .geometry import backward, forward, forward_rows, kept, sources, window_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .geometry import Gathering, Geometry, Pair

FEW = 8
"""Images with fewer channels are read and made by rows of the window: a tap alone would bring too little work."""
CHUNK = 1024
"""Pixels whose products are summed before the next are read: their cotangents stay in the cache."""
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
        _kernel(_add_rows, x.dtype, c)(g, b, x, *moves, units=tasks * n * h, cost=cost)
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
        _kernel(_outer_tiles, x.dtype)(pixels, b, w, table, units=units, cost=cost)
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
        _kernel(_border, x.dtype)(*rows, top, left * c, units=tasks * n, cost=0.15 * math.prod(shape[2:]))
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
    kernel = _kernel(_gather_tiles, a.dtype)
    kernel(a, b, _flat(out), *plan.gathering, start, zeros, units=tasks * plan.tiles, cost=cost)


def _whole_vectors(x: NDArray[Any]) -> NDArray[Any]:
    """Contiguous, the last axis padded with zeros to a multiple of the vector's lanes."""
    lack = -x.shape[-1] % lanes(x.itemsize)
    return np.ascontiguousarray(np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, lack)]) if lack else x)


def _transposed(w: NDArray[Any]) -> NDArray[Any]:
    """The matrices (c, o) of (tasks, k, c, o) as (o, c), with c filled up to whole vectors by whatever it is."""
    tasks, k, c, o = w.shape
    target = np.empty((tasks, k, o, c + -c % lanes(w.itemsize)), w.dtype)
    _kernel(_transpose, w.dtype)(w, target, units=tasks * k, cost=0.15 * c * o)
    return target


@functools.cache
def _kernel(function: Callable[..., None], dtype: np.dtype[Any], *compiled_in: int) -> Kernel:
    read, written, table, row = const(dtype, 4), mutable(dtype, 4), const(_INT64, 2), const(_INT64, 1)
    arguments = {
        _border: (const(dtype, 3), mutable(dtype, 3), types.intp, types.intp),
        _transpose: (read, written),
        _gather_tiles: (read, read, written, table, row, row, row, const(dtype, 2), const(dtype, 1)),
        _add_rows: (const(dtype, 5), read, mutable(dtype, 5), *compiled_in, *[types.intp] * 7),
        _outer_tiles: (read, read, mutable(dtype, 5), table),
    }[function]
    return Kernel(function, *arguments)


# From here on the code is compiled. Addresses are integers; a row of zeros stands where the image ends.


def _border(x: Any, bordered: Any, top: int, left: int, begin: int, end: int) -> None:
    """Images [begin, end), given by rows of numbers, with zeros around them."""
    h, wide = x.shape[1:]
    step = bordered.shape[2]
    for image in range(begin, end):
        source, target = x[image].reshape(-1), bordered[image].reshape(-1)
        target[: top * step + left] = 0
        for i in range(h):
            first = (top + i) * step + left
            row, pixels = target[first : first + step], source[i * wide : (i + 1) * wide]
            for j in range(wide):
                row[j] = pixels[j]
            for j in range(wide, len(row)):
                row[j] = 0
        target[(top + h) * step + left :] = 0


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
    a: Any,
    b: Any,
    out: Any,
    phases: Any,
    pixels: Any,
    taps: Any,
    sources: Any,
    start: Any,
    zeros: Any,
    begin: int,
    end: int,
) -> None:
    """Tiles [begin, end) of out[t, n, pixels[q]] = start[t] + sum over l of a[t, n, sources[q, l]] @ b[t, taps[l]], by
    phases.

    a (tasks, n, sources, step), read for `depth` elements on; b (tasks, k, depth, columns in whole vectors);
    out (tasks, n, results, columns).
    """
    n = a.shape[1]
    depth = b.shape[2]
    size = a.itemsize
    width, columns = b.shape[3], out.shape[3]
    a_step, b_step, out_step = a.shape[3] * size, width * size, columns * size
    rows = np.empty((b.shape[1], ROWS), np.int64)
    bases, firsts, results = np.empty(ROWS, np.int64), np.empty(ROWS, np.int64), np.empty(ROWS, np.int64)
    b_rows = np.empty(b.shape[1], np.int64)
    out_rows = np.empty(ROWS, np.int64)
    spill = np.empty((ROWS, 4 * VECTOR_BYTES // size), a.dtype)
    out_pixels = out.reshape(-1, columns)
    per_task = 0
    for phase in range(len(phases)):
        per_task += -(-n * phases[phase, 0] // ROWS)
    unit = begin
    while unit < end:
        t, tile = divmod(unit, per_task)
        first_pixel = first_tap = first_source = phase = 0
        while True:
            count, steps = phases[phase]
            tiles = -(-n * count // ROWS)
            if tile < tiles:
                break
            tile -= tiles
            first_pixel, first_tap, first_source = first_pixel + count, first_tap + steps, first_source + count * steps
            phase += 1
        image, q = divmod(tile * ROWS, count)
        last = min(end, unit + tiles - tile)
        while unit < last:
            for m in range(ROWS):
                if image < n:
                    bases[m] = a.ctypes.data + (t * n + image) * a.shape[2] * a_step
                    firsts[m] = first_source + q * steps
                    results[m] = (t * n + image) * out.shape[2] + pixels[first_pixel + q]
                    q += 1
                    if q == count:
                        image, q = image + 1, 0
                else:
                    bases[m], firsts[m], results[m] = bases[0], firsts[0], -1
            for k in range(steps):
                for m in range(ROWS):
                    source = sources[firsts[m] + k]
                    rows[k, m] = zeros.ctypes.data if source < 0 else bases[m] + source * a_step
            j = 0
            while j < width:
                vectors = vectors_for(width - j, VECTOR_BYTES // size)
                here = vectors * VECTOR_BYTES // size
                for k in range(steps):
                    b_rows[k] = b.ctypes.data + ((t * b.shape[1] + taps[first_tap + k]) * depth * width + j) * size
                whole = j + here <= columns
                for m in range(ROWS):
                    direct = out.ctypes.data + results[m] * out_step + j * size
                    spilled = spill.ctypes.data + m * spill.shape[1] * size
                    out_rows[m] = direct if whole and results[m] >= 0 else spilled
                first = start.ctypes.data + (t * width + j) * size
                gathered(
                    vectors, a, rows.ctypes.data, b_rows.ctypes.data, steps, depth, b_step, first, out_rows.ctypes.data
                )
                if not whole:
                    for m in range(ROWS):
                        if results[m] >= 0:
                            out_pixels[results[m], j:] = spill[m, : columns - j]
                j += here
            unit += 1


def _add_rows(
    g: Any, b: Any, x: Any, c: int, kw: int, s: int, t: int, top: int, left: int, d: int, e: int, begin: int, end: int
) -> None:
    """Rows [begin, end) of x. Each window over a row brings g @ b to kw pixels of it, and is added to those.

    g (tasks, n, oh, ow, o); b (tasks, kh, o, kw c in whole vectors); x (tasks, n, h, w, c). What several rows of
    windows bring is one sum. Padding (top, left), strides (s, t), dilations (d, e).
    """
    n, oh, ow, o = g.shape[1:]
    kh, width = b.shape[1], b.shape[3]
    h, wide = x.shape[2:4]
    size = x.itemsize
    g_step, b_step = o * size, width * size
    tiles = -(-ow // ROWS)
    windows, weights = np.empty(kh, np.int64), np.empty(kh, np.int64)
    rows = np.empty((kh, ROWS), np.int64)
    b_rows = np.empty(kh, np.int64)
    out_rows = np.empty(ROWS, np.int64)
    brought = np.empty((tiles * ROWS, width), x.dtype)
    zeros = np.zeros(width, x.dtype)
    start = zeros.ctypes.data
    for unit in range(begin, end):
        image, y = divmod(unit, h)
        taps = 0
        for a in range(kh):
            i, beside = divmod(y + top - a * d, s)
            if beside == 0 and 0 <= i < oh:
                windows[taps] = g.ctypes.data + (image * oh + i) * ow * g_step
                weights[taps] = b.ctypes.data + (image // n * kh + a) * o * b_step
                taps += 1
        for tile in range(tiles):
            for k in range(taps):
                for m in range(ROWS):  # those beyond the last bring what is not read
                    rows[k, m] = windows[k] + min(tile * ROWS + m, ow - 1) * g_step
            j = 0
            while j < width:
                vectors = vectors_for(width - j, VECTOR_BYTES // size)
                for k in range(taps):
                    b_rows[k] = weights[k] + j * size
                for m in range(ROWS):
                    out_rows[m] = brought.ctypes.data + (tile * ROWS + m) * b_step + j * size
                gathered(vectors, g, rows.ctypes.data, b_rows.ctypes.data, taps, o, b_step, start, out_rows.ctypes.data)
                j += vectors * VECTOR_BYTES // size
        row = x[image // n, image % n, y].reshape(-1)
        row[:] = 0
        for tap in range(kw):
            shift = tap * e - left
            first, last = max(0, -(shift // t)), min(ow, (wide - 1 - shift) // t + 1)
            source, target = brought[first:, tap * c :], row[(first * t + shift) * c :]
            for z in range(last - first):
                for channel in range(c):  # a number known to the compiler
                    target[z * t * c + channel] += source[z, channel]


def _outer_tiles(x: Any, g: Any, w: Any, table: Any, begin: int, end: int) -> None:
    """Tiles [begin, end) of w[t, part, k] += sum over n, q of x[t, n, table[q, k]] g[t, n, q] (an outer product).

    Each part sums over some of the pixels (n, q). x (tasks, n, sources, step), read for c elements on; g (tasks, n,
    results, columns in whole vectors); w (tasks, parts, taps, c, columns). The last tile of a tap is shifted back to
    end at c; the rows that it shares with the one before are spilled.
    """
    n, stored = x.shape[1:3]
    _, parts, taps, c, width = w.shape
    size = x.itemsize
    results = g.shape[2]
    pixels = n * results
    x_step, g_step = x.shape[3] * size, width * size
    tiles = -(-c // ROWS)
    per_part = taps * tiles
    x_rows = np.empty(CHUNK, np.int64)
    g_rows = np.empty(CHUNK, np.int64)
    out_rows = np.empty(ROWS, np.int64)
    spill = np.zeros((ROWS, 4 * VECTOR_BYTES // size), x.dtype)
    unit = begin
    while unit < end:
        done = unit // per_part
        t, part = divmod(done, parts)
        last = min(end, (done + 1) * per_part)
        stop = pixels * (part + 1) // parts
        for start in range(pixels * part // parts, stop, CHUNK):
            before = -1
            count = 0
            for tile in range(unit - done * per_part, last - done * per_part):
                tap, block = divmod(tile, tiles)
                if tap != before:
                    before = tap
                    count = 0
                    image, q = divmod(start, results)
                    base = x.ctypes.data + (t * n + image) * stored * x_step
                    for p in range(start, min(start + CHUNK, stop)):
                        source = table[q, tap]
                        if source >= 0:
                            x_rows[count] = base + source * x_step
                            g_rows[count] = g.ctypes.data + (t * pixels + p) * g_step
                            count += 1
                        q += 1
                        if q == results:
                            q = 0
                            base += stored * x_step
                first = min(block * ROWS, c - ROWS)
                j = 0
                while j < width:
                    vectors = vectors_for(width - j, VECTOR_BYTES // size)
                    for m in range(ROWS):
                        row = w.ctypes.data + (((done * taps + tap) * c + first + m) * width + j) * size
                        shared = first + m < block * ROWS
                        out_rows[m] = spill.ctypes.data + m * spill.shape[1] * size if shared else row
                    outer(
                        vectors,
                        x,
                        x_rows.ctypes.data,
                        first * size,
                        g_rows.ctypes.data,
                        j * size,
                        count,
                        out_rows.ctypes.data,
                    )
                    j += vectors * VECTOR_BYTES // size
        unit = last
