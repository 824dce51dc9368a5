"""Batch, layer and group norm, and the derivative of what they share."""

from __future__ import annotations

from typing import Any

import numpy as np

import metagrad as mg
from metagrad.ops.normalization import StandardizePullback

from .table import Cases, positive, real

CASES = Cases()
row = CASES.row


def _standard(x: Any, axis: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + x.dtype.type(eps))


for _name, _shape, _axis, _by_keyword in (
    ("batch_norm", (3, 2, 2, 2), (-4, -3, -2), {"axis": (-4, -3, -2)}),
    ("batch_norm", (4, 3), (0,), {"axis": 0, "eps": 0.3}),
    ("batch_norm", (3, 2, 2), (0, 2), {"axis": (0, 2)}),
    ("layer_norm", (2, 4), (-1,), {}),
    ("layer_norm", (2, 2, 2, 2), (1, 2, 3), {"axis": (1, 2, 3)}),
    ("layer_norm", (0, 3), (-1,), {}),
):
    row(
        f"nn.{_name}",
        real(*_shape),
        f=lambda x, n=_name, k=_by_keyword: getattr(mg.nn, n)(x, **k),
        ref=lambda x, a=_axis, k=_by_keyword: _standard(x, a, k.get("eps", 1e-5)),
        detail=f"{_shape} over {_axis}",
    )
row(
    "nn.batch_norm",
    real(5, 3),
    real(3),
    real(3),
    f=lambda x, scale, offset: mg.nn.batch_norm(x, scale, offset, axis=0),
    ref=lambda x, scale, offset: _standard(x, 0) * scale + offset,
    detail="scale and offset",
)
row(
    "standardize_pullback",
    real(2, 4, 2),
    positive(2, 1, 2),
    real(2, 4, 2),
    f=StandardizePullback(-2, -2),
    ref=lambda y, s, g: s * (g - g.mean(1, keepdims=True) - y * (g * y).mean(1, keepdims=True)),
)
row(
    "nn.group_norm",
    real(2, 1, 2, 4),
    real(4),
    f=lambda x, offset: mg.nn.group_norm(x, 2, offset=offset),
    ref=lambda x, offset: _standard(x.reshape(2, 2, 2, 2), (1, 3)).reshape(2, 1, 2, 4) + offset,
)
