"""Numba: row after row in one pass over the cache, the rows shared among all cores.

The time goes to exp. The one of the C library is a call for each number; `_exp_float32` and `_exp_float64` below are
sums and products that the compiler turns into vector instructions.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from ..jit import const, mutable
from ..threads import Kernel
from . import label_out_of_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_INT64 = np.dtype(np.int64)
COST = 3.0
"""Nanoseconds of a logit."""


def softmax_cross_entropy(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    rows, targets, soft = _rows(logits, labels)
    losses = np.empty(len(rows), rows.dtype)
    if not _run(_soft_losses if soft else _losses, rows, targets, losses):
        raise label_out_of_range(labels, logits.shape[-1])
    return losses.reshape(logits.shape[:-1])


def softmax_cross_entropy_gradient(logits: NDArray[Any], labels: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    rows, targets, soft = _rows(logits, labels)
    gradient = np.empty(rows.shape, rows.dtype)
    g = np.ascontiguousarray(g, rows.dtype).reshape(-1)
    if not _run(_soft_gradient if soft else _gradient, rows, targets, g, gradient):
        raise label_out_of_range(labels, logits.shape[-1])
    return gradient.reshape(logits.shape)


def _rows(logits: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Contiguous logits (n, c) and labels (n) or (n, c), each of a type that a kernel is compiled for."""
    classes = logits.shape[-1]
    if labels.dtype.kind != "f":
        rows = np.ascontiguousarray(logits).reshape(-1, classes)
        # An unsigned label above 2**63 turns negative, and so stays out of range.
        return rows, np.ascontiguousarray(labels, _INT64).reshape(-1), False
    dtype = np.result_type(logits, labels)
    rows = np.ascontiguousarray(logits, dtype).reshape(-1, classes)
    return rows, np.ascontiguousarray(labels, dtype).reshape(-1, classes), True


def _run(function: Callable[..., None], *arrays: NDArray[Any]) -> bool:
    """Run a kernel on all rows of the arrays; whether every label was in range."""
    rows, classes = arrays[0].shape
    failed = np.zeros(1, np.bool_)
    _kernel(function, arrays[0].dtype)(*arrays, failed, units=rows, cost=COST * classes)
    return not failed[0]


@functools.cache
def _kernel(function: Callable[..., None], dtype: np.dtype[Any]) -> Kernel:
    logits = const(dtype, 2)
    labels = const(dtype, 2) if function in (_soft_losses, _soft_gradient) else const(_INT64, 1)
    made = (mutable(dtype, 1),) if function in (_losses, _soft_losses) else (const(dtype, 1), mutable(dtype, 2))
    return Kernel(function, logits, labels, *made, mutable(np.dtype(np.bool_), 1))


# From here on the code is compiled. Kernels set `failed` where a label is out of range.


def _losses(logits: Any, labels: Any, losses: Any, failed: Any, begin: int, end: int) -> None:
    c = logits.shape[1]
    for i in range(begin, end):
        label = labels[i]
        if label < 0 or label >= c:
            failed[0] = True
            return
        top = _row_maximum(logits, i)
        total = logits.dtype.type(0)
        for j in range(c):
            total += _exp(logits[i, j] - top)
        losses[i] = math.log(total) - (logits[i, label] - top)


def _soft_losses(logits: Any, labels: Any, losses: Any, failed: Any, begin: int, end: int) -> None:
    c = logits.shape[1]
    for i in range(begin, end):
        top = _row_maximum(logits, i)
        total = weight = picked = logits.dtype.type(0)
        for j in range(c):
            z = logits[i, j] - top
            y = labels[i, j]
            total += _exp(z)
            weight += y
            picked += y * z if y != 0 else y
        losses[i] = weight * math.log(total) - picked


def _gradient(logits: Any, labels: Any, g: Any, gradient: Any, failed: Any, begin: int, end: int) -> None:
    c = logits.shape[1]
    for i in range(begin, end):
        label = labels[i]
        if label < 0 or label >= c:
            failed[0] = True
            return
        scale = g[i] / _exponentials(logits, i, gradient)
        for j in range(c):
            gradient[i, j] *= scale
        gradient[i, label] -= g[i]


def _soft_gradient(logits: Any, labels: Any, g: Any, gradient: Any, failed: Any, begin: int, end: int) -> None:
    c = logits.shape[1]
    for i in range(begin, end):
        total = _exponentials(logits, i, gradient)
        weight = logits.dtype.type(0)
        for j in range(c):
            weight += labels[i, j]
        scale = g[i] * weight / total
        for j in range(c):
            gradient[i, j] = gradient[i, j] * scale - g[i] * labels[i, j]


@register_jitable
def _exponentials(logits: Any, i: int, row: Any) -> Any:
    """exp(logits - max) of row i into the same row of another array, and their sum."""
    top = _row_maximum(logits, i)
    for j in range(logits.shape[1]):
        row[i, j] = _exp(logits[i, j] - top)
    # A loop of its own, that does not write: compiled code adds one by one where what a loop reads and writes lie close
    # together in memory, else in lanes, so that the last bit of a sum in the loop above would depend on addresses.
    total = logits.dtype.type(0)
    for j in range(logits.shape[1]):
        total += row[i, j]
    return total


@register_jitable
def _row_maximum(x: Any, i: int) -> Any:
    """A NaN may be passed over: it comes back as the exponential of itself."""
    top = x[i, 0]
    for j in range(1, x.shape[1]):
        top = max(x[i, j], top)
    return top


# exp(x) for x <= 0, to two units in the last place: x = k log(2) + r, where |r| <= log(2) / 2, so
# exp(x) = 2**k * (1 + r + r**2/2! + ...). Adding 1.5 * 2**23 (or 2**52) rounds x / log(2) to the integer k and leaves k
# in the low bits of the sum, from where a shift puts it in the exponent. log(2) is split so that k times its upper part
# is exact. Results below the smallest normal number are zero.


def _exp_float32(x: Any) -> Any:
    shifted = np.float32(x * np.float32(1.4426950408889634) + np.float32(12582912))
    k = shifted - np.float32(12582912)
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440054690583e-4)
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    power = np.int32((shifted.view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(0) if x < np.float32(-87) else p * power


def _exp_float64(x: Any) -> Any:
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    k = shifted - 6755399441055744.0
    r = (x - k * 0.693145751953125) - k * 1.42860682030941723212e-6
    p = 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 1 / 2
    p = p * r + 1
    p = p * r + 1
    power = np.int64((shifted.view(np.int64) + 1023) << 52).view(np.float64)
    return 0.0 if x < -708.0 else p * power


def _exp(x: Any) -> Any:
    return np.exp(x)  # what it means; compiled code takes one of the two above


@overload(_exp, jit_options={"fastmath": {"contract"}})
def _(x: Any) -> Any:
    # Without "reassoc", which would cancel the shift.
    return _exp_float32 if x == types.float32 else _exp_float64
