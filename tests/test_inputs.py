"""What operations say to inputs that are not arrays of the right kind, and that numbers count as arrays."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, IndexingError, MetagradError, ShapeError, TraceError

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
    ],
)
def test_bad_input_gets_one_sentence(call, error):
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, MetagradError)
    assert re.fullmatch(r"\[.+?\] requires .+ but got .+", str(caught.value), re.S)


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


def test_python_numbers_are_weak_and_arrays_promote_as_numpy():
    single = mg.ones(2, dtype=mg.float32)
    assert (single * 2.0 + 1).dtype == np.float32
    assert mg.where(single > 0, single, 0.0).dtype == np.float32
    assert mg.maximum(single, math.pi).dtype == np.float32
    assert (single * np.float64(2.0)).dtype == np.float64
    assert (single + mg.ones(2)).dtype == np.float64
    assert (mg.asarray([1, 2]) * 1.5).dtype == np.float64
