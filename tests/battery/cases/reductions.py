"""Sums, products, extremes and statistics over axes, running sums and differences."""

from __future__ import annotations

from typing import Any

import numpy as np

import metagrad as mg

from .table import Cases, booleans, const, distinct, integers, real

CASES = Cases()
row = CASES.row

AXES: tuple[dict[str, Any], ...] = ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, -1)})
for _name in ("sum", "mean", "prod", "var", "std"):
    for _options in AXES:
        row(_name, real(3, 2, 4), **_options)
row("sum", real(), detail="scalar")
for _axis in (0, 1, -1, (0, 1), None):
    row("sum", real(6, 30, 4), axis=_axis, detail=f"large, axis={_axis}")
row("sum", real(4, 3, 5, 6), axis=(0, 2), detail="large, axes apart")
row("sum", integers(-9, 9, 2, 3), detail="int")
row("sum", real(0, 3), detail="empty")
row("sum", real(0, 3), axis=1)
row("prod", real(), detail="scalar")
for _dtype in (np.bool_, np.int8, np.uint8, np.int32):
    row("prod", const(np.full((2, 40), 3, _dtype)), axis=1, detail=_dtype.__name__)
row("prod", real(0, 3), axis=0, detail="empty")
row("prod", real(0, 3), axis=1, detail="empty rows")
row("prod", real(7), detail="odd")
row("mean", real(0, 3), axis=1, detail="empty rows")
for _name in ("var", "std"):
    row(
        _name,
        real(5, 3),
        f=lambda x, n=_name: getattr(mg, n)(x, axis=0, correction=1),
        ref=lambda x, n=_name: getattr(np, n)(x, axis=0, ddof=1),
        detail="correction=1",
    )
for _name in ("max", "min"):
    for _options in AXES:
        row(_name, distinct(3, 2, 4), **_options)
    row(_name, distinct(0, 3), axis=1, detail="empty rows")
for _name in ("any", "all"):
    row(_name, booleans(2, 3))
    row(_name, booleans(2, 3), axis=0)
    row(_name, booleans(2, 3), axis=-1, keepdims=True)
    row(_name, booleans(0, 3), detail="empty")


def _lse(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


for _options in AXES:
    row(
        "logsumexp",
        distinct(3, 2, 4),
        ref=lambda x, o=_options: _lse(x, **o),
        f=lambda x, o=_options: mg.logsumexp(x, **o),
        detail=str(_options),
    )
row(
    "logsumexp",
    distinct(2, 3),
    f=lambda x: mg.logsumexp(x + 1e3, axis=1),
    ref=lambda x: _lse(x, axis=1) + 1e3,
    detail="large",
    float32=False,
)
row(
    "logsumexp", distinct(0, 3), f=lambda x: mg.logsumexp(x, axis=1), ref=lambda x: _lse(x, axis=1), detail="empty rows"
)
row("cumulative_sum", real(5), ref=np.cumsum)
row("cumulative_sum", real(2, 4), axis=1)
row("cumulative_sum", real(2, 4), axis=-2)
row("cumulative_sum", real(2, 4), axis=1, include_initial=True)
row("cumulative_sum", real(2, 0), axis=1, detail="empty")
row("diff", real(5))
row("diff", real(2, 4), axis=0)
row("diff", real(2, 4), axis=1, n=2)
row("diff", real(2), axis=0, n=3, detail="to nothing")
row("diff", real(2, 0), axis=1, detail="empty")
row("diff", real(4), real(1), real(2), both=lambda xp, x, a, b: xp.diff(x, prepend=a, append=b), detail="joined")
