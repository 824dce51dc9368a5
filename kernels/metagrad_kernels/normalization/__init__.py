"""Normalisation to mean 0 and variance 1, its derivative, and the derivative of that.

x: (a, r, b) is normalised over r, for each (a, b): batch norm has a tasks, r = n h w and b channels, layer norm has r
channels and b = 1. With means <.> over r,

    standardize         s = 1 / sqrt(<(x - <x>)^2> + eps),  y = (x - <x>) s
    pullback            h = s (g - <g> - y <g y>)                      the gradient of <g, y(x)> for x, of the same x
    pullback_gradients  y' = -s (c <g y> + g <c y>),  s' = sum of c h / s,  g' = s (c - <c> - y <c y>)
                                                                       the gradients of <c, h(y, s, g)>

The Jacobian of y is symmetric: that is why g' is the pullback of c. (Ioffe and Szegedy 2015, arXiv 1502.03167, have the
first two; the third is theirs differentiated.)

Contract, for the three functions:
    x, y, g, c, h and the gradients of y and g: (a, r, b). s and its gradient: (a, b). r >= 1.
    float32 or float64, one type for all, any strides. Results are new C-contiguous arrays; no input is written to.
    Sums run over blocks in that type and over the blocks in float64. The same input gives the same bits, whatever the
    number of threads and whatever runs beside it; several threads may call at once. Implementations agree to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dispatch import CPU, CUDA, FLOATS, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA)


def standardize(x: Array, eps: float, *, implementation: str | None = None) -> tuple[Array, Array]:
    """y and s.

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes other than the contract's, or an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    _check(x)
    y, s = module.standardize(x, eps)
    return y, s


def pullback(y: Array, s: Array, g: Array, *, implementation: str | None = None) -> Array:
    """h. Raises as above."""
    module = OPERATION.choose(y, implementation)
    _check(y, g, s=s)
    h: Array = module.pullback(y, s, g)
    return h


def pullback_gradients(
    y: Array, s: Array, g: Array, c: Array, *, implementation: str | None = None
) -> tuple[Array, Array, Array]:
    """The gradients of y, s and g. Raises as above."""
    module = OPERATION.choose(y, implementation)
    _check(y, g, c, s=s)
    of_y, of_s, of_g = module.pullback_gradients(y, s, g, c)
    return of_y, of_s, of_g


def _check(first: Array, *others: Array, s: Array | None = None) -> None:
    given = [first, *others] if s is None else [first, *others, s]
    if first.dtype not in FLOATS or any(v.dtype != first.dtype for v in given):
        got = ", ".join(str(v.dtype) for v in given)
        raise TypeError(f"[normalization] requires arrays of float32 or of float64 but got {got}")
    shape = first.shape
    fits = len(shape) == 3 and shape[1] > 0 and all(v.shape == shape for v in others)
    if not fits or (s is not None and s.shape != (shape[0], shape[2])):
        got = ", ".join(str(v.shape) for v in given)
        raise ValueError(f"[normalization] requires arrays (a, r, b) with r > 0, and s (a, b), but got shapes {got}")
