"""The error function: both implementations keep the contract."""

from __future__ import annotations

import math

import numpy as np
import pytest
from places import each_implementation, run

from metagrad_kernels import erf

X = np.concatenate([np.linspace(-7, 7, 40_001), [0.0, -0.0, 1e-300, np.inf, -np.inf, np.nan]])


@each_implementation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_the_error_function_within_two_units(implementation, dtype):
    x = X.astype(dtype)
    found = run(erf, x, implementation=implementation)
    assert found.dtype == dtype
    expected = np.array([math.erf(v) for v in x.tolist()]).astype(dtype)
    finite = np.isfinite(expected)
    assert np.all(np.abs(found - expected)[finite] <= 2 * np.spacing(np.abs(expected[finite])))
    np.testing.assert_array_equal(np.isnan(found), ~finite)


@each_implementation
def test_any_shape_and_stride_gives_a_new_array(implementation):
    x = np.linspace(-1, 1, 24).reshape(4, 6)
    for view in (x, x.T, x[::2, ::-3], x[:0], x[0, 0, None][0:1].reshape(())):
        before = view.copy()
        found = run(erf, view, implementation=implementation)
        assert found.shape == view.shape
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found, np.vectorize(math.erf, otypes=[float])(view), rtol=1e-15)
        np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_has_the_same_bits_wherever_it_stands(dtype):
    x = np.linspace(-5, 5, 173).astype(dtype)
    whole = erf(x)
    for n in (1, 2, 7, 20, 101):
        np.testing.assert_array_equal(np.concatenate([erf(x[:n]), erf(x[n:])]), whole)


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"\[erf\] requires an array of float32 or float64 but got int64"):
        erf(np.arange(3))
