"""The checks themselves are checked: they find what is wrong, say where, and know how good their oracles are."""

from __future__ import annotations

import math

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, OptionError
from metagrad.testing import (
    KinkError,
    NotAnalyticError,
    central_difference,
    check_gradients,
    complex_step,
    numeric_derivative,
    random_direction,
    taylor_slope,
)


class Sine(mg.Primitive):
    """A sine with derivatives that a test can make wrong, by mode and by order."""

    wrong: tuple[str, ...] = ()

    def forward(self, x):
        return np.sin(x)

    def abstract(self, x):
        return x

    def vjp(self, i, cotangent, output, x):
        return cotangent * (mg.sin(x) if "vjp" in self.wrong else mg.cos(x))

    def jvp(self, i, tangent, output, x):
        return tangent * (mg.sin(x) if "jvp" in self.wrong else mg.cos(x))


class WrongVJP(Sine):
    wrong = ("vjp",)


class WrongJVP(Sine):
    wrong = ("jvp",)


class RightOnlyOnce(Sine):
    """Its first derivative is a number that has forgotten where it came from."""

    def vjp(self, i, cotangent, output, x):
        return cotangent * mg.stop_gradient(mg.cos(x))


X = [np.array([0.3, -0.8, 1.1])]


def test_a_right_primitive_passes_and_is_counted():
    report = check_gradients(Sine(), X, order=3)
    assert report.checks == 2 + 4 + 8
    assert report.oracles == {"central differences": 3}
    assert report.redrawn == 0
    assert report.worst < 1e-9
    assert report.loosest < 1e-6


@pytest.mark.parametrize(
    ("primitive", "where"),
    [(WrongVJP, "order 1, reverse"), (WrongJVP, "order 1, forward"), (RightOnlyOnce, "order 2, reverse over reverse")],
)
def test_a_wrong_rule_is_found_at_its_order_and_in_its_mode(primitive, where):
    with pytest.raises(AssertionError, match=where) as caught:
        check_gradients(lambda a, b: a * primitive()(b["x"]), [mg.ones(3), {"x": X[0]}], order=2)
    message = str(caught.value)
    assert "argument [1]['x']" in message
    assert all(word in message for word in ("expected", "got", "error about", "along"))


def test_a_mode_that_is_not_asked_for_is_not_checked():
    check_gradients(WrongJVP(), X, modes=("reverse",), order=1)


def test_the_taylor_slope_stops_at_the_wrong_order():
    assert taylor_slope(Sine(), X, order=2) > 2.9
    assert taylor_slope(WrongVJP(), X, order=2) < 1.2
    assert taylor_slope(RightOnlyOnce(), X, order=1) > 1.9
    assert 1.8 < taylor_slope(RightOnlyOnce(), X, order=2) < 2.2
    assert taylor_slope(lambda x: x * x, X, order=2) == math.inf


def test_a_point_at_a_kink_is_moved_and_counted():
    report = check_gradients(lambda x: mg.abs(x) ** 1, [np.array([0.0, 1.0])])
    assert report.redrawn >= 1
    with pytest.raises(KinkError):
        check_gradients(lambda x: mg.abs(x), [np.array([0.0, 1.0])], redraws=0)


@pytest.mark.parametrize(
    ("g", "slope"),
    [
        (math.sin, 1.0),
        (math.exp, 1.0),
        (lambda t: 1 / (1 + t), -1.0),
        (lambda t: math.sqrt(1 + 3 * t), 1.5),
        (math.tanh, 1.0),
    ],
)
def test_the_error_estimate_of_central_differences_is_honest(g, slope):
    estimate = central_difference(g)
    assert abs(estimate.value - slope) <= 10 * estimate.error
    assert estimate.error < 1e-9


def test_the_complex_step_is_exact_to_rounding():
    rng = np.random.default_rng(0)
    x, v = rng.uniform(0.5, 1.5, 4), random_direction(rng, (4,))
    estimate = complex_step(lambda x: mg.sum(mg.log(x) * mg.sin(x)), [x], [v])
    expected = np.sum((np.sin(x) / x + np.log(x) * np.cos(x)) * v)
    assert abs(estimate.value - expected) <= min(estimate.error, 1e-13)
    assert numeric_derivative(lambda x: mg.sum(mg.log(x)), [x], [v]).oracle == "complex step"


@pytest.mark.parametrize("f", [mg.abs, mg.nn.relu, mg.floor, lambda x: mg.where(x > 0, x, 2 * x), mg.stop_gradient])
def test_the_complex_step_refuses_what_is_not_analytic(f):
    with pytest.raises(NotAnalyticError, match="complex_step"):
        complex_step(lambda x: mg.sum(f(x)), X, X)


def test_directions_have_no_small_components():
    v = random_direction(np.random.default_rng(0), (1000,))
    assert np.abs(v).min() >= 0.5
    assert np.abs(v).max() <= 1.5
    assert {-1.0, 1.0} == set(np.sign(v))


def test_bad_requests_get_one_sentence():
    with pytest.raises(DTypeError, match=r"\[check_gradients\] requires float64, .* but got float32 at argument \[0\]"):
        check_gradients(mg.sin, [np.ones(2, np.float32)])
    with pytest.raises(OptionError, match=r"\[check_gradients\] requires modes"):
        check_gradients(mg.sin, X, modes=("sideways",))
    with pytest.raises(DTypeError, match="floating-point results"):
        check_gradients(lambda x: x > 0, X)


def test_of_an_argument_without_elements_it_is_said_that_nothing_is_measured():
    report = check_gradients(lambda x, y: mg.sum(x) * y, [np.ones((0, 3)), np.ones(2)])
    assert "argument [0] has no elements: nothing is measured there" in str(report)
    assert "argument [1]" not in str(report)
