"""MAML's meta-gradient against numeric differentiation, products of explicit Hessians, and first-order MAML's."""

import numpy as np
import pytest

import metagrad as mg
from metagrad import meta, optim
from metagrad.errors import ShapeError

HIDDEN, LR = 5, 0.05
SIZE = HIDDEN + HIDDEN + HIDDEN * HIDDEN + HIDDEN + HIDDEN + 1
ACTIVATIONS = {"tanh": mg.tanh, "relu": lambda x: mg.maximum(x, 0.0)}


def loss_of(activation):
    """The squared error of a net 1-h-h-1 whose parameters are one vector, so that its Hessian is one matrix."""

    def loss(theta, batch):
        x, y = batch
        at = 0
        for i, (n, m) in enumerate(((1, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1))):
            w = mg.reshape(theta[at : at + n * m], (n, m))
            x = x @ w + theta[at + n * m : at + n * m + m]
            x = activation(x) if i < 2 else x
            at += n * m + m
        return mg.mean((x - y) ** 2)

    return loss


@pytest.fixture(params=list(ACTIVATIONS))
def loss(request):
    return loss_of(ACTIVATIONS[request.param])


@pytest.fixture
def theta():
    return np.random.default_rng(1).standard_normal(SIZE) * 0.7


@pytest.fixture
def tasks():
    rng = np.random.default_rng(2)

    def points():
        x = rng.uniform(-2, 2, (3, 6, 1))
        return x, 2 * np.sin(x + np.arange(3)[:, None, None])

    return points(), points()


def numeric_gradient(f, theta):
    """Central differences, extrapolated once (Richardson), with an estimate of their error."""

    def central(step):
        rows = np.eye(theta.size) * step
        return np.array([(f(theta + row) - f(theta - row)) / (2 * step) for row in rows])

    coarse, fine = central(4e-4), central(2e-4)
    best = (4 * fine - coarse) / 3
    return best, np.abs(best - fine).max()


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("batched", [True, False])
def test_the_meta_gradient_is_the_derivative_of_the_meta_loss(loss, theta, tasks, steps, batched):
    def outer(theta):
        return meta.meta_loss(loss, theta, tasks, steps=steps, lr=LR, batched=batched)

    found = np.asarray(mg.grad(outer)(theta))
    expected, error = numeric_gradient(lambda t: float(outer(t)), theta)
    assert error < 1e-5
    np.testing.assert_allclose(found, expected, atol=max(1e-9, 1e-3 * error) * 10)


def exact(loss, theta, support, query, steps):
    """The gradient at the end, through (I - lr H) of each step: the meta-gradient, and first order's."""
    passed = [mg.asarray(theta)]
    for _ in range(steps):
        passed.append(passed[-1] - LR * mg.grad(loss)(passed[-1], support))
    first_order = np.asarray(mg.grad(loss)(passed[-1], query))
    gradient = first_order
    for at in reversed(passed[:-1]):
        gradient = (np.eye(SIZE) - LR * np.asarray(mg.hessian(loss)(at, support))) @ gradient
    return gradient, first_order


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_meta_gradient_is_the_product_of_i_minus_lr_hessian_and_gradient(loss, theta, tasks, steps):
    support, query = tasks
    expected = np.zeros(SIZE)
    for i in range(3):
        expected += exact(loss, theta, [a[i] for a in support], [a[i] for a in query], steps)[0] / 3
    found = mg.grad(lambda t: meta.meta_loss(loss, t, tasks, steps=steps, lr=LR))(theta)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("batched", [True, False])
def test_first_order_differs_by_the_hessian_term_and_nothing_else(loss, theta, tasks, batched):
    support, query = tasks
    term = np.zeros(SIZE)
    for i in range(3):
        second, first = exact(loss, theta, [a[i] for a in support], [a[i] for a in query], 1)
        term += (second - first) / 3

    def gradient(first_order):
        return mg.grad(
            lambda t: meta.meta_loss(loss, t, tasks, steps=1, lr=LR, first_order=first_order, batched=batched)
        )(theta)

    difference = np.asarray(gradient(False)) - np.asarray(gradient(True))
    assert np.abs(term).max() > 1e-2
    np.testing.assert_allclose(difference, term, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_batched_and_one_by_one_are_equal(loss, theta, tasks, steps, first_order):
    def both(batched):
        return mg.value_and_grad(
            lambda t: meta.meta_loss(loss, t, tasks, steps=steps, lr=LR, first_order=first_order, batched=batched)
        )(theta)

    (value, gradient), (value_loop, gradient_loop) = both(True), both(False)
    assert float(value) == pytest.approx(float(value_loop), rel=1e-13)
    np.testing.assert_allclose(np.asarray(gradient), np.asarray(gradient_loop), rtol=1e-10, atol=1e-13)


def test_value_is_the_same_with_and_without_the_hessian_term(loss, theta, tasks):
    values = [float(meta.meta_loss(loss, theta, tasks, steps=2, lr=LR, first_order=f)) for f in (False, True)]
    assert values[0] == values[1]


def test_checkpointed_inner_loop_has_the_same_meta_gradient(theta, tasks):
    loss = loss_of(mg.tanh)
    support, query = ([a[0] for a in part] for part in tasks)

    def outer(theta, wrap):
        return wrap(lambda t: loss(meta.adapt(loss, t, support, steps=3, lr=LR), query))(theta)

    plain = mg.grad(lambda t: outer(t, lambda f: f))(theta)
    np.testing.assert_allclose(
        np.asarray(mg.grad(lambda t: outer(t, mg.checkpoint))(theta)), np.asarray(plain), rtol=1e-12
    )


def test_maml_steps_follow_the_meta_gradient(loss, theta, tasks):
    maml = meta.MAML(loss, optim.SGD(0.1), steps=2, lr=LR)
    state, value = maml.step(maml.init(mg.asarray(theta)), tasks)
    expected, gradient = mg.value_and_grad(lambda t: meta.meta_loss(loss, t, tasks, steps=2, lr=LR))(theta)
    assert float(value) == float(expected)
    np.testing.assert_allclose(np.asarray(state.params), theta - 0.1 * np.asarray(gradient), rtol=1e-14)
    support = [a[0] for a in tasks[0]]
    learned = maml.adapt(theta, support)
    np.testing.assert_array_equal(np.asarray(learned), np.asarray(meta.adapt(loss, theta, support, steps=2, lr=LR)))


@pytest.mark.parametrize("tasks", [1, (np.ones(3),), (np.ones(3), np.ones(4)), (np.ones(3), 1.0)])
def test_tasks_that_are_no_pair_with_a_task_axis_get_one_sentence(loss, theta, tasks):
    with pytest.raises(ShapeError, match=r"\[meta_loss\] requires .* but got .*"):
        meta.meta_loss(loss, theta, tasks, steps=1, lr=LR)
