"""Layers of image networks that have no parameters: pooling, and the step from images to vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from ..core.tensor import public
from ..errors import ShapeError, requires
from ..ops.elementwise import shape_of
from ..ops.shape import reshape
from ..ops.windows import padding_pairs, pair
from .functions import avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d
from .layers import Parameterless, Params

if TYPE_CHECKING:
    from collections.abc import Callable


class _WindowPool(Parameterless):
    _pool: ClassVar[Callable[..., Any]]

    def __init__(self, window: Any, stride: Any = None, padding: Any = "VALID") -> None:
        name = type(self).__name__
        self.window = pair(name, "window", window)
        self.stride = self.window if stride is None else pair(name, "stride", stride)
        padding_pairs(name, padding, (1, 1), self.window, self.stride)  # refuses what is no padding
        self.padding = padding

    def apply(self, params: Params, x: Any) -> Any:
        """(..., h, w, c) to (..., oh, ow, c).

        Raises what the function of that name raises.
        """
        return type(self)._pool(x, self.window, stride=self.stride, padding=self.padding)

    __call__ = apply

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.window}, stride={self.stride}, padding={self.padding!r})"


class MaxPool2D(_WindowPool):
    """`nn.max_pool2d` as a layer.

    >>> import metagrad as mg
    >>> mg.nn.MaxPool2D(2)({}, mg.zeros((5, 28, 28, 64))).shape
    (5, 14, 14, 64)
    """

    _pool = staticmethod(max_pool2d)


class AvgPool2D(_WindowPool):
    """`nn.avg_pool2d` as a layer."""

    _pool = staticmethod(avg_pool2d)


class _GlobalPool(Parameterless):
    _pool: ClassVar[Callable[..., Any]]

    def apply(self, params: Params, x: Any) -> Any:
        """(..., h, w, c) to (..., c).

        Raises what the function of that name raises.
        """
        return type(self)._pool(x)

    __call__ = apply

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class GlobalMaxPool2D(_GlobalPool):
    """`nn.global_max_pool2d` as a layer: the largest number of each channel."""

    _pool = staticmethod(global_max_pool2d)


class GlobalAvgPool2D(_GlobalPool):
    """`nn.global_avg_pool2d` as a layer: the mean of each channel."""

    _pool = staticmethod(global_avg_pool2d)


class Flatten(Parameterless):
    """Images (..., h, w, c) as vectors (..., h w c): always the last three axes, whatever axes lead.

    >>> import metagrad as mg
    >>> mg.nn.Flatten()({}, mg.zeros((2, 5, 3, 3, 64))).shape
    (2, 5, 576)
    """

    def apply(self, params: Params, x: Any) -> Any:
        """The last three axes as one. Raises ShapeError where there are fewer."""
        return _flatten(x)

    __call__ = apply

    def __repr__(self) -> str:
        return "Flatten()"


@public
def _flatten(x: Any) -> Any:
    shape = shape_of(x)
    if len(shape) < 3:
        raise ShapeError(requires("Flatten", "images of shape (..., h, w, c)", f"shape {shape}"))
    return reshape(x, (*shape[:-3], math.prod(shape[-3:])))
