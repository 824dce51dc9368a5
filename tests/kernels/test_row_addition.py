"""The same row added to all: every implementation keeps the contract that its folder states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import each_implementation, run

from metagrad_kernels.row_addition import add_row


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, r, b = draw(st.integers(0, 3)), draw(st.integers(0, 40)), draw(st.integers(0, 40))
    dtype, order = draw(st.sampled_from([np.float32, np.float64])), draw(st.sampled_from("CF"))
    x, row = (np.asarray(rng.standard_normal(shape), dtype, order=order) for shape in ((a, r, b), (a, b)))
    return x, row


@each_implementation
@settings(deadline=None)
@given(problem=problems())
def test_each_element_is_its_own_and_that_of_the_row(implementation, problem):
    x, row = problem
    before = x.copy(), row.copy()
    got = run(add_row, x, row, implementation=implementation)
    assert (got.shape, got.dtype) == (x.shape, x.dtype)
    assert got.flags.c_contiguous
    for a, i, j in np.ndindex(x.shape):
        assert got[a, i, j] == x[a, i, j] + row[a, j]
    for kept, now in zip(before, (x, row), strict=True):
        np.testing.assert_array_equal(kept, now)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_large_arrays_are_shared_among_threads(use_threads, count):
    use_threads(count)
    x, row = np.random.default_rng(0).standard_normal((3, 20_011, 17)), np.arange(51.0).reshape(3, 17)
    np.testing.assert_array_equal(add_row(x, row, implementation="cpu"), x + row[:, None])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, row: add_row(x, row.astype(np.float32)), TypeError, "float64 and float32"),
        (lambda x, row: add_row(x.astype(int), row.astype(int)), TypeError, "int64 and int64"),
        (lambda x, row: add_row(x, row[0]), ValueError, r"but got \(2, 3, 4\) and \(4,\)"),
        (lambda x, row: add_row(x[0], row), ValueError, r"but got \(3, 4\) and \(2, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3, 4)), np.ones((2, 4)))
