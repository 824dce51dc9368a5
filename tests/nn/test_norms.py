"""Norms as functions and layers: the three modes of batch norm, oracles to third order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad import meta, nn
from metagrad.errors import DTypeError, OptionError, ShapeError
from metagrad.ops.normalization import Standardize, StandardizePullback
from metagrad.testing import check_gradients

RNG = np.random.default_rng(0)
KEY = mg.random.key(0)
AXES = (-4, -3, -2)


def real(*shape):
    return RNG.standard_normal(shape)


def composite(xp, x, axes, eps):
    centred = x - xp.mean(x, axis=axes, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred**2, axis=axes, keepdims=True) + eps)


def third(grad, vdot, f, x, u):
    """The gradient of the second derivative along u: third derivatives, by one library."""

    def along(g):
        return lambda v: vdot(grad(g)(v), u)

    return grad(along(along(f)))(x)


def ours_third(f, x, u):
    return np.asarray(third(mg.grad, lambda a, b: mg.sum(a * b), f, x, u))


@pytest.mark.parametrize(("shape", "axes"), [((3, 2, 2, 4), AXES), ((4, 3), (-1,)), ((6, 3), (-2,))])
def test_fused_equals_composite_to_third_order(shape, axes):
    x, u, weights = real(*shape), real(*shape), real(*shape)

    def fused(x):
        return mg.sum(mg.sin(nn.batch_norm(x, axis=axes)) * weights)

    def plain(x):
        return mg.sum(mg.sin(composite(mg, x, axes, 1e-5)) * weights)

    close(np.asarray(fused(x)), np.asarray(plain(x)), np.float64)
    close(np.asarray(mg.grad(fused)(x)), np.asarray(mg.grad(plain)(x)), np.float64, 1)
    close(np.asarray(mg.hvp(fused, (x,), (u,))), np.asarray(mg.hvp(plain, (x,), (u,))), np.float64, 2)
    close(ours_third(fused, x, u), ours_third(plain, x, u), np.float64, 3)


@pytest.mark.parametrize(("shape", "axes"), [((3, 2, 2, 4), (0, 1, 2)), ((4, 5), (1,))])
def test_jax_agrees_to_third_order(shape, axes):
    jax = pytest.importorskip("jax", reason="compares with JAX, which is not installed")
    x, u, weights = real(*shape), real(*shape), real(*shape)
    with jax.enable_x64(True):
        jnp = jax.numpy
        expected = third(jax.grad, jnp.vdot, lambda x: jnp.sum(jnp.sin(composite(jnp, x, axes, 1e-5)) * weights), x, u)
        expected = np.asarray(expected)
    got = ours_third(lambda x: mg.sum(mg.sin(nn.layer_norm(x, axis=axes)) * weights), x, u)
    close(got, expected, np.float64, 3)


def test_torch_agrees_to_second_order_and_its_composite_to_third():
    """PyTorch's own layer norm loses the history of its statistics from the third order on; ours and the composite do
    not, and numeric differentiation is on their side."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    x, u, weights = real(4, 5), real(4, 5), real(4, 5)
    there = torch.tensor(weights)

    def grad(f):
        return lambda v: torch.autograd.grad(f(v), v, create_graph=True)[0]

    def theirs(norm):
        return lambda x: (torch.sin(norm(x)) * there).sum()

    def fused(x):
        return torch.nn.functional.layer_norm(x, (5,))

    def written_out(x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)

    def ours(x):
        return mg.sum(mg.sin(nn.layer_norm(x)) * weights)

    start = torch.tensor(x, requires_grad=True)
    second = torch.autograd.grad((grad(theirs(fused))(start) * torch.tensor(u)).sum(), start)[0]
    close(np.asarray(mg.hvp(ours, (x,), (u,))), second.numpy(), np.float64, 2)
    expected = third(grad, lambda a, b: (a * b).sum(), theirs(written_out), start, torch.tensor(u))
    close(ours_third(ours, x, u), expected.detach().numpy(), np.float64, 3)
    check_gradients(ours, (x,), order=3)


