"""Convolution and its two gradients: every implementation keeps the contract that its folder states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from at_once import at_once
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from places import each_implementation, needs_cuda, run

from metagrad_kernels.convolution import (
    OPERATION,
    Geometry,
    convolution,
    cpu,
    cuda,
    geometry,
    input_gradient,
    weight_gradient,
)
from metagrad_kernels.convolution.cpu import PART
from metagrad_kernels.convolution.loops import CHUNK
from metagrad_kernels.tile import lanes

ROUNDING = {np.dtype(np.float32): 4e-6, np.dtype(np.float64): 1e-14}


@st.composite
def problems(draw):
    """Images, weights, a cotangent of the result, and the geometry."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    tasks, n = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    window = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    channels = draw(st.sampled_from([0, 1, 2, 3, 7, 8, 13, 33]))
    features = draw(st.sampled_from([0, 1, 5, 8, 16, 31, 64, 70]))
    small = st.integers(1, 3)
    edge = st.tuples(st.integers(0, 2), st.integers(0, 3))
    geometry = Geometry(draw(st.tuples(small, small)), draw(st.tuples(edge, edge)), draw(st.tuples(small, small)))
    try:
        out = geometry.output_size(size, window)
    except ValueError:
        assume(False)
    x = rng.standard_normal((tasks, n, *size, channels)).astype(dtype)
    w = rng.standard_normal((tasks, *window, channels, features)).astype(dtype)
    g = rng.standard_normal((tasks, n, *out, features)).astype(dtype)
    if draw(st.booleans()):  # other strides
        x, w, g = (np.asfortranarray(v) for v in (x, w, g))
    return x, w, g, geometry


def by_definition(x, w, geometry):
    """The sum of the contract, pixel by pixel, in extended precision."""
    tasks, n, h, wide, _ = x.shape
    (s, t), ((top, _), (left, _)), (d, e) = geometry
    out = geometry.output_size((h, wide), w.shape[1:3])
    y = np.zeros((tasks, n, *out, w.shape[-1]), np.longdouble)
    for i, j, a, b in np.ndindex(*out, *w.shape[1:3]):
        row, column = i * s + a * d - top, j * t + b * e - left
        if 0 <= row < h and 0 <= column < wide:
            y[:, :, i, j] += np.einsum("tnc,tco->tno", x[:, :, row, column], w[:, a, b].astype(np.longdouble))
    return y


def all_three(x, w, g, geometry, implementation):
    return (
        run(convolution, x, w, geometry, implementation=implementation),
        run(input_gradient, g, w, geometry, x.shape[2:4], implementation=implementation),
        run(weight_gradient, x, g, geometry, w.shape[1:3], implementation=implementation),
    )


def assert_close(got, expected, count):
    """To rounding in sums of so many products of numbers of size one."""
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=ROUNDING[got.dtype] * max(count, 4) ** 0.5)


@each_implementation
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_the_result_is_the_definition(implementation, problem):
    x, w, _, geometry = problem
    y = run(convolution, x, w, geometry, implementation=implementation)
    assert y.dtype == x.dtype
    assert y.flags.c_contiguous
    assert_close(y, by_definition(x, w, geometry), math.prod(w.shape[1:4]))


@each_implementation
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_the_gradients_are_transposes(implementation, problem):
    """<g, y(x, w)> = <dx(g, w), x> = <dw(x, g), w>, and the derivatives of the reference are linear in g."""
    x, w, g, geometry = problem
    before = [v.copy() for v in (x, w, g)]
    y, dx, dw = all_three(x, w, g, geometry, implementation)
    for v, old in zip((x, w, g), before, strict=True):
        np.testing.assert_array_equal(v, old)  # inputs are not written to
    long = [v.astype(np.longdouble) for v in (x, w, g, y, dx, dw)]
    x, w, g, y, dx, dw = long
    scale = np.sqrt((g**2).sum() * (y**2).sum()) + 1
    for inner in ((dx * x).sum(), (dw * w).sum()):
        assert abs(inner - (g * y).sum()) <= 1e3 * np.finfo(problem[0].dtype).eps * scale


