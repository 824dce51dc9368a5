"""Sums that a kernel takes: they are NumPy's to the bit, whichever shapes are broadcast."""

import numpy as np
import pytest

import metagrad as mg
from metagrad.ops import arithmetic

N = arithmetic.LARGE


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("large", "small"),
    [
        ((N // 64, 64), (64,)),
        ((2, 8, N // 512, 32), (2, 1, 1, 32)),
        ((2, 8, N // 512, 32), (1, 8, 1, 32)),
        ((2, 8, N // 512, 32), (2, 1, N // 512, 1)),
        ((N, 1), (1,)),
        ((N // 8, 8), (8,)),
        ((1, N), (2, 1)),
        ((N,), (1, 1, 1)),
        ((N // 32, 32), (N // 32, 32)),
        ((N // 32, 32), ()),
    ],
)
def test_large_sums_broadcast_as_numpy_does(large, small, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(large).astype(dtype), rng.standard_normal(small).astype(dtype)
    for a, b in ((x, y), (y, x), (np.asfortranarray(x), y), (x, y.astype(np.float64)), (x, 2)):
        expected = np.add(a, b)
        got = np.asarray(mg.add(a, b))
        np.testing.assert_array_equal(got, expected, strict=True)


def test_the_gradient_of_a_row_that_is_added_is_the_sum_over_rows():
    x, row = np.random.default_rng(0).standard_normal((N // 64, 64)), np.ones(64)
    gradient = mg.grad(lambda row: mg.sum(mg.square(mg.add(x, row))))(row)
    np.testing.assert_allclose(gradient, 2 * (x + row).sum(axis=0), rtol=1e-12)
