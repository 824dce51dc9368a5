"""Numba: some rows at a time, which stay in the cache, shared among all cores.

The time goes to exp. Rows are short: only many of them, one after the other, fill the vector instructions.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba.extending import register_jitable

from ..exponential import exp
from ..jit import const, mutable
from ..threads import Kernel
from . import label_out_of_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_INT64 = np.dtype(np.int64)
BLOCK = 1024
"""Logits whose exponentials are taken at once."""
COST = 1.0
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
    exps, tops = _scratch(logits)
    for first in range(begin, end, len(tops)):
        block = logits[first : min(first + len(tops), end)]
        _exponentials(block, exps, tops)
        for k in range(len(block)):
            label = labels[first + k]
            if label < 0 or label >= c:
                failed[0] = True
                return
            losses[first + k] = math.log(_sum(exps[k])) - (block[k, label] - tops[k])


def _soft_losses(logits: Any, labels: Any, losses: Any, failed: Any, begin: int, end: int) -> None:
    exps, tops = _scratch(logits)
    for first in range(begin, end, len(tops)):
        block = logits[first : min(first + len(tops), end)]
        _exponentials(block, exps, tops)
        for k in range(len(block)):
            row = labels[first + k]
            picked = row.dtype.type(0)
            for j in range(len(row)):
                picked += row[j] * (block[k, j] - tops[k]) if row[j] != 0 else row[j]
            losses[first + k] = _sum(row) * math.log(_sum(exps[k])) - picked


def _gradient(logits: Any, labels: Any, g: Any, gradient: Any, failed: Any, begin: int, end: int) -> None:
    c = logits.shape[1]
    exps, tops = _scratch(logits)
    for first in range(begin, end, len(tops)):
        block = logits[first : min(first + len(tops), end)]
        _exponentials(block, exps, tops)
        for k in range(len(block)):
            i = first + k
            label = labels[i]
            if label < 0 or label >= c:
                failed[0] = True
                return
            scale = g[i] / _sum(exps[k])
            for j in range(c):
                gradient[i, j] = exps[k, j] * scale
            gradient[i, label] -= g[i]


def _soft_gradient(logits: Any, labels: Any, g: Any, gradient: Any, failed: Any, begin: int, end: int) -> None:
    exps, tops = _scratch(logits)
    for first in range(begin, end, len(tops)):
        block = logits[first : min(first + len(tops), end)]
        _exponentials(block, exps, tops)
        for k in range(len(block)):
            i = first + k
            scale = g[i] * _sum(labels[i]) / _sum(exps[k])
            for j in range(logits.shape[1]):
                gradient[i, j] = exps[k, j] * scale - g[i] * labels[i, j]


@register_jitable
def _scratch(logits: Any) -> Any:
    """Room for the exponentials of some rows and their maxima."""
    c = logits.shape[1]
    rows = max(1, BLOCK // c)
    return np.empty((rows, c), logits.dtype), np.empty(rows, logits.dtype)


@register_jitable
def _exponentials(block: Any, exps: Any, tops: Any) -> None:
    """exp(row - max(row)) of each row, and the maxima. A NaN may be passed over: it comes back as its exponential."""
    rows, c = block.shape
    for k in range(rows):
        top = block[k, 0]
        for j in range(1, c):
            top = max(block[k, j], top)
        tops[k] = top
        for j in range(c):
            exps[k, j] = block[k, j] - top
    flat = exps[:rows].reshape(-1)
    for i in range(len(flat)):
        flat[i] = exp(flat[i])


@register_jitable
def _sum(row: Any) -> Any:
    total = row.dtype.type(0)
    for j in range(len(row)):
        total += row[j]
    return total
