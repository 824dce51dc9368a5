"""The inner loop: what moves, by how much, and what an outer derivative sees of it."""

import numpy as np
import pytest

import metagrad as mg
from metagrad import meta
from metagrad.errors import OptionError


def loss(params, batch):
    x, y = batch
    return mg.mean((x @ params["w"] + params["b"] - y) ** 2)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    params = {"w": mg.asarray(rng.standard_normal((3, 2))), "b": mg.asarray(rng.standard_normal(2))}
    return params, (rng.standard_normal((7, 3)), rng.standard_normal((7, 2)))


def descend(params, batch, rates):
    """Gradient descent by hand, on NumPy arrays."""
    x, y = batch
    w, b = np.asarray(params["w"]), np.asarray(params["b"])
    for rate_w, rate_b in rates:
        r = 2 * (x @ w + b - y) / y.size
        w, b = w - rate_w * (x.T @ r), b - rate_b * r.sum(axis=0)
    return {"w": w, "b": b}


def assert_equal(found, expected):
    for name in expected:
        np.testing.assert_allclose(np.asarray(found[name]), expected[name], rtol=1e-13)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_it_is_gradient_descent(problem, steps):
    params, batch = problem
    found = meta.adapt(loss, params, batch, steps=steps, lr=0.1)
    assert_equal(found, descend(params, batch, [(0.1, 0.1)] * steps))


def test_rates_may_be_a_tree_a_prefix_a_function_of_the_step_or_arrays(problem):
    params, batch = problem
    by_leaf = {"w": 0.1, "b": mg.asarray(0.3)}
    assert_equal(meta.adapt(loss, params, batch, steps=1, lr=by_leaf), descend(params, batch, [(0.1, 0.3)]))
    by_step = meta.adapt(loss, params, batch, steps=2, lr=lambda step: [0.1, {"w": 0.0, "b": 0.2}][step])
    assert_equal(by_step, descend(params, batch, [(0.1, 0.1), (0.0, 0.2)]))
    each = np.array([[0.1], [0.2], [0.3]])
    assert_equal(
        meta.adapt(loss, params, batch, steps=1, lr={"w": each, "b": 0.1}), descend(params, batch, [(each, 0.1)])
    )


def test_every_step_gives_the_whole_trajectory(problem):
    params, batch = problem
    trajectory = meta.adapt(loss, params, batch, steps=3, lr=0.1, every_step=True)
    assert len(trajectory) == 3
    for k, found in enumerate(trajectory, 1):
        assert_equal(found, descend(params, batch, [(0.1, 0.1)] * k))


def test_support_may_be_a_function_of_step_and_params(problem):
    params, (x, y) = problem
    seen = []

    def fresh(step, now):
        seen.append(np.asarray(now["b"]))
        return x[step : step + 4], y[step : step + 4]

    found = meta.adapt(loss, params, fresh, steps=2, lr=0.1)
    middle = descend(params, (x[:4], y[:4]), [(0.1, 0.1)])
    assert_equal(found, descend(middle, (x[1:5], y[1:5]), [(0.1, 0.1)]))
    np.testing.assert_allclose(seen[1], middle["b"])


def test_only_adapted_leaves_move_and_the_others_keep_their_meta_gradient(problem):
    params, batch = problem
    found = meta.adapt(loss, params, batch, steps=2, lr=0.1, adapted={"w": False, "b": True})
    assert found["w"] is params["w"]
    assert_equal(found, descend(params, batch, [(0.0, 0.1)] * 2))

    def outer(p):
        return loss(meta.adapt(loss, p, batch, steps=2, lr=0.1, adapted={"w": False, "b": True}), batch)

    gradient = np.asarray(mg.grad(outer)(params)["w"])
    step, w = 1e-6, np.array(params["w"])
    w[1, 0] += step
    upper = float(outer({**params, "w": w}))
    w[1, 0] -= 2 * step
    assert gradient[1, 0] == pytest.approx((upper - float(outer({**params, "w": w}))) / (2 * step), rel=1e-7)


def test_leaves_that_do_not_move_may_be_of_any_kind(problem):
    params, batch = problem
    params = {**params, "count": mg.asarray(3), "none": None}
    found = meta.adapt(
        loss, params, batch, steps=1, lr=0.1, adapted={"w": True, "b": True, "count": False, "none": None}
    )
    assert int(found["count"]) == 3
    assert found["none"] is None


def test_nothing_adapted_is_no_change(problem):
    params, batch = problem
    assert_equal(
        meta.adapt(loss, params, batch, steps=2, lr=0.1, adapted=False), {k: np.asarray(v) for k, v in params.items()}
    )


@pytest.mark.parametrize("lr", [0.1, np.float64(0.1), mg.asarray(0.1), np.array(0.1)])
def test_float32_parameters_stay_float32(problem, lr):
    params, batch = problem
    small = {name: mg.astype(p, mg.float32) for name, p in params.items()}
    found = meta.adapt(loss, small, tuple(a.astype(np.float32) for a in batch), steps=1, lr=lr)
    assert {str(p.dtype) for p in found.values()} == {"float32"}


def test_a_learned_rate_has_a_gradient(problem):
    params, batch = problem

    def outer(lr):
        return loss(meta.adapt(loss, params, batch, steps=1, lr=lr), batch)

    before, after = mg.grad(loss)(params, batch), mg.grad(loss)(meta.adapt(loss, params, batch, steps=1, lr=0.1), batch)
    expected = -sum(float(mg.sum(before[k] * after[k])) for k in before)
    assert float(mg.grad(outer)(0.1)) == pytest.approx(expected, rel=1e-12)


def test_first_order_cuts_what_the_loss_closes_over_too():
    def outer(scale, first_order):
        def inner(w, batch):
            return scale * (w - batch) ** 2

        return meta.adapt(inner, 1.0, 0.0, steps=1, lr=0.1, first_order=first_order) ** 2

    assert float(mg.grad(lambda s: outer(s, True))(2.0)) == 0.0
    assert float(mg.grad(lambda s: outer(s, False))(2.0)) == pytest.approx(2 * 0.6 * -0.2)


def test_steps_are_named_scopes_of_the_graph(problem):
    params, batch = problem
    graph = mg.make_graph(lambda p: meta.adapt(loss, p, batch, steps=2, lr=0.1))(params)
    assert {e.scope for e in graph.equations} == {("inner step 1",), ("inner step 2",)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": -1}, "whole number of steps, 0 or more but got -1"),
        ({"steps": 1.5}, "whole number of steps, 0 or more but got 1.5"),
        ({"lr": "fast"}, "learning rates that are numbers or arrays but got 'fast'"),
        ({"lr": {"w": 0.1}}, "`lr` to be one value or a tree like the parameters"),
        ({"adapted": {"v": True}}, "`adapted` to be one value or a tree like the parameters"),
    ],
)
def test_settings_that_do_not_fit_get_one_sentence(problem, change, words):
    params, batch = problem
    with pytest.raises(OptionError) as caught:
        meta.adapt(loss, params, batch, **{"steps": 1, "lr": 0.1, **change})
    assert words in str(caught.value)
    assert str(caught.value).startswith("[adapt] requires ")
