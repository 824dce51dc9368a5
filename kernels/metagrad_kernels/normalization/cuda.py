"""CUDA C++: sums over rows, then a pass that needs them, in one launch or two."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import Source, namespace, type_name
from ..strips import cut, vector

_KINDS = ("float, 4", "float, 1", "double, 2", "double, 1")
SOURCE = Source(
    __file__,
    "normalization.cu",
    {
        **{f"{f}<{kind}>": 80 for f in ("standardize", "pullback") for kind in _KINDS},
        **{f"pullback_gradients<{kind}>": 80 for kind in ("float, 2", "float, 1", "double, 1")},
    },
)
SUM, USE = 1, 2
"""What a launch does: both, if a block has all rows."""


def standardize(x: Any, eps: float) -> tuple[Any, Any]:
    xp, (a, _, b) = namespace(x), x.shape
    x, y, s = xp.ascontiguousarray(x), xp.empty(x.shape, x.dtype), xp.empty((a, b), x.dtype)
    _run("standardize", (x,), (y, s), 2, np.float64(eps))
    return y, s


def pullback(y: Any, s: Any, g: Any) -> Any:
    xp = namespace(y)
    h = xp.empty(y.shape, y.dtype)
    _run("pullback", (*map(xp.ascontiguousarray, (y, s, g)),), (h,), 2)
    return h


def pullback_gradients(y: Any, s: Any, g: Any, c: Any) -> tuple[Any, Any, Any]:
    xp = namespace(y)
    results = tuple(xp.empty(like.shape, y.dtype) for like in (y, s, g))
    _run("pullback_gradients", (*map(xp.ascontiguousarray, (y, s, g, c)),), results, 5, size=8)
    return results


def _run(
    kernel: str, inputs: tuple[Any, ...], results: tuple[Any, ...], sums: int, *settings: Any, size: int = 16
) -> None:
    """`sums`: how many of each column. `size`: bytes that a thread takes of a row."""
    a, r, b = inputs[0].shape
    if not a * b:
        return
    columns = vector(b, *inputs, *results, size=size)
    how = cut(inputs[0].shape, columns)
    entry = f"{kernel}<{type_name(inputs[0].dtype)}, {columns}>"
    partial = results[0]
    if how.strips > 1:
        partial = namespace(inputs[0]).empty((a, how.strips, sums + 1, b), np.float64)
    for phases in (SUM, USE) if how.strips > 1 else (SUM | USE,):
        scalars = (*map(np.int64, (a, r, b, how.depth)), np.int32(how.strips), np.int32(phases))
        SOURCE.launch(entry, (how.grid,), how.block, *inputs, partial, *results, *settings, *scalars)
