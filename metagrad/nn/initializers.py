"""Initial values of parameters. An initialiser is a function `init(key, shape, dtype=float32)`.

`zeros` and `ones` are initialisers; the others make one: `normal(0.1)`, `he_normal()`. The fans of a shape (..., i, o)
are i and o, each times the size of the leading axes (the window of a convolution). Values are where the key is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.devices import namespace
from ..core.tensor import public
from ..errors import ShapeError, requires
from ..ops import random
from ..ops.arithmetic import multiply
from ..ops.dtypes import as_dtype, weak
from ..ops.shape import as_shape, matrix_transpose, reshape

if TYPE_CHECKING:
    from collections.abc import Callable


class Initializer(Protocol):
    """`init(key, shape, dtype)`."""

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: Any = np.float32, /) -> Any: ...


def zeros(key: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """All 0."""
    return _full(key, shape, 0.0, dtype)


def ones(key: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """All 1."""
    return _full(key, shape, 1.0, dtype)


@public
def _full(key: Any, shape: tuple[int, ...], value: float, dtype: Any) -> Any:
    return namespace(key).full(as_shape("initializer", shape), value, as_dtype("initializer", dtype))


def constant(value: float) -> Initializer:
    """All `value`."""
    return lambda key, shape, dtype=np.float32: _full(key, shape, value, dtype)


def _initializer(draw: Callable[[Any, tuple[int, ...], Any], Any]) -> Initializer:
    def init(key: Any, shape: tuple[int, ...], dtype: Any = np.float32, /) -> Any:
        return public(draw)(key, as_shape("initializer", shape), as_dtype("initializer", dtype))

    return init


def normal(stddev: float = 0.01) -> Initializer:
    """Normal with mean 0 and the standard deviation `stddev`."""
    return _initializer(lambda key, shape, dtype: multiply(random.normal(key, shape, dtype), weak(stddev)))


def uniform(scale: float = 0.01) -> Initializer:
    """Uniform over [-scale, scale)."""
    return _initializer(lambda key, shape, dtype: random.uniform(key, shape, dtype, -float(scale), float(scale)))


def truncated_normal(stddev: float = 0.01, lower: float = -2.0, upper: float = 2.0) -> Initializer:
    """`stddev` times a normal number given that this lies in [lower, upper], as TensorFlow's (and MAML's) initialiser.

    `stddev` is that before the truncation: with the bounds +-2, the values have 0.88 of it.
    """
    return _initializer(
        lambda key, shape, dtype: multiply(random.truncated_normal(key, lower, upper, shape, dtype), weak(stddev))
    )


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ShapeError(requires("initializer", "a shape of at least two axes (..., inputs, outputs)", f"{shape}"))
    window = math.prod(shape[:-2])
    return max(1, window * shape[-2]), max(1, window * shape[-1])


def _scaled(draw: Any, variance: Callable[[int, int], float]) -> Initializer:
    return _initializer(lambda key, shape, dtype: multiply(draw(key, shape, dtype), math.sqrt(variance(*_fans(shape)))))


def _centred(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Uniform with mean 0 and variance 1."""
    return random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3))


def glorot_uniform() -> Initializer:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    Its call raises ShapeError for a shape of fewer than two axes.
    """
    return _scaled(_centred, lambda fan_in, fan_out: 2 / (fan_in + fan_out))


def glorot_normal() -> Initializer:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010).

    Its call raises ShapeError for a shape of fewer than two axes.
    """
    return _scaled(random.normal, lambda fan_in, fan_out: 2 / (fan_in + fan_out))


def he_uniform() -> Initializer:
    """Uniform with variance 2 / fan_in (He et al. 2015).

    Its call raises ShapeError for a shape of fewer than two axes.
    """
    return _scaled(_centred, lambda fan_in, fan_out: 2 / fan_in)


def he_normal() -> Initializer:
    """Normal with variance 2 / fan_in (He et al. 2015).

    Its call raises ShapeError for a shape of fewer than two axes.
    """
    return _scaled(random.normal, lambda fan_in, fan_out: 2 / fan_in)


def lecun_uniform() -> Initializer:
    """Uniform with variance 1 / fan_in (LeCun et al. 1998).

    Its call raises ShapeError for a shape of fewer than two axes.
    """
    return _scaled(_centred, lambda fan_in, fan_out: 1 / fan_in)


def lecun_normal() -> Initializer:
    """Normal with variance 1 / fan_in (LeCun et al. 1998).

    Its call raises ShapeError for a shape of fewer than two axes.
    """
    return _scaled(random.normal, lambda fan_in, fan_out: 1 / fan_in)


def orthogonal(scale: float = 1.0) -> Initializer:
    """`scale` times a random matrix with orthonormal columns, or rows where there are fewer (Saxe et al. 2014).

    Leading axes are rows: the shape (..., i, o) is a matrix of (...) i rows and o columns.

    Its call raises ShapeError for a shape of fewer than two axes.
    """

    def draw(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
        _fans(shape)
        rows, columns = math.prod(shape[:-1]), shape[-1]
        wide = rows < columns
        q = random.OrthogonalFactor().bind(random.normal(key, (columns, rows) if wide else (rows, columns), dtype))
        return reshape(multiply(matrix_transpose(q) if wide else q, weak(scale)), shape)

    return _initializer(draw)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal

__all__ = [
    "Initializer",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
