"""Checks hold at any scale: smooth functions pass, wrong derivatives do not, and what was not measured is said."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, OptionError, ShapeError
from metagrad.testing import (
    DomainError,
    KinkError,
    NondeterministicError,
    NotMeasuredError,
    central_difference,
    check_gradients,
    check_hvp,
    check_second_order,
    check_subgradient,
    check_taylor,
    complex_step,
    numpy_function,
    torch_function,
)
from metagrad.testing.differences import WithinDomain

X = np.random.default_rng(0).normal(size=5)
ONE_WAY = ("reverse",)


def ruled(f, rule):
    """f with a rule for its gradient."""
    made = mg.custom_vjp(f)
    made.defvjp(lambda x: (f(x), x), lambda x, g: (rule(x, g),))
    return made


WRONG_CUBE = ruled(lambda x: x**3, lambda x, g: 2 * g * x**2)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'oracle' has it")


@pytest.mark.parametrize(
    ("f", "x", "product"),
    [
        (lambda x: mg.sum(mg.nn.relu(x)), np.zeros(3), lambda a, t: 5 * t[0]),
        (lambda x: mg.sum(mg.abs(x)), np.zeros(3), lambda a, t: 3 * t[0]),
        (lambda x: mg.max(x) ** 2, np.ones(3), lambda a, t: 3 * t[0]),
    ],
    ids=["relu", "abs", "max"],
)
def test_a_wrong_product_is_found_at_a_jump_of_the_gradient_and_the_jump_is_said(f, x, product):
    with pytest.raises(AssertionError, match="the gradient has a kink at the point"):
        check_hvp(f, [x], hvp=product)


def test_the_librarys_own_products_pass_at_a_jump_of_the_gradient(torch):
    assert check_hvp(lambda x: mg.sum(mg.nn.relu(x)), [np.zeros(3)]).oracle_digits(2) > 10
    assert check_hvp(torch_function(lambda x: torch.norm(x)), [np.zeros(3)]).redrawn == 1


@pytest.mark.parametrize("scale", [1e-60, 1e-8, 1e6, 1e16])
def test_a_wrong_derivative_is_not_let_pass_at_any_scale(scale):
    with pytest.raises((AssertionError, NotMeasuredError), match=r"1 of 1 are off|not measured"):
        check_gradients(WRONG_CUBE, [X * scale], modes=ONE_WAY)
    right = ruled(lambda x: x**3, lambda x, g: 3 * g * x**2)
    assert check_gradients(right, [X * scale], modes=ONE_WAY).oracle_digits(1) > 6


def test_a_derivative_that_rounding_hides_is_not_measured():
    hidden = ruled(lambda x: 1e14 + mg.sin(x), lambda x, g: 3 * g * mg.cos(x))
    with pytest.raises(NotMeasuredError, match=r"not measured: the oracle has fewer than 4 digits \(min_digits\)"):
        check_gradients(hidden, [X], modes=ONE_WAY)
    assert check_gradients(hidden, [X], 1, ONE_WAY, min_digits=0)


def test_a_wrong_derivative_beside_a_jump_is_found():
    with pytest.raises(AssertionError, match="order 1"):
        check_gradients(ruled(lambda x: mg.floor(x) * x, lambda x, g: g * 17 * mg.floor(x) + 3), [np.array([1.0, 2.0])])


@pytest.mark.parametrize("wave", [1e-3, 1e-4, 1e-6, 1e-8])
def test_short_waves_are_smooth(torch, wave):
    report = check_gradients(torch_function(lambda x: torch.sin(x / wave).sum()), [X])
    assert report.redrawn == 0
    assert report.oracle_digits(2) > 4


@pytest.mark.parametrize("small", [1e-16, 1e-21, 1e-60])
def test_the_complex_step_is_exact_for_entries_far_smaller_than_the_largest(small):
    estimate = complex_step(lambda a: mg.sum(mg.log(a)), [np.array([small, 1.0])], [np.array([1.0, 0.0])])
    assert estimate.value == pytest.approx(1 / small, rel=1e-14)
    assert check_hvp(lambda p: -mg.sum(p * mg.log(p)), [mg.asarray([small, 0.5, 0.5 - small])]).oracle_digits(2) > 12


def test_a_complex_step_that_is_too_long_for_an_entry_says_so():
    estimate = complex_step(lambda a: mg.sum(mg.log(a)), [np.array([1e-150, 1.0])], [np.ones(2)])
    assert estimate.error > abs(estimate.value)
    estimate = complex_step(mg.sin, [np.array(1.0)], [np.array(1.0)], step=0.1)
    assert abs(estimate.value - np.cos(1.0)) <= 2 * estimate.error < 0.01


@pytest.mark.parametrize("near", [0.01, 1e-3])
def test_a_pole_nearby_is_no_kink(torch, near):
    report = check_gradients(torch_function(lambda x: 1 / x), [np.array([near, -2 * near, 0.5])])
    assert report.redrawn == 0
    assert report.oracle_digits(2) > 8


def test_large_and_tiny_numbers_are_measured(torch):
    assert check_gradients(torch_function(lambda x: x**3), [X * 1e16]).oracle_digits(2) > 8
    assert check_gradients(lambda x: mg.sum(mg.sin(x * 1e150)), [X * 1e-150]).oracle_digits(2) > 8
    assert check_gradients(lambda x: mg.sin(1e4 * mg.abs(x)), [X]).oracle_digits(2) > 6
    with pytest.raises(NotMeasuredError):
        check_gradients(torch_function(lambda x: 1e13 + (x**2).sum()), [X])


def test_a_net_with_thousands_of_kinks_nearby_is_measured_between_them(torch):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(64, 200)), rng.normal(size=(200, 50))
    report = check_gradients(torch_function(lambda w: torch.relu(torch.tensor(x) @ w).mean()), [w])
    assert report.redrawn == 0
    assert report.oracle_digits(1) > 6


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4, 1e5, 1e8])
def test_a_second_order_term_that_is_dropped_is_found_at_any_scale(torch, scale):
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * g * x.detach()

    with pytest.raises(AssertionError, match="order 2, reverse over reverse"):
        check_gradients(torch_function(Square.apply), [X * scale])


def test_a_small_kink_is_said_and_not_failed():
    report = check_gradients(lambda x: mg.where(x > 0, 1.001 * x, x), [np.array([0.0, 0.2])])
    assert report.redrawn == 1
    assert all(kink.between for kink in report.kinks)
    assert "was moved 1 time\n" in str(report)


def test_the_taylor_check_moves_from_a_kink_and_finds_its_scale():
    report = check_taylor(mg.abs, [np.zeros(5)], order=1)
    assert "the point lay at a kink and was moved 1 time" in str(report)
    assert 2.7 < check_taylor(lambda x: mg.sin(x * 1e4), [X]).slope < 3.3
    with pytest.raises(AssertionError, match="order 1 is wrong"):
        check_taylor(ruled(lambda x: mg.sin(x * 1e4), lambda x, g: 1.01e4 * g * mg.cos(x * 1e4)), [X])


def test_the_taylor_check_is_judged_by_steps_that_are_small_enough():
    assert check_taylor(lambda x: 1 / (1 + x * x), [np.linspace(-2, 2, 7)])
    for seed in range(20):
        x = np.random.default_rng(seed).normal(size=5)
        assert check_taylor(lambda x: mg.sin(100 * x), [x], seed=seed)
        wrong = ruled(lambda x: mg.sin(100 * x), lambda x, g: 150 * g * mg.cos(100 * x))
        with pytest.raises(AssertionError, match="order 1 is wrong"):
            check_taylor(wrong, [x], seed=seed)


def test_a_taylor_slope_that_settles_nowhere_is_not_measured():
    with pytest.raises(NotMeasuredError, match="not measured: at no steps above rounding"):
        check_taylor(lambda x: mg.sin(x) + 1e-12 * mg.sin(1e9 * x), [X], order=2)


def test_a_taylor_slope_that_one_direction_leaves_open_is_measured_along_another():
    for seed in range(60):
        x = np.random.default_rng(seed).uniform(-1, 1, 3)
        assert check_taylor(lambda a: mg.tanh(20 * a), [x], order=3, seed=seed)


@pytest.mark.parametrize("check", [check_gradients, check_hvp, check_taylor, check_subgradient])
def test_a_derivative_that_is_not_the_same_each_time_is_named(check):
    rng = np.random.default_rng(0)
    random = ruled(mg.sin, lambda x, g: g * mg.cos(x) * (1 + 0.1 * rng.normal()))
    with pytest.raises(NondeterministicError, match="a derivative that is the same each time but got two that differ"):
        check(random, [X])


SATURATED = [
    (lambda z: mg.nn.softmax_cross_entropy(z, np.array([0])), np.array([[40.0, 0.0, -3.0]])),
    (mg.logsumexp, np.array([0.0, -40.0])),
    (lambda x: mg.exp(x - mg.logsumexp(x)), np.array([0.0, 30.0, -5.0])),
]


@pytest.mark.parametrize("check", [check_gradients, check_hvp, check_taylor, check_subgradient])
def test_a_saturated_function_is_right_or_not_measured(check, torch):
    label = torch.tensor([0])
    peer = torch_function(lambda z: torch.nn.functional.cross_entropy(z, label))
    for f, x in [*SATURATED, (peer, SATURATED[0][1])]:
        with suppress(NotMeasuredError):
            assert check(f, [x])


def huber(x):
    return mg.where(mg.abs(x) < 1, x * x / 2, mg.abs(x) - 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_a_kink_of_the_derivative_nearby_alarms_nobody(seed):
    assert check_taylor(lambda x: mg.nn.relu(x) ** 2, [np.array([1e-4])], seed=seed)
    assert check_taylor(huber, [np.array([0.9999, 0.2])], seed=seed)
    assert not check_subgradient(huber, [np.array([0.9999, 0.2, 1.00001])], seed=seed).kinks


def test_products_of_an_ill_conditioned_function_are_as_symmetric_as_it_allows():
    i = np.arange(8.0)
    assert check_hvp(mg.linalg.solve, [1 / (i[:, None] + i + 1), np.ones(8)])


@pytest.mark.parametrize("seed", range(3))
def test_digits_that_a_derivative_loses_by_cancellation_alarm_nobody(seed, torch):
    assert check_hvp(lambda z: mg.nn.softmax(z / 0.05), [np.array([1.0, 0.2, 0.0])], seed=seed)
    b = np.random.default_rng(0).standard_normal((4, 6))
    assert check_hvp(lambda b: mg.linalg.slogdet(b.T @ b + 1e-3 * mg.eye(6))[1], [b], seed=seed)
    label = torch.tensor([0])
    confident = torch_function(lambda z: torch.nn.functional.cross_entropy(z, label))
    with suppress(NotMeasuredError):
        assert check_gradients(confident, [np.array([[30.0, 0.0, 1.0, -1.0]])], seed=seed)


def test_an_algorithm_that_goes_by_the_size_of_its_cotangent_alarms_nobody(torch):
    assert check_gradients(torch_function(torch.matrix_exp), [np.random.default_rng(1).normal(size=(3, 3))])


@pytest.mark.parametrize("check", [check_gradients, check_hvp, check_taylor, check_subgradient])
@pytest.mark.parametrize("smallest", [0.1, 0.01, 1e-4])
def test_a_step_at_which_the_function_raises_is_too_long(check, smallest):
    def log_det(s):
        return mg.sum(mg.log(mg.linalg.diagonal(mg.linalg.cholesky((s + s.T) / 2))))

    assert check(log_det, [np.diag([1.0, smallest])])


def test_where_every_step_raises_the_report_says_what_was_raised():
    def only_there(x):
        if float(mg.sum(x)) != 3.0:
            raise ValueError("somewhere else")
        return x**2

    with pytest.raises(DomainError, match=r"finite values around the point but got .*\(ValueError: somewhere else\)"):
        central_difference(WithinDomain(lambda t: np.asarray(only_there(mg.asarray([1.0 + t, 2.0])))))
    with pytest.raises(TypeError, match="a mistake"):
        central_difference(WithinDomain(lambda t: t**2 if t == 0 else mistaken()))


def mistaken():
    raise TypeError("a mistake")


def test_a_function_may_be_as_large_as_float64():
    assert check_gradients(lambda x: 1e200 * mg.sin(x), [X])


def test_a_gradient_that_is_infinite_leaves_the_domain():
    with pytest.raises(DomainError, match=r"requires a finite gradient at the point but got -inf in argument \[0\]"):
        check_hvp(mg.acos, [np.array([1.0, 0.2])])


def test_the_rounding_of_the_derivative_itself_is_said_and_not_failed():
    def f(x):
        large = mg.sum(mg.abs(x) * 1e10)
        return large - mg.sum(mg.abs(x) * 1e10) + mg.sum(x**3)

    assert "the derivative itself is rounded, to about" in str(check_gradients(f, [X]))


@pytest.mark.parametrize("distance", [1e-13, 1e-9, 1e-4, 1e-2])
def test_a_slope_is_measured_between_the_point_and_a_kink(distance):
    estimate = central_difference(lambda t: abs(t - distance))
    assert abs(estimate.value + 1.0) <= max(10 * estimate.error, 1e-13)
    assert estimate.error < 1e-8


@pytest.mark.parametrize(
    "g", [abs, lambda t: float(t > 0), np.sign, lambda t: max(t, 1.001 * t), lambda t: abs(t) ** 0.5]
)
def test_what_stays_however_small_the_step_is_a_kink(g):
    with pytest.raises(KinkError, match=r"one-sided slopes|a jump of [12]"):
        central_difference(g)


def test_a_custom_vjp_is_checked_in_the_mode_that_it_has():
    sine = ruled(mg.sin, lambda x, g: g * mg.cos(x))
    report = check_gradients(sine, [X])
    assert {v.chain for v in report.verdicts} == {"reverse", "reverse over reverse"}
    assert "forward mode is left out: [custom_vjp] requires reverse mode" in str(report)
    assert len(check_second_order(sine, (3,), examples=1)) == 2


def test_a_factor_next_to_one_is_shown_by_what_it_lacks():
    factor = 1 + 1e-8
    with pytest.raises(AssertionError, match=r"1\+1\.0e-08 times that"):
        check_gradients(ruled(mg.sin, lambda x, g: factor * g * mg.cos(x)), [X[:1]], 1, ONE_WAY)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_gradients(np.sin, [X]), DTypeError, r"testing\.numpy_function\(f\) around a function of NumPy"),
        (lambda: check_gradients(mg.sin, X), OptionError, r"a list of arguments, such as \[x\], but got ndarray"),
        (lambda: check_gradients(mg.sin, [X], order=2.5), OptionError, "an order of at least 1 but got 2.5"),
        (lambda: check_gradients(mg.sin, [X], order="2"), OptionError, "an order of at least 1 but got '2'"),
        (lambda: check_gradients(mg.sin, [X], modes="reverse"), OptionError, r"in a tuple such as \('reverse',\)"),
        (lambda: check_gradients(mg.sin, [X], rtol=-1), OptionError, "rtol of at least 0 but got -1"),
        (lambda: check_gradients(mg.sin, [X], step=0), OptionError, "a step above 0 but got 0"),
        (lambda: check_gradients(mg.sin, [X], rtol="a"), OptionError, "rtol of at least 0 but got 'a'"),
        (lambda: check_gradients(mg.sin, [X], min_digits="a"), OptionError, "min_digits from 0 to 15 but got 'a'"),
        (lambda: check_hvp(mg.sin, [X], step="a"), OptionError, "a step above 0 but got 'a'"),
        (lambda: check_gradients(mg.sin, [X], seed=-1), OptionError, "a seed of at least 0 but got -1"),
        (lambda: check_hvp(mg.sin, [X], seed="a"), OptionError, "a seed of at least 0 but got 'a'"),
        (lambda: check_taylor(mg.sin, [X], seed=-1), OptionError, "a seed of at least 0 but got -1"),
        (lambda: check_gradients(mg.sin, [X], redraws=-1), OptionError, "redraws of at least 0 but got -1"),
        (lambda: check_hvp(mg.sin, [X], redraws=-1), OptionError, "redraws of at least 0 but got -1"),
        (lambda: check_second_order(mg.sin, (-3,)), OptionError, r"a shape of numbers of at least 0 but got \(-3,\)"),
        (lambda: check_second_order(mg.sin, (3,), examples="a"), OptionError, "examples of at least 1 but got 'a'"),
        (lambda: check_second_order(mg.sin, (3,), seed="a"), OptionError, "a seed of at least 0 but got 'a'"),
        (lambda: check_subgradient(mg.abs, [X], directions=0), OptionError, "directions of at least 1 but got 0"),
        (lambda: check_subgradient(mg.abs, [X], directions=-1), OptionError, "directions of at least 1 but got -1"),
        (lambda: check_subgradient(mg.abs, [X], rtol="a"), OptionError, "rtol of at least 0 but got 'a'"),
        (
            lambda: check_gradients(lambda x: 3.0, [X]),
            DTypeError,
            "a function that returns an array .* but got float 3.0",
        ),
        (lambda: check_hvp(mg.sum, [X], modes=["foo"]), OptionError, "reverse_over_forward, .* but got \\['foo'\\]"),
        (lambda: check_hvp(mg.sum, [X], hvp=lambda a, t: None), ShapeError, "but got None"),
        (lambda: complex_step(mg.exp, [X], [np.ones(2)]), ShapeError, r"of shapes \(5,\).* but got \(2,\)"),
        (lambda: check_second_order(mg.sin, [3, 2]), OptionError, r"a tuple for a shape, such as \(3, 2\)"),
        (
            lambda: check_gradients(numpy_function(np.sum, np.ones_like, lambda a, t: 0 * t[0]), [X], order=3),
            OptionError,
            "an order of at most 2",
        ),
    ],
)
def test_bad_requests_say_what_to_write(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bad_requests_with_torch_say_what_to_write(torch):
    with pytest.raises(DTypeError, match=r"testing\.torch_function\(f\) around a function of PyTorch"):
        check_gradients(torch.sin, [X])
    with pytest.raises(DTypeError, match=r"a module after \.double\(\)"):
        check_gradients(torch_function(torch.nn.Linear(5, 2)), [X])
    with pytest.raises(OptionError, match="forward mode of torch does not nest"):
        check_gradients(torch_function(torch.tanh), [X], modes=("forward",))
    with pytest.raises(DTypeError, match=r"requires dense tensors.*got torch.bfloat16 in layout torch.strided on cpu"):
        check_gradients(torch_function(torch.sin), [torch.ones(2, dtype=torch.bfloat16)])
    with pytest.raises(DTypeError, match=r"requires dense tensors.*got torch.float64 in layout torch.sparse_coo"):
        check_gradients(torch_function(torch.sin), [torch.eye(2, dtype=torch.float64).to_sparse()])
    with pytest.raises(DTypeError, match=r"requires dense tensors.*got torch.float64 in layout torch.sparse_coo"):
        check_gradients(torch_function(torch.Tensor.to_sparse), [X])
    ours = r"NumPy's arrays for a function of metagrad \(or .*torch_function\(f\) .* got torch's Tensor at argument"
    with pytest.raises(DTypeError, match=ours + r" \[0\]"):
        check_gradients(mg.sin, [torch.ones(2, dtype=torch.float64)])
    with pytest.raises(DTypeError, match=ours + r" \[1\]\['w'\]"):
        check_hvp(lambda x, p: mg.sum(x), [X, {"w": torch.ones(2, dtype=torch.float64)}])
