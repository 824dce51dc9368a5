"""The table of conventions at kinks, ties and limits, and zeros that follow from structure, to third order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad.testing import check_gradients


def along(mode, f):
    """The derivative of a scalar function of one number, in one of the modes."""
    return mg.grad(f) if mode == "R" else lambda x: mg.jvp(f, (x,), (mg.ones_like(x),))[1]


def derivatives(f, x, order=3):
    """The derivatives of orders 1 to `order`, which must be the same in every combination of modes."""
    found = []
    for k in range(1, order + 1):
        values = []
        for chain in itertools.product("RF", repeat=k):
            g = f
            for mode in chain:
                g = along(mode, g)
            values.append(float(g(mg.asarray(x))))
        np.testing.assert_array_equal(values, values[0])
        found.append(values[0])
    return found


def tensors(f, x):
    """The first three derivative tensors of a scalar function of an array."""
    first = mg.jacrev(f)
    second = mg.jacfwd(first)
    return [np.asarray(d(mg.asarray(x))) for d in (first, second, mg.jacrev(second))]


def larger_by_pooling(x, y, pool=lambda image: mg.nn.max_pool2d(image, 2, padding=((1, 0), (0, 0)))):
    """The larger of two numbers, the pixels of an image of one row."""
    return mg.sum(pool(mg.reshape(mg.stack([mg.asarray(x), mg.asarray(y)]), (1, 2, 1))))


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (mg.abs, 0.0, [0, 0, 0]),
        (mg.nn.relu, 0.0, [0, 0, 0]),
        (mg.nn.relu, math.nan, [0, 0, 0]),  # a mask, x > 0, and no number is above 0 that is none
        (mg.nn.leaky_relu, 0.0, [0.01, 0, 0]),
        (lambda x: mg.nn.elu(x, alpha=1.0), 0.0, [1, 1, 1]),
        (lambda x: mg.maximum(x, 1.0), 1.0, [0.5, 0, 0]),
        (lambda x: mg.minimum(x, 1.0), 1.0, [0.5, 0, 0]),
        (lambda x: mg.maximum(x, x * x), 1.0, [1.5, 1, 0]),
        (lambda x: mg.clip(x, -1.0, 1.0), 1.0, [0.5, 0, 0]),
        (lambda x: mg.clip(x, -1.0, 1.0), -1.0, [0.5, 0, 0]),
        (lambda x: mg.clip(x, -1.0, 1.0), 2.0, [0, 0, 0]),
        (lambda x: mg.hypot(x, 0.0), 0.0, [0, 0, 0]),
        (lambda x: mg.hypot(x, x), 0.0, [0, 0, 0]),
        (lambda x: mg.atan2(x, 0.0), 0.0, [0, 0, 0]),
        (lambda x: mg.atan2(0.0, x), 0.0, [0, 0, 0]),
        (lambda x: mg.atan2(x, x), 0.0, [0, 0, 0]),
        (lambda x: mg.copysign(x, -1.0), 0.0, [0, 0, 0]),
        (lambda x: mg.copysign(x, -0.0), 2.0, [-1, 0, 0]),
        (lambda x: mg.copysign(2.0, x), 0.0, [0, 0, 0]),
        (lambda x: mg.nextafter(x, x), 1.0, [1, 0, 0]),
        (mg.sign, 0.0, [0, 0, 0]),
        (lambda x: x**3, 0.0, [0, 0, 6]),
        (lambda x: x**1, 0.0, [1, 0, 0]),
        (lambda x: x**0, 0.0, [0, 0, 0]),
        (lambda x: x**2.0, 0.0, [0, 2, 0]),
        (lambda x: x * x * x, 0.0, [0, 0, 6]),
        (lambda x: mg.pow(x, mg.asarray(3.0)), 0.0, [0, 0, 6]),
        (lambda x: mg.pow(x, mg.asarray(2.0)), 0.0, [0, 2, 0]),
        (lambda x: mg.pow(x, mg.asarray(1.0)), 0.0, [1, 0, 0]),
        (lambda x: mg.pow(x, mg.asarray(0.0)), 0.0, [0, 0, 0]),
        (lambda x: mg.pow(x, mg.asarray(2.0)), -3.0, [-6, 2, 0]),
        (lambda y: mg.pow(mg.asarray(0.0), y), 2.0, [0, 0, 0]),
        (lambda y: mg.pow(mg.asarray(1.0), y), 2.0, [0, 0, 0]),
        (lambda x: mg.where(x > 0, x**3, x + math.nan), 2.0, [12, 12, 6]),
        (lambda x: mg.where(x > 0, mg.log(mg.where(x > 0, x, 1.0)), 0.0), 0.0, [0, 0, 0]),
        (lambda x: mg.logaddexp(x, -math.inf), 0.5, [1, 0, 0]),
        (lambda x: larger_by_pooling(x, 1.0) ** 3, 1.0, [3, 6, 6]),
        (lambda x: larger_by_pooling(1.0, x) ** 3, 1.0, [0, 0, 0]),
        (lambda x: larger_by_pooling(x, x * x) ** 3, 1.0, [3, 6, 6]),
        (lambda x: larger_by_pooling(x, 1.0, pool=mg.nn.global_max_pool2d), 1.0, [1, 0, 0]),
        (lambda x: larger_by_pooling(1.0, x, pool=mg.nn.global_max_pool2d), 1.0, [0, 0, 0]),
        (lambda x: mg.logaddexp(x, -math.inf), -math.inf, [0, 0, 0]),
    ],
)
def test_the_table_of_kinks_holds_in_every_mode_to_third_order(f, x, expected):
    assert derivatives(f, x) == expected


def test_the_slope_of_a_root_at_zero_is_infinite():
    assert derivatives(mg.sqrt, 0.0, order=1) == [math.inf]
    assert derivatives(lambda x: x**0.5, 0.0, order=1) == [math.inf]
    assert derivatives(lambda x: x**1.5, 0.0, order=2) == [0.0, math.inf]
    assert derivatives(lambda x: mg.pow(x, mg.asarray(0.5)), 0.0, order=1) == [math.inf]


@pytest.mark.parametrize("outer", [mg.jacrev, mg.jacfwd])
@pytest.mark.parametrize("inner", [mg.jacrev, mg.jacfwd])
def test_a_power_has_both_of_its_mixed_derivatives_at_exponent_zero(outer, inner):
    hessian = outer(inner(lambda p: mg.pow(p[0], p[1])))
    close(hessian(mg.asarray([2.0, 0.0])), [[0, 0.5], [0.5, math.log(2) ** 2]], order=2)
    np.testing.assert_array_equal(hessian(mg.asarray([0.0, 0.0])), np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_of_extremes_share_equally(name):
    f = getattr(mg, name)
    np.testing.assert_array_equal(mg.grad(f)(mg.asarray([2.0, 2.0, 2.0, 2.0])), [0.25] * 4)
    tied = mg.asarray([[1.0, 1.0, 3.0], [0.0, 5.0, 5.0]])
    per_row = {"max": [[0, 0, 1], [0, 0.5, 0.5]], "min": [[0.5, 0.5, 0], [1, 0, 0]]}[name]
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(f(x, axis=1)))(tied), per_row)
    for higher in tensors(lambda x: f(x), [2.0, 2.0])[1:]:
        assert not higher.any()


def test_the_first_of_the_largest_in_a_window_has_the_whole_derivative():
    x = mg.asarray([[2.0, 1.0, 0.0, 0.0], [2.0, 2.0, 3.0, 3.0], [5.0, 5.0, 5.0, 5.0]])

    def pooled(x):
        return mg.sum(mg.nn.max_pool2d(mg.expand_dims(x, -1), 2, stride=1))

    np.testing.assert_array_equal(mg.grad(pooled)(x), [[1, 0, 0, 0], [0, 0, 2, 0], [1, 1, 1, 0]])
    whole = mg.grad(lambda x: mg.sum(mg.nn.global_max_pool2d(mg.expand_dims(x, -1))))(x)
    np.testing.assert_array_equal(whole, [[0] * 4, [0] * 4, [1, 0, 0, 0]])
    for higher in tensors(pooled, x)[1:]:
        assert not higher.any()


def test_sorting_is_stable_and_its_derivative_follows_the_elements():
    x = mg.asarray([2.0, 1.0, 2.0, 1.0])
    weights = mg.asarray([1.0, 10.0, 100.0, 1000.0])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(mg.sort(x) * weights))(x), [100, 1, 1000, 10])
    np.testing.assert_array_equal(
        mg.grad(lambda x: mg.sum(mg.sort(x, descending=True) * weights))(x), [1, 100, 10, 1000]
    )


@pytest.mark.parametrize(
    "f",
    [
        mg.linalg.vector_norm,
        lambda x: mg.linalg.vector_norm(x, ord=1),
        lambda x: mg.linalg.vector_norm(x, ord=3),
        lambda x: mg.linalg.vector_norm(x, ord=math.inf),
        lambda x: mg.linalg.matrix_norm(mg.reshape(x, (2, 2))),
        lambda x: mg.linalg.matrix_norm(mg.reshape(x, (2, 2)), ord="nuc"),
        lambda x: mg.linalg.matrix_norm(mg.reshape(x, (2, 2)), ord=2),
        mg.std,
        lambda x: mg.std(x + 3.0),
        lambda x: mg.hypot(x[0], x[1]),
    ],
)
def test_norms_and_deviations_at_zero_have_zero_derivatives(f):
    for found in tensors(f, np.zeros(4)):
        np.testing.assert_array_equal(found, np.zeros(found.shape))


def test_a_zero_row_leaves_the_norms_of_the_others_right():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    g = mg.grad(lambda x: mg.sum(mg.linalg.vector_norm(x, axis=1)))(x)
    np.testing.assert_allclose(g, [[0, 0], [0.6, 0.8]])
    check_gradients(lambda y: mg.linalg.vector_norm(mg.stack([mg.zeros(2), y]), axis=1), [mg.asarray(x[1])], order=3)


@pytest.mark.parametrize("zeros", [(), (1,), (0, 3), (0, 1, 4), (0, 1, 2, 3, 4)])
def test_products_with_zeros_are_right_to_third_order(zeros):
    x = np.array([1.5, -2.0, 0.5, 3.0, -1.25])
    x[list(zeros)] = 0.0
    for k, found in enumerate(tensors(mg.prod, x), 1):
        expected = np.zeros((5,) * k)
        for index in itertools.permutations(range(5), k):
            expected[index] = np.prod(np.delete(x, index))
        close(found, expected)


def test_products_over_an_axis_with_zeros_are_right():
    x = mg.asarray([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0]])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(mg.prod(x, axis=1)))(x), [[6, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(mg.prod(x, axis=0)))(x), [[0, 0, 4], [0, 2, 3]])


def test_the_determinant_of_a_singular_matrix_has_all_derivatives():
    x = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    check_gradients(mg.linalg.det, [mg.asarray(x)], order=3)
    check_gradients(mg.linalg.det, [mg.zeros((3, 3))], order=3)


def test_what_is_not_chosen_takes_no_derivative_of_an_infinite_slope():
    x, chosen = mg.asarray([9.0, 4.0]), np.array([False, True])
    for rooted in (lambda x: mg.where(chosen, x, 0), lambda x: mg.where(~chosen, 0, x)):
        np.testing.assert_array_equal(mg.grad(lambda x, f=rooted: mg.sum(mg.sqrt(f(x))))(x), [0, 0.25])


def test_zeros_above_a_cholesky_factor_s_diagonal_let_no_nan_through():
    x = mg.asarray([[4.0, 2.0], [2.0, 5.0]])
    masked = mg.grad(lambda x: mg.sum(mg.tril(mg.log(mg.linalg.cholesky(x)))))(x)
    rows, columns = np.tril_indices(2)
    np.testing.assert_array_equal(masked, mg.grad(lambda x: mg.sum(mg.log(mg.linalg.cholesky(x)[rows, columns])))(x))


def test_a_minus_infinity_in_logsumexp_is_a_term_of_zero():
    x = np.array([0.5, -np.inf, 1.5])
    p = np.array([1, 0, math.e]) / (1 + math.e)
    first, second, third = tensors(mg.logsumexp, x)
    close(first, p)
    close(second, np.diag(p) - np.outer(p, p), order=1)
    assert np.isfinite(third).all()


def test_a_row_of_minus_infinities_in_logsumexp_is_constant_and_leaves_the_other_rows_right():
    x = np.array([[-np.inf, -np.inf], [0.0, 0.0]])
    np.testing.assert_array_equal(mg.logsumexp(x, axis=1), [-np.inf, math.log(2)])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.logsumexp(x, axis=1)[1])(x), [[0, 0], [0.5, 0.5]])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(mg.logsumexp(x, axis=1)))(x), [[0, 0], [0.5, 0.5]])
    for found in tensors(mg.logsumexp, [-np.inf, -np.inf]):
        np.testing.assert_array_equal(found, np.zeros(found.shape))


@pytest.mark.parametrize(
    "f", [mg.nn.relu, lambda x: mg.maximum(x, 0.5), lambda x: mg.minimum(x, 0.5), lambda x: mg.clip(x, -1.0, 1.0)]
)
def test_a_nan_beside_a_kink_stays_in_the_value_and_has_derivative_0(f):
    for dtype, size in itertools.product((np.float64, np.float32), (1, 100)):
        x = np.full(size, np.nan, dtype)
        assert np.isnan(f(x)).all()
        np.testing.assert_array_equal(mg.grad(lambda x: mg.sum(f(x)))(x), np.zeros(size))


ROTATION = np.linalg.qr(np.random.default_rng(4).standard_normal((4, 4)))[0]
DIRECTION = np.random.default_rng(5).standard_normal((4, 4))
DIRECTION = DIRECTION + DIRECTION.T
SPECTRAL = {
    "a sum of fourth powers": (
        lambda x: mg.sum(mg.linalg.eigvalsh(x) ** 4),
        lambda x: mg.linalg.trace(mg.linalg.matrix_power(x, 4)),
    ),
    "log det": (lambda x: mg.sum(mg.log(mg.linalg.eigvalsh(x))), lambda x: mg.linalg.slogdet(x)[1]),
    "a sum of inverses": (
        lambda x: mg.sum(1 / mg.linalg.eigvalsh(x)),
        lambda x: mg.linalg.trace(mg.linalg.inv(x)),
    ),
}
EQUAL = {
    "two": [2.0, 2.0, 5.0, 7.0],
    "two pairs": [2.0, 2.0, 5.0, 5.0],
    "three": [1.0, 3.0, 3.0, 3.0],
    "all": [2.0] * 4,
}


def symmetric(eigenvalues):
    found = (ROTATION * eigenvalues) @ ROTATION.T
    return (found + found.T) / 2


@pytest.mark.parametrize("eigenvalues", EQUAL.values(), ids=EQUAL)
@pytest.mark.parametrize(("f", "same"), SPECTRAL.values(), ids=SPECTRAL)
def test_first_derivatives_of_a_function_of_eigenvalues_are_right_where_some_are_equal(f, same, eigenvalues):
    x = symmetric(eigenvalues)
    close(mg.grad(f)(x), mg.grad(same)(x), order=1)
    close(mg.jvp(f, (x,), (DIRECTION,))[1], mg.jvp(same, (x,), (DIRECTION,))[1], order=1)
    close(mg.vmap(mg.grad(f))(np.stack([x, 2 * x])), np.stack([mg.grad(same)(x), mg.grad(same)(2 * x)]), order=1)


def higher_derivatives(f, x):
    """By reverse over reverse, forward over reverse and forward over forward; then the third."""

    def along(f):
        return lambda x: mg.jvp(f, (x,), (DIRECTION,))[1]

    yield mg.hvp(f, x, DIRECTION)
    yield mg.hvp(f, x, DIRECTION, mode="forward_over_reverse")
    yield along(along(f))(x)
    yield along(along(along(f)))(x)


@pytest.mark.parametrize("eigenvalues", EQUAL.values(), ids=EQUAL)
@pytest.mark.parametrize("f", [f for f, _ in SPECTRAL.values()], ids=SPECTRAL)
def test_no_higher_derivative_is_silently_wrong_where_eigenvalues_are_equal_to_rounding(f, eigenvalues):
    for found in higher_derivatives(f, symmetric(eigenvalues)):
        assert np.isnan(found).all()


def test_equal_eigenvalues_in_one_matrix_of_a_stack_leave_the_others_right():
    f, same = SPECTRAL["a sum of fourth powers"]
    xs = np.stack([symmetric([1.0, 2.0, 4.0, 7.0]), symmetric(EQUAL["two"])])
    found = mg.vmap(lambda x: list(higher_derivatives(f, x)))(xs)
    for ours, expected in zip(found, higher_derivatives(same, xs[0]), strict=True):
        close(ours[0], expected, order=3)
        assert np.isnan(ours[1]).all()


def test_a_function_of_eigenvectors_has_no_silently_wrong_derivative_where_eigenvalues_are_equal():
    """V diag(w^2) V^T is the square, whose derivative across an equal pair is not 0."""

    def corner(x):
        w, v = mg.linalg.eigh(x)
        return mg.matmul(v * w**2, mg.matrix_transpose(v))[0, 1]

    def same(x):
        return mg.matmul(x, x)[0, 1]

    apart, equal = symmetric([1.0, 2.0, 4.0, 7.0]), symmetric(EQUAL["two"])
    close(mg.grad(corner)(apart), mg.grad(lambda x: same((x + mg.matrix_transpose(x)) / 2))(apart), order=1)
    assert np.isnan(mg.grad(corner)(equal)).all()
    assert np.isnan(mg.jvp(corner, (equal,), (DIRECTION,))[1])


def test_eigenvectors_apart_from_an_equal_pair_have_their_tangents():
    _, (_, tangent) = mg.jvp(mg.linalg.eigh, (np.diag([1.0, 1.0, 3.0]),), (np.ones((3, 3)),))
    assert np.isnan(tangent[:, :2]).all()
    np.testing.assert_allclose(np.abs(tangent[:, 2]), [0.5, 0.5, 0.0])


@pytest.mark.parametrize("gap", [1e-2, 1e-3, 1e-4])
def test_eigenvalues_close_together_keep_the_accuracy_that_their_gap_leaves(gap):
    f, same = SPECTRAL["a sum of fourth powers"]
    x = symmetric([2.0, 2.0 + gap, 5.0, 7.0])
    found, expected = np.asarray(mg.hvp(f, x, DIRECTION)), np.asarray(mg.hvp(same, x, DIRECTION))
    assert np.abs(found - expected).max() < 100 * np.finfo(float).eps / gap * np.abs(expected).max()


def test_eigenvalues_in_float32_are_equal_by_its_own_rounding():
    x = symmetric([0.1, 0.1, 0.3, 0.7]).astype(np.float32)
    first, second, *_ = mg.linalg.eigvalsh(x)
    assert 0 < abs(first - second) < 1e-7
    found = mg.hvp(SPECTRAL["a sum of fourth powers"][0], x, DIRECTION.astype(np.float32))
    assert np.isnan(found).all()
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "derivative", [mg.hessian, lambda f: mg.jacrev(mg.jacrev(f)), lambda f: mg.jacfwd(mg.jacfwd(f))]
)
def test_the_second_derivative_of_a_linear_function_is_zero(derivative):
    weights = mg.asarray([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(derivative(lambda x: mg.sum(x * weights))(mg.ones(3)), np.zeros((3, 3)))


def test_what_a_function_does_not_use_has_a_zero_derivative():
    x, y = mg.ones(2), mg.ones((2, 3))
    gx, gy = mg.grad(lambda x, y: mg.sum(x), argnums=(0, 1))(x, y)
    np.testing.assert_array_equal(gy, np.zeros((2, 3)))
    np.testing.assert_array_equal(gx, [1, 1])
    np.testing.assert_array_equal(mg.grad(lambda x: mg.asarray(1.0))(x), [0, 0])
    np.testing.assert_array_equal(mg.jvp(lambda x: mg.asarray([1.0, 2.0, 3.0]), (x,), (x,))[1], [0, 0, 0])
    np.testing.assert_array_equal(mg.hessian(lambda x: mg.asarray(1.0))(x), np.zeros((2, 2)))
    np.testing.assert_array_equal(mg.vmap(mg.grad(lambda x: mg.asarray(1.0)))(mg.ones(3)), [0, 0, 0])
    np.testing.assert_array_equal(mg.hvp(lambda x, y: mg.sum(x) * 2, (x, y), (x, y))[1], np.zeros((2, 3)))
    for mode in ("reverse_over_reverse", "forward_over_reverse"):
        np.testing.assert_array_equal(mg.hvp(mg.sum, (x,), (x,), mode=mode), [0, 0])


def test_closed_form_hessians_agree():
    rng = np.random.default_rng(0)
    x = rng.normal(size=4)
    p = np.exp(x) / np.exp(x).sum()
    close(mg.hessian(mg.logsumexp)(x), np.diag(p) - np.outer(p, p), order=2)
    a = rng.normal(size=(4, 4))
    close(mg.hessian(lambda x: x @ mg.asarray(a) @ x)(x), a + a.T, order=2)
    n = np.linalg.norm(x)
    close(mg.hessian(mg.linalg.vector_norm)(x), (np.eye(4) - np.outer(x, x) / n**2) / n, order=2)
    m = a @ a.T + 4 * np.eye(4)
    inverse = np.linalg.inv(m)
    close(mg.hessian(lambda m: mg.linalg.slogdet(m)[1])(m), -np.einsum("jk,li->ijkl", inverse, inverse), order=2)
