"""Functions of PyTorch, JAX and NumPy are checked as ours are."""

from __future__ import annotations

import numpy as np
import pytest

from metagrad.errors import DTypeError, MissingRuleError, OptionError
from metagrad.testing import (
    check_gradients,
    check_hvp,
    check_second_order,
    check_subgradient,
    check_taylor,
    jax_function,
    numpy_function,
    torch_function,
)

X = np.random.default_rng(0).uniform(0.5, 1.5, (3, 2))


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'oracle' has it")


@pytest.fixture
def jax():
    return pytest.importorskip("jax", reason="JAX is not installed: the extra 'oracle' has it")


def test_a_right_torch_function_agrees_in_both_modes(torch):
    report = check_gradients(torch_function(lambda a: torch.tanh(a) @ a.T), [X], modes=("reverse", "forward"))
    assert {v.chain for v in report.verdicts if v.order == 2} == {
        "reverse over reverse",
        "forward over reverse",
        "reverse over forward",
    }
    assert report.digits(2) > 11
    assert check_hvp(torch_function(lambda a: (torch.tanh(a) ** 2).sum()), [X])
    assert check_taylor(torch_function(torch.sin), [X])


def test_a_torch_function_without_its_second_order_is_found(torch):
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * torch.cos(x).detach()

    with pytest.raises(AssertionError, match=r"order 2, reverse over reverse, argument \[0\]"):
        check_gradients(torch_function(Sine.apply), [X])


def test_a_torch_function_that_is_cut_from_its_arguments_has_the_derivative_zero(torch):
    with pytest.raises(AssertionError, match="which is nothing"):
        check_gradients(torch_function(lambda a: 2 * a.detach()), [X])


@pytest.mark.parametrize("modes", [None, ("reverse", "forward")])
def test_a_torch_function_may_differentiate_inside_itself(torch, modes):
    def loss_after_a_step(w):
        def loss(w):
            return (torch.tanh(w) ** 2).sum()

        (g,) = torch.autograd.grad(loss(w), w, create_graph=True)
        return loss(w - 0.1 * g)

    f = torch_function(loss_after_a_step)
    assert check_gradients(f, [X], modes=modes)
    assert check_hvp(f, [X])
    assert check_taylor(f, [X])
    assert check_subgradient(f, [X])


def test_torch_arguments_may_be_trees_of_tensors_with_data(torch):
    def f(params, index):
        return torch.tanh(params["w"])[index] * params["b"]

    args = [{"w": torch.tensor(X), "b": X[0]}, np.array([0, 2])]
    report = check_gradients(torch_function(f), args)
    assert {v.argument for v in report.verdicts} == {"argument [0]['w']", "argument [0]['b']"}
    assert check_subgradient(torch_function(torch.relu), [np.zeros(2)]).kinks


def test_a_right_jax_function_agrees_in_both_modes(jax):
    report = check_gradients(jax_function(jax.numpy.sin), [X])
    assert len([v for v in report.verdicts if v.order == 2]) == 4
    assert report.digits(2) > 11
    assert check_hvp(jax_function(jax.numpy.sin), [X], modes=("reverse_over_reverse",))
    assert not jax.config.jax_enable_x64


def test_a_jax_function_may_look_at_values(jax):
    def f(x):
        return jax.numpy.sin(x) if x[0, 0] > 0 else x

    assert check_gradients(jax_function(f), [X], order=1, modes=("reverse",))


def sine_by_custom_vjp(jax, factor):
    @jax.custom_vjp
    def sine(x):
        return jax.numpy.sin(x)

    sine.defvjp(lambda x: (jax.numpy.sin(x), x), lambda x, g: (factor * g * jax.numpy.cos(x),))
    return jax_function(sine)


def test_a_wrong_jax_function_is_found(jax):
    with pytest.raises(AssertionError, match=r"1\.01 times that"):
        check_gradients(sine_by_custom_vjp(jax, 1.01), [X], modes=("reverse",))


def test_a_jax_function_without_forward_mode_is_checked_without_it(jax):
    f = sine_by_custom_vjp(jax, 1.0)
    report = check_gradients(f, [X])
    assert {v.chain for v in report.verdicts} == {"reverse", "reverse over reverse"}
    assert "forward mode is left out: [jax_function] requires reverse mode" in str(report)
    products = check_hvp(f, [X])
    assert {v.chain.partition(",")[0] for v in products.verdicts} == {"reverse_over_reverse"}
    assert "reverse_over_forward is left out" in str(products)
    assert check_taylor(f, [X])
    assert len(check_second_order(f, (3,), examples=1)) == 2
    with pytest.raises(AssertionError, match=r"1\.01 times that"):
        check_gradients(sine_by_custom_vjp(jax, 1.01), [X])
    with pytest.raises(MissingRuleError, match="jax_function"):
        check_gradients(f, [X], modes=("forward",), order=1)


def norm(x):
    return np.sum(x**4)


def slope(x):
    return 4 * x**3


def product(args, tangents):
    return 12 * args[0] ** 2 * tangents[0]


def test_derivatives_of_a_numpy_function_are_those_that_were_given():
    f = numpy_function(norm, slope, product)
    assert check_gradients(f, [X]).digits(2) > 11
    assert check_hvp(f, [X])
    assert check_taylor(f, [X])
    with pytest.raises(AssertionError, match="1\\.5 times that"):
        check_gradients(numpy_function(norm, lambda x: 6 * x**3), [X], order=1)
    with pytest.raises(AssertionError, match="order 2"):
        check_gradients(numpy_function(norm, slope, lambda a, v: 11 * a[0] ** 2 * v[0]), [X])


