"""Numba: a few passes over the rows of one a after the other, which stay in the cache, on all cores."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import from_dtype, types

from ..columns import BLOCK, columns, flush, width
from ..jit import const, mutable
from ..threads import Kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]


def _rows_as_columns(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, with arrays (a, r, 1) handed on as (1, r, a): the kernels run along the last axis."""

    @functools.wraps(function)
    def wrapped(first: Array, *others: Any) -> Any:
        if first.shape[2] != 1 or first.shape[0] == 1:
            return function(first, *others)
        results = function(_swapped(first), *map(_swapped, others))
        if isinstance(results, tuple):
            return tuple(map(np.ascontiguousarray, map(_swapped, results)))
        return np.ascontiguousarray(_swapped(results))

    return wrapped


def _swapped(x: Any) -> Any:
    return x.swapaxes(0, -1) if isinstance(x, np.ndarray) else x


@_rows_as_columns
def standardize(x: Array, eps: float) -> tuple[Array, Array]:
    x = np.ascontiguousarray(x)
    y, s = np.empty_like(x), np.empty((x.shape[0], x.shape[2]), x.dtype)
    _run(_standardize, x, x.dtype.type(eps), y, s)
    return y, s


@_rows_as_columns
def pullback(y: Array, s: Array, g: Array) -> Array:
    h = np.empty(y.shape, y.dtype)
    _run(_pullback, *map(np.ascontiguousarray, (y, s, g)), h)
    return h


@_rows_as_columns
def pullback_gradients(y: Array, s: Array, g: Array, c: Array) -> tuple[Array, Array, Array]:
    of_y, of_s, of_g = np.empty(y.shape, y.dtype), np.empty(s.shape, s.dtype), np.empty(g.shape, g.dtype)
    _run(_pullback_gradients, *map(np.ascontiguousarray, (y, s, g, c)), of_y, of_s, of_g)
    return of_y, of_s, of_g


def _run(function: Callable[..., None], first: Array, *others: Any) -> None:
    """Run it on all units: one a and all its columns, or some where there are fewer a than threads."""
    a, _, b = first.shape
    wide = width(a, b, first.itemsize)
    units, cost = a * -(-b // wide), 0.5 * first.shape[1] * wide
    _kernel(function, first.dtype)(first, *others, wide, units=units, cost=cost)


@functools.cache
def _kernel(function: Callable[..., None], dtype: np.dtype[Any]) -> Kernel:
    given, scale, made = const(dtype, 3), const(dtype, 2), mutable(dtype, 3)
    arguments = {
        _standardize: (given, from_dtype(dtype), made, mutable(dtype, 2)),
        _pullback: (given, scale, given, made),
        _pullback_gradients: (given, scale, given, given, made, mutable(dtype, 2), made),
    }[function]
    return Kernel(function, *arguments, types.intp)


# From here on the code is compiled.


def _standardize(x: Any, eps: float, y: Any, s: Any, wide: int, begin: int, end: int) -> None:
    r, b = x.shape[1:]
    for unit in range(begin, end):
        a, first, last = columns(unit, b, wide)
        n = last - first
        scale = s[a, first:last]
        mean, sums, totals = np.empty(n, x.dtype), np.zeros(n, x.dtype), np.zeros(n)
        for i in range(r):
            row = x[a, i, first:last]
            for j in range(n):
                sums[j] += row[j]
            if i % BLOCK == BLOCK - 1 or i == r - 1:
                flush(sums, totals)
        for j in range(n):
            mean[j] = totals[j] / r
            totals[j] = 0
        for i in range(r):
            row = x[a, i, first:last]
            for j in range(n):
                sums[j] += (row[j] - mean[j]) ** 2
            if i % BLOCK == BLOCK - 1 or i == r - 1:
                flush(sums, totals)
        for j in range(n):
            scale[j] = 1 / math.sqrt(totals[j] / r + eps)
        for i in range(r):
            row, out = x[a, i, first:last], y[a, i, first:last]
            for j in range(n):
                out[j] = (row[j] - mean[j]) * scale[j]


def _pullback(y: Any, s: Any, g: Any, h: Any, wide: int, begin: int, end: int) -> None:
    r, b = y.shape[1:]
    for unit in range(begin, end):
        a, first, last = columns(unit, b, wide)
        n = last - first
        scale = s[a, first:last]
        g_sums, gy_sums = np.zeros(n, y.dtype), np.zeros(n, y.dtype)
        g_total, gy_total = np.zeros(n), np.zeros(n)
        for i in range(r):
            yi, gi = y[a, i, first:last], g[a, i, first:last]
            for j in range(n):
                g_sums[j] += gi[j]
                gy_sums[j] += gi[j] * yi[j]
            if i % BLOCK == BLOCK - 1 or i == r - 1:
                flush(g_sums, g_total)
                flush(gy_sums, gy_total)
        for j in range(n):
            g_sums[j] = g_total[j] / r
            gy_sums[j] = gy_total[j] / r
        for i in range(r):
            yi, gi, out = y[a, i, first:last], g[a, i, first:last], h[a, i, first:last]
            for j in range(n):
                out[j] = scale[j] * (gi[j] - g_sums[j] - yi[j] * gy_sums[j])


def _pullback_gradients(
    y: Any, s: Any, g: Any, c: Any, of_y: Any, of_s: Any, of_g: Any, wide: int, begin: int, end: int
) -> None:
    r, b = y.shape[1:]
    for unit in range(begin, end):
        a, first, last = columns(unit, b, wide)
        n = last - first
        scale = s[a, first:last]
        sums, totals = np.zeros((5, n), y.dtype), np.zeros((5, n))
        g_sums, gy_sums, c_sums, cy_sums, cg_sums = sums
        for i in range(r):
            yi, gi, ci = y[a, i, first:last], g[a, i, first:last], c[a, i, first:last]
            for j in range(n):
                g_sums[j] += gi[j]
                gy_sums[j] += gi[j] * yi[j]
            for j in range(n):  # a loop of its own: LLVM gives up on too many arrays
                c_sums[j] += ci[j]
                cy_sums[j] += ci[j] * yi[j]
                cg_sums[j] += ci[j] * gi[j]
            if i % BLOCK == BLOCK - 1 or i == r - 1:
                for k in range(5):
                    flush(sums[k], totals[k])
        for j in range(n):
            products = totals[2, j] * totals[0, j] + totals[3, j] * totals[1, j]
            of_s[a, first + j] = totals[4, j] - products / r
            for k in range(4):
                sums[k, j] = totals[k, j] / r
        for i in range(r):
            yi, gi, ci = y[a, i, first:last], g[a, i, first:last], c[a, i, first:last]
            by_y, by_g = of_y[a, i, first:last], of_g[a, i, first:last]
            for j in range(n):
                by_y[j] = -scale[j] * (ci[j] * gy_sums[j] + gi[j] * cy_sums[j])
            for j in range(n):
                by_g[j] = scale[j] * (ci[j] - c_sums[j] - yi[j] * cy_sums[j])
