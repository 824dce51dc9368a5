"""How blocks of a GPU's threads share the rows of matrices: all are taken, once, by blocks that a GPU can run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import CUPY, needs_cuda

from metagrad_kernels import emulation, strips
from metagrad_kernels.normalization import cuda as normalization
from metagrad_kernels.reduction import sum_rows
from metagrad_kernels.row_addition import add_row
from metagrad_kernels.strips import cut, vector


@given(a=st.integers(1, 100_000), r=st.integers(0, 10**7), b=st.integers(1, 3000), partials=st.sampled_from([0, 1024]))
def test_every_row_and_column_is_taken_once(a, r, b, partials):
    how = cut((a, r, b), 1, partials)
    across, rows, stacks = how.block
    assert (how.strips - 1) * how.depth < max(r, 1) <= how.strips * how.depth
    tiles = -(-b // across)
    assert how.grid == -(-a // stacks) * tiles * how.strips < 2**31
    assert across * rows * stacks <= strips.THREADS
    assert stacks <= 64
    assert rows.bit_count() == 1  # a tree over them has no odd ones
    assert how.strips == 1 or how.strips * across <= partials


@pytest.mark.parametrize("shape", [(32, 980, 64), (32, 15_000, 64), (1, 31_360, 64), (1000, 64, 1), (1, 10**6, 1)])
def test_the_shapes_of_meta_learning_fill_a_gpu(shape):
    assert cut(shape, 4 if shape[2] == 64 else 1).grid > 132


@needs_cuda
def test_an_array_that_begins_anywhere_is_read_a_number_at_a_time():
    xp = emulation.arrays if CUPY is None else CUPY
    numbers = np.arange(2 * 3 * 4 + 1, dtype=np.float32)
    there, apart = xp.asarray(numbers)[:-1].reshape(2, 3, 4), xp.asarray(numbers)[1:].reshape(2, 3, 4)
    assert (vector(4, there), vector(4, apart), vector(3, there)) == (4, 1, 1)
    assert (vector(4, there, size=8), vector(4, there, there.astype(float))) == (2, 4)
    x = numbers[1:].reshape(2, 3, 4)
    np.testing.assert_array_equal(sum_rows(apart).get(), x.sum(axis=1))
    np.testing.assert_array_equal(add_row(apart, apart[:, 0]).get(), x + x[:, :1])


@needs_cuda
def test_strips_give_what_whole_matrices_give(monkeypatch):
    """Of one shape, so that only the way differs in which sums are put together."""
    xp = emulation.arrays if CUPY is None else CUPY
    x, g, c = (xp.asarray(v) for v in np.random.default_rng(0).standard_normal((3, 3, 300, 12)))
    results = []
    for most in (strips.MANY, 1):
        monkeypatch.setattr(strips, "MANY", most)
        assert (cut(x.shape, 2).strips > 1) == (most > 1)
        y, s = normalization.standardize(x, 1e-3)
        results.append([y, s, normalization.pullback(y, s, g), *normalization.pullback_gradients(y, s, g, c)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.get(), other.get(), rtol=0, atol=1e-12)
