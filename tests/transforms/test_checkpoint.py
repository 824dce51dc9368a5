"""checkpoint: the same derivatives from less memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import TraceError

X = np.array([0.3, -1.2, 2.0])


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def body(x, y):
    return mg.sin(x * y) * mg.exp(-x)


def nest(function, order, style):
    for k in range(order):
        forward = style == "forward" or (style == "mixed" and k % 2)
        function = (lambda g: lambda x: mg.jvp(g, (x,), (1.0,))[1])(function) if forward else mg.grad(function)
    return function


@pytest.mark.parametrize("style", ["reverse", "forward", "mixed"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_are_those_of_the_plain_function(order, style):
    kept = mg.checkpoint(body)
    close(
        nest(lambda x: kept(x, x * 2), order, style)(0.7),
        nest(lambda x: body(x, x * 2), order, style)(0.7),
    )


def test_what_it_closes_over_keeps_its_gradient():
    def outer(w):
        return mg.sum(mg.checkpoint(lambda x: mg.tanh(w * x))(X))

    def plain(w):
        return mg.sum(mg.tanh(w * X))

    for order in (1, 2, 3):
        close(nest(outer, order, "reverse")(0.4), nest(plain, order, "reverse")(0.4))
    close(mg.vmap(mg.grad(outer))(X), mg.vmap(mg.grad(plain))(X))


def test_it_maps_and_nests_and_takes_trees():
    kept = mg.checkpoint(lambda p, x: {"y": mg.checkpoint(mg.sin)(p["w"] * x), "n": x})

    def total(p, x):
        return mg.sum(kept(p, x)["y"])

    g = mg.vmap(mg.grad(total), in_axes=(None, 0))({"w": 0.5}, X)
    close(g["w"], np.cos(0.5 * X) * X)


def test_integer_inputs_and_outputs_pass_through():
    kept = mg.checkpoint(lambda x, i: (x[i] * 2, mg.argmax(x)))
    close(mg.grad(lambda x: kept(x, mg.asarray(1))[0])(X), [0, 2, 0])
    assert int(kept(X, mg.asarray(1))[1]) == 2


def test_it_is_an_equation_with_a_subgraph():
    graph = mg.make_graph(mg.grad(lambda x: mg.checkpoint(mg.sin)(x)))(1.0)
    names = [equation.primitive.name for equation in graph.equations]
    assert names.count("checkpoint") == 2
    assert [equation.order for equation in graph.equations if equation.primitive.name == "checkpoint"] == [0, 1]
    close(graph(0.3), np.cos(0.3))


def chain(step, x):
    for _ in range(40):
        x = step(x)
    return mg.sum(x)


def step(x):
    for _ in range(10):
        x = mg.sin(x) * 1.01
    return x


def peak(function, x):
    tracemalloc.start()
    function(x)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.parametrize("order", [1, 2])
def test_it_saves_memory_at_every_order(order):
    x = np.linspace(0, 1, 20_000)

    def derivative(s):
        if order == 1:
            return mg.grad(lambda x: chain(s, x))
        return lambda x: mg.hvp(lambda x: chain(s, x), (x,), (x,))

    assert peak(derivative(mg.checkpoint(step)), x) < 0.35 * peak(derivative(step), x)


def test_control_flow_on_values_is_refused():
    with pytest.raises(TraceError, match="concrete value"):
        mg.checkpoint(lambda x: x if x > 0 else -x)(mg.asarray(1.0))


def test_it_takes_keywords():
    kept = mg.checkpoint(lambda x, *, k: x**2 * k)
    close(mg.grad(lambda x: kept(x, k=3.0))(2.0), 12.0)
    close(mg.grad(lambda k: kept(2.0, k=k))(3.0), 4.0)
