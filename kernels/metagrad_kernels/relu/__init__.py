"""The rectifier and its mask: relu(x) = x where x > 0, else 0, and masked(y, g) = g where y > 0, else 0.

`masked` is the gradient of relu, with y either x or relu(x). What it leaves out is 0 even where g is not finite. A NaN
in x stays; a NaN in y counts as not positive.

Contract:
    x, y, g: any one shape, float32 or float64, y and g of one type, any strides.
    results: new arrays of that shape and type, C-contiguous; no input is written to or kept.
    Implementations agree to the bit. Several threads may call at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dispatch import CPU, CUDA, FLOATS, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA)


def relu(x: NDArray[Any], *, implementation: str | None = None) -> NDArray[Any]:
    """x where it is positive, else 0.

    Raises:
        TypeError: types other than the contract's.
        ValueError: an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    if x.dtype not in FLOATS:
        raise TypeError(f"[relu] requires float32 or float64 but got {x.dtype}")
    y: NDArray[Any] = module.relu(x)
    return y


def masked(y: NDArray[Any], g: NDArray[Any], *, implementation: str | None = None) -> NDArray[Any]:
    """g where y is positive, else 0. Raises as `relu`, and ValueError for two shapes."""
    module = OPERATION.choose(y, implementation)
    if y.dtype not in FLOATS or g.dtype != y.dtype:
        raise TypeError(f"[relu] requires two arrays of float32 or of float64 but got {y.dtype} and {g.dtype}")
    if y.shape != g.shape:
        raise ValueError(f"[relu] requires two arrays of one shape but got {y.shape} and {g.shape}")
    result: NDArray[Any] = module.masked(y, g)
    return result
