"""Two-dimensional convolution of images in NHWC with weights in HWIO, and its two gradients: three bilinear maps.

As in all of machine learning the kernel is not flipped. With stride s, dilation d and (top, left) padding p,

    y[t, n, i, j, o] = sum over a, b, c of x[t, n, i s + a d - p, j s + b d - p, c] w[t, a, b, c, o]

with x = 0 outside the image. `input_gradient` and `weight_gradient` are its transposes with respect to x and w: with
any g of the shape of y, <g, convolution(x, w)> = <input_gradient(g, w), x> = <weight_gradient(x, g), w>.

Contract, for the three functions:
    x: (tasks, n, h, w, c). w: (tasks, kh, kw, c, o). y, g: (tasks, n, oh, ow, o). The axis of tasks gives each task
        weights of its own; weights that all images share have tasks = 1.
    float32 or float64, one type for both operands, any strides; any size may be 0.
    results: new C-contiguous arrays of that type; no input is written to or kept.
    Sums run in the operands' type. The same input gives the same bits, whatever the number of threads and whatever runs
        beside it; several threads may call at once. Implementations agree to rounding.
    `precision` is "float32", or "tf32": then products of float32 may be those of operands rounded to TF32's fraction of
        10 bits, as tensor cores take them. CUDA's kernels do so where c and o are multiples of 4 and the operands lie
        at multiples of 16 bytes. Everywhere else, and of float64, "tf32" means what "float32" does. None is what
        `metagrad_kernels.precision` has set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dispatch import CPU, CUDA, FLOATS, REFERENCE, Operation
from ..precision import chosen
from .geometry import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OPERATION", "Geometry", "convolution", "input_gradient", "weight_gradient"]

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA)


def convolution(
    x: NDArray[Any],
    w: NDArray[Any],
    geometry: Geometry,
    bias: NDArray[Any] | None = None,
    *,
    precision: str | None = None,
    implementation: str | None = None,
) -> NDArray[Any]:
    """y, shape (tasks, n, oh, ow, o); with a bias (tasks, o) added to each pixel.

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes that do not fit each other or the geometry, another precision, or an implementation that does
            not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    check_operands(x, w, geometry, bias)
    y: NDArray[Any] = module.convolution(x, w, geometry, bias, chosen("convolution", precision))
    return y


def input_gradient(
    g: NDArray[Any],
    w: NDArray[Any],
    geometry: Geometry,
    size: tuple[int, int],
    *,
    precision: str | None = None,
    implementation: str | None = None,
) -> NDArray[Any]:
    """The gradient of <g, y> with respect to x, shape (tasks, n, h, w, c), (h, w) = `size`. Raises as above."""
    module = OPERATION.choose(g, implementation)
    fits = g.shape[-1:] == w.shape[4:] and g.shape[2:4] == geometry.output_size(size, w.shape[1:3])
    _check(g, w, f"g (tasks, n, oh, ow, o) of images {size} and weights (tasks, kh, kw, c, o)", fits)
    x: NDArray[Any] = module.input_gradient(g, w, geometry, size, chosen("convolution", precision))
    return x


def weight_gradient(
    x: NDArray[Any],
    g: NDArray[Any],
    geometry: Geometry,
    window: tuple[int, int],
    *,
    precision: str | None = None,
    implementation: str | None = None,
) -> NDArray[Any]:
    """The gradient of <g, y> with respect to w, shape (tasks, kh, kw, c, o), (kh, kw) = `window`. Raises as above."""
    module = OPERATION.choose(x, implementation)
    fits = x.shape[1:2] == g.shape[1:2] and g.shape[2:4] == geometry.output_size(x.shape[2:4], window)
    _check(x, g, f"images (tasks, n, h, w, c) and g (tasks, n, oh, ow, o) of windows {window}", fits)
    w: NDArray[Any] = module.weight_gradient(x, g, geometry, window, chosen("convolution", precision))
    return w


def check_operands(x: NDArray[Any], w: NDArray[Any], geometry: Geometry, bias: NDArray[Any] | None) -> None:
    """Raises as `convolution`."""
    fits = x.shape[-1:] == w.shape[3:4]
    _check(x, w, "images (tasks, n, h, w, c) and weights (tasks, kh, kw, c, o)", fits)
    geometry.output_size(x.shape[2:4], w.shape[1:3])
    wanted = w.shape[0], w.shape[4]
    if bias is not None and (bias.shape != wanted or bias.dtype != w.dtype):
        got = f"{bias.dtype} {bias.shape}"
        raise ValueError(f"[convolution] requires a bias (tasks, o), here {w.dtype} {wanted}, but got {got}")


def _check(a: NDArray[Any], b: NDArray[Any], need: str, fits: bool) -> None:
    if a.dtype not in FLOATS or a.dtype != b.dtype:
        got = f"{a.dtype} and {b.dtype}"
        raise TypeError(f"[convolution] requires two operands of float32 or two of float64 but got {got}")
    if a.ndim != 5 or b.ndim != 5 or a.shape[0] != b.shape[0] or not fits:
        raise ValueError(f"[convolution] requires {need} that fit but got shapes {a.shape} and {b.shape}")
