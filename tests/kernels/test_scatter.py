"""Scatter: sums of rows in one order and the last writer of a place, as the contract of the folder states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CUPY, needs_cuda, run

from metagrad_kernels import emulation
from metagrad_kernels.scatter import gather, last_writer, scatter_add

each_implementation = pytest.mark.parametrize("implementation", ["reference", pytest.param("cuda", marks=needs_cuda)])


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, width, size = draw(st.integers(0, 600)), draw(st.sampled_from([0, 1, 2, 3, 33, 300])), draw(st.integers(1, 300))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int64]))
    rows = (rng.normal(size=(n, width)) * 2.0 ** rng.integers(0, 30, (n, 1))).astype(dtype)
    few = draw(st.integers(1, size))  # so that some places are named many times
    return np.asarray(rows, order=draw(st.sampled_from("CF"))), rng.integers(0, few, n), size


@each_implementation
@settings(max_examples=30)
@given(problem=problems())
def test_rows_are_added_in_the_order_of_the_index(implementation, problem):
    x, index, size = problem
    expected = np.zeros((size, x.shape[1]), x.dtype)
    last = np.full(size, -1)
    for i, place in enumerate(index):
        expected[place] += x[i]
        last[place] = i
    got = run(scatter_add, x, index, size, implementation=implementation)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(run(last_writer, index, size, implementation=implementation), last)


@each_implementation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_long_index_into_few_places_is_summed_to_rounding(implementation, dtype):
    rng = np.random.default_rng(0)
    x, index = rng.standard_normal((5000, 20)).astype(dtype), rng.integers(0, 5, 5000)
    got = run(scatter_add, x, index, 6, implementation=implementation)
    expected = np.stack([x[index == place].astype(np.longdouble).sum(axis=0) for place in range(6)])
    np.testing.assert_allclose(got, expected.astype(dtype), rtol=0, atol=1000 * np.finfo(dtype).eps)


@each_implementation
@settings(max_examples=40)
@given(data=st.data())
def test_the_rows_that_an_index_names_are_read_whatever_they_are_of(implementation, data):
    dtype = data.draw(st.sampled_from([np.float64, np.float32, np.int64, np.uint16, np.uint8, bool]))
    size, width, n = data.draw(st.integers(1, 40)), data.draw(st.sampled_from([0, 1, 3, 8, 16, 50])), 45
    rng = np.random.default_rng(0)
    x, index = rng.integers(0, 200, (size, width)).astype(dtype), rng.integers(0, size, n)
    got = run(gather, x, index, implementation=implementation)
    assert (got.dtype, got.shape) == (dtype, (n, width))
    np.testing.assert_array_equal(got, x[index])


@needs_cuda
def test_on_a_device_an_index_outside_touches_nothing():
    xp = emulation.arrays if CUPY is None else CUPY
    x, index = xp.asarray(np.ones((4, 3), np.float32)), xp.asarray(np.array([-1, 4, 2, 1 << 40]))
    np.testing.assert_array_equal(gather(x, index).get(), [[np.nan] * 3, [np.nan] * 3, [1] * 3, [np.nan] * 3])
    np.testing.assert_array_equal(gather(x.astype(np.int64), index).get()[:, 0], [-1, -1, 1, -1])
    np.testing.assert_array_equal(scatter_add(x, index, 4).get(), [[0] * 3, [0] * 3, [1] * 3, [0] * 3])
    np.testing.assert_array_equal(last_writer(index, 4).get(), [-1, -1, 2, -1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, i: scatter_add(x.astype(np.int32), i, 3), TypeError, "int32 and int64"),
        (lambda x, i: scatter_add(x, i.astype(np.int32), 3), TypeError, "float64 and int32"),
        (lambda x, i: scatter_add(x, i[:1], 3), ValueError, r"\(2, 3\) and \(1,\)"),
        (lambda x, i: last_writer(x, 3), TypeError, "int64 but got float64"),
        (lambda x, i: last_writer(i[None], 3), ValueError, r"\(1, 2\)"),
        (lambda x, i: gather(x, x[:, 0]), TypeError, "int64 but got float64"),
        (lambda x, i: gather(i, i), ValueError, r"\(2,\) and \(2,\)"),
        (lambda x, i: last_writer(i, 3, implementation="fast"), ValueError, "reference"),
    ],
)
def test_what_the_contract_does_not_allow_is_refused(call, error, message):
    with pytest.raises(error, match=rf"^\[scatter\] requires .*{message}"):
        call(np.ones((2, 3)), np.zeros(2, np.int64))
