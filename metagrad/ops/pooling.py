"""Pooling over windows of images (..., h, w, c): maxima and means, over each channel by itself.

Maxima close over a pair: `WindowGather` reads the cell of each window that an index names, `WindowScatter` adds there,
and each is the other's transpose. The index is an integer that `MaxPool` gives beside the maxima, so by its type it has
no derivative: max pooling is piecewise linear, and right at every order. `AvgPool` and `AvgPoolTranspose` are a pair as
they are. Any leading axes are native, so a mapped axis is just one more of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.primitive import Aval, Primitive
from ..errors import DTypeError, OptionError, ShapeError, requires
from .elementwise import common_device, shape_of
from .reductions import mean
from .shape import Linear, Rearrangement, all_mapped, reshape
from .windows import Pair, PairOfPairs, output_size, padding_pairs, pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value


@dataclass(frozen=True, eq=False, repr=False)
class Pooling(Primitive):
    """What slides over images: they become one number for each window and channel."""

    window: Pair
    stride: Pair
    padding: PairOfPairs

    @property
    def geometry(self) -> tuple[Pair, Pair, PairOfPairs]:
        return self.window, self.stride, self.padding

    def shape(self, x: Any) -> tuple[int, ...]:
        return (*x.shape[:-3], *output_size(x.shape[-3:-1], *self.geometry), x.shape[-1])

    def abstract(self, *inputs: Any) -> Any:
        return Aval(self.shape(inputs[0]), inputs[0].dtype, common_device(self.name, inputs))

    def flops(self, output: Any, *inputs: Any) -> int:
        """One for each cell of each window."""
        return math.prod(self.window) * math.prod(self.shape(inputs[0]))

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Any:
        return self.bind(*all_mapped(batched, inputs))


@dataclass(frozen=True, eq=False, repr=False)
class Unpooling(Pooling):
    """The way back, to images of a size (h, w)."""

    size: Pair

    def shape(self, x: Any) -> tuple[int, ...]:
        return (*x.shape[:-3], *self.size, x.shape[-1])

    def flops(self, output: Any, *inputs: Any) -> int:
        shape: tuple[int, ...] = inputs[0].shape
        return math.prod(self.window) * math.prod(shape)


class MaxPool(Pooling):
    """The largest cell of each window, the first where several are, and its index, row by row in the window."""

    uses_inputs = False

    def forward(self, x: Any) -> Any:
        from metagrad_kernels import max_pool

        values, indices = max_pool(_folded(x), *self.geometry)
        return values.reshape(self.shape(x)), indices.reshape(self.shape(x))

    def abstract(self, *inputs: Any) -> Any:
        from metagrad_kernels.pooling import index_type

        values = super().abstract(*inputs)
        return values, Aval(values.shape, index_type(self.window), values.device)

    def vjp_all(self, needed: Sequence[bool], cotangent: Any, output: Any, *inputs: Value) -> list[Value]:
        return [WindowScatter(*self.geometry, inputs[0].shape[-3:-1]).bind(cotangent[0], output[1])]

    def jvp_all(self, tangents: list[Value], output: Any, *inputs: Value) -> Any:
        return WindowGather(*self.geometry).bind(tangents[0], output[1]), None


class WindowGather(Pooling, Linear):
    """The cell of each window that an index names."""

    def forward(self, x: Any, indices: Any) -> Any:
        from metagrad_kernels import window_gather

        def kernel(images: Any) -> Any:
            return window_gather(images, _folded(indices), *self.geometry)

        return _linear(kernel, x).reshape(indices.shape)

    def flops(self, output: Any, *inputs: Any) -> int:
        return 0

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value, indices: Value) -> Value:
        return WindowScatter(*self.geometry, x.shape[-3:-1]).bind(cotangent, indices)


class WindowScatter(Unpooling, Linear):
    """Zeros with a number for each window added to the cell that its index names."""

    def forward(self, x: Any, indices: Any) -> Any:
        from metagrad_kernels import window_scatter

        def kernel(numbers: Any) -> Any:
            return window_scatter(numbers, _folded(indices), self.size, *self.geometry)

        return _linear(kernel, x).reshape(self.shape(x))

    def flops(self, output: Any, *inputs: Any) -> int:
        shape: tuple[int, ...] = inputs[0].shape
        return math.prod(shape)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value, indices: Value) -> Value:
        return WindowGather(*self.geometry).bind(cotangent, indices)


class AvgPool(Pooling, Rearrangement):
    """The sum over each window divided by its full size: padding counts as zeros."""

    def forward(self, x: Any) -> Any:
        from metagrad_kernels import avg_pool

        return _linear(lambda images: avg_pool(images, *self.geometry), x).reshape(self.shape(x))

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return AvgPoolTranspose(*self.geometry, x.shape[-3:-1]).bind(cotangent)


class AvgPoolTranspose(Unpooling, Rearrangement):
    """To each cell, its share of every window that covers it."""

    def forward(self, x: Any) -> Any:
        from metagrad_kernels import avg_pool_transpose

        return _linear(lambda shares: avg_pool_transpose(shares, self.size, *self.geometry), x).reshape(self.shape(x))

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return AvgPool(*self.geometry).bind(cotangent)


def _folded(x: Any) -> Any:
    """All leading axes as one."""
    return x.reshape(math.prod(x.shape[:-3]), *x.shape[-3:])


def _linear(kernel: Any, x: Any) -> Any:
    """A kernel that is linear; on complex numbers, with which a derivative is measured, part by part."""
    if x.dtype.kind == "c":
        return _linear(kernel, x.real) + 1j * _linear(kernel, x.imag)
    return kernel(_folded(x))


def _image_size(name: str, x: Any) -> Pair:
    """(h, w). Raises ShapeError for fewer than three axes, DTypeError unless kernels take the type."""
    shape = shape_of(x)
    if len(shape) < 3:
        raise ShapeError(requires(name, "images of shape (..., h, w, c)", f"shape {shape}"))
    if x.dtype not in (np.float32, np.float64):
        raise DTypeError(requires(name, "images of float32 or float64", x.dtype))
    height, width = shape[-3:-1]
    return height, width


def _geometry(name: str, x: Any, window: Any, stride: Any, padding: Any) -> tuple[Pair, Pair, PairOfPairs]:
    size = _image_size(name, x)
    window = pair(name, "window", window)
    stride = window if stride is None else pair(name, "stride", stride)
    pairs = padding_pairs(name, padding, size, window, stride)
    if any(max(ends) >= k for ends, k in zip(pairs, window, strict=True)):
        need = f"padding smaller than the window {window}, or a window has nothing of the image,"
        raise OptionError(requires(name, need, f"{pairs}"))
    if min(size) < 1 or 0 in output_size(size, window, stride, pairs):
        raise ShapeError(requires(name, f"images that hold a window {window}", f"size {size} with padding {pairs}"))
    return window, stride, pairs


def max_pool2d(x: Any, /, window: Any, *, stride: Any = None, padding: Any = "VALID") -> Any:
    """The largest number of each window, in each channel of images (..., h, w, c): (..., oh, ow, c).

    `window` and `stride`, by default the window, are an integer or two; `padding` is "VALID" (none), "SAME" (as many
    windows as strides are begun, the smaller half of the padding first, as in TensorFlow and JAX) or ((top, bottom),
    (left, right)), smaller than the window. Padding is never the largest. The derivative goes to the first largest
    number in row-major order. A NaN counts as larger than all numbers.

    Raises ShapeError for fewer than three axes or images that do not hold a window, DTypeError unless x is float32 or
    float64, OptionError for a window, a stride or a padding that there cannot be.

    >>> import metagrad as mg
    >>> x = mg.reshape(mg.arange(16.0), (4, 4, 1))
    >>> mg.nn.max_pool2d(x, 2)[:, :, 0]
    Tensor([[ 5.,  7.],
            [13., 15.]], dtype=float64)
    """
    return MaxPool(*_geometry("max_pool2d", x, window, stride, padding)).bind(x)[0]


def avg_pool2d(x: Any, /, window: Any, *, stride: Any = None, padding: Any = "VALID") -> Any:
    """The mean of each window, in each channel of images (..., h, w, c): (..., oh, ow, c).

    The sum is divided by the full size of the window, so padding counts as zeros, as in flax and PyTorch unless they
    are told otherwise (`count_include_pad=True`). Arguments and errors are those of `max_pool2d`.

    >>> import metagrad as mg
    >>> mg.nn.avg_pool2d(mg.ones((3, 3, 1)), 2, padding="SAME")[:, :, 0]
    Tensor([[1.  , 0.5 ],
            [0.5 , 0.25]], dtype=float64)
    """
    return AvgPool(*_geometry("avg_pool2d", x, window, stride, padding)).bind(x)


def global_max_pool2d(x: Any, /) -> Any:
    """The largest number of each channel, (..., h, w, c) to (..., c): a `max_pool2d` whose window is the image.

    So of several largest numbers the first has the derivative, where `mg.max` shares it. Raises ShapeError for fewer
    than three axes and for images without a pixel, DTypeError unless x is float32 or float64.
    """
    size = _with_pixels("global_max_pool2d", x)
    return reshape(max_pool2d(x, size), (*x.shape[:-3], x.shape[-1]))


def global_avg_pool2d(x: Any, /) -> Any:
    """The mean of each channel, (..., h, w, c) to (..., c). Raises what `global_max_pool2d` raises."""
    _with_pixels("global_avg_pool2d", x)
    return mean(x, axis=(-3, -2))


def _with_pixels(name: str, x: Any) -> Pair:
    size = _image_size(name, x)
    if 0 in size:
        raise ShapeError(requires(name, "images with at least one pixel", f"shape {x.shape}"))
    return size
