"""What is counted: places that are not 0 and different elements, of known values only."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import ShapeError, TraceError

X = np.array([[3.0, -1.0, 0.0], [0.0, 3.0, np.nan]])
OPERATIONS = ("nonzero", "unique_all", "unique_counts", "unique_inverse", "unique_values")


def test_nonzero_is_numpys():
    for found, expected in zip(mg.nonzero(X), np.nonzero(X), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ShapeError, match=r"^\[nonzero\] requires at least one axis but got shape \(\)"):
        mg.nonzero(3.0)


@pytest.mark.parametrize("x", [X, np.array([4, 2, 4]), np.array([True, True]), np.zeros((0, 2)), np.array(5.0)])
def test_unique_elements_lead_back_to_the_array(x):
    found = mg.unique_all(x)
    np.testing.assert_array_equal(found.values, np.sort(found.values))
    np.testing.assert_array_equal(found.values[found.inverse_indices], x)
    np.testing.assert_array_equal(x.reshape(-1)[found.indices], found.values)
    np.testing.assert_array_equal(np.bincount(found.inverse_indices.numpy().ravel()), found.counts)
    np.testing.assert_array_equal(mg.unique_values(x), found.values)
    for some in (mg.unique_counts(x), mg.unique_inverse(x)):
        for name in some._fields:
            np.testing.assert_array_equal(getattr(some, name), getattr(found, name))
            assert isinstance(getattr(some, name), mg.Tensor)


def test_each_nan_is_one_of_its_own():
    np.testing.assert_array_equal(mg.unique_counts([np.nan, 1.0, np.nan, 1.0]).counts, [2, 1, 1])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_how_many_there_are_must_be_known(operation):
    f = getattr(mg, operation)
    for transform in (mg.vmap, mg.make_graph):
        with pytest.raises(TraceError, match=rf"^\[{operation}\] requires a concrete value .* use mg.where"):
            transform(f)(X)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_under_a_gradient_they_are_constants(operation):
    def f(x):
        found = getattr(mg, operation)(x)
        (first, *_) = found if isinstance(found, tuple) else (found,)
        return mg.sum(x * x) + mg.sum(mg.stop_gradient(first)) + mg.sum(first)

    x = mg.asarray([1.0, 2.0, 0.0, 2.0])
    np.testing.assert_array_equal(mg.grad(f)(x), 2 * x)
    np.testing.assert_array_equal(mg.hvp(f, x, mg.ones(4)), [2, 2, 2, 2])
