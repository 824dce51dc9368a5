"""Products of matrices, many at once: (a, n, k) times (a, k, m) is (a, n, m).

Contract:
    x: (a, n, k), y: (a, k, m), both float32 or both float64, any strides; any size may be 0.
    result: a new C-contiguous array of that type; x and y are not written to or kept.
    An operand is read where it lies if its matrices are contiguous or the transposes of such, one behind the other, or
    if they all are one (a stride of 0 along a, as `broadcast_to` makes). Any other is copied first.
    precision, of products of float32: "float32", or "tf32", where a factor may be rounded to 10 bits of fraction; what
    the sums are in is float32 in both. float64 is always float64. None is what `metagrad_kernels.precision` has set.
    The same input gives the same bits on one kind of device. Implementations agree to rounding, that of the precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dispatch import CUDA, FLOATS, REFERENCE, Implementation, Operation
from ..precision import chosen

if TYPE_CHECKING:
    from numpy.typing import NDArray

CUBLAS = Implementation("cublas", device="cuda", arrays=("cupy.ndarray",), install="pip install nvidia-cublas")
OPERATION = Operation(__name__, CUBLAS, CUDA, REFERENCE)


def matmul(
    x: NDArray[Any], y: NDArray[Any], *, precision: str | None = None, implementation: str | None = None
) -> NDArray[Any]:
    """x[i] @ y[i] for all i.

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes that do not fit, a precision or an implementation that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    if x.dtype not in FLOATS or y.dtype != x.dtype:
        raise TypeError(f"[matmul] requires two arrays of float32 or of float64 but got {x.dtype} and {y.dtype}")
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[1]:
        raise ValueError(f"[matmul] requires arrays (a, n, k) and (a, k, m) but got {x.shape} and {y.shape}")
    result: NDArray[Any] = module.matmul(x, y, chosen("matmul", precision))
    return result
