"""CUDA C++: the sums of strips of rows, in float64, and where there are several of a matrix, the sums of these."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import Source, namespace, type_name
from ..strips import Cut, cut, vector

_KINDS = [
    f"{t}, {total}, {v}"
    for t, most in (("float", 4), ("double", 2))
    for total in ("float", "double")
    for v in (most, 1)
]
SOURCE = Source(__file__, "reduction.cu", {f"sum_rows<{kind}>": 64 for kind in _KINDS})


def sum_rows(x: Any) -> Any:
    xp, (a, _, b) = namespace(x), x.shape
    x, result = xp.ascontiguousarray(x), xp.empty((a, b), x.dtype)
    if not result.size:
        return result
    columns = vector(b, x)
    how = cut(x.shape, columns)
    if how.strips == 1:
        _launch(x, result, how, columns)
        return result
    partial = xp.empty((a, how.strips, b), np.float64)
    _launch(x, partial, how, columns)
    columns = vector(b, partial)
    _launch(partial, result, cut(partial.shape, columns, partials=0), columns)
    return result


def _launch(x: Any, result: Any, how: Cut, columns: int) -> None:
    entry = f"sum_rows<{type_name(x.dtype)}, {type_name(result.dtype)}, {columns}>"
    sizes = map(np.int64, (*x.shape, how.depth))
    SOURCE.launch(entry, (how.grid,), how.block, x, result, *sizes, np.int32(how.strips))
