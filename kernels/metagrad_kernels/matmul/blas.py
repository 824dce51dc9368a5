"""cuBLAS by its C interface: CuPy's own calls of it refuse to be captured in a CUDA graph.

What is captured is what runs: the handle and its stream are set before each call, and its workspace comes from CuPy's
current pool, in the order of the stream, as every other array does. With a workspace of its own cuBLAS gives equal bits
for equal calls.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_double, c_float, c_int, c_longlong, c_size_t, c_void_p
from typing import TYPE_CHECKING, Any

import numpy as np

from ..launch import namespace
from .operand import operand

if TYPE_CHECKING:
    from .operand import Operand

WORKSPACE = 32 << 20
"""Bytes: what cuBLAS asks for on Hopper, its greediest."""
_DATA_TYPES = {"float32": 0, "float64": 1}
_COMPUTE_TYPES = {"float32": 68, "tf32": 77, "float64": 70}
_DEFAULT_ALGORITHM = -1
_STATUS = {
    1: "NOT_INITIALIZED",
    3: "ALLOC_FAILED",
    7: "INVALID_VALUE",
    8: "ARCH_MISMATCH",
    11: "MAPPING_ERROR",
    13: "EXECUTION_FAILED",
    14: "INTERNAL_ERROR",
    15: "NOT_SUPPORTED",
    16: "LICENSE_ERROR",
}


class Blas:
    """A handle, for the device that is current when it is made, and one thread."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handle = c_void_p()
        self._call("cublasCreate_v2", byref(self._handle))

    def matmul(self, x: Any, y: Any, precision: str, stream: int) -> Any:
        """x[i] @ y[i] for all i, on a stream by its address."""
        xp, (a, n, k), m = namespace(x), x.shape, y.shape[2]
        if not a * n * k * m:
            return xp.zeros((a, n, m), x.dtype)
        result, workspace = xp.empty((a, n, m), x.dtype), xp.empty(WORKSPACE, np.uint8)
        self._call("cublasSetStream_v2", self._handle, c_void_p(stream))
        self._call("cublasSetWorkspace_v2", self._handle, c_void_p(workspace.data.ptr), c_size_t(WORKSPACE))
        left, right = operand(x), operand(y)
        kind = c_int(_DATA_TYPES[x.dtype.name])
        compute = precision if x.dtype == np.float32 else "float64"
        number = c_float if x.dtype == np.float32 else c_double
        # Rows of ours are cuBLAS's columns: it makes the transpose of the result, from the transposes, last first.
        self._call(
            "cublasGemmStridedBatchedEx",
            *(self._handle, c_int(right.transposed), c_int(left.transposed), c_int(m), c_int(n), c_int(k)),
            *(byref(number(1)), *_matrices(right, kind), *_matrices(left, kind), byref(number(0))),
            *(c_void_p(result.data.ptr), kind, c_int(m), c_longlong(n * m), c_int(a)),
            *(c_int(_COMPUTE_TYPES[compute]), c_int(_DEFAULT_ALGORITHM)),
        )
        return result

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise RuntimeError(
                f"[matmul] requires cuBLAS to succeed but got CUBLAS_STATUS_{_STATUS.get(status, status)} of {name}"
            )


def _matrices(x: Operand, kind: c_int) -> tuple[ctypes._SimpleCData[Any], ...]:
    """Where they are, of which type, numbers of a stored row, numbers of a matrix."""
    return c_void_p(x.array.data.ptr), kind, c_int(x.array.shape[2]), c_longlong(x.stride)