def test_the_kernels_serve_up_to_the_second_order():
    """Otherwise the speed is gone, and nobody would notice."""
    x = real(2, 3, 2, 2, 4)
    graph = mg.make_graph(
        mg.grad(lambda x: mg.sum(mg.grad(lambda y: mg.sum(nn.batch_norm(y, axis=AXES) ** 3))(x) ** 2))
    )
    names = [e.primitive.name for e in graph(x).equations]
    assert {"standardize", "standardize_pullback", "standardize_pullback_gradients"} <= set(names)
    assert "sqrt" not in names


@pytest.mark.parametrize("batched", [(True, False, True), (False, True, False), (True, True, False)])
def test_the_pullback_maps_any_of_its_inputs(batched):
    """A Jacobian by vmap maps the cotangent alone."""
    y, s, g = real(4, 3), 1 + RNG.random((1, 3)), real(4, 3)
    mapped = [np.stack([v, 2 * v]) if b else v for v, b in zip((y, s, g), batched, strict=True)]
    pullback = StandardizePullback(-2, -2)
    got = np.asarray(mg.vmap(pullback, in_axes=tuple(0 if b else None for b in batched))(*mapped))
    for k in range(2):
        close(
            got[k], np.asarray(pullback(*[v[k] if b else v for v, b in zip(mapped, batched, strict=True)])), np.float64
        )


def test_the_inputs_memory_may_go():
    assert not Standardize.uses_inputs


class TestModes:
    X, QUERY = real(6, 3), real(2, 3)

    def layer(self, mode, **options):
        layer = nn.BatchNorm(mode, eps=1e-3, dtype=np.float64, **options)
        params = layer.init(KEY, (6, 3))
        return layer, {name: v + 0.1 * real(3) for name, v in params.items()}

    def normal(self, x, mean, variance, params):
        return (x - mean) / np.sqrt(variance + 1e-3) * np.asarray(params["scale"]) + np.asarray(params["offset"])

    def test_transductive_takes_the_batch_at_hand(self):
        layer, params = self.layer("transductive")
        close(np.asarray(layer(params, self.X)), self.normal(self.X, self.X.mean(0), self.X.var(0), params), np.float64)

    def test_support_keeps_the_statistics_for_the_queries(self):
        layer, params = self.layer("support")
        _, state = layer(params, self.X)
        expected = self.normal(self.QUERY, self.X.mean(0), self.X.var(0), params)
        got, after = layer(params, self.QUERY, state=state, train=False)
        close(np.asarray(got), expected, np.float64)
        assert after is state
        alone, _ = layer(params, self.QUERY[:1], state=state, train=False)
        close(np.asarray(alone), expected[:1], np.float64)

    def test_support_statistics_are_differentiable(self):
        layer, params = self.layer("support")

        def f(x):
            _, state = layer(params, x)
            return mg.sum(layer(params, self.QUERY, state=state, train=False)[0] ** 3)

        check_gradients(f, (self.X,), order=2)

    def test_running_averages_over_batches_and_cuts_them_off(self):
        layer, params = self.layer("running", momentum=0.75)
        _, first = layer(params, self.X)
        _, second = layer(params, 2 * self.X, state=first)
        close(np.asarray(second["mean"]), (0.75 + 0.25 * 2) * self.X.mean(0), np.float64)
        close(np.asarray(second["variance"]), (0.75 + 0.25 * 4) * self.X.var(0), np.float64)
        got, _ = layer(params, self.QUERY, state=second, train=False)
        expected = self.normal(self.QUERY, 1.25 * self.X.mean(0), 1.75 * self.X.var(0), params)
        close(np.asarray(got), expected, np.float64)
        slope = mg.grad(lambda x: mg.sum(layer(params, x, state=first)[1]["mean"]))(self.X)
        np.testing.assert_array_equal(slope, 0)

    def test_sequential_hands_the_states_on(self):
        net = nn.Sequential(nn.Dense(4), nn.BatchNorm("support"), nn.relu, nn.Dense(2), nn.BatchNorm("support"))
        params = net.init(KEY, (6, 3))
        y, state = net(params, self.X)
        assert y.shape == (6, 2)
        assert [sorted(s) for s in state] == [[], ["mean", "variance"], [], [], ["mean", "variance"]]
        again, same = net(params, self.X, state=state, train=False)
        close(np.asarray(again), np.asarray(y), np.float32)
        np.testing.assert_array_equal(same[1]["mean"], state[1]["mean"])

    def test_the_state_of_a_mapped_batch_is_one_for_each(self):
        layer, params = self.layer("support")
        _, state = mg.vmap(lambda x: layer(params, x))(np.stack([self.X, self.X + 5]))
        close(np.asarray(state["mean"][1]), self.X.mean(0) + 5, np.float64)


