"""Neural networks: functions, and layers as pure objects with `init` and `apply`."""

from __future__ import annotations

from . import initializers
from .convolution import Conv2D
from .functions import (
    avg_pool2d,
    batch_norm,
    conv2d,
    conv2d_transpose,
    dropout,
    elu,
    gelu,
    global_avg_pool2d,
    global_max_pool2d,
    group_norm,
    layer_norm,
    leaky_relu,
    log_softmax,
    max_pool2d,
    mean_squared_error,
    relu,
    sigmoid,
    silu,
    softmax,
    softmax_cross_entropy,
    softplus,
    tanh,
)
from .layers import Dense, Dropout, Sequential
from .networks import mini_imagenet_conv, omniglot_conv, omniglot_mlp
from .normalization import BatchNorm, GroupNorm, LayerNorm
from .pooling import AvgPool2D, Flatten, GlobalAvgPool2D, GlobalMaxPool2D, MaxPool2D

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "LayerNorm",
    "MaxPool2D",
    "Sequential",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "conv2d_transpose",
    "dropout",
    "elu",
    "gelu",
    "global_avg_pool2d",
    "global_max_pool2d",
    "group_norm",
    "initializers",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "max_pool2d",
    "mean_squared_error",
    "mini_imagenet_conv",
    "omniglot_conv",
    "omniglot_mlp",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "tanh",
]