def test_a_numpy_function_of_two_arguments_has_a_tuple_for_a_gradient():
    f = numpy_function(lambda x, y: float(x @ y), lambda x, y: (y, x), lambda args, v: (v[1], v[0]))
    assert check_gradients(f, [X[0], X[1]])
    with pytest.raises(AssertionError, match=r"argument \[1\]"):
        check_gradients(numpy_function(lambda x, y: float(x @ y), lambda x, y: (y, 2 * x)), [X[0], X[1]], order=1)


def rows(params, index, power):
    return np.sum(params["w"][index] ** power) * params["b"][0]


def slopes_of_rows(params, index, power):
    w = np.zeros_like(params["w"])
    np.add.at(w, index, power * params["w"][index] ** (power - 1) * params["b"][0])
    return {"w": w, "b": [np.sum(params["w"][index] ** power)]}


def product_of_rows(args, tangents):
    (params, index, power), (v, *none) = args, tangents
    assert none == [None, None]
    slopes, w = slopes_of_rows(params, index, power), np.zeros_like(params["w"])
    unit = slopes["w"] / params["b"][0]
    np.add.at(w, index, power * (power - 1) * params["w"][index] ** (power - 2) * params["b"][0] * v["w"][index])
    return {"w": w + unit * v["b"][0], "b": [np.sum(unit * v["w"])]}


@pytest.mark.parametrize(
    "form",
    [
        lambda found, index, power: found,
        lambda found, index, power: (found, None, None),
        lambda found, index, power: (found, np.zeros(index.shape), 0.0),
    ],
)
def test_data_and_trees_reach_the_gradient_as_they_reach_the_numpy_function(form):
    args = [{"w": X, "b": [X[0, 0]]}, np.array([0, 2, 2]), 3]

    def gradient(*args):
        return form(slopes_of_rows(*args), *args[1:])

    def hvp(args, tangents):
        return form(product_of_rows(args, tangents), *args[1:])

    report = check_gradients(numpy_function(rows, gradient, hvp), args)
    assert {v.argument for v in report.verdicts} == {"argument [0]['w']", "argument [0]['b'][0]"}
    assert check_hvp(numpy_function(rows, gradient, hvp), args)
    assert check_hvp(numpy_function(rows, gradient), args, hvp=product_of_rows)
    assert check_subgradient(numpy_function(rows, gradient), args)
    with pytest.raises(AssertionError, match=r"argument \[0\]\['w'\]"):
        check_gradients(numpy_function(rows, lambda p, i, n: gradient(p, i[:1], n)), args, order=1)


def test_what_a_numpy_function_lacks_is_asked_for():
    with pytest.raises(OptionError, match=r"requires hvp=, a function \(args, tangents\) -> H v"):
        check_gradients(numpy_function(norm, slope), [X])
    with pytest.raises(OptionError, match="mode reverse"):
        check_gradients(numpy_function(norm, slope), [X], modes=("forward",))
    with pytest.raises(DTypeError, match="a function that returns a scalar here"):
        check_gradients(numpy_function(slope, slope), [X], order=1)
    with pytest.raises(DTypeError, match=r"derivatives of shapes \(3, 2\), those of the arguments, but got \(2,\)"):
        check_gradients(numpy_function(norm, lambda x: x[0]), [X], order=1)


def test_a_torch_function_that_leaves_torch_is_told_what_to_return(torch):
    with pytest.raises(
        DTypeError, match=r"requires a function that returns a tensor or a tree of tensors but got ndarray array"
    ):
        check_gradients(torch_function(lambda x: x.detach().numpy()), [X])


@pytest.mark.parametrize(("library", "name"), [("torch", "torch"), ("jax", "jax.numpy")])
def test_a_function_that_calls_another_library_is_told_to_name_it(library, name):
    module = pytest.importorskip(name, reason="it is not installed: the extra 'oracle' has it")
    with pytest.raises(DTypeError, match=rf"requires metagrad\.testing\.{library}_function\(f\) around"):
        check_gradients(lambda x: module.tanh(x) * 2, [X])


def test_a_function_that_comes_to_numpy_s_number_is_told_to_name_it():
    with pytest.raises(DTypeError, match=r"numpy_function\(f, gradient\) around a function of NumPy\) but got float64"):
        check_gradients(lambda x: np.sum(np.sin(np.asarray(x))), [X])


def test_a_key_of_jax_is_data(jax):
    f = jax_function(lambda x, key: x * jax.random.normal(key, x.shape))
    assert check_gradients(f, [X, jax.random.key(1)], order=1)


def test_a_numpy_function_may_change_its_argument_which_stays_the_caller_s():
    point = X.copy()

    def squares(x):
        x *= 2
        return np.sum(x**2)

    assert check_gradients(numpy_function(squares, lambda x: 8 * x), [point], order=1)
    assert np.array_equal(point, X)


def test_a_gradient_of_a_numpy_function_is_in_float64_and_of_its_shapes():
    with pytest.raises(DTypeError, match=r"requires derivatives in float64, to be measured well, but got float32"):
        check_gradients(numpy_function(np.sum, lambda x: np.ones(x.shape, np.float32)), [X], order=1)
    with pytest.raises(DTypeError, match=r"those of the arguments, but got none"):
        check_gradients(numpy_function(np.sum, lambda x: None), [X], order=1)
    with pytest.raises(DTypeError, match=r"requires floating-point arguments but got int64 at argument \[0\]"):
        check_gradients(numpy_function(np.sum, lambda x: x), [np.array([3])], order=1)