@pytest.mark.parametrize("net", [nn.omniglot_conv, nn.omniglot_mlp])
@pytest.mark.parametrize("norm", ["transductive", "support", "running", None])
def test_the_paper_s_networks_classify_in_every_mode(net, norm):
    net = net(5, norm=norm)
    params = net.init(KEY, (5, 28, 28, 1))
    output = net(params, np.zeros((5, 28, 28, 1), np.float32) + real(5, 28, 28, 1).astype(np.float32))
    logits = output[0] if net.stateful else output
    assert (logits.shape, logits.dtype) == ((5, 5), np.float32)


def test_the_networks_are_the_paper_s():
    """Shapes of all parameters, as in the authors' code; no scale in any batch norm."""
    conv = nn.omniglot_conv(5).init(KEY, (5, 28, 28, 1))
    kernels = [p["kernel"].shape for p in conv if "kernel" in p]
    assert kernels == [(3, 3, 1, 64), *[(3, 3, 64, 64)] * 3, (64, 5)]
    assert [sorted(p) for p in conv[:3]] == [["bias", "kernel"], ["offset"], []]
    mlp = nn.omniglot_mlp(5).init(KEY, (5, 28, 28, 1))
    assert [p["kernel"].shape for p in mlp if "kernel" in p] == [(784, 256), (256, 128), (128, 64), (64, 64), (64, 5)]
    mini = nn.mini_imagenet_conv(5).init(KEY, (5, 84, 84, 3))
    assert mini[-1]["kernel"].shape == (800, 5)


def test_all_but_the_offsets_move():
    params = nn.omniglot_conv(5).init(KEY, (5, 28, 28, 1))
    mask = meta.all_but(params, "offset")
    assert mask[0] == {"kernel": True, "bias": True}
    assert mask[1] == {"offset": False}
    with pytest.raises(OptionError, match=r"\[all_but\] requires names of leaves, .*'kernel'.* but got \['beta'\]"):
        meta.all_but(params, "beta")


X = np.ones((4, 3, 3, 2))


