"""Products of matrices: every implementation keeps the contract that its folder states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CUPY, needs_cuda, run

from metagrad_kernels import emulation
from metagrad_kernels.launch import namespace
from metagrad_kernels.matmul import matmul
from metagrad_kernels.matmul.cuda import tiling
from metagrad_kernels.matmul.operand import operand

each_implementation = pytest.mark.parametrize("implementation", ["reference", pytest.param("cuda", marks=needs_cuda)])
LIES = ("plain", "transposed", "shared", "shared transposed", "apart")
ROUNDING = {np.dtype(np.float32): 2.0**-23, np.dtype(np.float64): 2.0**-52}


def stored(x, lie):
    """What has to be stored for `laid` to make x, or what x is then: an operand whose matrices are all one."""
    if "shared" in lie:
        x = x[:1]
    if "transposed" in lie:
        x = x.swapaxes(1, 2)
    return np.repeat(x, 2, axis=2) if lie == "apart" else np.ascontiguousarray(x)


def laid(x, lie, a):
    """A view (a, n, k) of what is stored."""
    if "transposed" in lie:
        x = x.swapaxes(1, 2)
    if lie == "apart":
        x = x[:, :, ::2]
    return np.broadcast_to(x, (a, *x.shape[1:])) if "shared" in lie else x


def product(x, y, lies, a, implementation, **options):
    """The product of operands that lie in memory in given ways, as an implementation gives it."""

    def function(x, y, implementation=implementation):
        views = [laid(v, lie, a) for v, lie in zip((x, y), lies, strict=True)]
        return matmul(*views, implementation=implementation, **options)

    return run(function, *map(stored, (x, y), lies), implementation=implementation)


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = st.sampled_from([1, 2, 5, 31, 33, 64, 70])
    a, n, m = draw(st.integers(0, 3)), draw(sizes), draw(sizes)
    k = draw(st.sampled_from([0, 1, 7, 16, 17, 40, 1100]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    lies = draw(st.sampled_from(LIES)), draw(st.sampled_from(LIES))
    if not a:
        lies = "plain", "transposed"
    x, y = (rng.standard_normal(shape).astype(dtype) for shape in ((a, n, k), (a, k, m)))
    for v, lie in zip((x, y), lies, strict=True):
        if "shared" in lie:
            v[:] = v[:1]
    return x, y, lies


@each_implementation
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_each_product_is_exact_to_rounding(implementation, problem):
    x, y, lies = problem
    got = product(x, y, lies, len(x), implementation)
    assert (got.shape, got.dtype) == ((len(x), x.shape[1], y.shape[2]), x.dtype)
    assert got.flags.c_contiguous
    exact = x.astype(np.longdouble) @ y.astype(np.longdouble)
    sizes = np.abs(x).astype(float) @ np.abs(y)
    assert np.all(np.abs(got - exact) <= (4 + x.shape[2] ** 0.5) * ROUNDING[x.dtype] * sizes)


def as_tf32(x):
    return ((x.view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


@needs_cuda
@settings(deadline=None, max_examples=25)
@given(problem=problems())
def test_tensor_cores_multiply_the_factors_rounded_to_tf32(problem):
    x, y, lies = problem
    got = product(x, y, lies, len(x), "cuda", precision="tf32")
    if x.dtype == np.float32:
        x, y = as_tf32(x), as_tf32(y)
    sizes = np.abs(x).astype(float) @ np.abs(y)
    exact = x.astype(np.longdouble) @ y.astype(np.longdouble)
    assert np.all(np.abs(got - exact) <= (4 + x.shape[2] ** 0.5) * ROUNDING[x.dtype] * sizes)


@given(
    a=st.integers(1, 1000), n=st.integers(1, 10**5), k=st.integers(0, 10**6), m=st.integers(1, 10**5),
    sides=st.sampled_from([(64, 32), (64,)]),
)  # fmt: skip
def test_strips_of_k_are_whole_tiles_and_none_is_empty(a, n, k, m, sides):
    side, depth = tiling(a, n, k, m, sides)
    strips = max(1, -(-k // depth))
    assert side in sides
    assert depth % 16 == 0
    assert depth * (strips - 1) < max(k, 1) <= depth * strips
    assert strips == 1 or (depth >= 256 and strips * a * -(-n // side) * -(-m // side) <= 264)


@needs_cuda
def test_only_what_cannot_be_read_as_it_lies_is_copied():
    xp = emulation.arrays if CUPY is None else CUPY
    x = xp.asarray(np.zeros((3, 4, 5)))
    assert operand(x) == (x, False, 20)
    for made, transposed, stride in (
        (operand(x.swapaxes(1, 2)), True, 20),
        (operand(np.broadcast_to(x[:1], (7, 4, 5))), False, 0),
        (operand(np.broadcast_to(x[1].T, (7, 5, 4))), True, 0),
        (operand(x[1:2]), False, 0),
    ):
        assert namespace(made.array) is xp
        assert (made.transposed, made.stride) == (transposed, stride)
        assert x.data.ptr <= made.array.data.ptr < x.data.ptr + x.nbytes
    copied = operand(x[:, 1:])
    assert (copied.transposed, copied.stride) == (False, 15)
    assert not x.data.ptr <= copied.array.data.ptr < x.data.ptr + x.nbytes


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: matmul(x, x.astype(np.float32)), TypeError, "float64 and float32"),
        (lambda x: matmul(x, x[:1]), ValueError, r"\(a, n, k\) and \(a, k, m\) but got \(2, 3, 3\) and \(1, 3, 3\)"),
        (lambda x: matmul(x, x[:, :2]), ValueError, r"\(2, 3, 3\) and \(2, 2, 3\)"),
        (lambda x: matmul(x[0], x[0]), ValueError, r"\(3, 3\) and \(3, 3\)"),
        (lambda x: matmul(x, x, precision="half"), ValueError, "'float32' or 'tf32' but got 'half'"),
        (lambda x: matmul(x, x, implementation="fast"), ValueError, "reference"),
    ],
)
def test_what_the_contract_does_not_allow_is_refused(call, error, message):
    with pytest.raises(error, match=rf"^\[matmul\] requires .*{message}"):
        call(np.ones((2, 3, 3)))
