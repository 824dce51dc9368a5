"""A convolution between two batch norms: one pass gives what the three give one after another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from places import each_implementation, needs_cuda, run

from metagrad_kernels.convolution import Geometry, convolution, cuda
from metagrad_kernels.convolution.fused import normalized_convolution

ROUNDING = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-14}


def example(dtype, tasks, n, size, c, o, geometry, window=(3, 3), seed=0):
    rng = np.random.default_rng(seed)
    shapes = (tasks, n, *size, c), (tasks, *window, c, o), (tasks, o), (tasks, c), (tasks, c)
    x, w, bias, scale, offset = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return x, w, geometry, bias, scale, offset


@st.composite
def problems(draw):
    small = st.integers(1, 2)
    edge = st.tuples(st.integers(0, 2), st.integers(0, 2))
    geometry = Geometry(draw(st.tuples(small, small)), draw(st.tuples(edge, edge)), draw(st.tuples(small, small)))
    size, window = draw(st.tuples(*[st.integers(1, 7)] * 2)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    try:
        geometry.output_size(size, window)
    except ValueError:
        assume(False)
    c, o = draw(st.sampled_from([0, 1, 3, 4, 20])), draw(st.sampled_from([0, 1, 5, 12, 36]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    tasks, n, seed = draw(st.integers(1, 3)), draw(st.integers(0, 4)), draw(st.integers(0, 2**32 - 1))
    x, w, geometry, bias, scale, offset = example(dtype, tasks, n, size, c, o, geometry, window, seed)
    if draw(st.booleans()):
        scale = offset = None
    return x, w, geometry, bias if draw(st.booleans()) else None, scale, offset


def one_after_another(x, w, geometry, bias, scale, offset):
    """In float64."""
    x, w, bias, scale, offset = (None if v is None else v.astype(np.float64) for v in (x, w, bias, scale, offset))
    if scale is not None:
        x = np.maximum(x * scale[:, None, None, None] + offset[:, None, None, None], 0)
    y = convolution(x, w, geometry, bias, implementation="reference")
    count = max(1, math.prod(y.shape[1:4]))
    mean = y.sum(axis=(1, 2, 3)) / count
    return y, mean, ((y - mean[:, None, None, None]) ** 2).sum(axis=(1, 2, 3)) / count


def assert_close(found, expected, rounding):
    for got, want in zip(found, expected, strict=True):
        assert got.shape == want.shape
        assert got.flags.c_contiguous
        np.testing.assert_allclose(got, want, rtol=0, atol=rounding * (1 + abs(want).max(initial=0)))


@each_implementation
@settings(deadline=None, max_examples=40)
@given(problem=problems())
def test_one_pass_gives_what_three_give(implementation, problem):
    found = run(normalized_convolution, *problem, implementation=implementation)
    assert all(part.dtype == problem[0].dtype for part in found)
    assert_close(found, one_after_another(*problem), 4 * ROUNDING[problem[0].dtype])


@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize(("tasks", "n"), [(1, 50), (40, 18)])
def test_images_in_many_tiles_and_parts(tasks, n, precision):
    problem = example(np.float32, tasks, n, (6, 5), 16, 36, Geometry((2, 1), ((0, 1), (1, 1))))
    found = run(normalized_convolution, *problem, implementation="cuda", precision=precision)
    assert_close(found, one_after_another(*problem), 2e-5 if precision == "float32" else 4e-3)
    again = run(normalized_convolution, *problem, implementation="cuda", precision=precision)
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a, b)


@needs_cuda
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("arithmetic", ["float", "tf32"])
@pytest.mark.parametrize("tile", range(3))
def test_each_tile_serves_each_size(use_tile, arithmetic, tile, rectified):
    """Rows and columns that are not whole tiles."""
    kernel = "convolution_of_rectified" if rectified else "convolution"
    use_tile(kernel, arithmetic, cuda.TILES[kernel, arithmetic][tile])
    problem = example(np.float32, 2, 5, (9, 8), 12, 68, Geometry((2, 1), ((0, 1), (1, 1))))
    if not rectified:
        problem = (*problem[:4], None, None)
    precision = "tf32" if arithmetic == "tf32" else "float32"
    found = run(normalized_convolution, *problem, implementation="cuda", precision=precision)
    assert_close(found, one_after_another(*problem), 2e-5 if arithmetic == "float" else 4e-3)


@each_implementation
def test_a_large_mean_does_not_spoil_the_variance(implementation):
    x, w, geometry, bias, *_ = example(np.float32, 2, 9, (7, 7), 8, 12, Geometry())
    _, _, small = run(normalized_convolution, x, w, geometry, bias, implementation=implementation)
    y, mean, large = run(normalized_convolution, x, w, geometry, bias + np.float32(1000), implementation=implementation)
    assert mean.min() > 900
    spacing = np.spacing(np.float32(1000))  # of the numbers whose variance it is
    np.testing.assert_allclose(large, y.astype(np.float64).var(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(large, small, atol=4 * spacing * np.sqrt(small.max()))


@pytest.mark.parametrize("arguments", [("scale", None), (None, "offset"), ("scale", "bias")])
def test_a_scale_and_an_offset_that_do_not_fit_are_refused(arguments):
    x, w, geometry, bias, scale, offset = example(np.float32, 2, 3, (5, 5), 4, 6, Geometry())
    known = {"scale": scale, "offset": offset, "bias": bias, None: None}
    with pytest.raises(ValueError, match=r"^\[convolution\] requires two of float32 \(2, 4\) as scale and offset but"):
        normalized_convolution(x, w, geometry, bias, *[known[name] for name in arguments])
