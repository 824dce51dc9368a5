"""grad, vjp, jvp, hvp and the Jacobians: what they return, how they nest, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, OptionError, ShapeError, TraceError


def f(x):
    return mg.sum(mg.sin(x) * x**2)


def first(x):
    return np.cos(x) * x**2 + 2 * x * np.sin(x)


def second(x):
    return -np.sin(x) * x**2 + 4 * x * np.cos(x) + 2 * np.sin(x)


X = np.array([0.3, -1.2, 2.0])
V = np.array([1.0, 0.5, -2.0])


def close(a, b, digits=12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=10.0**-digits, atol=10.0**-digits)


def test_gradient_has_the_structure_of_its_argument():
    params = {"w": mg.asarray([1.0, 2.0]), "rest": (mg.asarray(3.0), None, [mg.asarray([[4.0]])])}
    g = mg.grad(lambda p: mg.sum(p["w"]) * p["rest"][0] * mg.sum(p["rest"][2][0]))(params)
    close(g["w"], [12.0, 12.0])
    assert g["rest"][1] is None
    close(g["rest"][2][0], [[9.0]])


def test_argnums_choose_arguments_and_tuples_give_tuples():
    def product(a, b, c):
        return a * b * c

    close(mg.grad(product, argnums=1)(2.0, 3.0, 5.0), 10.0)
    close(mg.grad(product, argnums=-1)(2.0, 3.0, 5.0), 6.0)
    a, c = mg.grad(product, argnums=(0, 2))(2.0, 3.0, 5.0)
    close(a, 15.0)
    close(c, 6.0)
    with pytest.raises(OptionError, match=r"\[grad\] requires argnums among 1 "):
        mg.grad(product, argnums=3)(2.0)


def test_aux_comes_back_as_values_that_live_on():
    value, g = mg.value_and_grad(lambda x: (f(x), {"doubled": x * 2, "note": "text"}), has_aux=True)(X)
    close(value[1]["doubled"] + 1, 2 * X + 1)
    assert value[1]["note"] == "text"
    gradients, aux = mg.grad(lambda x: (f(x), x), has_aux=True)(X)
    close(gradients, first(X))
    close(g, first(X))
    close(aux, X)


def test_gradients_keep_the_dtype_of_their_leaf():
    single, double = np.float32([1.0, 2.0]), np.float64([3.0, 4.0])
    a, b = mg.grad(lambda x, y: mg.sum(x * y), argnums=(0, 1))(single, double)
    assert (a.dtype, b.dtype) == (np.float32, np.float64)


def test_an_unused_argument_has_a_zero_gradient():
    close(mg.grad(lambda x, y: mg.sum(x), argnums=1)(X, V), np.zeros(3))
    close(mg.grad(lambda x: 3.0 * mg.ones(()))(X), np.zeros(3))


def test_the_second_derivative_of_a_linear_function_is_zero():
    close(mg.hessian(lambda x: mg.sum(3 * x))(X), np.zeros((3, 3)))
    close(mg.hvp(lambda x: mg.sum(x), (X,), (V,)), np.zeros(3))
    close(mg.hvp(lambda x: mg.sum(x), (X,), (V,), mode="forward_over_reverse"), np.zeros(3))
    close(mg.grad(mg.grad(mg.grad(lambda x: x**2)))(1.5), 0.0)


@pytest.mark.parametrize("outer", [mg.grad, mg.jacfwd, mg.jacrev])
@pytest.mark.parametrize("inner", [mg.grad, mg.jacfwd, mg.jacrev])
def test_second_derivatives_agree_whichever_modes_are_nested(outer, inner):
    close(outer(lambda x: mg.sum(inner(f)(x)))(X), second(X))


def test_eighth_derivative_is_right():
    derivative = mg.sin
    for _ in range(8):
        derivative = mg.grad(derivative)
    close(derivative(0.4), np.sin(0.4))


def test_nested_gradients_do_not_confuse_perturbations():
    # The classic: d/dx (x * d/dy (x + y)) = 1, and 2 if the inner derivative sees the outer x.
    for d in (mg.grad, lambda g: lambda x: mg.jvp(g, (x,), (1.0,))[1]):
        for e in (mg.grad, lambda g: lambda x: mg.jvp(g, (x,), (1.0,))[1]):
            close(d(lambda x, e=e: x * e(lambda y, x=x: x + y)(1.0))(1.0), 1.0)
            close(d(lambda x, e=e: x * e(lambda y, x=x: x * y)(2.0))(3.0), 6.0)


def test_pullback_may_be_called_again_and_is_linear():
    output, pullback = mg.vjp(lambda x, y: {"p": x * y, "s": mg.sum(x)}, X, V)
    g = {"p": mg.asarray(V), "s": mg.asarray(2.0)}
    once, again = pullback(g), pullback(g)
    close(once[0], V * V + 2.0)
    close(again[0], once[0])
    close(once[1], X * V)
    close(output["p"], X * V)


def test_pullback_of_a_pullback_is_differentiable():
    def gradient(x):
        return mg.vjp(f, x)[1](mg.asarray(1.0))[0]

    close(mg.vjp(gradient, X)[1](V)[0], second(X) * V)


def test_jvp_pushes_a_tangent():
    output, tangent = mg.jvp(f, (X,), (V,))
    close(output, np.sum(np.sin(X) * X**2))
    close(tangent, first(X) @ V)


@pytest.mark.parametrize("mode", ["reverse_over_reverse", "forward_over_reverse"])
def test_hvp_is_the_hessian_times_the_vector(mode):
    close(mg.hvp(f, (X,), (V,), mode=mode), second(X) * V)
    a, b = mg.hvp(lambda x, y: mg.sum(x * x * y), (X, V), (V, X), mode=mode)
    close(a, 2 * V * V + 2 * X * X)
    close(b, 2 * X * V)


def test_jacobians_put_the_output_shape_first():
    def rows(x):
        return {"a": x[0] * mg.ones((2, 1)), "b": x**2}

    for jacobian in (mg.jacrev, mg.jacfwd):
        j = jacobian(rows)(X)
        assert j["a"].shape == (2, 1, 3)
        close(j["b"], np.diag(2 * X))


def test_hessian_of_a_tree_is_a_tree_of_trees():
    h = mg.hessian(lambda p: p["a"] ** 2 * p["b"])({"a": 3.0, "b": 5.0})
    close(h["a"]["a"], 10.0)
    close(h["a"]["b"], 6.0)
    close(h["b"]["b"], 0.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: mg.grad(mg.sin)(X),
            ShapeError,
            r"\[grad\] requires a function that returns one scalar, of shape \(\)",
        ),
        (lambda: mg.grad(lambda p: p["w"])({"w": 3}), DTypeError, r"int 3 at argument \[0\]\['w'\]"),
        (lambda: mg.grad(lambda p: p["w"])({"w": "three"}), DTypeError, r"str 'three' at argument"),
        (lambda: mg.grad(lambda x: mg.sum(x))(np.arange(3)), DTypeError, "int64 at argument"),
        (lambda: mg.grad(lambda x: None)(1.0), DTypeError, "returns an array or a tree of arrays but got None"),
        (lambda: mg.grad(lambda x: "done")(1.0), DTypeError, "returns arrays but got str 'done'"),
        (lambda: mg.grad(lambda x: x > 0)(1.0), DTypeError, "floating-point scalar but got bool"),
        (lambda: mg.jvp(mg.sin, (X,), (X[:2],)), ShapeError, r"tangent of shape \(3,\) but got shape \(2,\)"),
        (lambda: mg.vjp(mg.sin, X)[1](X[:2]), ShapeError, r"cotangent of shape \(3,\) but got shape \(2,\)"),
        (lambda: mg.jvp(mg.sin, (X,), (X, X)), ShapeError, r"\[jvp\] requires a tangent of structure"),
        (lambda: mg.jvp(mg.sin, (X,), ("up",)), DTypeError, r"\[jvp\] requires a tangent of arrays but got str 'up'"),
        (lambda: mg.jvp(mg.sum, (X,), (X,), has_aux=True), DTypeError, r"\[jvp\] requires .* \(output, aux\)"),
        (lambda: mg.grad(mg.add, (0, 0))(1.0, 2.0), OptionError, r"argnums that differ but got \(0, 0\)"),
        (lambda: mg.grad(mg.add, (0, -2))(1.0, 2.0), OptionError, r"argnums that differ but got \(0, -2\)"),
        (lambda: mg.jacfwd(mg.add, (1, 1))(1.0, 2.0), OptionError, r"\[jacfwd\] requires argnums that differ"),
        (lambda: mg.grad(mg.add, -3)(1.0, 2.0), OptionError, r"argnums among 2 positional arguments but got \(-3,\)"),
        (lambda: mg.jacrev(mg.add, 2)(1.0, 2.0), OptionError, r"\[jacrev\] requires argnums among 2 "),
        (lambda: mg.grad(mg.add, True), OptionError, "argnums that are a number or a tuple of them but got True"),
        (lambda: mg.grad(mg.add, 1)(1.0, 2), DTypeError, r"\[grad\] requires .* but got int 2 at argument \[1\]"),
        (lambda: mg.jacfwd(mg.add, 1)(1.0, 2), DTypeError, r"\[jacfwd\] .* but got int 2 at argument \[1\]"),
        (lambda: mg.jacrev(mg.add, 1)(1.0, 2), DTypeError, r"\[jacrev\] .* but got int 2 at argument \[1\]"),
        (lambda: mg.hvp(f, (X,), (V,), mode="sideways"), OptionError, "forward_over_reverse but got 'sideways'"),
        (lambda: mg.grad(lambda x: float(x))(1.0), TraceError, r"\[float\] requires a concrete value"),
        (lambda: mg.grad(mg.sum)(np.array([1j])), DTypeError, "complex numbers are refused"),
    ],
)
def test_bad_input_gets_one_clear_sentence(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["reverse_over_reverse", "forward_over_reverse"])
@pytest.mark.parametrize(
    ("primals", "tangents", "error", "words"),
    [
        ((X,), (V[:2],), ShapeError, r"a tangent of shape \(3,\) but got shape \(2,\)"),
        ((X,), (V, V), ShapeError, "a tangent of structure"),
        (({"w": X},), (V,), ShapeError, "a tangent of structure"),
        ((X,), ("up",), DTypeError, "a tangent of arrays but got str 'up'"),
        ((np.arange(3),), (V,), DTypeError, "floating-point leaves where it differentiates but got int64"),
    ],
)
def test_hvp_names_itself_in_what_it_refuses(mode, primals, tangents, error, words):
    with pytest.raises(error, match=r"^\[hvp\] requires " + words):
        mg.hvp(lambda p: f(p["w"] if isinstance(p, dict) else p), primals, tangents, mode=mode)


@pytest.mark.parametrize(
    "transform",
    [
        mg.grad,
        mg.value_and_grad,
        mg.jacrev,
        mg.jacfwd,
        mg.hessian,
        mg.vjp,
        mg.vmap,
        mg.checkpoint,
        mg.make_graph,
        lambda x: mg.jvp(x, (X,), (X,)),
        lambda x: mg.hvp(x, (X,), (X,)),
    ],
)
def test_a_result_in_place_of_the_function_is_refused_at_once(transform):
    with pytest.raises(DTypeError, match=r"^\[\w+\] requires a function but got float 3.0$"):
        transform(3.0)


def test_an_escaped_tracer_says_so():
    kept = []
    for transform in (mg.grad, mg.vmap):
        kept.clear()
        transform(lambda x: kept.append(x) or mg.sum(x))(mg.ones(()) if transform is mg.grad else X)
        for use in (lambda x: x + 1, np.asarray, bool, np.sin):
            with pytest.raises(TraceError, match="escaped from"):
                use(kept[0])


def test_a_failing_function_leaves_the_engine_clean():
    def broken(x):
        mg.sin(x)
        raise KeyError("mine")

    for transform in (mg.grad, mg.vmap, mg.make_graph, lambda g: lambda x: mg.jvp(g, (x,), (x,))):
        with pytest.raises(KeyError, match="mine"):
            transform(broken)(X if transform is mg.vmap else 1.0)
        close(mg.grad(f)(X), first(X))
    equation = mg.make_graph(mg.sin)(1.0).equations[0]
    assert (equation.order, equation.scope) == (0, ())


def test_the_walk_back_visits_each_node_once_however_it_is_shared():
    def f(x):
        for _ in range(40):
            x = mg.sin(x) * 0.5 + x * 0.5
        return x

    calls = []

    class Counted(mg.Primitive):
        def forward(self, x):
            return x * 1.0

        def vjp(self, i, cotangent, output, x):
            calls.append(1)
            return cotangent

    def shared(x):
        y = Counted()(x)
        return y * mg.exp(mg.sin(y)) + y

    mg.grad(shared)(0.3)
    assert len(calls) == 1
    close(mg.grad(f)(0.1), mg.jvp(f, (0.1,), (1.0,))[1])


def test_an_output_of_several_may_be_used_many_times_at_any_order():
    def moments(x):
        spread, mean = mg.unstack(mg.stack([mg.sum(x**2), mg.sum(x)]))
        values, _ = mg.linalg.eigh(mg.stack([mg.stack([spread, mean]), mg.stack([mean, 2.0 * spread])]))
        return values[0] * spread + mg.sum(values**2) + values[1] * values[0] * mean

    def closed(x):
        s, m = mg.sum(x**2), mg.sum(x)
        root = mg.sqrt(s**2 / 4 + m**2)
        low, high = 1.5 * s - root, 1.5 * s + root
        return low * s + low**2 + high**2 + high * low * m

    close(mg.grad(moments)(X), mg.grad(closed)(X), 10)
    close(mg.hessian(moments)(X), mg.hessian(closed)(X), 10)


@pytest.mark.parametrize("transform", [mg.grad, mg.value_and_grad, mg.vmap, mg.checkpoint])
def test_a_transformed_function_has_the_name_and_text_of_its_own(transform):
    def loss(x):
        """What it says."""
        return mg.sum(x)

    made = transform(loss)
    assert (made.__name__, made.__doc__, made.__module__, made.__wrapped__) == ("loss", loss.__doc__, __name__, loss)
    assert made.__qualname__ == loss.__qualname__


def test_a_transformed_operation_does_not_pass_for_the_operation():
    assert not any(hasattr(transform(mg.sin), "values") for transform in (mg.grad, mg.vmap, mg.checkpoint))
    close(mg.grad(mg.grad(mg.sin))(0.5), -np.sin(0.5))
