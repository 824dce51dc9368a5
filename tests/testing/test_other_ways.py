"""A first derivative is right whichever way it is asked for: any cotangent, one argument alone, one output alone."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.testing import check_gradients, torch_function

X = np.array([0.3, 1.2])


def squares(x):
    return mg.sum(x**2)


def ruled(rule):
    """The sum of squares, whose cotangent goes through a rule."""
    made = mg.custom_vjp(squares)
    made.defvjp(lambda x: (squares(x), x), lambda x, g: (rule(g) * 2 * x,))
    return made


@pytest.mark.parametrize(
    "rule",
    [mg.abs, mg.nn.relu, lambda g: mg.clip(g, -10, 10), lambda g: mg.where(mg.abs(g) < 1e-3, 0.0, g)],
    ids=["abs", "relu", "clip", "dead zone"],
)
@pytest.mark.parametrize("seed", range(4))
def test_a_rule_that_is_not_linear_in_the_cotangent_is_found(rule, seed):
    assert check_gradients(ruled(lambda g: g), [X], seed=seed)
    with pytest.raises(AssertionError, match="a derivative is wrong"):
        check_gradients(ruled(rule), [X], seed=seed)


def test_a_rule_that_is_not_linear_in_the_tangent_is_found():
    class Capped(mg.Primitive):
        def forward(self, x):
            return np.sin(x)

        def abstract(self, x):
            return x

        def vjp(self, i, cotangent, output, x):
            return cotangent * mg.cos(x)

        def jvp(self, i, tangent, output, x):
            return mg.minimum(tangent, 10.0) * mg.cos(x)

    with pytest.raises(AssertionError, match="forward of 1e\\+06 times the tangent"):
        check_gradients(Capped(), [X])


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'oracle' has it")


@pytest.mark.parametrize("wrong", [False, True])
def test_a_rule_that_is_wrong_for_one_argument_alone_is_found(torch, wrong):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            factor = 1.5 if wrong and not all(ctx.needs_input_grad) else 1.0
            return factor * g * y, factor * g * x

    f = torch_function(Product.apply)
    if not wrong:
        assert check_gradients(f, [X, X + 1])
        return
    with pytest.raises(AssertionError, match="reverse for it alone"):
        check_gradients(f, [X, X + 1])


@pytest.mark.parametrize("wrong", [False, True])
def test_a_rule_that_is_wrong_for_one_output_alone_is_found(torch, wrong):
    class Multiples(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, g, h):
            first = 0 if g is None else 2 * g
            second = 0 if h is None else h if wrong and g is None else 3 * h
            return first + second

    f = torch_function(Multiples.apply)
    if not wrong:
        assert check_gradients(f, [X])
        return
    with pytest.raises(AssertionError, match="reverse of one output at a time"):
        check_gradients(f, [X])


def test_a_derivative_near_float64_s_largest_number_is_not_lost_to_the_factors():
    assert check_gradients(mg.exp, [np.array([697.0, 700.0, 1.0])])
