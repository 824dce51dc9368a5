"""Pooling: every implementation keeps the contract that the folder states."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from at_once import at_once
from hypothesis import given, settings
from hypothesis import strategies as st
from places import each_implementation, needs_cuda, needs_emulation, run

from metagrad_kernels import avg_pool, avg_pool_transpose, emulation, max_pool, window_gather, window_scatter
from metagrad_kernels.pooling import index_type

each_kernel = pytest.mark.parametrize("implementation", ["cpu", pytest.param("cuda", marks=needs_cuda)])
NONE = ((0, 0), (0, 0))
TIED = [-1, -0.0, 0, 1, np.inf, -np.inf, 1e-45, -1e-45]  # the last two are denormals of float32


@st.composite
def geometries(draw):
    """A size, a window, a stride and a padding that fit each other."""
    axes = []
    for _ in range(2):
        k = draw(st.integers(1, 5))
        before, after = draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))
        n = draw(st.integers(max(1, k - before - after), 9))
        axes.append((n, k, draw(st.integers(1, 6)), (before, after)))
    return tuple(zip(*axes, strict=True))


@st.composite
def problems(draw):
    """Images, a geometry, a random generator. Half of the images have ties, infinities and zeros of both signs."""
    size, window, stride, padding = draw(geometries())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(0, 3)), *size, draw(st.integers(0, 40)))
    x = rng.standard_normal(shape) if draw(st.booleans()) else rng.choice(TIED, shape)
    x = x.astype(draw(st.sampled_from([np.float32, np.float64])))
    if draw(st.booleans()):
        x[rng.random(shape) < 0.1] = np.nan
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    return x, (window, stride, padding), rng


def bits(x):
    return np.ascontiguousarray(x).view(f"u{x.itemsize}")


def both(implementation, f, *args):
    """What the reference says, and an implementation."""
    found = [run(f, *args, implementation=name) for name in ("reference", implementation)]
    assert found[0].shape == found[1].shape
    assert found[0].dtype == found[1].dtype
    assert all(x.flags.c_contiguous for x in found)
    return found


def assert_sums_agree(found, expected, terms):
    """To the rounding of sums of so many terms, each of a size of at most 5."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=5 * terms * np.finfo(found.dtype).eps)


