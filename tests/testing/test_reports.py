"""A report says which argument and element are wrong, to how many digits, and how good its oracle is."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, OptionError, ShapeError
from metagrad.testing import (
    DomainError,
    KinkError,
    NondeterministicError,
    central_difference,
    check_gradients,
    check_hvp,
    check_second_order,
    check_subgradient,
    check_taylor,
    numpy_function,
    one_sided_slopes,
)

RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 1.5, (4, 3))


def scaled_sine(factors):
    """A sine whose derivative is multiplied element by element."""

    @mg.custom_vjp
    def f(x):
        return mg.sin(x)

    f.defvjp(lambda x: (mg.sin(x), x), lambda x, g: (g * mg.cos(x) * factors,))
    return f


def failure(call):
    with pytest.raises(AssertionError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("place", [(0, 0), (3, 17), (7, 99), (9, 50)])
def test_one_wrong_element_of_a_thousand_is_found_and_named(place):
    x = RNG.normal(size=(10, 100))
    factors = np.ones(x.shape)
    factors[place] = 1.0 + 1e-6
    text = failure(lambda: check_gradients(scaled_sine(factors), [x], modes=("reverse",)))
    assert f"element {list(place)} of shape (10, 100)" in text
    assert "1.000001 times that" in text
    assert "all other elements agree" in text
    assert "order 1, reverse, argument [0]" in text


def test_every_seed_finds_one_wrong_element_of_a_thousand():
    x = RNG.uniform(0.1, 1.0, 1000)
    factors = np.ones(1000)
    factors[617] = 1.0 + 1e-4
    for seed in range(12):
        text = failure(lambda s=seed: check_gradients(scaled_sine(factors), [x], 1, ("reverse",), seed=s))
        assert "element [617]" in text


def test_a_report_lists_the_steps_tried_and_what_each_gave():
    lines = failure(lambda: check_gradients(scaled_sine(-np.ones(2)), [X[0, :2]], modes=("reverse",))).splitlines()
    start = next(k for k, line in enumerate(lines) if line.split()[:2] == ["step", "difference"])
    steps = [list(map(float, line.split())) for line in lines[start + 1 : start + 9]]
    assert [round(step[0] / steps[-1][0]) for step in steps] == [128, 64, 32, 16, 8, 4, 2, 1]
    assert abs(steps[0][1] - steps[-1][1]) > 1e-5
    assert abs(steps[-1][1] - steps[-1][2]) < 1e-6
    assert any("which has the wrong sign" in line for line in lines)


def test_a_derivative_that_is_lost_is_called_nothing():
    text = failure(lambda: check_gradients(lambda x: mg.stop_gradient(mg.sin(x)) + 0 * x, [X]))
    assert "which is nothing" in text


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_derivative_that_is_no_number_is_wrong(value):
    factors = np.array([1.0, value, 1.0, -value])
    text = failure(lambda: check_gradients(scaled_sine(factors), [X[:, 0]], modes=("reverse",)))
    assert "agrees to 0 digits" in text
    assert "element [1] of shape (4,)" in text
    assert "element [1]" in failure(
        lambda: check_hvp(cubes, [X[:, 0]], hvp=lambda args, v: 6 * args[0] * v[0] * mg.asarray(factors))
    )


def test_digits_are_those_of_the_error_that_was_planted():
    for exponent in (2, 4, 6):
        with pytest.raises(AssertionError, match=f"agrees to {exponent} digits") as caught:
            check_gradients(scaled_sine(1.0 + 10.0**-exponent), [X], 1, ("reverse",))
        assert "the oracle is good to 14" in str(caught.value) or "the oracle is good to 13" in str(caught.value)


def test_a_right_function_has_all_digits_and_a_line_for_each_order():
    report = check_gradients(lambda x: mg.tanh(x) @ x.T, [X], order=3)
    assert report
    assert all(report.digits(k) > 13 for k in (1, 2, 3))
    assert all(report.oracle_digits(k) > 11 for k in (1, 2, 3))
    assert str(report).splitlines()[0] == "check_gradients: all derivatives agree (seed 0)"
    assert [line[:7] for line in str(report).splitlines()[1:]] == ["order 1", "order 2", "order 3"]


def test_an_oracle_that_float32_blunts_says_so():
    report = check_gradients(lambda x: mg.astype(mg.astype(x, mg.float32), mg.float64) ** 2, [X])
    assert report.oracle_digits(1) < 8
    assert "the function is rounded, to about" in str(report)


def test_the_error_estimate_is_honest_for_a_function_that_rounds_to_float32():
    rng = np.random.default_rng(0)
    off, errors = [], []
    for x in rng.uniform(-1.5, 1.5, 200):
        estimate = central_difference(lambda t, x=x: float(np.float32(np.sin(np.float32(x + t)))))
        off.append(abs(estimate.value - np.cos(x)) / estimate.error)
        errors.append(estimate.error)
    assert np.mean(np.array(off) < 1) > 0.97
    assert max(off) < 10
    assert 1e-6 < np.median(errors) < 1e-3


def test_a_rule_that_forgets_its_cotangent_shows_in_the_second_order():
    @mg.custom_vjp
    def f(x):
        return mg.sin(x)

    f.defvjp(lambda x: (mg.sin(x), x), lambda x, g: (mg.stop_gradient(g) * mg.cos(x),))
    assert "order 2, reverse over reverse" in failure(lambda: check_gradients(f, [X], modes=("reverse",)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("check", [check_gradients, check_hvp, check_taylor])
def test_a_function_that_is_random_but_rarely_is_named_and_no_derivative_called_wrong(check, seed):
    rng = np.random.default_rng(seed)

    def sometimes(x):
        return mg.sum(x**2) * (1.5 if rng.uniform() < 0.1 else 1.0)

    with pytest.raises(NondeterministicError, match="the same each time but got two"):
        check(sometimes, [np.ones(3)])


def test_noise_in_a_function_is_named_with_its_size():
    noise = np.random.default_rng(0)
    with pytest.raises(NondeterministicError, match=r"two calls that differ by 0\.\d+ at \[\d\] of output 0"):
        check_gradients(lambda x: x * noise.uniform(size=3), [np.ones(3)])


@pytest.mark.parametrize(
    ("f", "args", "error", "message"),
    [
        (lambda x: None, [X], DTypeError, "requires a function that returns an array or a tree of arrays but got None"),
        (lambda x: "word", [X], DTypeError, "but got str 'word'"),
        (lambda x: 2 * x, [np.arange(3)], DTypeError, r"floating-point arguments but got int64 at argument \[0\]"),
        (lambda x: x, [X.astype(np.float32)], DTypeError, r"in float32 a difference has 4 digits at most"),
        (mg.sin(X), [X], DTypeError, "requires a function but got Tensor"),
        (mg.sin, [X], OptionError, "requires an order of at least 1 but got 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(f, args, error, message):
    with pytest.raises(error, match=message):
        check_gradients(f, args, order=0 if error is OptionError else 2)


def test_a_step_that_leaves_the_domain_is_made_smaller_and_at_its_edge_that_is_said():
    estimate = central_difference(lambda t: float(np.log(0.01 + t)) if t > -0.01 else float("nan"))
    assert abs(estimate.value - 100.0) <= 10 * estimate.error < 1e-5
    assert "leave the domain" in estimate.note
    assert "leave the domain" in str(check_gradients(lambda x: mg.log(x) + 0 * mg.abs(x), [np.array([0.01, 1.0])]))
    with pytest.raises(DomainError, match=r"finite values at the point but got -inf at \[0\] of output 0"):
        check_gradients(mg.log, [np.array([0.0, 1.0])], redraws=0)


def test_a_step_that_leaves_the_domain_is_named_with_its_argument():
    with pytest.raises(DomainError, match=r"around the point but got .* at -?\d\.\de-14 .* from argument \[1\]"):
        check_gradients(lambda a, x: a * mg.log(x) + 0 * mg.abs(x), [np.ones(2), np.array([1e-16, 1.0])], order=1)


def test_a_point_on_a_kink_is_said_with_the_slopes_of_both_sides():
    report = check_gradients(mg.nn.relu, [np.array([0.0, 1.0])])
    assert report
    assert report.redrawn == 1
    kink = report.kinks[0]
    assert kink.between
    assert abs(kink.left - kink.right) > 0.1
    assert "between them" in str(report)


def test_one_sided_slopes_are_those_of_each_side():
    left, right = one_sided_slopes(lambda t: np.exp(t) if t > 0 else 1.0 + np.sin(3 * t))
    assert abs(left.value - 3.0) <= 10 * left.error < 1e-8
    assert abs(right.value - 1.0) <= 10 * right.error < 1e-8
    with pytest.raises(KinkError, match="a slope on each side"):
        one_sided_slopes(lambda t: abs(t) ** 0.5)


def test_a_subgradient_must_lie_between_the_slopes():
    at = [np.array([0.0, 1.0, -1.0])]
    assert len(check_subgradient(mg.nn.relu, at).kinks) == 5
    assert check_subgradient(mg.sin, at).kinks == []

    @mg.custom_vjp
    def f(x):
        return mg.abs(x)

    f.defvjp(lambda x: (mg.abs(x), x), lambda x, g: (g * mg.where(x >= 0, 1.0 + 0.5 * (x == 0), -1.0),))
    assert "NOT between them" in failure(lambda: check_subgradient(f, at))
    assert "at element [0]" in failure(lambda: check_subgradient(f, at))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_steps_of_one_sided_slopes_are_in_proportion_to_the_entries(scale):
    at = [scale * np.array([1.0, -0.3, 0.7])]
    assert check_subgradient(abs, at).kinks == []
    assert check_subgradient(abs, [np.array([100 * scale, 1.0])]).kinks == []
    assert len(check_subgradient(abs, [np.array([0.0, scale])]).kinks) == 5


def test_a_kink_whose_given_derivative_is_no_subgradient_fails():
    @mg.custom_vjp
    def f(x):
        return mg.abs(x)

    f.defvjp(lambda x: (mg.abs(x), x), lambda x, g: (g * mg.where(x >= 0, 1.0 + 9 * (x == 0), -1.0),))
    assert "NOT between them" in failure(lambda: check_gradients(f, [np.array([0.0])], modes=("reverse",)))


def cubes(x):
    return mg.sum(x**3)


def test_a_wrong_hessian_vector_product_is_found_at_its_element():
    def product(args, tangents):
        h = 6.0 * np.asarray(args[0]) * np.asarray(tangents[0])
        h[2, 1] *= 1.0001
        return h

    text = failure(lambda: check_hvp(cubes, [X], hvp=product))
    assert "order 2, given, argument [0]" in text
    assert "element [2, 1] of shape (4, 3)" in text
    assert "1.0001 times that" in text


def test_a_product_that_is_not_symmetric_is_found():
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])

    def product(args, tangents):
        return 2.0 * tangents[0] + turn @ tangents[0]

    f = numpy_function(lambda x: float(x @ x), lambda x: 2.0 * x)
    assert "symmetry" in failure(lambda: check_hvp(f, [np.array([1.0, 2.0])], hvp=product))


def test_hessian_vector_products_of_all_modes_are_compared():
    report = check_hvp(lambda a, b: mg.sum(mg.tanh(a @ b["w"])), [X, {"w": X.T}])
    modes = {"reverse_over_reverse", "forward_over_reverse", "reverse_over_forward"}
    assert {v.chain.partition(",")[0] for v in report.verdicts} == modes
    assert report.digits(2) > 13
    assert len(report.verdicts) == 9
    with pytest.raises(ShapeError, match=r"a product of shapes \(4, 3\)"):
        check_hvp(cubes, [X], hvp=lambda args, tangents: tangents[0][0])
    with pytest.raises(OptionError, match="mode"):
        check_hvp(cubes, [X], modes=("sideways_over_reverse",))


def test_the_taylor_check_names_the_order_that_is_wrong():
    report = check_taylor(lambda x: mg.exp(mg.sin(x)), [X])
    assert 2.7 < report.slope < 3.3
    text = failure(lambda: check_taylor(scaled_sine(np.full(3, 1.01)), [X], 1))
    assert "so a derivative of order 1 is wrong" in text
    assert len(text.splitlines()) == 11


def test_a_property_of_second_order_takes_one_call():
    assert all(check_second_order(lambda w, x: mg.tanh(x @ w), (3, 2), (4, 3), examples=2))
    assert "order 1" in failure(lambda: check_second_order(scaled_sine(1.01), (3,), modes=("reverse",)))
