"""Sums over rows: every implementation keeps the contract that its folder states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import each_implementation, run

from metagrad_kernels.reduction import sum_rows


@st.composite
def arrays(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (
        draw(st.integers(0, 4)),
        draw(st.sampled_from([0, 1, 63, 64, 65, 300])),
        draw(st.sampled_from([0, 1, 5, 40])),
    )
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return np.asarray(rng.standard_normal(shape), dtype, order=draw(st.sampled_from("CF")))


@each_implementation
@settings(deadline=None)
@given(x=arrays())
def test_each_sum_is_exact_to_rounding(implementation, x):
    got = run(sum_rows, x, implementation=implementation)
    assert (got.shape, got.dtype) == ((x.shape[0], x.shape[2]), x.dtype)
    for a, b in np.ndindex(got.shape):
        column = x[a, :, b].astype(float)
        bound = 16 * np.finfo(x.dtype).eps * np.abs(column).sum()
        assert abs(got[a, b] - math.fsum(column)) <= bound


@each_implementation
def test_a_long_sum_of_float32_does_not_stall(implementation):
    """Beyond 2^24 ones a plain float32 sum stays where it is."""
    x = np.ones((1, 1 << 25, 1), np.float32)
    np.testing.assert_array_equal(run(sum_rows, x, implementation=implementation), 1 << 25)


@pytest.mark.parametrize("shape", [(1, 300, 70), (7, 100, 64)])
def test_the_number_of_threads_does_not_change_a_bit(use_threads, shape):
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    results = []
    for count in (1, 2, 3, 7):
        use_threads(count)
        results.append(sum_rows(x, implementation="cpu"))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: sum_rows(x.astype(int)), TypeError, "float32 or float64 but got int64"),
        (lambda x: sum_rows(x[0]), ValueError, r"an array \(a, r, b\) but got shape \(2, 2\)"),
        (lambda x: sum_rows(x, implementation="fast"), ValueError, "reference"),
    ],
)
def test_what_the_contract_does_not_allow_is_refused(call, error, message):
    with pytest.raises(error, match=rf"^\[reduction\] requires .*{message}"):
        call(np.ones((2, 2, 2)))
