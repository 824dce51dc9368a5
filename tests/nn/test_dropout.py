"""Dropout: by key alone, the mean kept, the same bits wherever it is run, and keys handed on by Sequential."""

from __future__ import annotations

import math

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, OptionError

nn = mg.nn
KEY = mg.random.key(11)
X = np.random.default_rng(0).uniform(0.5, 1.5, (6, 7))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.99])
def test_a_share_of_the_elements_is_dropped_and_the_others_are_scaled_up(rate):
    n = 100_000
    x = nn.dropout(np.ones(n), rate, KEY).numpy()
    assert set(x.tolist()) == {0.0, 1 / (1 - rate)}
    assert abs(np.mean(x == 0) - rate) < 5 * math.sqrt(rate * (1 - rate) / n)
    neighbours = np.mean((x[1:] == 0) & (x[:-1] == 0))
    assert abs(neighbours - rate**2) < 5 * math.sqrt(rate**2 / n)


def test_what_is_dropped_is_nothing_whatever_it_was():
    x = np.array([math.nan, math.inf, -math.inf] * 20)
    y = nn.dropout(x, 0.5, KEY).numpy()
    assert 0 < np.sum(y == 0) < 60
    gradient = mg.grad(lambda x: mg.sum(nn.dropout(x, 0.5, KEY)))(x).numpy()
    np.testing.assert_array_equal(gradient, np.where(y == 0, 0, 2))


def test_keys_decide_and_nothing_else():
    first = nn.dropout(X, 0.5, KEY).numpy()
    np.testing.assert_array_equal(nn.dropout(X, 0.5, KEY), first)
    other = nn.dropout(X, 0.5, mg.random.key(12)).numpy()
    assert np.any((first == 0) != (other == 0))
    single = nn.dropout(X.astype(np.float32), 0.5, KEY)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single.numpy() == 0, first == 0)


def test_the_same_bits_under_vmap_checkpoint_and_replay():
    def f(x, key):
        return mg.sin(nn.dropout(x, 0.3, key))

    def gradient_of(f):
        return lambda x, key: mg.grad(lambda x: mg.sum(f(x, key) ** 2))(x)

    keys = mg.random.split(KEY, 5)
    x = np.stack([X + k for k in range(5)])
    for plain, again in ((f, mg.checkpoint(f)), (gradient_of(f), gradient_of(mg.checkpoint(f)))):
        alone = np.stack([plain(a, k).numpy() for a, k in zip(x, keys, strict=True)])
        for g in (plain, again):
            np.testing.assert_array_equal(mg.vmap(g)(x, keys), alone)
            np.testing.assert_array_equal(mg.make_graph(g)(x[0], keys[0])(x[1], keys[1]), alone[1])
            np.testing.assert_array_equal(g(x[2], keys[2]), alone[2])


def test_a_key_that_is_not_mapped_drops_the_same_of_each():
    mapped = mg.vmap(lambda x: nn.dropout(x, 0.5, KEY))(np.stack([X, 2 * X])).numpy()
    np.testing.assert_array_equal(mapped[1], 2 * mapped[0])


def test_without_need_of_it_no_key_is_read():
    np.testing.assert_array_equal(nn.dropout(X, 0.5, None, deterministic=True), X)
    np.testing.assert_array_equal(nn.dropout(X, 0, None), X)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: nn.dropout(X, 1.0, KEY), OptionError, r"\[dropout\] requires a rate from 0 to below 1 but got 1.0"),
        (lambda: nn.dropout(X, -0.1, KEY, deterministic=True), OptionError, r"\[dropout\] .* but got -0.1"),
        (lambda: nn.dropout(X, math.nan, KEY), OptionError, r"\[dropout\] .* but got nan"),
        (lambda: nn.dropout(X, "0.5", KEY), OptionError, r"\[dropout\] .* but got '0.5'"),
        (lambda: nn.dropout(np.arange(3), 0.5, KEY), DTypeError, r"\[dropout\] requires floating-point .* got int64"),
        (lambda: nn.dropout(X, 0.5, None), DTypeError, r"\[dropout\] requires a key, unless .* but got None"),
        (lambda: nn.dropout(X, 0.5, 3), DTypeError, "requires a key"),
        (lambda: nn.Dropout(1), OptionError, r"\[Dropout\] requires a rate from 0 to below 1 but got 1"),
    ],
)
def test_bad_arguments_get_one_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_the_layer_drops_with_a_key_and_is_the_identity_without():
    layer = nn.Dropout(0.25)
    assert layer.init(KEY, (3,)) == {}
    np.testing.assert_array_equal(layer({}, X), X)
    np.testing.assert_array_equal(layer({}, X, key=KEY), nn.dropout(X, 0.25, KEY))


def test_sequential_gives_each_random_layer_a_key_of_its_own():
    net = nn.Sequential(nn.Dropout(0.5), mg.sin, nn.Dropout(0.25))
    params = net.init(KEY, X.shape)
    first, second = mg.random.split(KEY)
    expected = nn.dropout(mg.sin(nn.dropout(X, 0.5, first)), 0.25, second)
    np.testing.assert_array_equal(net(params, X, key=KEY), expected)
    np.testing.assert_array_equal(net(params, X), mg.sin(X))
    nested = nn.Sequential(nn.Sequential(nn.Dropout(0.5)), nn.Flatten(), nn.Sequential(mg.sin), nn.Dropout(0.25))
    image, (first, _, third) = X[None, ..., None], mg.random.split(KEY, 3)
    (inner,) = mg.random.split(first, 1)
    expected = nn.dropout(mg.sin(mg.reshape(nn.dropout(image, 0.5, inner), (1, -1))), 0.25, third)
    np.testing.assert_array_equal(nested(nested.init(KEY, image.shape), image, key=KEY), expected)


def test_a_key_to_layers_without_randomness_changes_nothing():
    net = nn.Sequential(nn.Dense(3), nn.relu)
    params = net.init(KEY, X.shape)
    np.testing.assert_array_equal(net(params, X, key=KEY), net(params, X))


def test_an_ensemble_of_masks_is_a_vmap_over_keys():
    net = nn.Sequential(nn.Dropout(0.5), nn.Dense(3, dtype=mg.float64))
    params, keys = net.init(KEY, X.shape), mg.random.split(KEY, 4)
    mapped = mg.vmap(lambda key: net(params, X, key=key))(keys).numpy()
    for k in range(4):
        np.testing.assert_allclose(mapped[k], net(params, X, key=keys[k]), rtol=1e-14)
    assert np.any(mapped[0] != mapped[1])