def slow_windows(x, window, stride, padding):
    """For each window, its place in the output and its cells: pairs of index and pixel, the padding left out."""
    starts = [
        range(-before, n + after - k + 1, step)
        for n, k, step, (before, after) in zip(x.shape[1:3], window, stride, padding, strict=True)
    ]
    for (i, y), (j, z) in itertools.product(*map(enumerate, starts)):
        cells = [(place, (y + place // window[1], z + place % window[1])) for place in range(window[0] * window[1])]
        yield (i, j), [(k, at) for k, at in cells if 0 <= at[0] < x.shape[1] and 0 <= at[1] < x.shape[2]]


@each_implementation
@given(problem=problems())
@settings(max_examples=100, deadline=None)
def test_max_pool_is_the_first_largest_cell_or_the_first_nan(implementation, problem):
    x, geometry, _ = problem
    values, indices = run(max_pool, x, *geometry, implementation=implementation)
    assert (values.dtype, indices.dtype) == (x.dtype, index_type(geometry[0]))
    assert values.flags.c_contiguous
    assert indices.flags.c_contiguous
    seen = 0
    for (i, j), cells in slow_windows(x, *geometry):
        for n, c in np.ndindex(x.shape[0], x.shape[3]):
            pixels = [x[n, *at, c] for _, at in cells]
            nans = [k for k, pixel in enumerate(pixels) if np.isnan(pixel)]
            k = nans[0] if nans else pixels.index(max(pixels))
            assert indices[n, i, j, c] == cells[k][0]
            np.testing.assert_array_equal(bits(values[n, i, j, c]), bits(pixels[k]))
            seen += 1
    assert seen == values.size


@each_kernel
@given(problem=problems())
@settings(deadline=None)
def test_max_pool_and_gather_are_the_reference_to_the_bit(implementation, problem):
    x, geometry, rng = problem
    found = [run(max_pool, x, *geometry, implementation=name) for name in ("reference", implementation)]
    values, indices = zip(*found, strict=True)
    np.testing.assert_array_equal(*indices)
    np.testing.assert_array_equal(*map(bits, values))
    gathered = both(implementation, window_gather, x, indices[0], *geometry)
    np.testing.assert_array_equal(*map(bits, gathered))
    np.testing.assert_array_equal(bits(gathered[0]), bits(values[0]))
    anywhere = rng.integers(0, 2 * geometry[0][0] * geometry[0][1], values[0].shape).astype(indices[0].dtype)
    np.testing.assert_array_equal(*map(bits, both(implementation, window_gather, x, anywhere, *geometry)))


@each_kernel
@given(problem=problems())
@settings(deadline=None)
def test_means_and_transposes_are_the_reference_to_rounding(implementation, problem):
    x, (window, stride, padding), rng = problem
    size, terms = x.shape[1:3], window[0] * window[1]
    smooth = rng.uniform(-5, 5, x.shape).astype(x.dtype)
    means = both(implementation, avg_pool, smooth, window, stride, padding)
    assert_sums_agree(*means, terms)
    g = rng.uniform(-5, 5, means[0].shape).astype(x.dtype)
    assert_sums_agree(*both(implementation, avg_pool_transpose, g, size, window, stride, padding), terms)
    indices = rng.integers(0, 2 * terms, g.shape).astype(index_type(window))
    assert_sums_agree(*both(implementation, window_scatter, g, indices, size, window, stride, padding), terms)


@each_implementation
@given(problem=problems())
@settings(deadline=None)
def test_transposes_are_transposes(implementation, problem):
    x, geometry, rng = problem
    x = rng.uniform(-1, 1, x.shape)
    size = x.shape[1:3]
    values, indices = run(max_pool, x, *geometry, implementation=implementation)
    g = rng.uniform(-1, 1, values.shape)
    scattered = run(window_scatter, g, indices, size, *geometry, implementation=implementation)
    np.testing.assert_allclose(np.vdot(g, values), np.vdot(scattered, x), atol=1e-12)
    means = run(avg_pool, x, *geometry, implementation=implementation)
    spread = run(avg_pool_transpose, g, size, *geometry, implementation=implementation)
    np.testing.assert_allclose(np.vdot(g, means), np.vdot(spread, x), atol=1e-12)


X = np.array([[1, 5, 2, 0], [7, 3, 5, 5], [0, 0, -1, -1], [2, 2, -3, -1]], float).reshape(1, 4, 4, 1)


@each_implementation
def test_a_case_by_hand(implementation):
    values, indices = run(max_pool, X, (2, 2), (2, 2), NONE, implementation=implementation)
    np.testing.assert_array_equal(values[0, ..., 0], [[7, 5], [2, -1]])
    np.testing.assert_array_equal(indices[0, ..., 0], [[2, 2], [2, 0]])
    g = np.array([[1, 2], [3, 4]], float).reshape(1, 2, 2, 1)
    scattered = run(window_scatter, g, indices, (4, 4), (2, 2), (2, 2), NONE, implementation=implementation)
    expected = [[0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 4, 0], [3, 0, 0, 0]]
    np.testing.assert_array_equal(scattered[0, ..., 0], expected)
    means = run(avg_pool, X, (2, 2), (2, 2), NONE, implementation=implementation)
    np.testing.assert_array_equal(means[0, ..., 0], [[4, 3], [1, -1.5]])
    spread = run(avg_pool_transpose, 4 * g, (4, 4), (2, 2), (2, 2), NONE, implementation=implementation)
    np.testing.assert_array_equal(spread[0, ..., 0], np.kron([[1, 2], [3, 4]], np.ones((2, 2))))


@each_implementation
def test_overlapping_windows_add_up_and_padding_counts_as_zeros_in_a_mean(implementation):
    x = np.array([[9.0, 1, 8]]).reshape(1, 1, 3, 1)
    geometry = (1, 3), (1, 1), ((0, 0), (1, 1))
    values, indices = run(max_pool, x, *geometry, implementation=implementation)
    np.testing.assert_array_equal(values.ravel(), [9, 9, 8])
    np.testing.assert_array_equal(indices.ravel(), [1, 0, 1])
    ones = np.ones_like(values)
    scattered = run(window_scatter, ones, indices, (1, 3), *geometry, implementation=implementation)
    np.testing.assert_array_equal(scattered.ravel(), [2, 0, 1])
    np.testing.assert_allclose(run(avg_pool, x, *geometry, implementation=implementation).ravel(), [10 / 3, 6, 3])
    spread = run(avg_pool_transpose, ones, (1, 3), *geometry, implementation=implementation)
    np.testing.assert_allclose(spread.ravel(), [2 / 3, 1, 2 / 3])


@each_implementation
def test_cells_that_no_window_covers_get_zero(implementation):
    g = np.ones((2, 2, 1, 3), np.float32)
    for images in (
        run(avg_pool_transpose, g, (6, 5), (1, 1), (3, 9), NONE, implementation=implementation),
        run(
            window_scatter, g, np.zeros(g.shape, np.uint8), (6, 5), (1, 1), (3, 9), NONE, implementation=implementation
        ),
    ):
        assert {tuple(at) for at in np.argwhere(images[0, ..., 0])} == {(0, 0), (3, 0)}
        np.testing.assert_array_equal(images.sum(axis=(1, 2)), np.full((2, 3), 2))


@each_implementation
def test_padding_is_never_the_largest(implementation):
    x = np.full((1, 2, 2, 1), -np.inf)
    values, indices = run(max_pool, x, (2, 2), (1, 1), ((1, 1), (1, 1)), implementation=implementation)
    assert np.all(values == -np.inf)
    np.testing.assert_array_equal(indices[0, ..., 0], [[3, 2, 2], [1, 0, 0], [1, 0, 0]])


@each_implementation
def test_an_index_of_no_cell_reads_zero_and_adds_nowhere(implementation):
    x = np.ones((1, 2, 2, 1))
    geometry = (2, 2), (1, 1), ((1, 0), (1, 0))
    for index in (0, 4, 255):  # of the first window only cell 3 is one
        indices = np.full((1, 2, 2, 1), index, np.uint8)
        gathered = run(window_gather, x, indices, *geometry, implementation=implementation)
        scattered = run(window_scatter, x, indices, (2, 2), *geometry, implementation=implementation)
        assert gathered[0, 0, 0, 0] == 0
        assert gathered.sum() == scattered.sum() == (index == 0)


@each_implementation
def test_a_window_may_have_more_cells_than_a_byte_counts(implementation):
    x = np.zeros((1, 20, 20, 2), np.float32)
    x[0, 15, 3, 0], x[0, 19, 19, 1] = 1, 2
    values, indices = run(max_pool, x, (20, 20), (1, 1), NONE, implementation=implementation)
    assert indices.dtype == np.uint16
    assert indices.ravel().tolist() == [303, 399]
    scattered = run(window_scatter, values, indices, (20, 20), (20, 20), (1, 1), NONE, implementation=implementation)
    np.testing.assert_array_equal(scattered, x)


@each_implementation
def test_a_window_may_have_more_cells_than_two_bytes_count(implementation):
    x = np.zeros((1, 258, 257, 1), np.float32)
    x[0, 257, 3, 0] = 1
    values, indices = run(max_pool, x, (257, 257), (1, 1), NONE, implementation=implementation)
    assert indices.dtype == np.uint32
    assert indices.ravel().tolist() == [0, 256 * 257 + 3]
    gathered = run(window_gather, x, indices, (257, 257), (1, 1), NONE, implementation=implementation)
    np.testing.assert_array_equal(gathered, values)
    scattered = run(
        window_scatter, values, indices, (258, 257), (257, 257), (1, 1), NONE, implementation=implementation
    )
    np.testing.assert_array_equal(scattered, x)


@needs_emulation
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_at_any_address_is_read(dtype):
    """Sixteen bytes are moved at once only where they begin at a multiple of sixteen."""
    xp, geometry = emulation.arrays, ((2, 2), (1, 2), ((0, 1), (1, 0)))
    x = np.random.default_rng(0).standard_normal((2, 5, 4, 8)).astype(dtype)
    expected = [*max_pool(x, *geometry), avg_pool(x, *geometry)]
    for begin in range(4):
        memory = xp.empty(x.size + begin, dtype)
        shifted = memory[begin:].reshape(x.shape)
        shifted.set(x)
        for got, want in zip([*max_pool(shifted, *geometry), avg_pool(shifted, *geometry)], expected, strict=True):
            np.testing.assert_array_equal(got.get(), want)


def test_two_threads_at_once_get_the_bits_of_one():
    rng = np.random.default_rng(0)
    x, geometry = rng.standard_normal((8, 28, 28, 16)).astype(np.float32), ((3, 3), (2, 2), ((1, 1), (0, 1)))

    def everything():
        values, indices = max_pool(x, *geometry)
        scattered = window_scatter(values, indices, (28, 28), *geometry)
        means = avg_pool(x, *geometry)
        return values, indices, scattered, means, avg_pool_transpose(means, (28, 28), *geometry)

    expected = everything()
    for results in at_once(everything, threads=2, times=20):
        for got, want in zip(results, expected, strict=True):
            np.testing.assert_array_equal(bits(got), bits(want))


INDICES = np.zeros((1, 2, 2, 1), np.uint8)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: max_pool(X[0], (2, 2), (2, 2), NONE), ValueError, r"shape \(n, h, w, c\) but got shape \(4, 4, 1\)"),
        (lambda: max_pool(X.astype(int), (2, 2), (2, 2), NONE), TypeError, "float32 or float64 but got int64"),
        (
            lambda: max_pool(X, (0, 2), (2, 2), NONE),
            ValueError,
            r"positive windows and strides but got window \(0, 2\)",
        ),
        (lambda: avg_pool(X, (2, 2), (0, 2), NONE), ValueError, "positive windows and strides"),
        (lambda: max_pool(X, (2, 2), (1, 1), ((2, 0), (0, 0))), ValueError, "smaller than the window"),
        (lambda: avg_pool(X, (2, 2), (1, 1), ((0, -1), (0, 0))), ValueError, "padding from 0"),
        (lambda: max_pool(X, (5, 1), (1, 1), NONE), ValueError, r"images that hold a window \(5, 1\)"),
        (lambda: max_pool(X[:, :0], (1, 1), (1, 1), NONE), ValueError, "images that hold a window"),
        (
            lambda: window_gather(X, INDICES[:, :1], (2, 2), (2, 2), NONE),
            ValueError,
            r"indices of shape \(1, 2, 2, 1\)",
        ),
        (lambda: window_gather(X, INDICES.astype(int), (2, 2), (2, 2), NONE), TypeError, "indices of uint8"),
        (lambda: window_scatter(X, INDICES, (4, 4), (2, 2), (2, 2), NONE), ValueError, r"\(2, 2\) windows an image"),
        (lambda: avg_pool_transpose(X, (4, 4), (2, 2), (2, 2), NONE), ValueError, r"\(2, 2\) windows an image"),
        (lambda: max_pool(X, (2, 2), (2, 2), NONE, implementation="none"), ValueError, "an implementation of"),
    ],
)
def test_bad_input_gets_one_sentence(call, error, says):
    with pytest.raises(error, match=rf"^\[pooling\] requires .*{says}"):
        call()
