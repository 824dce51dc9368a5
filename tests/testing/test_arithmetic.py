"""Functions that compute with fewer digits than float64: seen as such, and never called wrong for it."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

import metagrad as mg
from metagrad.testing import (
    NotMeasuredError,
    check_gradients,
    check_hvp,
    check_subgradient,
    check_taylor,
    numpy_function,
)
from metagrad.testing.arithmetic import roundoff
from metagrad.testing.estimates import EPS

POINTS = [0.37, -0.9, 0.02]
CHECKS = [check_gradients, check_hvp, check_taylor, check_subgradient]


def within(dtype):
    """tanh in a dtype, of float64 and to float64."""
    return lambda t: np.tanh(np.asarray(t, dtype)).astype(np.float64)


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_roundoff_of_a_dtype_is_seen_to_within_a_digit(at, dtype):
    f = within(dtype)
    eps = float(np.finfo(dtype).eps)
    assert 0.05 * eps < roundoff(lambda t: f(at * (1 + t)), abs(f(at))) < 20 * eps


@pytest.mark.parametrize("at", POINTS)
@pytest.mark.parametrize(
    "f",
    [
        np.tanh,
        np.abs,
        np.round,
        lambda t: np.maximum(t, 0.01),
        lambda t: np.sin(300 * t),
        lambda t: np.sin(1e5 * t),
        lambda t: 2 + t**2 + 1e-3 * np.sin(1e3 * t),
        lambda t: np.maximum(np.sin(300 * t), 0),
        lambda t: 0 * t,
        lambda t: np.exp(20 * t),
    ],
)
def test_waves_kinks_and_steps_of_one_s_own_are_no_roundoff(f, at):
    assert roundoff(lambda t: f(at * (1 + t)), abs(f(at))) == EPS


def test_digits_that_are_lost_to_a_difference_of_large_numbers_are_seen():
    assert 1e-10 < roundoff(lambda t: (0.3 * (1 + t) + 1e7) - 1e7, 0.3) < 1e-7


@pytest.mark.parametrize("check", CHECKS)
def test_a_function_of_half_precision_is_not_measured_rather_than_wrong(check):
    f = within(np.float16)
    half = numpy_function(
        lambda x: np.sum(f(x)), lambda x: 1 - f(x) ** 2, lambda args, v: -2 * f(args[0]) * (1 - f(args[0]) ** 2) * v[0]
    )
    with pytest.raises(NotMeasuredError, match=r"requires a function that computes in float64 or float32 but got one"):
        check(half, [np.array(POINTS)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("check", CHECKS)
def test_a_right_function_of_single_precision_is_never_wrong(check, seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.normal(size=s).astype(np.float32) / 2 for s in ((6, 8), (8, 3)))

    def net(x):
        hidden = mg.tanh(mg.astype(x, np.float32) @ first)
        return mg.astype(mg.sum(mg.logsumexp(hidden @ second, axis=-1)), np.float64)

    with suppress(NotMeasuredError):
        check(net, [rng.normal(size=(4, 6))], seed=seed)


def test_an_error_that_single_precision_leaves_visible_is_found():
    @mg.custom_vjp
    def tanh(x):
        return mg.tanh(x)

    tanh.defvjp(lambda x: (mg.tanh(x), x), lambda x, g: (1.01 * g / mg.square(mg.cosh(x)),))

    def rounded(x):
        return mg.astype(mg.sum(tanh(mg.astype(x, np.float32)) ** 2), np.float64)

    with pytest.raises(AssertionError):
        check_gradients(rounded, [np.array([0.37, -1.9, 0.02])], order=1)
