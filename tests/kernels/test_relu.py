"""The rectifier and its mask: every implementation keeps the contract that its folder states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import each_implementation, run

from metagrad_kernels.relu import masked, relu

SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45]


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    y, g = (np.where(rng.random(shape) < 0.5, rng.choice(SPECIAL, shape), rng.normal(size=shape)) for _ in range(2))
    return tuple(np.asarray(v, dtype, order=draw(st.sampled_from("CF"))) for v in (y, g))


@each_implementation
@settings(deadline=None)
@given(problem=problems())
def test_each_element_is_what_the_contract_says(implementation, problem):
    y, g = problem
    for got, rule in (
        (run(relu, y, implementation=implementation), lambda a, b: 0.0 if a <= 0 else a),
        (run(masked, y, g, implementation=implementation), lambda a, b: b if a > 0 else 0.0),
    ):
        assert (got.shape, got.dtype) == (y.shape, y.dtype)
        assert got.flags.c_contiguous
        for index in np.ndindex(y.shape):
            expected = rule(y[index], g[index])
            np.testing.assert_array_equal(got[index], expected)
            assert np.isnan(expected) or np.signbit(got[index]) == np.signbit(expected)


@each_implementation
def test_strides_do_not_matter(implementation):
    y, g = np.linspace(-1, 1, 12)[::3], np.broadcast_to(np.float64(2), 4)
    np.testing.assert_array_equal(run(masked, y, g, implementation=implementation), [0, 0, 2, 2])
    np.testing.assert_array_equal(run(relu, y[::-1], implementation=implementation), np.maximum(y[::-1], 0))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_large_arrays_are_shared_among_threads(use_threads, count):
    use_threads(count)
    y, g = np.random.default_rng(0).standard_normal((2, 3_000_007))
    np.testing.assert_array_equal(relu(y, implementation="cpu"), relu(y, implementation="reference"))
    np.testing.assert_array_equal(masked(y, g, implementation="cpu"), masked(y, g, implementation="reference"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: relu(x.astype(int)), TypeError, "float32 or float64 but got int64"),
        (lambda x: masked(x, x.astype(np.float32)), TypeError, "float64 and float32"),
        (lambda x: masked(x, x[:2]), ValueError, r"one shape but got \(3,\) and \(2,\)"),
        (lambda x: relu(x, implementation="fast"), ValueError, "reference"),
    ],
)
def test_what_the_contract_does_not_allow_is_refused(call, error, message):
    with pytest.raises(error, match=rf"^\[relu\] requires .*{message}"):
        call(np.ones(3))