BARE = nn.BatchNorm("running", scale=False, offset=False)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: nn.batch_norm(X[:0], axis=AXES),
            ShapeError,
            "[batch_norm] requires at least two values to take statistics of but got 0 along axis (-4, -3, -2) of "
            "shape (0, 3, 3, 2)",
        ),
        (
            lambda: nn.batch_norm(np.ones((1, 5)), axis=0),
            ShapeError,
            "[batch_norm] requires at least two values to take statistics of but got 1 along axis 0 of shape (1, 5)",
        ),
        (
            lambda: nn.batch_norm(X.astype(int), axis=AXES),
            DTypeError,
            "[batch_norm] requires an array in floating point but got int64",
        ),
        (
            lambda: nn.BatchNorm(scale=False, offset=False)({}, X, state={}),
            OptionError,
            "[BatchNorm] requires no state in the mode 'transductive', which has none, but got {}",
        ),
        (lambda: nn.batch_norm(X, axis=0, eps=0), OptionError, "[batch_norm] requires a positive eps but got 0"),
        (
            lambda: nn.batch_norm(X, np.ones(3), axis=AXES),
            ShapeError,
            "[batch_norm] requires a scale that broadcasts against (4, 3, 3, 2) but got shape (3,)",
        ),
        (
            lambda: nn.layer_norm(X, offset=np.ones((2, 4, 3, 3, 2))),
            ShapeError,
            "[layer_norm] requires an offset that broadcasts against (4, 3, 3, 2) but got shape (2, 4, 3, 3, 2)",
        ),
        (
            lambda: nn.group_norm(X, 3),
            OptionError,
            "[group_norm] requires groups that divide 2 channels but got 3",
        ),
        (
            lambda: nn.group_norm(X[0, 0], 1),
            ShapeError,
            "[group_norm] requires images of shape (..., h, w, c) but got shape (3, 2)",
        ),
        (
            lambda: nn.BatchNorm("inductive"),
            OptionError,
            "[BatchNorm] requires a mode of ('transductive', 'support', 'running') but got 'inductive'",
        ),
        (
            lambda: nn.BatchNorm("running", momentum=1.0),
            OptionError,
            "[BatchNorm] requires a momentum from 0 to below 1 but got 1.0",
        ),
        (
            lambda: BARE.apply({}, X, train=False),
            OptionError,
            "[BatchNorm] requires with train=False the state that a batch with train=True gave, 'mean' and 'variance' "
            "of shape (2,), but got None",
        ),
        (
            lambda: BARE.apply({}, X, state=(0.0, 1.0), train=False),
            OptionError,
            "[BatchNorm] requires with train=False the state that a batch with train=True gave, 'mean' and 'variance' "
            "of shape (2,), but got tuple",
        ),
        (
            lambda: BARE.apply({}, X, state={"mean": np.zeros(1), "variance": np.ones(1)}),
            OptionError,
            "[BatchNorm] requires the state that a batch with train=True gave, 'mean' and 'variance' of shape (2,), "
            "but got {'mean': (1,), 'variance': (1,)}",
        ),
        (
            lambda: nn.BatchNorm("running", momentum="most"),
            OptionError,
            "[BatchNorm] requires a momentum from 0 to below 1 but got 'most'",
        ),
        (
            lambda: nn.LayerNorm(eps="small"),
            OptionError,
            "[LayerNorm] requires a positive eps but got 'small'",
        ),
        (
            lambda: nn.BatchNorm().apply({"offset": np.zeros(2)}, X),
            OptionError,
            "[BatchNorm] requires parameters {'scale', 'offset'} as `init` makes them but got {'offset'}",
        ),
        (
            lambda: nn.GroupNorm(1, offset=False).apply(None, X),
            OptionError,
            "[GroupNorm] requires parameters {'scale'} as `init` makes them but got NoneType",
        ),
        (
            lambda: nn.Conv2D(4, 3).apply({"scale": np.zeros(2)}, X),
            OptionError,
            "[Conv2D] requires parameters {'kernel', 'bias'} as `init` makes them but got {'scale'}",
        ),
        (
            lambda: nn.Sequential(BARE, nn.relu).apply(None, X),
            ShapeError,
            "[Sequential] requires a tuple with parameters for 2 layers but got NoneType",
        ),
        (
            lambda: nn.Sequential(BARE, nn.relu).apply(({}, {}), X, state={"mean": 0.0, "variance": 1.0}),
            ShapeError,
            "[Sequential] requires a tuple with states for 2 layers but got dict",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, error, sentence):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == sentence


def test_a_batch_of_one_image_has_statistics_over_its_pixels():
    x = real(1, 3, 3, 2)
    close(np.asarray(nn.batch_norm(x, axis=AXES)), composite(np, x, AXES, 1e-5), np.float64)


def test_group_norm_as_a_layer_is_the_function_with_learned_scale_and_offset():
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 4))
    layer = nn.GroupNorm(2, dtype=np.float64)
    params = layer.init(mg.random.key(0), x.shape)
    close(layer(params, x), nn.group_norm(x, 2))
    params = {"scale": mg.asarray([1.0, 2.0, 3.0, 4.0]), "offset": mg.asarray([0.0, 1.0, 0.0, -1.0])}
    close(layer(params, x), nn.group_norm(x, 2) * params["scale"] + params["offset"])
    with pytest.raises(OptionError, match=r"^\[GroupNorm\] requires a positive integer for the groups but got 0$"):
        nn.GroupNorm(0)
