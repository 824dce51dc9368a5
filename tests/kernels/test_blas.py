"""How products are handed to cuBLAS, which stores by columns: held by a stand-in that does what its manual says."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import needs_emulation
from test_matmul import as_tf32, laid, problems, stored

from metagrad_kernels import KernelUnavailable, emulation
from metagrad_kernels.matmul import CUBLAS, OPERATION
from metagrad_kernels.matmul.blas import WORKSPACE, Blas

STREAM = 0x5000


class StandIn:
    """The four functions of cuBLAS, on memory of the CPU. `fails` is the name of one, and the status it gives."""

    def __init__(self, **fails):
        self.fails, self.stream, self.workspace = fails, None, None

    def __getattribute__(self, name):
        status = object.__getattribute__(self, "fails").get(name) if name.startswith("cublas") else None
        return object.__getattribute__(self, name) if status is None else lambda *arguments: status

    def cublasCreate_v2(self, handle):
        handle._obj.value = 0xCB
        return 0

    def cublasSetStream_v2(self, handle, stream):
        assert handle.value == 0xCB
        self.stream, self.workspace = stream.value, None  # which setting the stream takes away
        return 0

    def cublasSetWorkspace_v2(self, handle, workspace, size):
        assert workspace.value % 256 == 0
        self.workspace = size.value
        return 0

    def cublasGemmStridedBatchedEx(
        self, handle, turn_a, turn_b, m, n, k, alpha, a, type_a, lda, next_a, b, type_b, ldb, next_b, beta, c, type_c,
        ldc, next_c, count, compute, algorithm,
    ):  # fmt: skip
        assert (self.stream, self.workspace, algorithm.value) == (STREAM, WORKSPACE, -1)
        assert type_a.value == type_b.value == type_c.value
        number = {0: ctypes.c_float, 1: ctypes.c_double}[type_c.value]
        assert compute.value in {0: (68, 77), 1: (70,)}[type_c.value]
        assert isinstance(alpha._obj, number)
        assert isinstance(beta._obj, number)
        m, n, k, count = (v.value for v in (m, n, k, count))

        def columns(pointer, turned, rows, width, ld, following):
            """Matrices (count, rows, width) of what is stored by columns."""
            if turned:
                rows, width = width, rows
            assert ld.value >= max(rows, 1)
            size = (count - 1) * following.value + (width - 1) * ld.value + rows
            flat = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(number)), (size,))
            strides = np.array((following.value, 1, ld.value)) * flat.itemsize
            found = np.lib.stride_tricks.as_strided(flat, (count, rows, width), strides)
            return found.swapaxes(1, 2) if turned else found

        left = columns(a, turn_a.value, m, k, lda, next_a)
        right = columns(b, turn_b.value, k, n, ldb, next_b)
        if compute.value == 77:
            left, right = (as_tf32(np.ascontiguousarray(v)) for v in (left, right))
        result = columns(c, 0, m, n, ldc, next_c)
        result[...] = alpha._obj.value * (left @ right)
        return 0


@needs_emulation
@settings(deadline=None)
@given(problem=problems(), precision=st.sampled_from(["float32", "tf32"]))
def test_each_product_is_asked_for_as_cublas_stores_matrices(problem, precision):
    x, y, lies = problem
    views = [laid(emulation.arrays.asarray(stored(v, lie)), lie, len(x)) for v, lie in zip((x, y), lies, strict=True)]
    got = Blas(StandIn()).matmul(*views, precision, STREAM).get()
    assert (got.shape, got.dtype) == ((len(x), x.shape[1], y.shape[2]), x.dtype)
    rounded = precision == "tf32" and x.dtype == np.float32
    expected = as_tf32(x) @ as_tf32(y) if rounded else x @ y
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * (1 + x.shape[2]))


@pytest.mark.parametrize("name", ["cublasCreate_v2", "cublasSetStream_v2", "cublasSetWorkspace_v2"])
def test_a_status_that_is_not_success_is_raised(name):
    x = emulation.arrays.asarray(np.ones((1, 2, 2)))
    with pytest.raises(RuntimeError, match=rf"^\[matmul\] requires .* but got CUBLAS_STATUS_NOT_SUPPORTED of {name}"):
        Blas(StandIn(**{name: 15})).matmul(x, x, "float32", STREAM)
    with pytest.raises(RuntimeError, match="CUBLAS_STATUS_99 of cublasGemmStridedBatchedEx"):
        Blas(StandIn(cublasGemmStridedBatchedEx=99)).matmul(x, x, "float32", STREAM)


def test_where_cublas_cannot_be_loaded_that_is_said(monkeypatch):
    def absent(name):
        raise RuntimeError(f"no lib{name}.so\nsearched everywhere")

    pathfinder = pytest.importorskip("cuda.pathfinder")
    monkeypatch.setattr(pathfinder, "load_nvidia_dynamic_lib", absent)
    monkeypatch.delitem(sys.modules, "metagrad_kernels.matmul.cublas", raising=False)
    with pytest.raises(
        KernelUnavailable, match=r"cannot be imported \(no libcublas.so\); .* pip install nvidia-cublas"
    ):
        OPERATION.load(CUBLAS)
