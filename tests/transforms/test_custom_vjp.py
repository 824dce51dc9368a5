"""custom_vjp: the user's rule, at every order and under every transform."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, MissingRuleError, ShapeError


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


@mg.custom_vjp
def scaled(x, y):
    return mg.sin(x) * y


# Twice the true derivative, so that it shows which rule was used.
scaled.defvjp(
    lambda x, y: (mg.sin(x) * y, (x, y)),
    lambda residuals, g: (2 * g * mg.cos(residuals[0]) * residuals[1], None),
)


def test_the_rule_replaces_the_derivative():
    close(scaled(0.3, 2.0), 2 * np.sin(0.3))
    close(mg.grad(scaled)(0.3, 2.0), 4 * np.cos(0.3))
    close(mg.grad(scaled, argnums=1)(0.3, 2.0), 0.0)


def test_higher_orders_are_those_of_the_rule_as_written():
    close(mg.grad(mg.grad(scaled))(0.3, 2.0), -4 * np.sin(0.3))
    close(mg.jvp(mg.grad(scaled), (0.3, 2.0), (1.0, 0.0))[1], -4 * np.sin(0.3))
    close(mg.grad(mg.grad(mg.grad(scaled)))(0.3, 2.0), -4 * np.cos(0.3))


def test_it_maps_inside_and_outside_of_a_gradient():
    x = np.arange(3.0)
    close(mg.vmap(scaled, in_axes=(0, None))(x, 2.0), 2 * np.sin(x))
    close(mg.vmap(mg.grad(scaled), in_axes=(0, None))(x, 2.0), 4 * np.cos(x))
    close(mg.grad(lambda x: mg.sum(mg.vmap(scaled, in_axes=(0, None))(x, 2.0)))(x), 4 * np.cos(x))
    shared = mg.grad(lambda s: mg.sum(mg.vmap(scaled, in_axes=(None, 0))(s, mg.asarray(x))))(0.3)
    close(shared, 2 * np.cos(0.3) * x.sum())


def test_it_is_one_equation_of_a_graph():
    graph = mg.make_graph(lambda x: scaled(x, 2.0))(0.3)
    assert [e.primitive.name for e in graph.equations] == ["custom_vjp"]
    close(graph(0.5), 2 * np.sin(0.5))
    close(mg.grad(graph)(0.5), 4 * np.cos(0.5))


def test_arguments_may_be_named_or_left_out():
    @mg.custom_vjp
    def wave(x, name="sin", y=2.0):
        return getattr(mg, name)(x) * y

    wave.defvjp(
        lambda x, name, y: (wave.function(x, name, y), (x, y)),
        lambda residuals, g: (2 * g * mg.cos(residuals[0]) * residuals[1], None, 10 * g),
    )
    close(wave(y=3.0, x=0.3), 3 * np.sin(0.3))
    close(wave(0.3, name="cos"), 2 * np.cos(0.3))
    close(mg.grad(wave)(0.3), 4 * np.cos(0.3))
    close(mg.grad(lambda y: wave(0.3, y=y))(2.0), 10.0)
    close(mg.make_graph(lambda x: wave(x, name="cos"))(0.3)(0.5), 2 * np.cos(0.5))
    close(mg.vmap(lambda y: wave(0.3, y=y))(np.arange(3.0)), np.sin(0.3) * np.arange(3.0))
    for call in (wave, lambda: wave(1.0, z=2.0), lambda: wave(1.0, "sin", 2.0, 3.0)):
        with pytest.raises(
            DTypeError, match=r"^\[custom_vjp\] requires arguments for \(x, name='sin', y=2.0\) but got "
        ):
            call()


def test_parameters_that_can_only_be_named_are_refused():
    @mg.custom_vjp
    def f(x, *, scale=1.0):
        return x * scale

    f.defvjp(lambda x: (x, None), lambda _, g: (g,))
    with pytest.raises(DTypeError, match=r"by position but got \['scale'\], which can only be named"):
        f(1.0)


def test_mistakes_are_named():
    plain = mg.custom_vjp(lambda x: x)
    with pytest.raises(MissingRuleError, match="defvjp"):
        plain(1.0)
    plain.defvjp(lambda x: (x, None), lambda r, g: g)
    with pytest.raises(ShapeError, match="returns a tuple of 1"):
        mg.grad(plain)(1.0)
    plain.defvjp(lambda x: (x, None), lambda r, g: (mg.ones(3),))
    with pytest.raises(ShapeError, match=r"cotangent of shape \(\) but got shape \(3,\)"):
        mg.grad(plain)(1.0)
    with pytest.raises(MissingRuleError, match="requires reverse mode but got forward mode"):
        mg.jvp(scaled, (0.3, 2.0), (1.0, 0.0))
