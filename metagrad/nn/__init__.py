"""Neural networks: functions, and layers as pure objects with `init` and `apply`."""

from __future__ import annotations

from . import initializers
from .functions import (
    batch_norm,
    conv2d,
    conv2d_transpose,
    elu,
    gelu,
    group_norm,
    layer_norm,
    leaky_relu,
    log_softmax,
    mean_squared_error,
    relu,
    sigmoid,
    silu,
    softmax,
    softmax_cross_entropy,
    softplus,
    tanh,
)
from .layers import Dense, Sequential

__all__ = [
    "Dense",
    "Sequential",
    "batch_norm",
    "conv2d",
    "conv2d_transpose",
    "elu",
    "gelu",
    "group_norm",
    "initializers",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "mean_squared_error",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "tanh",
]
