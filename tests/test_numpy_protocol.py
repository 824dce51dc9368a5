"""NumPy's own functions on Tensors: operators come to us, the rest sees arrays, and a traced value is refused."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import TraceError

X = np.array([1.0, 2.0, 3.0])
T = mg.asarray(X)


@pytest.mark.parametrize(
    "function",
    [
        np.sin,
        np.exp,
        np.sum,
        np.mean,
        np.max,
        np.prod,
        np.std,
        np.cumsum,
        np.sort,
        np.argmax,
        np.linalg.norm,
        np.isfinite,
        lambda x: np.clip(x, 1.5, 2.5),
        lambda x: np.concatenate([x, x]),
        lambda x: np.where(x > 1, x, 0.0),
        lambda x: np.dot(x, x),
        lambda x: np.add.reduce(x),
        lambda x: np.sum(x, axis=0, keepdims=True),
    ],
)
def test_a_function_of_numpy_sees_the_array_and_gives_numpy(function):
    got, expected = function(T), function(X)
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lt", "le", "gt", "ge", "eq", "ne", "matmul"]
)
@pytest.mark.parametrize("left", [X, np.float64(2.0)])
def test_operators_with_arrays_come_to_us_on_either_side(name, left):
    f = getattr(operator, name)
    if name == "matmul" and left.ndim == 0:
        return
    for a, b in ((left, T), (T, left)):
        found = f(a, b)
        assert isinstance(found, mg.Tensor)
        np.testing.assert_array_equal(found, f(np.asarray(a), np.asarray(b)))


def test_operators_with_arrays_on_the_left_are_differentiated():
    g = mg.grad(lambda x: mg.sum(X * (X - x) ** 2 + np.add(X, x) / x))(T)
    np.testing.assert_allclose(g, -1 / X)


def test_integer_logic_with_arrays_comes_to_us():
    n = np.array([1, 2, 3])
    for f in (operator.and_, operator.or_, operator.xor):
        assert isinstance(f(n, mg.asarray(n)), mg.Tensor)


def test_an_array_may_be_updated_in_place_with_a_tensor():
    x = X.copy()
    x += T
    np.testing.assert_array_equal(x, 2 * X)
    with pytest.raises(TraceError, match=r"^\[numpy\.add\] requires a concrete value .* use mg\.add$"):
        mg.grad(lambda t: mg.sum(operator.iadd(X.copy(), t)))(T)


@pytest.mark.parametrize(
    ("function", "name", "ours"),
    [
        (np.sin, "sin", "mg.sin"),
        (np.arctan2, "arctan2", "mg.atan2"),
        (np.sum, "sum", "mg.sum"),
        (np.linalg.norm, "norm", "mg.linalg.vector_norm"),
        (np.linalg.inv, "inv", "mg.linalg.inv"),
        (np.concatenate, "concatenate", "mg.concat"),
        (np.cumsum, "cumsum", "mg.cumulative_sum"),
        (np.fft.fft, "fft", "metagrad's operations"),
    ],
)
@pytest.mark.parametrize("transform", [mg.grad, mg.make_graph, mg.vmap])
def test_a_traced_value_is_refused_with_the_operation_to_use(function, name, ours, transform):
    def f(x):
        arguments = {np.arctan2: (x, x), np.concatenate: ([x, x],)}.get(function, (x,))
        return function(*arguments)

    sentence = rf"^\[numpy\.{name}\] requires a concrete value but got .*; inside a transform, use {ours}$"
    with pytest.raises(TraceError, match=sentence):
        transform(f)(mg.stack([T, T]))


def test_shapes_may_be_asked_of_traced_values():
    mg.make_graph(lambda x: x * (np.ndim(x) + np.size(x) + np.shape(x)[0]))(T)
    assert float(mg.grad(lambda x: mg.sum(x) * np.size(x))(T)[0]) == 3.0


def test_every_name_that_is_recommended_exists():
    from metagrad.core.numpy_protocol import _OPERATORS, _OUR_NAMES

    for name in (*_OPERATORS.values(), *_OUR_NAMES.values()):
        assert hasattr(mg, name) or hasattr(mg.linalg, name)
    for name in _OUR_NAMES:
        assert hasattr(np, name) or hasattr(np.linalg, name)
