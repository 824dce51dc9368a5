"""Products on tensor cores: the wrappers of common.cuh do what the instructions are documented to do."""

from __future__ import annotations

import numpy as np
import pytest
from places import CUPY, needs_cuda

from metagrad_kernels import emulation
from metagrad_kernels.compile import ARCHITECTURES, measure
from metagrad_kernels.launch import Source

SOURCE = Source(__file__, "mma.cu", {"product": 32, "rounded": 16})


def on_device(*arrays):
    xp = emulation.arrays if CUPY is None else CUPY
    return [xp.asarray(x) for x in arrays]


@needs_cuda
@pytest.mark.parametrize("below", [0, 2**-13])
def test_a_product_reads_the_bits_of_tf32_and_no_more(below):
    rng = np.random.default_rng(0)
    # Numbers of 4 bits, whose products' sums are exact in any order, and what TF32 has no bits for.
    a, b, d = (rng.integers(1, 15, shape).astype(np.float32) for shape in ((16, 8), (8, 8), (16, 8)))
    left, right, sums = on_device(a * np.float32(1 + below), b * np.float32(1 + below), d)
    SOURCE.launch("product", (1,), (32,), left, right, sums)
    np.testing.assert_array_equal(sums.get(), a @ b + d)


@needs_cuda
def test_rounding_is_to_the_nearest_with_ties_away_from_zero():
    step, most = np.float32(2**-10), np.finfo(np.float32).max
    x = np.array([1, 1 + step, 1 + step / 2, 1 + step * 0.499, -1 - step / 2, 0, most, np.inf, -np.inf], np.float32)
    x, y = on_device(x, np.empty_like(x))
    SOURCE.launch("rounded", (1,), (x.size,), x, y)
    assert y.tolist() == [1, 1 + step, 1 + step, 1, -1 - step, 0, np.inf, np.inf, -np.inf]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("entry", SOURCE.entries)
def test_the_instructions_compile(entry, architecture):
    assert measure(SOURCE, entry, architecture).error == ""
