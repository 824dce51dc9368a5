"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

import metagrad as mg

from .activations import softmax
from .table import Cases, between, integers, real

CASES = Cases()
row = CASES.row


def _one_hot(labels: Any, classes: int) -> Any:
    return np.eye(classes)[labels]


row("nn.mean_squared_error", real(2, 3), real(2, 3), f=mg.nn.mean_squared_error, ref=lambda x, y: np.mean((x - y) ** 2))
row(
    "nn.mean_squared_error", real(), real(), f=mg.nn.mean_squared_error, ref=lambda x, y: (x - y) ** 2, detail="scalars"
)
for _shape in ((4,), (2, 4), (2, 3, 4), (0, 4)):
    row(
        "nn.softmax_cross_entropy",
        real(*_shape),
        integers(0, 4, *_shape[:-1]),
        f=mg.nn.softmax_cross_entropy,
        ref=lambda x, y: (-np.log(softmax(x)) * _one_hot(y, 4)).sum(-1).astype(x.dtype),
        detail=f"integer labels, {_shape}",
    )
    row(
        "nn.softmax_cross_entropy",
        real(*_shape),
        between(0.1, 1.0, *_shape),
        f=mg.nn.softmax_cross_entropy,
        ref=lambda x, y: (-np.log(softmax(x)) * y).sum(-1),
        detail=f"soft labels, {_shape}",
    )
row(
    "nn.softmax_cross_entropy",
    real(2, 4),
    integers(0, 4, 2),
    f=lambda x, y: mg.nn.softmax_cross_entropy(x, y, label_smoothing=0.3),
    ref=lambda x, y: (-np.log(softmax(x)) * (0.7 * _one_hot(y, 4) + 0.075)).sum(-1).astype(x.dtype),
    detail="integer labels, smoothed",
)
row(
    "nn.softmax_cross_entropy",
    real(2, 4),
    between(0.1, 1.0, 2, 4),
    f=lambda x, y: mg.nn.softmax_cross_entropy(x, y, label_smoothing=0.3),
    ref=lambda x, y: (-np.log(softmax(x)) * (0.7 * y + 0.075)).sum(-1),
    detail="soft labels, smoothed",
)
