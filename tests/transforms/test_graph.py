"""make_graph: a computation as data that knows what made it."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, ShapeError, TraceError


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def loss(p, x):
    with mg.named_scope("hidden"):
        h = mg.tanh(x @ p["w"])
    return mg.mean(mg.square(h))


P = {"w": np.linspace(-1, 1, 6).reshape(3, 2)}
X = np.linspace(0, 1, 12).reshape(4, 3)


def test_a_graph_gives_the_eager_result():
    for f in (loss, mg.grad(loss), lambda p, x: mg.hvp(lambda q: loss(q, x), (p,), (p,))):
        graph = mg.make_graph(f)(P, X)
        other = {"w": P["w"] * 0.3 + 0.1}
        found, expected = graph(other, X + 1), f(other, X + 1)
        for a, b in zip(*(t.values() if isinstance(t, dict) else [t] for t in (found, expected)), strict=True):
            close(a, b)


def test_orders_count_how_often_a_derivative_was_taken():
    def orders(f):
        return {equation.order for equation in mg.make_graph(f)(0.3).equations}

    def f(x):
        return mg.sin(x) * x

    assert orders(f) == {0}
    assert orders(mg.grad(f)) == {0, 1}
    assert orders(mg.grad(mg.grad(f))) == {0, 1, 2}
    assert orders(mg.grad(mg.grad(mg.grad(f)))) == {0, 1, 2, 3}
    assert orders(lambda x: mg.jvp(f, (x,), (1.0,))[1]) == {0, 1}
    assert orders(lambda x: mg.jvp(mg.grad(f), (x,), (1.0,))[1]) == {0, 1, 2}
    assert orders(mg.grad(lambda x: mg.jvp(f, (x,), (1.0,))[1])) == {0, 1, 2}


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_fused_operation_s_derivatives_have_the_order_of_those_that_it_stands_for(mode):
    """The rules of the fused pullback of batch norm run its composite again: of the same order as itself."""
    x = np.arange(6.0).reshape(3, 2) ** 1.5

    def derivative(f):
        if mode == "forward":
            return lambda x: mg.jvp(f, (x,), (mg.cos(x),))[1]
        return lambda x: mg.sum(mg.cos(mg.grad(f)(x)))

    f = lambda x: mg.sum(mg.sin(mg.nn.batch_norm(x, axis=0)))  # noqa: E731
    for order in (1, 2, 3, 4):
        f = derivative(f)
        graph = mg.make_graph(f)(x)
        assert max(equation.order for equation in graph.equations) == order
        for equation in graph.equations:
            assert equation.order == (0 if equation.origin is None else 1 + equation.origin.order)


def test_origins_lead_back_to_the_equation_that_was_differentiated():
    graph = mg.make_graph(mg.grad(mg.grad(mg.sin)))(0.3)
    (sin,) = [e for e in graph.equations if e.primitive.name == "sin" and e.order == 0]
    (cos,) = [e for e in graph.equations if e.primitive.name == "cos" and e.order == 1]
    assert cos.origin is sin
    assert any(e.origin is cos for e in graph.equations)
    for equation in graph.equations:
        assert equation.order == (0 if equation.origin is None else equation.origin.order + 1)


def test_sums_of_cotangents_belong_to_what_was_used_twice():
    graph = mg.make_graph(mg.grad(lambda x: mg.sin(x) * mg.exp(mg.sin(x))))(0.3)
    adds = [e for e in graph.equations if e.primitive.name == "add"]
    assert adds
    assert all(e.order == 1 for e in adds)


def test_equations_know_their_line_and_their_scope():
    graph = mg.make_graph(mg.grad(loss))(P, X)
    tanh = next(e for e in graph.equations if e.primitive.name == "tanh")
    assert tanh.scope == ("hidden",)
    assert tanh.source.file == __file__
    assert tanh.source.function == "loss"
    derivatives = [e for e in graph.equations if e.origin is tanh]
    assert derivatives
    assert all(e.scope == ("hidden",) for e in derivatives)


def test_what_is_closed_over_becomes_a_constant_that_keeps_its_gradient():
    graph = mg.make_graph(lambda x: x * mg.asarray([1.0, 2.0]))(mg.ones(2))
    assert len(graph.constants) == 1
    close(mg.grad(lambda w: mg.make_graph(lambda x: x * w)(2.0)(5.0))(3.0), 5.0)


def test_a_graph_can_be_transformed():
    graph = mg.make_graph(lambda x: mg.sin(x) * x)(0.0)
    close(mg.grad(mg.grad(graph))(0.4), 2 * np.cos(0.4) - 0.4 * np.sin(0.4))
    close(mg.vmap(graph)(np.arange(3.0)), np.sin(np.arange(3.0)) * np.arange(3.0))
    again = mg.make_graph(graph)(0.0)
    assert [e.primitive for e in again.equations] == [e.primitive for e in graph.equations]


def test_a_graph_prints_a_line_an_equation():
    graph = mg.make_graph(mg.grad(loss))(P, X)
    assert str(graph) == repr(graph) == mg.inspect.text(graph)
    assert str(graph.equations[0]) == "c = b @ a  f64[4, 2]"


def test_inputs_are_named_as_the_function_reads_them():
    def names(f, *args):
        return mg.make_graph(f)(*args).names

    assert names(mg.grad(loss), P, X) == ["p['w']", ""]
    assert names(lambda *all_: all_[0] * all_[1][0]["w"], 1.0, [{"w": 2.0}]) == ["", "args[1][0]['w']"]
    assert names(mg.make_graph(loss)(P, X), P, X) == ["args[0]['w']", ""]


def test_programs_and_rules_of_the_user_print_without_addresses():
    @mg.custom_vjp
    def twice(x):
        return x * 2

    twice.defvjp(lambda x: (x * 2, None), lambda _, g: (g * 2,))
    inner = mg.checkpoint(lambda x: mg.sin(x) * x)
    graph = mg.make_graph(mg.grad(lambda x: inner(x) + twice(x)))(0.3)
    text = "\n".join(map(str, graph.equations))
    assert "checkpoint(a; program 2 equations)" in text
    assert "; program pullback of 2 equations)" in text
    assert "custom_vjp(a; of twice)" in str(mg.make_graph(twice)(0.3).equations[0])
    text += str(graph)
    assert "0x" not in text


def test_a_graph_refuses_other_arguments():
    graph = mg.make_graph(mg.sin)(mg.ones(3))
    with pytest.raises(ShapeError, match=r"argument of shape \(3,\) but got shape \(2,\)"):
        graph(mg.ones(2))
    with pytest.raises(ShapeError, match="arguments of structure"):
        graph(mg.ones(3), mg.ones(3))
    with pytest.raises(ShapeError, match=r"^\[graph\] requires 1 values, one for each input but got 2"):
        graph.evaluate([np.ones(3), np.ones(3)])


def test_arguments_by_name_are_inputs_of_a_graph():
    def f(x, *, scale, shift):
        return x * scale["by"] - shift

    graph = mg.make_graph(f)(mg.ones(2), shift=1.0, scale={"by": 2.0})
    assert len(graph.inputs) == 3
    np.testing.assert_array_equal(graph(mg.ones(2), scale={"by": 5.0}, shift=3.0), [2.0, 2.0])
    for call in (
        lambda: graph(mg.ones(2), {"by": 5.0}, 3.0),
        lambda: graph(mg.ones(2), scale={"by": 5.0}),
        lambda: mg.make_graph(mg.sin)(1.0)(x=1.0),
    ):
        with pytest.raises(ShapeError, match=r"^\[graph\] requires arguments of structure"):
            call()


def test_a_graph_refuses_other_dtypes_but_takes_python_numbers_that_fit():
    graph = mg.make_graph(lambda x: x * 2)(np.float32(1.0))
    for other in (np.float64(1.0), np.int32(1), np.array(True)):
        with pytest.raises(DTypeError, match=r"^\[graph\] requires an argument of dtype float32 but got dtype "):
            graph(other)
    assert graph(3.0).dtype == graph(3).dtype == np.float32
    whole = mg.make_graph(lambda n: n + 1)(np.int64(1))
    with pytest.raises(DTypeError, match="dtype int64 but got dtype float64"):
        whole(1.5)
    with pytest.raises(ShapeError, match=r"argument of shape \(\) but got shape \(2,\)"):
        whole(np.array([1, 2]))


def test_what_needs_values_is_refused_while_tracing():
    for f in (lambda x: x if x > 0 else -x, lambda x: float(x), lambda x: np.asarray(x)):
        with pytest.raises(TraceError, match="requires a concrete value"):
            mg.make_graph(f)(1.0)
    with pytest.raises(TraceError, match="boolean mask of known values"):
        mg.make_graph(lambda x: x[x > 0])(mg.ones(3))
