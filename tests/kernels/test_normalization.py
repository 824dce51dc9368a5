"""Normalisation, its derivative and the derivative of that: every implementation keeps the contract of its folder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import each_implementation, needs_cuda, run

from metagrad_kernels.normalization import OPERATION, cpu, pullback, pullback_gradients, standardize

fast_implementation = pytest.mark.parametrize("implementation", ["cpu", pytest.param("cuda", marks=needs_cuda)])
ROUNDING = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 2e-14}
EPS = 1e-3


@st.composite
def problems(draw, rows=(1, 2, 3, 10, 64, 65, 150)):
    """x and two cotangents (a, r, b)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    shape = draw(st.integers(0, 5)), draw(st.sampled_from(rows)), draw(st.sampled_from([1, 2, 15, 16, 64, 67]))
    arrays = [rng.standard_normal(shape).astype(dtype) for _ in range(3)]
    arrays[0] += dtype(draw(st.sampled_from([0, 3])))
    if draw(st.booleans()):  # other strides
        arrays = [np.asfortranarray(v) for v in arrays]
    return arrays


def everything(x, g, c, implementation):
    y, s = run(standardize, x, EPS, implementation=implementation)
    return (
        y,
        s,
        run(pullback, y, s, g, implementation=implementation),
        *run(pullback_gradients, y, s, g, c, implementation=implementation),
    )


def by_derivation(x, g, c):
    """All results in extended precision, by derivatives of the definition taken along directions.

    The Jacobian J of y for x is written out as a matrix, s (1 - 1/r - y y^T / r); h = J g; and its derivatives for y, s
    and g are differences, exact because h is a polynomial of degree two in y and of degree one in s and g.
    """
    x, g, c = (v.astype(np.longdouble) for v in (x, g, c))
    r = x.shape[1]
    centred = x - x.mean(1, keepdims=True)
    s = 1 / np.sqrt((centred**2).mean(1) + EPS)
    y = centred * s[:, None]

    def h(y, s, g):
        outer = np.eye(r)[None, :, :, None] - 1 / np.longdouble(r) - y[:, :, None] * y[:, None] / r
        return s[:, None] * np.einsum("aqrb,arb->aqb", outer, g)

    def along(direction):
        return (c * (h(y + direction, s, g) - h(y - direction, s, g)) / 2).sum(1)

    of_y = np.zeros_like(y)
    for k in range(r):
        unit = np.zeros_like(y)
        unit[:, k] = 1
        of_y[:, k] = along(unit)
    return y, s, h(y, s, g), of_y, (c * h(y, np.ones_like(s), g)).sum(1), h(y, s, c)


@each_implementation
@settings(deadline=None, max_examples=25)
@given(problem=problems(rows=[1, 2, 3, 10]))
def test_results_are_what_the_definition_and_its_derivatives_say(implementation, problem):
    x, g, c = problem
    before = [v.copy() for v in problem]
    got = everything(*problem, implementation)
    for v, old in zip(problem, before, strict=True):
        np.testing.assert_array_equal(v, old)  # inputs are not written to
    for k, (a, b) in enumerate(zip(got, by_derivation(x, g, c), strict=True)):
        assert (a.shape, a.dtype) == (b.shape, x.dtype)
        assert a.flags.c_contiguous or implementation == "reference"
        # Single sums of r products of numbers of size one, and what is made of them.
        size = float(np.abs(b).max(initial=1)) + x.shape[1] ** 0.5 * (k == 4)
        np.testing.assert_allclose(a, b.astype(x.dtype), rtol=0, atol=10 * ROUNDING[x.dtype] * size)


@fast_implementation
@settings(deadline=None, max_examples=40)
@given(problem=problems())
def test_the_implementations_agree(implementation, problem):
    for a, b in zip(*(everything(*problem, name) for name in (implementation, "reference")), strict=True):
        size = float(np.abs(b).max(initial=1)) + problem[0].shape[1] ** 0.5
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING[b.dtype] * size)


@pytest.mark.parametrize("shape", [(1, 300, 70), (7, 100, 64), (9, 64, 1), (2, cpu.MANY + 100, 5)])
def test_the_number_of_threads_does_not_change_a_bit(use_threads, shape):
    rng = np.random.default_rng(0)
    problem = [rng.standard_normal(shape, dtype=np.float32) for _ in range(3)]
    results = []
    for count in (1, 2, 3, 7):
        use_threads(count)
        results.append(everything(*problem, "cpu"))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@fast_implementation
@pytest.mark.parametrize("dtype", ROUNDING)
def test_many_rows_are_summed_in_strips(implementation, dtype):
    """Of unlike means and sizes: what strips are put together by is not lost in rounding."""
    rng = np.random.default_rng(0)
    rows = cpu.MANY + 500
    level = np.repeat(rng.standard_normal((2, 4, 5)) * 10, rows // 3, axis=1)[:, :rows]
    x, g, c = rng.standard_normal((3, *level.shape)).astype(dtype)
    x = (x * np.exp(level / 10) + level).astype(dtype)
    for a, b in zip(*(everything(x, g, c, name) for name in (implementation, "reference")), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=ROUNDING[b.dtype] * (np.abs(b).max() + rows**0.5))


@each_implementation
def test_a_large_mean_does_not_spoil_the_variance(implementation):
    """The squares are of centred numbers: a sum of squares less a squared sum would lose all digits here."""
    x = np.random.default_rng(0).standard_normal((1, 1000, 1)).astype(np.float32)
    y, s = run(standardize, x + np.float32(1000), 1e-12, implementation=implementation)
    np.testing.assert_allclose(s, 1 / x.std(), rtol=1e-4)
    np.testing.assert_allclose(y.std(), 1, rtol=1e-5)


@each_implementation
def test_equal_numbers_give_zeros(implementation):
    y, s = run(standardize, np.full((1, 5, 2), 3.0), EPS, implementation=implementation)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_allclose(s, EPS**-0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, s: standardize(x[0], EPS), ValueError, r"requires arrays \(a, r, b\) with r > 0"),
        (lambda x, s: standardize(x[:, :0], EPS), ValueError, r"r > 0.*\(2, 0, 4\)"),
        (lambda x, s: standardize(x.astype(int), EPS), TypeError, "float32 or of float64 but got int64"),
        (lambda x, s: pullback(x, s, x[:1]), ValueError, r"but got shapes \(2, 3, 4\), \(1, 3, 4\), \(2, 4\)"),
        (lambda x, s: pullback(x, s[:1], x), ValueError, "and s"),
        (lambda x, s: pullback_gradients(x, s, x, x.astype(np.float32)), TypeError, "float64, float32"),
        (lambda x, s: standardize(x, EPS, implementation="fast"), ValueError, "reference"),
    ],
)
def test_what_the_contract_does_not_allow_is_refused(call, error, message):
    with pytest.raises(error, match=rf"^\[normalization\] .*{message}"):
        call(np.ones((2, 3, 4)), np.ones((2, 4)))


def test_the_fast_implementation_is_the_first_choice():
    assert OPERATION.choose(np.zeros(1)).__name__ == "metagrad_kernels.normalization.cpu"
