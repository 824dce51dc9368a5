"""The networks of the experiments of MAML (Finn, Abbeel and Levine 2017, section 5.2), by name.

Their batch norm has no scale and eps 1e-3. `norm` is a mode of `BatchNorm`, or None for none at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.windows import positive
from . import initializers
from .convolution import Conv2D
from .functions import relu
from .layers import Dense, Sequential
from .normalization import BatchNorm
from .pooling import Flatten, GlobalAvgPool2D, MaxPool2D

PAPER_EPS = 1e-3


def _norm(mode: str | None, dtype: Any) -> list[Any]:
    return [] if mode is None else [BatchNorm(mode, scale=False, eps=PAPER_EPS, dtype=dtype)]


def omniglot_conv(
    ways: int, *, filters: int = 64, norm: str | None = "transductive", pool: bool = False, dtype: Any = np.float32
) -> Sequential:
    """Four times a convolution 3x3 of stride 2, batch norm and ReLU; the mean over space; a linear layer.

    With `pool`, the convolutions have stride 1 and are followed by max-pooling by 2, as in Vinyals et al. 2016.
    Weights by Glorot (Xavier), those of the last layer normal with standard deviation 1. Images (n, 28, 28, 1).

    Logits (n, ways). Raises OptionError for another norm, and unless `ways` and `filters` are positive numbers.

    >>> import metagrad as mg
    >>> net = mg.nn.omniglot_conv(5)
    >>> params = net.init(mg.random.key(0), (5, 28, 28, 1))
    >>> net(params, mg.zeros((5, 28, 28, 1))).shape
    (5, 5)
    """
    positive("omniglot_conv", "ways", ways)
    positive("omniglot_conv", "filters", filters)
    layers: list[Any] = []
    for _ in range(4):
        layers += [Conv2D(filters, 3, stride=1 if pool else 2, dtype=dtype), *_norm(norm, dtype), relu]
        layers += [MaxPool2D(2)] if pool else []
    return Sequential(*layers, GlobalAvgPool2D(), Dense(ways, kernel_init=initializers.normal(1.0), dtype=dtype))


def omniglot_mlp(ways: int, *, norm: str | None = "transductive", dtype: Any = np.float32) -> Sequential:
    """Four times a linear layer (256, 128, 64, 64), batch norm and ReLU; a linear layer. Images (n, 28, 28, 1).

    Weights from a normal of standard deviation 0.01, truncated at two of these.

    Logits (n, ways). Raises OptionError for another norm, and unless `ways` is a positive number.
    """
    positive("omniglot_mlp", "ways", ways)
    weights = initializers.truncated_normal(0.01)
    layers: list[Any] = [Flatten()]
    for features in (256, 128, 64, 64):
        layers += [Dense(features, kernel_init=weights, dtype=dtype), *_norm(norm, dtype), relu]
    return Sequential(*layers, Dense(ways, kernel_init=weights, dtype=dtype))


def mini_imagenet_conv(
    ways: int, *, filters: int = 32, norm: str | None = "transductive", dtype: Any = np.float32
) -> Sequential:
    """Four times a convolution 3x3, batch norm, ReLU and max-pooling by 2; a linear layer. Images (n, 84, 84, 3).

    Logits (n, ways). Raises OptionError for another norm, and unless `ways` and `filters` are positive numbers.
    """
    positive("mini_imagenet_conv", "ways", ways)
    positive("mini_imagenet_conv", "filters", filters)
    layers: list[Any] = []
    for _ in range(4):
        layers += [Conv2D(filters, 3, dtype=dtype), *_norm(norm, dtype), relu, MaxPool2D(2)]
    return Sequential(*layers, Flatten(), Dense(ways, dtype=dtype))
