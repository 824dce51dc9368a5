"""Where something stands: extremes, order, counts."""

from __future__ import annotations

import numpy as np

import metagrad as mg

from .reductions import AXES
from .table import Cases, const, distinct, integers, real

CASES = Cases()
row = CASES.row

for _name in ("argmax", "argmin"):
    row(_name, distinct(3, 4), derivative="none")
    row(_name, distinct(3, 4), axis=0, derivative="none")
    row(_name, distinct(3, 4), axis=-1, keepdims=True, derivative="none")
    row(_name, distinct(3, 4), keepdims=True, derivative="none")
    row(_name, const([2.0, 1.0, 2.0, 1.0]), detail="ties", derivative="none")
for _options in AXES:
    row("count_nonzero", integers(-1, 2, 3, 2, 4), **_options)
row("count_nonzero", real(2, 3), derivative="none")
for _side in ("left", "right"):
    row("searchsorted", const([1.0, 2.0, 2.0, 4.0]), distinct(2, 3), side=_side, derivative="none")
    row(
        "searchsorted",
        const([1.0, 2.0, 2.0, 4.0]),
        const([0.0, 2.0, 4.0, 5.0]),
        side=_side,
        detail=f"ties, {_side}",
        derivative="none",
    )
row("searchsorted", const([1, 2, 4]), integers(0, 6), detail="scalar")
row("searchsorted", const([1, 2, 4]), integers(0, 6, 0, 2), detail="empty")
row(
    "searchsorted",
    const([4, 1, 2]),
    integers(0, 6, 5),
    both=lambda xp, x, v: xp.searchsorted(x, v, sorter=np.array([1, 2, 0])),
    detail="sorter",
)
row("sort", distinct(2, 5), axis=-1)
row("sort", distinct(4, 2), axis=0)
row(
    "sort",
    distinct(2, 5),
    f=lambda x: mg.sort(x, descending=True),
    ref=lambda x: np.sort(x)[:, ::-1],
    detail="descending",
)
row("sort", distinct(0, 3), axis=0, detail="empty")
row("argsort", distinct(2, 5), axis=-1, derivative="none")
row("argsort", distinct(4, 2), axis=0, derivative="none")
row(
    "argsort", const([2.0, 1.0, 2.0, 1.0]), ref=lambda x: np.argsort(x, kind="stable"), detail="ties", derivative="none"
)
row(
    "argsort",
    const([2.0, 1.0, 2.0, 1.0]),
    f=lambda x: mg.argsort(x, descending=True),
    ref=lambda x: np.argsort(-x, kind="stable"),
    detail="descending ties",
    derivative="none",
)

# What has as many elements as there are values is of known arrays only: without arguments it meets no transform.
_X = np.array([[3.0, -1.0, 0.0], [0.0, 3.0, 7.0]])
row("nonzero", f=lambda: mg.nonzero(_X), ref=lambda: np.nonzero(_X))
row("unique_values", f=lambda: mg.unique_values(_X), ref=lambda: np.unique(_X))
row("unique_counts", f=lambda: mg.unique_counts(_X), ref=lambda: np.unique(_X, return_counts=True))
row("unique_inverse", f=lambda: mg.unique_inverse(_X), ref=lambda: np.unique(_X, return_inverse=True))
row("unique_all", f=lambda: mg.unique_all(_X), ref=lambda: np.unique(_X, True, True, True))
