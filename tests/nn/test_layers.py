"""Layers and initialisers: shapes are found, parameters are float32 with the distribution their name says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad.errors import OptionError, ShapeError
from metagrad.nn import initializers

nn = mg.nn
KEY = mg.random.key(5)


def test_dense_is_the_affine_map_and_parameters_are_float32_unless_asked():
    layer = nn.Dense(3)
    params = layer.init(KEY, (7, 2))
    assert {k: v.shape for k, v in params.items()} == {"kernel": (2, 3), "bias": (3,)}
    assert {v.dtype for v in params.values()} == {np.dtype(np.float32)}
    x = np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32)
    params["bias"] = mg.asarray(np.float32([1, 2, 3]))
    expected = x @ params["kernel"].numpy() + np.float32([1, 2, 3])
    close(layer.apply(params, x), expected, np.float32)
    np.testing.assert_array_equal(layer(params, x).numpy(), layer.apply(params, x).numpy())
    double = nn.Dense(3, bias=False, dtype=mg.float64).init(KEY, (2,))
    assert list(double) == ["kernel"]
    assert double["kernel"].dtype == np.float64
    close(nn.Dense(3, bias=False, dtype=mg.float64).apply(double, x[0]), x[0] @ double["kernel"].numpy())


def test_sequential_finds_the_shapes_between_layers_through_any_function():
    net = nn.Sequential(
        nn.Dense(6),
        nn.relu,
        lambda x: mg.reshape(x, (x.shape[0], 2, 3)),
        nn.Dense(4),
        lambda x: mg.sum(x, axis=1),
        nn.Dense(1),
    )
    params = net.init(KEY, (5, 2))
    assert [sorted(p) for p in params] == [["bias", "kernel"], [], [], ["bias", "kernel"], [], ["bias", "kernel"]]
    assert [params[k]["kernel"].shape for k in (0, 3, 5)] == [(2, 6), (3, 4), (4, 1)]
    assert net.apply(params, mg.zeros((5, 2), dtype=mg.float32)).shape == (5, 1)


def test_sequential_nests_and_equals_the_composition():
    inner = nn.Sequential(nn.Dense(4), nn.tanh)
    net = nn.Sequential(inner, nn.Dense(2))
    params = net.init(KEY, (3,))
    x = np.ones(3, np.float32)
    hidden = np.tanh(x @ params[0][0]["kernel"].numpy())
    close(net(params, x), hidden @ params[1]["kernel"].numpy(), np.float32)


def test_initialisation_is_pure_and_layers_draw_different_numbers():
    net = nn.Sequential(nn.Dense(4), nn.Dense(4))
    first, second = net.init(KEY, (4,)), net.init(KEY, (4,))
    np.testing.assert_array_equal(first[0]["kernel"].numpy(), second[0]["kernel"].numpy())
    assert np.all(first[0]["kernel"].numpy() != first[1]["kernel"].numpy())


def test_an_ensemble_is_a_vmap_over_keys():
    net = nn.Sequential(nn.Dense(4, kernel_init=initializers.orthogonal()), nn.relu, nn.Dense(1))
    keys = mg.random.split(KEY, 3)
    params = mg.vmap(lambda key: net.init(key, (2,)))(keys)
    assert params[0]["kernel"].shape == (3, 2, 4)
    x = np.ones((5, 2), np.float32)
    outputs = mg.vmap(net.apply, in_axes=(0, None))(params, x)
    for k in range(3):
        alone = net.init(keys[k], (2,))
        np.testing.assert_array_equal(params[0]["kernel"][k].numpy(), alone[0]["kernel"].numpy())
        close(outputs[k], net(alone, x), np.float32)


VARIANCES = {
    "normal": (initializers.normal(0.3), 0.09),
    "uniform": (initializers.uniform(0.3), 0.03),
    "truncated_normal": (initializers.truncated_normal(0.01), 0.7737413 * 1e-4),
    "glorot_uniform": (initializers.glorot_uniform(), 2 / 500),
    "glorot_normal": (initializers.xavier_normal(), 2 / 500),
    "he_uniform": (initializers.kaiming_uniform(), 2 / 200),
    "he_normal": (initializers.he_normal(), 2 / 200),
    "lecun_uniform": (initializers.lecun_uniform(), 1 / 200),
    "lecun_normal": (initializers.lecun_normal(), 1 / 200),
}


@pytest.mark.parametrize(("init", "variance"), VARIANCES.values(), ids=VARIANCES)
def test_initialisers_have_the_variance_of_their_name(init, variance):
    values = init(KEY, (200, 300))
    assert (values.dtype, values.shape) == (np.float32, (200, 300))
    assert init(KEY, (2, 3), np.float64).dtype == np.float64
    x = values.numpy().astype(np.float64)
    assert abs(x.mean()) < 5 * math.sqrt(variance / x.size)
    assert x.var() == pytest.approx(variance, rel=0.03)


def test_the_papers_truncated_normal_has_no_value_beyond_two_standard_deviations():
    x = initializers.truncated_normal(0.01)(KEY, (400, 100)).numpy()
    assert 0.0199 < np.abs(x).max() <= 0.02 * (1 + 1e-6)


def test_a_convolutions_window_counts_into_the_fans():
    x = initializers.he_normal()(KEY, (3, 3, 32, 64)).numpy()
    assert x.var() == pytest.approx(2 / (9 * 32), rel=0.05)


def test_constants_are_what_they_say():
    assert initializers.zeros(KEY, (2,)).tolist() == [0, 0]
    assert initializers.ones(KEY, (2,), np.float64).tolist() == [1, 1]
    assert initializers.constant(0.5)(KEY, (2,)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (3, 3, 2, 5), (2, 2, 2, 20)])
def test_orthogonal_has_orthonormal_columns_or_rows(shape):
    q = initializers.orthogonal(2.0)(KEY, shape, np.float64).numpy().reshape(-1, shape[-1]) / 2
    gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-14)
    assert (q < 0).any()
    assert (q > 0).any()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: nn.Dense(0), OptionError, r"\[Dense\] requires a positive integer for the features but got 0"),
        (lambda: nn.Dense(2).init(KEY, ()), ShapeError, r"\[Dense\]"),
        (lambda: nn.Sequential(3), OptionError, r"\[Sequential\] requires layers and functions but got 3"),
        (lambda: nn.Sequential(nn.Dense(1)).apply((), np.ones(2)), ShapeError, r"parameters for 1 layers but got 0"),
        (lambda: initializers.he_normal()(KEY, (3,)), ShapeError, r"at least two axes"),
        (lambda: nn.Dense(2)(nn.Dense(2).init(KEY, (3,)), np.ones((4, 5))), ShapeError, r"\[Dense\].* got shape"),
    ],
)
def test_bad_layers_get_one_clear_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call()
