"""Optimisers: torch's steps, pure and differentiable; clipping and schedules by their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad import optim
from metagrad.errors import DTypeError, OptionError, ShapeError
from metagrad.testing import check_gradients

RNG = np.random.default_rng(3)


SGD = optim.SGD(0.1)


def random_tree():
    return {"w": RNG.standard_normal((3, 2)), "layers": [RNG.standard_normal(2), RNG.standard_normal(())]}


PARAMS = random_tree()
GRADS = [random_tree() for _ in range(20)]


def leaves(tree):
    return [np.asarray(x) for x in (tree["w"], *tree["layers"])]


def as_type(tree, dtype):
    return {"w": tree["w"].astype(dtype), "layers": [np.asarray(x).astype(dtype) for x in tree["layers"]]}


def walk(optimizer, params, grads=GRADS):
    state = optimizer.init(params)
    for g in grads:
        params, state = optimizer.update(g, state, params)
    return params, state


OPTIMIZERS = {
    "sgd": (optim.SGD(0.1), "SGD", {"lr": 0.1}),
    "sgd_decay": (optim.SGD(0.1, weight_decay=0.2), "SGD", {"lr": 0.1, "weight_decay": 0.2}),
    "momentum": (optim.SGD(0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": (
        optim.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
    "rmsprop": (optim.RMSProp(), "RMSprop", {}),
    "rmsprop_momentum": (
        optim.RMSProp(0.02, decay=0.9, eps=1e-3, momentum=0.5),
        "RMSprop",
        {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "momentum": 0.5},
    ),
    "adam": (optim.Adam(), "Adam", {}),
    "adam_settings": (
        optim.Adam(0.05, (0.8, 0.9), 1e-2, 0.1),
        "Adam",
        {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-2, "weight_decay": 0.1},
    ),
    "adamw": (optim.AdamW(), "AdamW", {}),
    "adamw_settings": (optim.AdamW(0.1, weight_decay=0.3), "AdamW", {"lr": 0.1, "weight_decay": 0.3}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("ours", "theirs", "settings"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_twenty_steps_are_torchs(ours, theirs, settings, dtype):
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    parameters = [torch.tensor(x.astype(dtype), requires_grad=True) for x in leaves(PARAMS)]
    optimizer = getattr(torch.optim, theirs)(parameters, **settings)
    for grads in GRADS:
        for p, g in zip(parameters, leaves(grads), strict=True):
            p.grad = torch.tensor(g.astype(dtype))
        optimizer.step()
    params, state = walk(ours, as_type(PARAMS, dtype), [as_type(g, dtype) for g in GRADS])
    assert state["step"].item() == 20
    for got, expected in zip(leaves(params), parameters, strict=True):
        assert got.dtype == dtype
        close(got, expected.detach().numpy(), dtype)


each = pytest.mark.parametrize("optimizer", [o for o, _, _ in OPTIMIZERS.values()], ids=OPTIMIZERS)


@each
def test_an_update_is_pure_and_keeps_structure_types_and_inputs(optimizer):
    params = as_type(PARAMS, np.float32)
    before = [x.copy() for x in leaves(params)]
    state = optimizer.init(params)
    first, after = optimizer.update(params, state, params)
    second, _ = optimizer.update(params, state, params)
    assert state["step"].item() == 0
    assert after["step"].item() == 1
    assert set(after) == set(state)
    for x, y, z, b in zip(leaves(first), leaves(second), leaves(params), before, strict=True):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(z, b)
        assert x.dtype == np.float32
        assert np.any(x != z)


@each
def test_traced_updates_equal_eager_ones(optimizer):
    expected = walk(optimizer, PARAMS, GRADS[:3])[0]
    traced = mg.make_graph(lambda p: walk(optimizer, p, GRADS[:3])[0])(PARAMS)(PARAMS)
    stacked = {"w": np.stack([PARAMS["w"]] * 2), "layers": [np.stack([x] * 2) for x in PARAMS["layers"]]}
    mapped = mg.vmap(lambda p: walk(optimizer, p, GRADS[:3])[0])(stacked)
    for x, y, z in zip(leaves(expected), leaves(traced), leaves(mapped), strict=True):
        close(y, x)
        close(z[1], x)


@each
def test_an_update_with_its_step_traced_equals_the_eager_one(optimizer):
    params, state = walk(optimizer, as_type(PARAMS, np.float32), GRADS[:2])
    grads = as_type(GRADS[2], np.float32)
    expected, expected_state = optimizer.update(grads, state, params)
    got, got_state = mg.make_graph(optimizer.update)(grads, state, params)(grads, state, params)
    assert got_state["step"].item() == expected_state["step"].item() == 3
    for x, y in zip(leaves(expected), leaves(got), strict=True):
        assert y.dtype == np.float32
        close(y, x, np.float32)


@each
def test_steps_are_differentiable_to_second_order_in_the_parameters(optimizer):
    target = np.array([0.3, -0.2])

    def unrolled(w):
        params, state = {"w": w}, optimizer.init({"w": w})
        for _ in range(3):
            g = mg.grad(lambda p: mg.sum((p["w"] ** 2 - target) ** 2))(params)
            params, state = optimizer.update(g, state, params)
        return params["w"]

    check_gradients(unrolled, (np.array([1.2, -0.7]),), order=2, rtol=1e-6)


@pytest.mark.parametrize(
    "make", [optim.SGD, lambda lr: optim.SGD(lr, 0.9, True), optim.RMSProp, optim.Adam, optim.AdamW]
)
def test_a_learning_rate_can_be_learned(make):
    def after(lr):
        optimizer = make(lr)
        params, state = mg.asarray(np.float32([1.0, 2.0])), optimizer.init(np.float32([1.0, 2.0]))
        for _ in range(2):
            params, state = optimizer.update(mg.grad(lambda p: mg.sum(p**3))(params), state, params)
        assert params.dtype == np.float32
        return mg.sum(params)

    slope = mg.grad(after)(0.01).item()
    numeric = (float(after(0.011)) - float(after(0.009))) / 0.002
    assert slope == pytest.approx(numeric, rel=1e-2)
    assert slope < 0


@pytest.mark.parametrize("optimizer", [optim.Adam(), optim.RMSProp(), optim.AdamW(weight_decay=0.0)])
def test_a_gradient_of_zero_gives_no_nan_at_any_order(optimizer):
    def after(p):
        new, _ = optimizer.update(p * 0.0, optimizer.init(p), p)
        return mg.sum(new)

    p = np.ones(3)
    assert after(p).item() == 3
    np.testing.assert_array_equal(mg.grad(after)(p).numpy(), np.ones(3))
    np.testing.assert_array_equal(mg.hessian(after)(p).numpy(), np.zeros((3, 3)))


def test_a_state_survives_saving(tmp_path):
    optimizer = optim.Adam(0.1)
    params, state = walk(optimizer, PARAMS, GRADS[:5])
    mg.save(tmp_path / "state.safetensors", {"params": params, "state": state})
    loaded = mg.load(tmp_path / "state.safetensors")
    first, _ = optimizer.update(GRADS[5], state, params)
    second, _ = optimizer.update(GRADS[5], loaded["state"], loaded["params"])
    for x, y in zip(leaves(first), leaves(second), strict=True):
        np.testing.assert_array_equal(x, y)


def averages(optimizer, params, grads):
    """The parameters and their average after each step."""
    state, found = optimizer.init(params), []
    for g in grads:
        params, state = optimizer.update(g, state, params)
        found.append((leaves(params), leaves(optimizer.average(state))))
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_average_is_the_mean_of_all_iterates_until_it_forgets(dtype):
    grads = [as_type(g, dtype) for g in GRADS]
    found = averages(optim.Averaged(optim.Adam(0.1), decay=0.9), as_type(PARAMS, dtype), grads)
    plain = leaves(walk(optim.Adam(0.1), as_type(PARAMS, dtype), grads)[0])
    for x, y in zip(found[-1][0], plain, strict=True):
        np.testing.assert_array_equal(x, y)
    for leaf in range(3):
        iterates = [params[leaf].astype(np.float64) for params, _ in found]
        expected = np.mean(iterates[:10], axis=0)
        close(found[9][1][leaf], expected, dtype)
        for x in iterates[10:]:
            expected = 0.9 * expected + 0.1 * x
        close(found[-1][1][leaf], expected, dtype)
        assert found[-1][1][leaf].dtype == dtype


def test_an_average_of_no_steps_is_the_parameters_and_goes_through_transforms(tmp_path):
    optimizer = optim.Averaged(optim.SGD(0.1), decay=0.5)
    state = optimizer.init(PARAMS)
    for x, y in zip(leaves(optimizer.average(state)), leaves(PARAMS), strict=True):
        np.testing.assert_array_equal(x, y)
    expected = averages(optimizer, PARAMS, GRADS[:4])[-1][1]

    def average(params):
        return optimizer.average(walk(optimizer, params, GRADS[:4])[1])

    stacked = {"w": np.stack([PARAMS["w"]] * 2), "layers": [np.stack([x] * 2) for x in PARAMS["layers"]]}
    for tree, pick in ((mg.make_graph(average)(PARAMS)(PARAMS), np.s_[:]), (mg.vmap(average)(stacked), 1)):
        for x, y in zip(leaves(tree), expected, strict=True):
            close(x[pick] if x.ndim else x, y)
    mg.save(tmp_path / "state.safetensors", walk(optimizer, PARAMS, GRADS[:3])[1])
    params, _ = walk(optimizer, PARAMS, GRADS[:3])
    _, resumed = optimizer.update(GRADS[3], mg.load(tmp_path / "state.safetensors"), params)
    for x, y in zip(leaves(optimizer.average(resumed)), expected, strict=True):
        close(x, y)


def test_clip_by_value_limits_each_element():
    clipped = optim.clip_by_value(10.0)({"w": np.array([-20.0, 3.0, 11.0])})
    assert clipped["w"].tolist() == [-10, 3, 10]


def test_clip_by_norm_limits_each_leaf_and_the_global_one_all_together():
    tree = {"a": np.array([3.0, 4.0]), "b": np.float32([0.0, 12.0])}
    single = optim.clip_by_norm(10.0)(tree)
    np.testing.assert_allclose(single["a"].numpy(), [3, 4])
    np.testing.assert_allclose(single["b"].numpy(), [0, 10])
    joint = optim.clip_by_global_norm(6.5)(tree)
    np.testing.assert_allclose(joint["a"].numpy(), [1.5, 2])
    np.testing.assert_allclose(joint["b"].numpy(), [0, 6])
    assert joint["b"].dtype == np.float32
    same = optim.clip_by_global_norm(13.0)(tree)
    np.testing.assert_array_equal(same["a"].numpy(), tree["a"])
    zero = mg.grad(lambda x: mg.sum(optim.clip_by_global_norm(1.0)([x])[0]))(np.zeros(2))
    assert zero.tolist() == [1, 1]
    assert optim.clip_by_global_norm(1.0)({}) == {}


def test_clipping_is_differentiable():
    for clip in (optim.clip_by_norm(0.5), optim.clip_by_global_norm(0.5), optim.clip_by_value(0.5)):
        check_gradients(lambda x, clip=clip: clip([x])[0], (np.array([0.7, -0.2, 0.4]),), order=3)


def test_a_chain_clips_and_then_steps():
    chained = optim.chain(optim.clip_by_value(0.5), optim.clip_by_global_norm(0.5), optim.SGD(1.0))
    params = np.array([0.0, 0.0])
    after, state = chained.update(np.array([3.0, -4.0]), chained.init(params), params)
    np.testing.assert_allclose(after.numpy(), [-math.sqrt(0.125), math.sqrt(0.125)])
    assert state["step"].item() == 1
    with pytest.raises(OptionError, match=r"\[chain\]"):
        optim.chain(optim.SGD(0.1), optim.clip_by_value(1.0))


SCHEDULES = {
    "constant": (optim.constant(0.3), lambda t: 0.3),
    "exponential": (optim.exponential_decay(0.3, 0.5, 10), lambda t: 0.3 * 0.5 ** (t / 10)),
    "staircase": (optim.exponential_decay(0.3, 0.5, 10, staircase=True), lambda t: 0.3 * 0.5 ** (t // 10)),
    "cosine": (
        optim.cosine_decay(0.3, 20, 0.1),
        lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t, 20) / 20)) / 2,
    ),
    "warmup": (optim.linear_warmup(0.3, 10), lambda t: 0.3 * min(t, 10) / 10),
    "warmup_then": (
        optim.linear_warmup(0.3, 10, optim.exponential_decay(0.3, 0.5, 10)),
        lambda t: 0.03 * t if t < 10 else 0.3 * 0.5 ** ((t - 10) / 10),
    ),
    "piecewise": (
        optim.piecewise_constant([5, 15], [0.3, 0.2, 0.1]),
        lambda t: 0.3 if t < 5 else 0.2 if t < 15 else 0.1,
    ),
}


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_are_their_formula_for_known_and_traced_steps(schedule, formula):
    expected = [formula(t) for t in range(30)]
    values = [schedule(t) for t in range(30)]
    assert {type(v) for v in values} == {float}
    np.testing.assert_allclose(values, expected, rtol=1e-14)
    traced = mg.vmap(lambda t: mg.zeros(()) + schedule(t))(mg.arange(30))
    np.testing.assert_allclose(traced.numpy(), expected, rtol=1e-14)


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES.values(), ids=SCHEDULES)
def test_an_optimiser_follows_its_schedule_from_step_zero(schedule, formula):
    optimizer = optim.SGD(schedule)
    params, state = np.float32([0.0]), optimizer.init(np.float32([0.0]))
    for t in range(12):
        after, state = optimizer.update(np.float32([1.0]), state, params)
        assert after.dtype == np.float32
        assert (np.asarray(params) - np.asarray(after)).item() == pytest.approx(formula(t), rel=1e-5, abs=1e-7)
        params = after


def test_a_users_schedule_may_be_any_function_of_the_step():
    optimizer = optim.SGD(lambda step: 1.0 / (1 + step))
    params, _ = walk(optimizer, np.array([0.0]), [np.array([1.0])] * 3)
    assert params.item() == pytest.approx(-(1 + 1 / 2 + 1 / 3))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: optim.SGD(-0.1), OptionError, r"\[SGD\] requires lr of at least 0 but got -0.1"),
        (lambda: optim.SGD("fast"), OptionError, r"\[SGD\] requires a number as lr but got 'fast'"),
        (lambda: optim.SGD(math.nan), OptionError, r"\[SGD\]"),
        (lambda: optim.SGD(0.1, nesterov=True), OptionError, r"momentum for nesterov"),
        (lambda: optim.Adam(betas=(0.9, 1.0)), OptionError, r"\[Adam\] requires betas in \[0, 1\) but got 1.0"),
        (lambda: optim.clip_by_value(-1), OptionError, r"\[clip_by_value\]"),
        (lambda: optim.Averaged(0.1), OptionError, r"\[Averaged\] requires an optimiser but got 0.1"),
        (
            lambda: optim.Averaged(optim.SGD(0.1), 1.0),
            OptionError,
            r"\[Averaged\] requires decay in \[0, 1\) but got 1",
        ),
        (
            lambda: optim.Averaged(optim.SGD(0.1)).average(optim.SGD(0.1).init(np.ones(2))),
            ShapeError,
            r"\[Averaged\] requires a state that its `init` .* got one with \['step'\]",
        ),
        (
            lambda: optim.Averaged(SGD).update([np.ones(2)], optim.Averaged(SGD).init(np.ones(2)), [np.ones(2)]),
            ShapeError,
            r"\[Averaged\] requires a state 'average' of the parameters' structure",
        ),
        (lambda: optim.Adam().init({"w": np.arange(3)}), DTypeError, r"\[Adam\] .* got int64 at \['w'\]"),
        (lambda: optim.Adam().init({"w": "text"}), DTypeError, r"got str 'text' at \['w'\]"),
        (lambda: walk(optim.SGD(0.1), {"w": np.ones(2)}, [{"v": np.ones(2)}]), ShapeError, r"gradients of the param"),
        (
            lambda: walk(optim.SGD(0.1), {"w": np.ones(2)}, [{"w": np.ones((2, 2))}]),
            ShapeError,
            r"a gradient of shape \(2,\) at \['w'\] but got shape \(2, 2\)",
        ),
        (
            lambda: optim.Adam().update(np.ones(2), optim.SGD(0.1).init(np.ones(2)), np.ones(2)),
            ShapeError,
            r"\[Adam\] requires a state with first_moment",
        ),
        (lambda: optim.piecewise_constant([3], [0.1]), OptionError, r"\[piecewise_constant\]"),
        (lambda: optim.cosine_decay(0.1, 0), OptionError, r"\[cosine_decay\]"),
    ],
)
def test_bad_settings_and_trees_get_one_clear_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call()
