"""The loops of the convolution, compiled for one signature: tiles by the addresses of their rows.

Addresses are integers; a row of zeros stands where the image ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tile import ROWS, VECTOR_BYTES, gathered, outer, turned, vectors_for

CHUNK = 1024
"""Pixels whose products are summed before the next are read: their cotangents stay in the cache."""


def border(x: Any, bordered: Any, top: int, left: int, begin: int, end: int) -> None:
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


def transpose(w: Any, target: Any, begin: int, end: int) -> None:
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


def gather_tiles(
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
    """Tiles [begin, end) of out[t, n, pixels[q]] = start[t] + sum over l of a[t, n, sources[l, q]] @ b[t, taps[l]], by
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
        filled = -1
        while unit < last:
            if q + ROWS <= count:  # pixels of one image, whose sources lie one behind the other
                base = a.ctypes.data + (t * n + image) * a.shape[2] * a_step
                for m in range(ROWS):
                    results[m] = (t * n + image) * out.shape[2] + pixels[first_pixel + q + m]
                for k in range(steps):
                    brought = sources[first_source + k * count + q :]
                    for m in range(ROWS):
                        rows[k, m] = zeros.ctypes.data if brought[m] < 0 else base + brought[m] * a_step
                q += ROWS
                if q == count:
                    image, q = image + 1, 0
            else:
                for m in range(ROWS):
                    if image < n:
                        bases[m] = a.ctypes.data + (t * n + image) * a.shape[2] * a_step
                        firsts[m] = first_source + q
                        results[m] = (t * n + image) * out.shape[2] + pixels[first_pixel + q]
                        q += 1
                        if q == count:
                            image, q = image + 1, 0
                    else:
                        bases[m], firsts[m], results[m] = bases[0], firsts[0], -1
                for k in range(steps):
                    for m in range(ROWS):
                        source = sources[firsts[m] + k * count]
                        rows[k, m] = zeros.ctypes.data if source < 0 else bases[m] + source * a_step
            j = 0
            while j < width:
                vectors = vectors_for(width - j, VECTOR_BYTES // size)
                here = vectors * VECTOR_BYTES // size
                if j != filled:
                    for k in range(steps):
                        b_rows[k] = b.ctypes.data + ((t * b.shape[1] + taps[first_tap + k]) * depth * width + j) * size
                    filled = j
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


def add_rows(
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


def outer_tiles(x: Any, g: Any, w: Any, table: Any, begin: int, end: int) -> None:
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