@each_implementation
@settings(deadline=None, max_examples=30)
@given(problem=problems())
def test_a_bias_is_added_to_each_pixel(implementation, problem):
    x, w, _, geometry = problem
    bias = np.random.default_rng(1).standard_normal((len(w), w.shape[-1])).astype(w.dtype)
    y = run(convolution, x, w, geometry, bias, implementation=implementation)
    expected = run(convolution, x, w, geometry, implementation=implementation) + bias[:, None, None, None]
    assert_close(y, expected, math.prod(w.shape[1:4]))


def assert_as_the_reference(implementation, x, w, g, geometry):
    counts = (math.prod(w.shape[1:4]), math.prod(w.shape[1:3]) * w.shape[4], math.prod(g.shape[1:4]))
    found = (all_three(x, w, g, geometry, name) for name in (implementation, "reference"))
    for got, expected, count in zip(*found, counts, strict=True):
        assert_close(got, expected, count)


@pytest.mark.parametrize("implementation", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_the_implementations_agree(implementation, problem):
    assert_as_the_reference(implementation, *problem)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_of_few_channels_may_take_several_tiles_for_a_row_of_the_window(dtype):
    rng = np.random.default_rng(0)
    geometry = Geometry((1, 2), ((1, 0), (9, 3)))
    w = rng.standard_normal((2, 2, 11, 7, 5)).astype(dtype)
    assert w.shape[3] < cpu.FEW
    assert math.prod(w.shape[2:4]) > 4 * lanes(w.itemsize)
    g = rng.standard_normal((2, 3, *geometry.output_size((4, 21), (2, 11)), 5)).astype(dtype)
    got, expected = (input_gradient(g, w, geometry, (4, 21), implementation=name) for name in ("cpu", "reference"))
    assert_close(got, expected, 2 * 11 * 5)


@pytest.mark.parametrize("channels", [3, 9])
def test_a_gradient_of_weights_sums_over_more_pixels_than_are_read_at_once(channels):
    x, w, g, geometry = example(n=41, channels=channels, features=5)
    assert math.prod(g.shape[1:4]) > CHUNK
    got, expected = (
        weight_gradient(x, g, geometry, w.shape[1:3], implementation=name) for name in ("cpu", "reference")
    )
    assert_close(got, expected, math.prod(g.shape[1:4]))


@pytest.mark.parametrize("channels", [3, 9])
def test_a_gradient_of_weights_is_the_sum_of_its_parts_whatever_the_number_of_threads(use_threads, channels):
    x, w, g, geometry = example(n=361, channels=channels, features=5, tasks=2)
    pixels = math.prod(g.shape[1:4])
    assert pixels > 2 * PART
    assert pixels % PART
    found = []
    for count in (1, 3):
        use_threads(count)
        found.append(weight_gradient(x, g, geometry, w.shape[1:3], implementation="cpu"))
    np.testing.assert_array_equal(*found)
    exact = weight_gradient(x.astype(float), g.astype(float), geometry, w.shape[1:3], implementation="reference")
    # A running sum has the size of the root of what it counts, and so many roundings of it.
    np.testing.assert_allclose(found[0], exact, rtol=0, atol=np.finfo(np.float32).eps * pixels)


def to_tf32(x):
    """Rounded to a fraction of 10 bits, ties away from zero."""
    return ((x.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)


@needs_cuda
@pytest.mark.parametrize(
    ("kernel", "arithmetic", "tile", "c", "o"),
    [
        (*key, tile, *channels)
        for key, tiles in cuda.TILES.items()
        if key[0] != "convolution_of_rectified"
        for tile in tiles
        for channels in ((12, 68), (5, 35))[: 1 if key[1] == "tf32" else 2]
    ],
)
def test_each_tile_serves_each_size(use_tile, kernel, arithmetic, tile, c, o):
    """Rows and columns that are not whole tiles; pixels whose number of taps differs; channels in vectors or not."""
    use_tile(kernel, arithmetic, tile)
    dtype = np.float64 if arithmetic == "double" else np.float32
    precision = "tf32" if arithmetic == "tf32" else "float32"
    x, w, g, geometry = example(dtype, tasks=2, n=3, size=9, channels=c, features=o)
    function, a, b, *last, count = {
        "convolution": (convolution, x, w, geometry, math.prod(w.shape[1:4])),
        "input_gradient": (input_gradient, g, w, geometry, x.shape[2:4], math.prod(w.shape[1:3]) * w.shape[4]),
        "weight_gradient": (weight_gradient, x, g, geometry, w.shape[1:3], math.prod(g.shape[1:4])),
    }[kernel]
    got = run(function, a, b, *last, implementation="cuda", precision=precision)
    if arithmetic == "tf32":
        a, b = to_tf32(a), to_tf32(b)
        count *= 16  # tensor cores keep fewer bits than float between the products that they add at once
    assert_close(got, function(a, b, *last, implementation="reference"), count)


@each_implementation
def test_tf32_is_the_full_precision_where_tensor_cores_do_not_serve(implementation):
    for case in (example(np.float64), example(np.float32, channels=5)):
        x, w, _, geometry = case
        default, allowed = (
            run(convolution, x, w, geometry, implementation=implementation, precision=precision)
            for precision in ("float32", "tf32")
        )
        np.testing.assert_array_equal(default, allowed)


@needs_cuda
@pytest.mark.parametrize("n", [16, 37])
def test_rows_of_a_tile_may_be_the_same_pixel_of_many_images(n):
    x, w, g, geometry = example(tasks=2, n=n, size=5, channels=16, features=20)
    assert n >= cuda.BY_PIXEL
    assert_as_the_reference("cuda", x, w, g, geometry)


@needs_cuda
@pytest.mark.parametrize(("n", "channels", "features", "parts"), [(41, 1, 64, 5), (41, 16, 20, 5), (130, 3, 5, 18)])
def test_a_gradient_of_weights_is_the_same_sum_of_parts_each_time(n, channels, features, parts):
    x, w, g, geometry = example(tasks=2, n=n, size=11, channels=channels, features=features)
    plan = cuda._outer("float", channels == 16, geometry, w.shape, n, x.shape[2:4])
    assert plan.parts == parts
    first, second = (run(weight_gradient, x, g, geometry, w.shape[1:3], implementation="cuda") for _ in range(2))
    np.testing.assert_array_equal(first, second)
    exact = weight_gradient(x.astype(float), g.astype(float), geometry, w.shape[1:3], implementation="reference")
    assert_close(first, exact, math.prod(g.shape[1:4]))


@needs_cuda
def test_images_that_are_not_at_a_multiple_of_16_bytes_are_read_one_by_one():
    x, w, _, geometry = example(n=1)
    memory = np.empty(x.size + 1, x.dtype)
    memory[1:] = x.reshape(-1)

    def shifted(memory, w):
        return convolution(memory[1:].reshape(x.shape), w, geometry)

    got = run(shifted, memory, w, implementation="cuda")
    assert_close(got, convolution(x, w, geometry, implementation="reference"), math.prod(w.shape[1:4]))


@pytest.mark.parametrize("n", [1, 100])
def test_tiles_meet_the_fewest_taps_that_they_can(n):
    """4 x 4 to 2 x 2: of 9 taps, pixels meet 9, 6, 6 and 4. One image fills one tile if its pixels are together."""
    plan = cpu._plan(Geometry((2, 2), ((0, 1), (0, 1))), (4, 4), (3, 3), geometry.forward, n)
    apart = -(-n // cpu.ROWS)
    assert plan.taps == min(9 * -(-4 * n // cpu.ROWS), apart * (9 + 6 + 6 + 4))


def test_few_large_tables_are_kept_and_many_small_ones():
    made = []
    table = geometry.kept(lambda *arguments: made.append(arguments) or len(made))
    large, small = [(1000 + k, 1000) for k in range(20)], [(k, 10) for k in range(1, 21)]
    for sizes, expected in ((large, 40), (small, 20)):
        made.clear()
        for size in sizes * 2:
            table(Geometry(), size, (3, 3))
        assert len(made) == expected


def example(dtype=np.float32, tasks=3, n=5, size=9, channels=16, features=40):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((tasks, n, size, size, channels)).astype(dtype)
    w = rng.standard_normal((tasks, 3, 3, channels, features)).astype(dtype)
    geometry = Geometry((2, 2), ((1, 1), (1, 1)))
    g = rng.standard_normal((tasks, n, *geometry.output_size((size, size), (3, 3)), features)).astype(dtype)
    return x, w, g, geometry


@pytest.mark.parametrize("channels", [3, 16])
def test_the_number_of_threads_does_not_change_a_bit(use_threads, channels):
    results = []
    for count in (1, 2, 3, 7):
        use_threads(count)
        results.append(all_three(*example(size=40, channels=channels), "cpu"))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_python_threads_may_call_at_once():
    expected = all_three(*example(), "cpu")
    for results in at_once(lambda: all_three(*example(), "cpu"), threads=4, times=20):
        for a, b in zip(expected, results, strict=True):
            np.testing.assert_array_equal(a, b)


@each_implementation
@pytest.mark.parametrize("channels", [3, 16])
def test_a_not_finite_cotangent_reaches_only_the_pixels_under_its_window(implementation, channels):
    x, w, g, geometry = example(tasks=1, n=1, channels=channels)
    clean = run(input_gradient, g, w, geometry, x.shape[2:4], implementation=implementation)
    g[0, 0, -1, -1] = np.nan
    spoiled = run(input_gradient, g, w, geometry, x.shape[2:4], implementation=implementation)
    assert np.isnan(spoiled[0, 0, -2:, -2:]).all()
    np.testing.assert_array_equal(spoiled[0, 0, :-2], clean[0, 0, :-2])
    np.testing.assert_array_equal(spoiled[0, 0, :, :-2], clean[0, 0, :, :-2])


@each_implementation
def test_a_not_finite_pixel_reaches_only_the_results_that_see_it(implementation):
    x, w, _, geometry = example(tasks=1, n=1)
    clean = run(convolution, x, w, geometry, implementation=implementation)
    x[0, 0, 0, 0, 0] = np.nan
    spoiled = run(convolution, x, w, geometry, implementation=implementation)
    assert np.isnan(spoiled[0, 0, 0, 0]).all()
    np.testing.assert_array_equal(spoiled[0, 0, 1:, 1:], clean[0, 0, 1:, 1:])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, w, g, s: convolution(x[0], w, s), ValueError, "but got shapes"),
        (lambda x, w, g, s: convolution(x[..., 1:], w, s), ValueError, "but got shapes"),
        (lambda x, w, g, s: convolution(x[:2], w, s), ValueError, "but got shapes"),
        (lambda x, w, g, s: convolution(x.astype(np.float64), w, s), TypeError, "float64 and float32"),
        (lambda x, w, g, s: convolution(x[:, :, :1, :1], w, Geometry()), ValueError, "at least as large as the window"),
        (lambda x, w, g, s: convolution(x, w, Geometry(stride=(0, 1))), ValueError, "positive strides"),
        (lambda x, w, g, s: convolution(x, w, Geometry(stride=(1.5, 1))), TypeError, "whole numbers in window"),
        (lambda x, w, g, s: convolution(x, w, Geometry(padding=((0, 0), (-1, 0)))), ValueError, "padding of 0 or more"),
        (lambda x, w, g, s: convolution(x, w, s, w[0, 0, 0, 0]), ValueError, r"a bias \(tasks, o\)"),
        (lambda x, w, g, s: input_gradient(g, w, s, (20, 20)), ValueError, "but got shapes"),
        (lambda x, w, g, s: weight_gradient(x, g, s, (9, 9)), ValueError, "but got shapes"),
        (lambda x, w, g, s: convolution(x, w, s, implementation="fast"), ValueError, "reference"),
        (lambda x, w, g, s: convolution(x, w, s, precision="half"), ValueError, "'float32' or 'tf32' but got 'half'"),
        (lambda x, w, g, s: input_gradient(g, w, s, (9, 9), precision="half"), ValueError, "a precision"),
        (lambda x, w, g, s: weight_gradient(x, g, s, (3, 3), precision="half"), ValueError, "a precision"),
    ],
)
def test_what_the_contract_does_not_allow_is_refused(call, error, message):
    with pytest.raises(error, match=rf"^\[convolution\] requires .*{message}"):
        call(*example())


def test_the_fast_implementation_is_the_first_choice():
    assert OPERATION.choose(np.zeros(1)).__name__ == "metagrad_kernels.convolution.cpu"
