"""vmap: the loop's results in one go."""

from __future__ import annotations

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import ShapeError, TraceError

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 3))
B = RNG.normal(size=(3, 5))


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-12, atol=1e-12)


def test_axes_in_and_out():
    close(mg.vmap(lambda a, b: a @ b, in_axes=(0, None))(A, B), A @ B)
    close(mg.vmap(lambda a, b: a @ b, in_axes=(None, 1), out_axes=1)(A, B), A @ B)
    close(mg.vmap(lambda a: a * 2, in_axes=1, out_axes=-1)(A), A * 2)
    close(mg.vmap(lambda a: mg.sum(a), in_axes=-1)(A), A.sum(0))


def test_axes_may_be_trees():
    def f(p, x):
        return {"y": x @ p["w"], "same": p["b"]}

    out = mg.vmap(f, in_axes=({"w": 2, "b": None}, 0), out_axes={"y": 0, "same": None})(
        {"w": np.stack([B] * 4, axis=2), "b": np.ones(2)}, A
    )
    close(out["y"], A @ B)
    close(out["same"], np.ones(2))


def test_keywords_are_mapped_and_none_is_an_empty_subtree():
    close(mg.vmap(lambda x, y, *, z: x * z)(A, None, z=A), A * A)


def test_nested_maps_are_nested_loops():
    pairs = mg.vmap(mg.vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))
    close(pairs(A[:, 0], B[0]), np.outer(A[:, 0], B[0]))


def test_a_result_that_does_not_depend_on_the_element_is_repeated():
    close(mg.vmap(lambda x: mg.ones(2))(A), np.ones((4, 2)))


def test_gradients_for_each_element():
    close(mg.vmap(mg.grad(lambda x: mg.sum(x**3)))(A), 3 * A**2)
    close(mg.grad(lambda a: mg.sum(mg.vmap(mg.sin)(a)))(A), np.cos(A))
    loop = np.stack([np.asarray(mg.hessian(lambda x: mg.sum(mg.sin(x) * x[0]))(row)) for row in A])
    close(mg.vmap(mg.hessian(lambda x: mg.sum(mg.sin(x) * x[0])))(A), loop)


def test_one_shared_weight_gets_the_sum_of_the_gradients():
    g = mg.grad(lambda b: mg.sum(mg.vmap(lambda a: mg.sum(mg.tanh(a @ b)))(A)))(B)
    each = [np.asarray(mg.grad(lambda b, row=row: mg.sum(mg.tanh(row @ b)))(B)) for row in A]
    close(g, np.sum(each, axis=0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mg.vmap(lambda a, b: a)(A, B), r"mapped axes of one size but got shapes \(4, 3\) and \(3, 5\)"),
        (lambda: mg.vmap(lambda a: a)(1.0), r"an argument with an axis 0 to map but got shape \(\)"),
        (lambda: mg.vmap(lambda a: a, in_axes=None)(A), "mapped axes of one size but got nothing to map"),
        (lambda: mg.vmap(lambda a: a, in_axes=(0, 0))(A), "in_axes for 1 arguments but got 2 of them"),
        (lambda: mg.vmap(lambda a: a, in_axes=({"w": 0},))(A), "in_axes that are a prefix"),
        (lambda: mg.vmap(lambda a: a, out_axes=None)(A), "the same for all elements"),
    ],
)
def test_bad_axes_get_one_clear_sentence(call, words):
    with pytest.raises(ShapeError, match=words):
        call()


def test_a_mask_under_vmap_is_refused():
    with pytest.raises(TraceError, match="boolean mask of known values"):
        mg.vmap(lambda a: a[a > 0])(A)
    with pytest.raises(TraceError, match="requires a concrete value"):
        mg.vmap(lambda a: a if a[0] > 0 else -a)(A)
