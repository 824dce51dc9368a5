"""Numba: sums over rows, then one pass that needs them.

Where the rows of an a are few, they stay in the cache between the passes, and a unit of work is one a. Where they are
many, it is a strip of rows: all strips are summed, their sums are put together, and all strips are passed over again.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import from_dtype, types
from numba.extending import register_jitable

from ..columns import BLOCK, flush
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


STRIP = 1024
"""Rows of a strip."""
MANY = 1 << 14
"""Rows from which they are taken in strips: fewer are done sooner by one thread, in one go."""
COST = 0.15
"""Nanoseconds of an element in one pass."""


@_rows_as_columns
def standardize(x: Array, eps: float) -> tuple[Array, Array]:
    x = np.ascontiguousarray(x)
    a, r, b = x.shape
    y, s = np.empty_like(x), np.empty((a, b), x.dtype)
    if r <= MANY:
        _run(_standardize, (x,), (y, s), x.dtype.type(eps))
        return y, s
    means, squares = np.empty((2, a, _strips(r), b))
    _run(_moments, (x,), (means, squares), STRIP)
    # Chan, Golub and LeVeque 1979: the squares about the common mean are those about each strip's own, and its own's.
    counts = np.minimum(STRIP, r - STRIP * np.arange(_strips(r)))[:, None]
    mean = (counts * means).sum(axis=1) / r
    total = (squares + counts * (means - mean[:, None]) ** 2).sum(axis=1)
    s[:] = 1 / np.sqrt(total / r + eps)
    _run(_standardize_strips, (x, mean.astype(x.dtype), s), (y,), STRIP)
    return y, s


@_rows_as_columns
def pullback(y: Array, s: Array, g: Array) -> Array:
    y, s, g = map(np.ascontiguousarray, (y, s, g))
    h = np.empty(y.shape, y.dtype)
    if y.shape[1] <= MANY:
        _run(_pullback, (y, s, g), (h,))
        return h
    means = _strip_means(_pullback_sums, 2, y, g)
    _run(_pullback_strips, (y, s, g, means.astype(y.dtype)), (h,), STRIP)
    return h


@_rows_as_columns
def pullback_gradients(y: Array, s: Array, g: Array, c: Array) -> tuple[Array, Array, Array]:
    y, s, g, c = map(np.ascontiguousarray, (y, s, g, c))
    of_y, of_s, of_g = np.empty(y.shape, y.dtype), np.empty(s.shape, s.dtype), np.empty(g.shape, g.dtype)
    if y.shape[1] <= MANY:
        _run(_pullback_gradients, (y, s, g, c), (of_y, of_s, of_g))
        return of_y, of_s, of_g
    means = _strip_means(_gradient_sums, 5, y, g, c)
    g_mean, gy_mean, c_mean, cy_mean, cg_mean = means.swapaxes(0, 1)
    of_s[:] = y.shape[1] * (cg_mean - c_mean * g_mean - cy_mean * gy_mean)
    _run(_gradient_strips, (y, s, g, c, means.astype(y.dtype)), (of_y, of_g), STRIP)
    return of_y, of_s, of_g


def _strips(r: int) -> int:
    """How many strips so many rows are."""
    return -(-r // STRIP)


def _strip_means(function: Callable[..., None], count: int, *inputs: Array) -> Array:
    """Means over all rows of so many products of the inputs: (a, count, b)."""
    a, r, b = inputs[0].shape
    sums = np.zeros((a, _strips(r), count, b))
    _run(function, inputs, (sums,), STRIP)
    return np.asarray(sums.sum(axis=1) / r)


def _run(function: Callable[..., None], inputs: tuple[Array, ...], outputs: tuple[Array, ...], *settings: Any) -> None:
    """Run it on all a, or on all their strips, whose length is then the setting."""
    a, r, b = inputs[0].shape
    in_strips = STRIP in settings
    units, rows = (a * _strips(r), STRIP) if in_strips else (a, r)
    kinds = tuple((x.dtype, x.ndim) for x in inputs), tuple((x.dtype, x.ndim) for x in outputs)
    scalars = tuple(types.intp if type(x) is int else from_dtype(x.dtype) for x in settings)
    cost = COST * rows * b * (len(inputs) + len(outputs))
    _kernel(function, *kinds, scalars)(*inputs, *outputs, *settings, units=units, cost=cost)


@functools.cache
def _kernel(function: Callable[..., None], inputs: Any, outputs: Any, settings: Any) -> Kernel:
    return Kernel(function, *(const(*kind) for kind in inputs), *(mutable(*kind) for kind in outputs), *settings)


# From here on the code is compiled. Loops over columns are those that LLVM vectorises: over views of rows, with an end
# that it knows before.


def _standardize(x: Any, y: Any, s: Any, eps: float, begin: int, end: int) -> None:
    r, b = x.shape[1:]
    mean, squares, narrow = np.empty(b), np.empty(b), np.empty(b, x.dtype)
    for a in range(begin, end):
        _moments_of(x, a, 0, r, mean, squares)
        for j in range(b):
            s[a, j] = 1 / math.sqrt(squares[j] / r + eps)
            narrow[j] = mean[j]
        _scaled(x, a, 0, r, narrow, s[a], y)


def _moments(x: Any, means: Any, squares: Any, strip: int, begin: int, end: int) -> None:
    for unit in range(begin, end):
        a, k, first, last = _strip(unit, x.shape[1], strip)
        _moments_of(x, a, first, last, means[a, k], squares[a, k])


def _standardize_strips(x: Any, mean: Any, s: Any, y: Any, strip: int, begin: int, end: int) -> None:
    for unit in range(begin, end):
        a, _, first, last = _strip(unit, x.shape[1], strip)
        _scaled(x, a, first, last, mean[a], s[a], y)


@register_jitable
def _strip(unit: int, r: int, strip: int) -> tuple[int, int, int, int]:
    """Which a and which of its strips a unit stands for, and the rows [first, last) of that."""
    a, k = divmod(unit, -(-r // strip))
    return a, k, k * strip, min((k + 1) * strip, r)


@register_jitable
def _moments_of(x: Any, a: int, first: int, last: int, mean: Any, squares: Any) -> None:
    """The mean of the rows from `first` to `last`, and the sum of their squares about it."""
    b = x.shape[2]
    sums, centre = np.zeros(b, x.dtype), np.empty(b, x.dtype)
    mean[:] = 0
    for i in range(first, last):
        row = x[a, i]
        for j in range(b):
            sums[j] += row[j]
        if (i - first) % BLOCK == BLOCK - 1 or i == last - 1:
            flush(sums, mean)
    for j in range(b):
        mean[j] /= last - first
        centre[j] = mean[j]
    squares[:] = 0
    for i in range(first, last):
        row = x[a, i]
        for j in range(b):
            sums[j] += (row[j] - centre[j]) ** 2
        if (i - first) % BLOCK == BLOCK - 1 or i == last - 1:
            flush(sums, squares)


@register_jitable
def _scaled(x: Any, a: int, first: int, last: int, mean: Any, scale: Any, y: Any) -> None:
    n = x.shape[2]
    for i in range(first, last):
        row, out = x[a, i], y[a, i]
        for j in range(n):
            out[j] = (row[j] - mean[j]) * scale[j]


def _pullback(y: Any, s: Any, g: Any, h: Any, begin: int, end: int) -> None:
    r, b = y.shape[1:]
    totals, means = np.empty((2, b)), np.empty((2, b), y.dtype)
    for a in range(begin, end):
        _pullback_sums_of(y, g, a, 0, r, totals)
        means[:] = totals / r
        _pulled(y, s[a], g, a, 0, r, means, h)


def _pullback_sums(y: Any, g: Any, sums: Any, strip: int, begin: int, end: int) -> None:
    for unit in range(begin, end):
        a, k, first, last = _strip(unit, y.shape[1], strip)
        _pullback_sums_of(y, g, a, first, last, sums[a, k])


def _pullback_strips(y: Any, s: Any, g: Any, means: Any, h: Any, strip: int, begin: int, end: int) -> None:
    for unit in range(begin, end):
        a, _, first, last = _strip(unit, y.shape[1], strip)
        _pulled(y, s[a], g, a, first, last, means[a], h)


@register_jitable
def _pullback_sums_of(y: Any, g: Any, a: int, first: int, last: int, totals: Any) -> None:
    """The sums of g and of g y."""
    b = y.shape[2]
    g_sums, gy_sums = np.zeros(b, y.dtype), np.zeros(b, y.dtype)
    totals[:] = 0
    for i in range(first, last):
        yi, gi = y[a, i], g[a, i]
        for j in range(b):
            g_sums[j] += gi[j]
            gy_sums[j] += gi[j] * yi[j]
        if (i - first) % BLOCK == BLOCK - 1 or i == last - 1:
            flush(g_sums, totals[0])
            flush(gy_sums, totals[1])


@register_jitable
def _pulled(y: Any, scale: Any, g: Any, a: int, first: int, last: int, means: Any, h: Any) -> None:
    g_mean, gy_mean, n = means[0], means[1], y.shape[2]
    for i in range(first, last):
        yi, gi, out = y[a, i], g[a, i], h[a, i]
        for j in range(n):
            out[j] = scale[j] * (gi[j] - g_mean[j] - yi[j] * gy_mean[j])


def _pullback_gradients(y: Any, s: Any, g: Any, c: Any, of_y: Any, of_s: Any, of_g: Any, begin: int, end: int) -> None:
    r, b = y.shape[1:]
    totals, means = np.empty((5, b)), np.empty((5, b), y.dtype)
    for a in range(begin, end):
        _gradient_sums_of(y, g, c, a, 0, r, totals)
        for j in range(b):
            of_s[a, j] = totals[4, j] - (totals[2, j] * totals[0, j] + totals[3, j] * totals[1, j]) / r
        means[:] = totals / r
        _gradients(y, s[a], g, c, a, 0, r, means, of_y, of_g)


def _gradient_sums(y: Any, g: Any, c: Any, sums: Any, strip: int, begin: int, end: int) -> None:
    for unit in range(begin, end):
        a, k, first, last = _strip(unit, y.shape[1], strip)
        _gradient_sums_of(y, g, c, a, first, last, sums[a, k])


def _gradient_strips(
    y: Any, s: Any, g: Any, c: Any, means: Any, of_y: Any, of_g: Any, strip: int, begin: int, end: int
) -> None:
    for unit in range(begin, end):
        a, _, first, last = _strip(unit, y.shape[1], strip)
        _gradients(y, s[a], g, c, a, first, last, means[a], of_y, of_g)


@register_jitable
def _gradient_sums_of(y: Any, g: Any, c: Any, a: int, first: int, last: int, totals: Any) -> None:
    """The sums of g, g y, c, c y and c g."""
    b = y.shape[2]
    sums = np.zeros((5, b), y.dtype)
    g_sums, gy_sums, c_sums, cy_sums, cg_sums = sums[0], sums[1], sums[2], sums[3], sums[4]
    totals[:] = 0
    for i in range(first, last):
        yi, gi, ci = y[a, i], g[a, i], c[a, i]
        for j in range(b):
            g_sums[j] += gi[j]
            gy_sums[j] += gi[j] * yi[j]
        for j in range(b):  # a loop of its own: LLVM gives up on too many arrays
            c_sums[j] += ci[j]
            cy_sums[j] += ci[j] * yi[j]
            cg_sums[j] += ci[j] * gi[j]
        if (i - first) % BLOCK == BLOCK - 1 or i == last - 1:
            for k in range(5):
                flush(sums[k], totals[k])


@register_jitable
def _gradients(
    y: Any, scale: Any, g: Any, c: Any, a: int, first: int, last: int, means: Any, of_y: Any, of_g: Any
) -> None:
    gy_mean, c_mean, cy_mean, n = means[1], means[2], means[3], y.shape[2]
    for i in range(first, last):
        yi, gi, ci = y[a, i], g[a, i], c[a, i]
        by_y, by_g = of_y[a, i], of_g[a, i]
        for j in range(n):
            by_y[j] = -scale[j] * (ci[j] * gy_mean[j] + gi[j] * cy_mean[j])
        for j in range(n):
            by_g[j] = scale[j] * (ci[j] - c_mean[j] - yi[j] * cy_mean[j])
