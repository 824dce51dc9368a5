"""Activations: values, derivatives to third order, kinks, and no overflow anywhere."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad.errors import ShapeError
from metagrad.testing import check_gradients

nn = mg.nn
X = np.array([-2.3, -0.7, 0.4, 1.9])

SIGMOID = 1 / (1 + np.exp(-X))
ACTIVATIONS = {
    "relu": (nn.relu, np.maximum(X, 0)),
    "leaky_relu": (lambda x: nn.leaky_relu(x, 0.2), np.where(X > 0, X, 0.2 * X)),
    "elu": (lambda x: nn.elu(x, 1.5), np.where(X > 0, X, 1.5 * (np.exp(X) - 1))),
    "gelu": (nn.gelu, X * np.array([1 + math.erf(v / math.sqrt(2)) for v in X]) / 2),
    "gelu_tanh": (lambda x: nn.gelu(x, True), X / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (X + 0.044715 * X**3)))),
    "silu": (nn.silu, X * SIGMOID),
    "sigmoid": (nn.sigmoid, SIGMOID),
    "softplus": (nn.softplus, np.log(1 + np.exp(X))),
    "tanh": (nn.tanh, np.tanh(X)),
    "softmax": (nn.softmax, np.exp(X) / np.exp(X).sum()),
    "log_softmax": (nn.log_softmax, X - np.log(np.exp(X).sum())),
}
each = pytest.mark.parametrize(("f", "expected"), ACTIVATIONS.values(), ids=ACTIVATIONS)


@each
def test_values_are_the_formula_in_both_types(f, expected):
    close(f(X), expected)
    single = f(X.astype(np.float32))
    assert single.dtype == np.float32
    close(single, expected, np.float32)


@each
def test_derivatives_are_right_to_third_order(f, expected):
    check_gradients(f, (X,), order=3)


@each
def test_vmap_and_the_graph_agree_with_the_function(f, expected):
    stack = np.stack([X, 2 * X, -X])
    close(mg.vmap(f)(stack), np.stack([f(row).numpy() for row in stack]))
    close(mg.vmap(f, in_axes=1, out_axes=1)(stack.T), np.stack([f(row).numpy() for row in stack]).T)
    np.testing.assert_array_equal(mg.make_graph(f)(X)(stack[1]).numpy(), f(stack[1]).numpy())


def derivatives_at_zero(f):
    slopes = []
    for _ in range(3):
        f = mg.grad(f)
        slopes.append(f(0.0).item())
    return slopes


def test_kinks_have_the_documented_derivatives():
    assert derivatives_at_zero(nn.relu) == [0, 0, 0]
    assert derivatives_at_zero(lambda x: nn.leaky_relu(x, 0.2)) == [0.2, 0, 0]
    assert derivatives_at_zero(lambda x: nn.elu(x, 1.5)) == [1.5, 1.5, 1.5]


def test_relu_has_slope_one_and_zero_and_hands_nan_on():
    slopes = mg.grad(lambda x: mg.sum(nn.relu(x) * mg.asarray([2.0, 3.0, 5.0])))(np.array([-1.0, 1e-300, 4.0]))
    assert slopes.tolist() == [0, 3, 5]
    assert math.isnan(nn.relu(math.nan).item())


@pytest.mark.parametrize("f", [nn.relu, nn.elu, nn.gelu, nn.silu, nn.sigmoid, nn.softplus, nn.tanh, nn.leaky_relu])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows_far_out_at_any_order(f, dtype):
    x = np.array([-1e4, 1e4], dtype)
    for order in range(3):
        values = f(x)
        assert values.dtype == dtype
        assert np.isfinite(values.numpy()).all(), f"order {order}"
        f = mg.grad(functools.partial(lambda g, x: mg.sum(g(x)), f))


def test_sigmoid_keeps_its_relative_precision_in_the_left_tail():
    x = np.linspace(-700, 0, 57)
    np.testing.assert_allclose(nn.sigmoid(x).numpy(), np.exp(x) / (1 + np.exp(x)), rtol=1e-15)


def test_softmax_takes_any_axis_and_infinite_logits():
    x = np.random.default_rng(0).standard_normal((3, 4, 5))
    for axis in (0, 1, -1):
        expected = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
        close(nn.softmax(x, axis=axis), expected)
        close(nn.log_softmax(x, axis=axis), np.log(expected))
        batched = np.stack([x, -x])
        each = [nn.softmax(element, axis=axis).numpy() for element in batched]
        close(mg.vmap(lambda element, axis=axis: nn.softmax(element, axis=axis))(batched), np.stack(each))
    masked = np.array([0.0, -np.inf, 0.0])
    assert nn.softmax(masked).tolist() == [0.5, 0, 0.5]
    gradient = mg.grad(lambda x: nn.log_softmax(x)[0])(masked)
    assert gradient.tolist() == [0.5, 0, -0.5]
    with pytest.raises(ShapeError, match=r"\[softmax\] requires an axis of an array with 3 axes but got 3"):
        nn.softmax(x, axis=3)


def test_activations_take_numbers_and_integers():
    for f in (nn.relu, nn.gelu, nn.sigmoid, nn.softplus, nn.elu, nn.silu):
        assert float(f(2)) == pytest.approx(float(f(2.0)))
        assert float(f(np.int64(2))) == pytest.approx(float(f(2.0)))


def test_values_and_gradients_are_torchs():
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    functional = torch.nn.functional
    x = np.random.default_rng(1).standard_normal((5, 7))
    pairs = [
        (nn.relu, functional.relu),
        (nn.leaky_relu, functional.leaky_relu),
        (nn.elu, functional.elu),
        (nn.gelu, functional.gelu),
        (lambda x: nn.gelu(x, approximate=True), lambda x: functional.gelu(x, approximate="tanh")),
        (nn.silu, functional.silu),
        (nn.sigmoid, torch.sigmoid),
        (nn.softplus, functional.softplus),
        (nn.softmax, lambda x: functional.softmax(x, -1)),
        (nn.log_softmax, lambda x: functional.log_softmax(x, -1)),
    ]
    weights = np.random.default_rng(2).standard_normal(x.shape)
    for ours, theirs in pairs:
        value, gradient = mg.value_and_grad(lambda x, f=ours: mg.sum(f(x) * weights))(x)
        tx = torch.tensor(x, requires_grad=True)
        loss = (theirs(tx) * torch.tensor(weights)).sum()
        close(value, loss.item())
        close(gradient, torch.autograd.grad(loss, tx)[0].numpy(), order=1)
