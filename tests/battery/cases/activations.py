"""The nonlinearities of neural networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import metagrad as mg

from .table import Cases, real

CASES = Cases()
row = CASES.row


def softmax(x: Any, axis: int = -1) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


_erf = np.vectorize(math.erf, otypes=[float])
for _name, _g in {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: (x * 0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype),
    "leaky_relu": lambda x: np.where(x > 0, x, x * x.dtype.type(0.01)),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "tanh": np.tanh,
}.items():
    row(f"nn.{_name}", real(2, 3), f=getattr(mg.nn, _name), ref=_g)
    row(f"nn.{_name}", real(0, 3), f=getattr(mg.nn, _name), ref=lambda x: x, detail="empty")
row(
    "nn.gelu",
    real(2, 3),
    f=lambda x: mg.nn.gelu(x, approximate=True),
    ref=lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    detail="approximate",
)
for _name, _g in {"softmax": softmax, "log_softmax": lambda x, axis=-1: np.log(softmax(x, axis))}.items():
    for _shape, _axis in (((3,), -1), ((2, 3), -1), ((2, 3, 2), 1), ((2, 3), 0), ((0, 3), -1)):
        row(
            f"nn.{_name}",
            real(*_shape),
            f=lambda x, n=_name, a=_axis: getattr(mg.nn, n)(x, axis=a),
            ref=lambda x, g=_g, a=_axis: g(x, a),
            detail=f"{_shape}, axis {_axis}",
        )
