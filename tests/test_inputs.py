"""What operations say to inputs that are not arrays of the right kind, and that numbers count as arrays."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import (
    DTypeError,
    ImmutableError,
    IndexingError,
    MetagradError,
    MissingFileError,
    OptionError,
    ShapeError,
    TraceError,
)

ONE = mg.ones(3)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mg.add(mg.ones(2), ONE), ShapeError),
        (lambda: mg.matmul(mg.ones((2, 3)), mg.ones((4, 2))), ShapeError),
        (lambda: mg.matmul(1.0, ONE), ShapeError),
        (lambda: mg.einsum("ij,jk->ik", mg.ones((2, 3)), mg.ones((4, 2))), ShapeError),
        (lambda: mg.einsum("ii", mg.ones((2, 3))), ShapeError),
        (lambda: mg.einsum("ij->k", mg.ones((2, 3))), ShapeError),
        (lambda: mg.einsum("ij", ONE), ShapeError),
        (lambda: mg.tensordot(ONE, mg.ones(4), axes=1), ShapeError),
        (lambda: mg.vecdot(ONE, mg.ones(4)), ShapeError),
        (lambda: mg.reshape(ONE, (2, 2)), ShapeError),
        (lambda: mg.reshape(ONE, (-1, -1)), ShapeError),
        (lambda: mg.permute_dims(mg.ones((2, 3)), (0, 0)), ShapeError),
        (lambda: mg.broadcast_to(ONE, (2,)), ShapeError),
        (lambda: mg.concat([ONE, mg.ones((2, 2))]), ShapeError),
        (lambda: mg.stack([ONE, mg.ones(2)]), ShapeError),
        (lambda: mg.squeeze(ONE, axis=0), ShapeError),
        (lambda: mg.sum(ONE, axis=1), ShapeError),
        (lambda: mg.sum(mg.ones((2, 2)), axis=(0, 0)), ShapeError),
        (lambda: mg.max(mg.ones(0)), ShapeError),
        (lambda: mg.argmax(mg.ones(0)), ShapeError),
        (lambda: mg.sum([1.0, 2.0]), DTypeError),
        (lambda: mg.mean([1.0, 2.0]), DTypeError),
        (lambda: mg.reshape([1.0, 2.0], (2, 1)), DTypeError),
        (lambda: mg.repeat(ONE, np.array([1, 2])), ShapeError),
        (lambda: mg.repeat(ONE, -1), ShapeError),
        (lambda: mg.vmap(mg.repeat)(mg.ones((3, 3)), np.array([[1, 0, 2]] * 3)), TraceError),
        (lambda: mg.pad(ONE, -1), ShapeError),
        (lambda: ONE[3], IndexingError),
        (lambda: ONE[0, 0], IndexingError),
        (lambda: ONE[np.array([0, 3])], IndexingError),
        (lambda: ONE[np.array([True, False])], IndexingError),
        (lambda: ONE["a"], IndexingError),
        (lambda: ONE[1.5], IndexingError),
        (lambda: ONE[np.array([0.5])], IndexingError),
        (lambda: mg.take(mg.ones((2, 2)), 0), ShapeError),
        (lambda: ONE.at[5].set(1.0), IndexingError),
        (lambda: ONE.at[0].set(ONE), ShapeError),
        (lambda: mg.vmap(lambda x: x[x > 0])(mg.ones((2, 3))), TraceError),
        (lambda: mg.make_graph(lambda x: x[x > 0])(ONE), TraceError),
        (lambda: mg.asarray(1j), DTypeError),
        (lambda: mg.sin(np.array([1j])), DTypeError),
        (lambda: mg.asarray("text"), DTypeError),
        (lambda: mg.asarray([[1.0], [1.0, 2.0]]), DTypeError),
        (lambda: mg.astype(ONE, np.complex128), DTypeError),
        (lambda: mg.linalg.solve(mg.zeros((2, 2)), mg.ones(2)), mg.linalg.SingularMatrixError),
        (lambda: mg.linalg.cholesky(-mg.eye(2)), mg.linalg.SingularMatrixError),
        (lambda: mg.linalg.det(mg.ones((2, 3))), ShapeError),
        (lambda: mg.linalg.solve(mg.eye(2), ONE), ShapeError),
        (lambda: mg.linalg.matrix_power(mg.eye(2), 1.5), OptionError),
        (lambda: mg.linalg.matrix_power(mg.ones((2, 3)), 0), ShapeError),
        (lambda: mg.linalg.matrix_power(mg.zeros((2, 2)), -1), mg.linalg.SingularMatrixError),
        (lambda: mg.zeros((-1,)), ShapeError),
        (lambda: mg.ones(-1), ShapeError),
        (lambda: mg.full((2.5, 1), 0.0), ShapeError),
        (lambda: mg.empty(None), ShapeError),
        (lambda: mg.zeros("ab"), ShapeError),
        (lambda: mg.eye(-3), ShapeError),
        (lambda: mg.linspace(0.0, 1.0, -3), ShapeError),
        (lambda: mg.linspace(0.0, 1.0, 3.5), ShapeError),
        (lambda: mg.reshape(ONE, (1.5, 2)), ShapeError),
        (lambda: mg.reshape(ONE, (-3,)), ShapeError),
        (lambda: mg.reshape(ONE, (-3, -1)), ShapeError),
        (lambda: mg.reshape(ONE, None), ShapeError),
        (lambda: mg.reshape(ONE, (0, -1)), ShapeError),
        (lambda: mg.broadcast_to(ONE, (-1, 3)), ShapeError),
        (lambda: mg.tile(ONE, -1), ShapeError),
        (lambda: mg.tile(ONE, 1.5), ShapeError),
        (lambda: mg.pad(ONE, 1.5), ShapeError),
        (lambda: mg.roll(ONE, 1.5), ShapeError),
        (lambda: mg.roll(mg.ones((2, 2)), (1, 2, 3), axis=(0, 1)), ShapeError),
        (lambda: mg.random.normal(mg.random.key(0), (-1,)), ShapeError),
        (lambda: mg.nn.initializers.zeros(None, (2.5,)), ShapeError),
        (lambda: mg.sum(ONE, axis=1.5), ShapeError),
        (lambda: mg.sum(ONE, axis="rows"), ShapeError),
        (lambda: mg.sum(ONE, axis={0}), ShapeError),
        (lambda: mg.argmax(mg.ones((2, 2)), axis=(0, 1)), ShapeError),
        (lambda: mg.swapaxes(mg.ones((2, 2)), 0, 5), ShapeError),
        (lambda: mg.vecdot(ONE, ONE, axis=1), ShapeError),
        (lambda: mg.tensordot(ONE, ONE, axes=2), ShapeError),
        (lambda: mg.tensordot(ONE, ONE, axes="ij"), ShapeError),
        (lambda: mg.tril(ONE), ShapeError),
        (lambda: mg.meshgrid(ONE, mg.ones((2, 2))), ShapeError),
        (lambda: mg.meshgrid(ONE, ONE, indexing="yx"), OptionError),
        (lambda: mg.arange(0, 3, 0), OptionError),
        (lambda: mg.grad(lambda n: mg.sum(mg.arange(n)))(3.0), TraceError),
        (lambda: mg.concat(3), DTypeError),
        (lambda: mg.stack(3), DTypeError),
        (lambda: mg.einsum(ONE, ONE), OptionError),
        (lambda: mg.diff(ONE, n=-1), OptionError),
        (lambda: mg.searchsorted(ONE, 0.5, side="middle"), OptionError),
        (lambda: mg.searchsorted(mg.ones((2, 2)), 0.5), ShapeError),
        (lambda: ONE[True], IndexingError),
        (lambda: ONE[np.array(False)], IndexingError),
        (lambda: ONE["a":], IndexingError),
        (lambda: ONE[1.5:], IndexingError),
        (lambda: ONE[[[1], [1, 2]]], IndexingError),
        (lambda: ONE.__setitem__(0, 1.0), ImmutableError),
        (lambda: ONE.__delitem__(0), ImmutableError),
        (lambda: len(mg.asarray(1.0)), DTypeError),
        (lambda: iter(mg.asarray(1.0)), DTypeError),
        (lambda: mg.asarray([1, 2]) ** -1, DTypeError),
        (lambda: mg.asarray([1, 2]) ** mg.asarray([-1, 2]), DTypeError),
        (lambda: 2 ** mg.asarray([-1, 2]), DTypeError),
        (lambda: mg.where(ONE, ONE, 0.0), DTypeError),
        (lambda: mg.where(1, ONE, 0.0), DTypeError),
        (lambda: (ONE > 0) - (ONE > 0), DTypeError),
        (lambda: -(ONE > 0), DTypeError),
        (lambda: ~ONE, DTypeError),
        (lambda: ONE & ONE, DTypeError),
        (lambda: mg.asarray([1], dtype="uint8") + 300, DTypeError),
        (lambda: ONE + None, DTypeError),
        (lambda: ONE + "a", DTypeError),
        (lambda: ONE + {}, DTypeError),
        (lambda: mg.sin("a"), DTypeError),
        (lambda: mg.sum(None), DTypeError),
        (lambda: mg.astype([1.0], "float32"), DTypeError),
        (lambda: mg.full(3, "a"), DTypeError),
        (lambda: mg.stop_gradient("a"), DTypeError),
        (lambda: mg.vmap(lambda x: "a")(ONE), DTypeError),
        (lambda: mg.load("no such file"), MissingFileError),
        (lambda: mg.nn.Dense(2).apply({"weights": ONE}, ONE), OptionError),
        (lambda: mg.nn.Dense(2).apply([ONE], ONE), OptionError),
        (lambda: mg.finfo(mg.int32), DTypeError),
        (lambda: mg.iinfo("float32"), DTypeError),
        (lambda: mg.isdtype(mg.int32, "whole"), OptionError),
        (lambda: mg.result_type(), DTypeError),
        (lambda: mg.eye(2, k=1.5), OptionError),
        (lambda: mg.tril(mg.eye(2), k=0.5), OptionError),
        (lambda: mg.triu(mg.eye(2), k="1"), OptionError),
    ],
)
def test_bad_input_gets_one_sentence(call, error):
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, MetagradError)
    assert re.fullmatch(r"\[.+?\] requires .+ but got .+", str(caught.value), re.S)


@pytest.mark.parametrize("dtype", ["flaot32", complex, object, "datetime64[s]", str, 3])
@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("zeros", lambda dtype: mg.zeros(3, dtype=dtype)),
        ("ones", lambda dtype: mg.ones(3, dtype=dtype)),
        ("empty", lambda dtype: mg.empty(3, dtype=dtype)),
        ("full", lambda dtype: mg.full(3, 1.0, dtype=dtype)),
        ("zeros_like", lambda dtype: mg.zeros_like(ONE, dtype=dtype)),
        ("ones_like", lambda dtype: mg.ones_like(ONE, dtype=dtype)),
        ("full_like", lambda dtype: mg.full_like(ONE, 1.0, dtype=dtype)),
        ("eye", lambda dtype: mg.eye(3, dtype=dtype)),
        ("arange", lambda dtype: mg.arange(3, dtype=dtype)),
        ("linspace", lambda dtype: mg.linspace(0.0, 1.0, 3, dtype=dtype)),
        ("asarray", lambda dtype: mg.asarray(ONE, dtype=dtype)),
        ("astype", lambda dtype: ONE.astype(dtype)),
        ("normal", lambda dtype: mg.random.normal(mg.random.key(0), (3,), dtype)),
        ("randint", lambda dtype: mg.random.randint(mg.random.key(0), (3,), 0, 9, dtype)),
        ("initializer", lambda dtype: mg.nn.initializers.he_normal()(mg.random.key(0), (3, 3), dtype)),
        ("isdtype", lambda dtype: mg.isdtype(dtype, "integral")),
    ],
)
def test_a_dtype_that_is_none_is_named_with_the_operation(operation, call, dtype):
    with pytest.raises(DTypeError, match=rf"^\[{operation}\] requires a real or boolean dtype but got "):
        call(dtype)


def test_item_assignment_says_what_to_write_instead():
    x = mg.zeros(3)
    with pytest.raises(ImmutableError, match=r"x\.at\[index\]\.set\(value\) makes a new one"):
        x[0] = 1.0
    np.testing.assert_array_equal(x, np.zeros(3))


@pytest.mark.parametrize("call", [lambda: mg.sum(ONE, axes=0), lambda: ONE.sum(axes=0)])
def test_an_unknown_keyword_is_named_with_the_operation(call):
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'axes'"):
        call()


def test_what_a_condition_may_be_is_the_same_eager_and_in_a_graph():
    for condition in (np.array([1, 0, 2]), np.array([0.5, 0.0, 1.0]), 1):
        for run in (lambda f: f(ONE), lambda f: mg.make_graph(f)(ONE), lambda f: mg.grad(lambda x: mg.sum(f(x)))(ONE)):
            with pytest.raises(DTypeError, match=r"^\[where\] requires a boolean condition"):
                run(lambda x, c=condition: mg.where(c, x, 0.0))
    np.testing.assert_array_equal(mg.make_graph(lambda x: mg.where(True, x, 0.0))(ONE)(ONE), mg.where(True, ONE, 0.0))


def test_an_error_of_a_users_own_forward_is_not_replaced():
    class Broken(mg.Primitive):
        def forward(self, x):
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        Broken()(ONE)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "logsumexp"])
def test_reductions_take_a_number(name):
    expected = {"var": 0.0, "std": 0.0}.get(name, 2.5)
    assert float(getattr(mg, name)(2.5)) == expected
    assert float(mg.linalg.vector_norm(-2.5)) == 2.5


def test_lists_of_traced_numbers_become_arrays():
    def f(x):
        return mg.sum(mg.asarray([[x, 2.0 * x], [1.0, x * x]]) ** 2)

    assert float(mg.grad(f)(3.0)) == 2 * 3 + 8 * 3 + 4 * 27
    assert mg.asarray([mg.ones(2), mg.zeros(2)]).shape == (2, 2)


@pytest.mark.parametrize("other", [[1.0, 2.0], (1.0, 2.0), np.float32(3.0), np.asarray([1.0, 2.0]), 3.0, 3])
def test_what_stands_beside_a_tensor_is_the_same_eager_and_in_every_transform(other):
    """A list has the axes of its array: with a map over two numbers it gives a row for each, as the loop does."""
    x = mg.asarray([5.0, 7.0])
    for f in (lambda x: x * other, lambda x: other - x, lambda x: mg.maximum(x, other), lambda x: x < other):
        same = np.asarray(f(x))
        assert same.dtype == np.asarray(mg.make_graph(f)(x)(x)).dtype == np.asarray(mg.vmap(f)(x)).dtype
        np.testing.assert_array_equal(mg.make_graph(f)(x)(x), same)
        np.testing.assert_array_equal(mg.checkpoint(f)(x), same)
        np.testing.assert_array_equal(mg.vmap(f)(x), np.stack([f(x[0]), f(x[1])]))
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(x * other))(x), np.broadcast_to(other, (2,)))


def test_a_list_of_traced_numbers_beside_a_tensor_is_their_stack():
    assert mg.grad(lambda x: mg.sum(x * [x, 2.0]))(3.0) == 8.0
    assert mg.make_graph(lambda x: mg.sum(x * [x, 2.0]))(3.0)(3.0) == 15.0


def test_python_numbers_are_weak_and_arrays_promote_as_numpy():
    single = mg.ones(2, dtype=mg.float32)
    assert (single * 2.0 + 1).dtype == np.float32
    assert mg.where(single > 0, single, 0.0).dtype == np.float32
    assert mg.maximum(single, math.pi).dtype == np.float32
    assert (single * np.float64(2.0)).dtype == np.float64
    assert (single + mg.ones(2)).dtype == np.float64
    assert (mg.asarray([1, 2]) * 1.5).dtype == np.float64
