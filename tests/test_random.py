"""Random numbers: the published generator, the same bits under every transform, the right distributions."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import metagrad as mg
from metagrad.errors import DTypeError, MetagradError, OptionError, ShapeError
from metagrad.ops.random import philox

KEY = mg.random.key(2024)


def scalar_philox(counter, key, rounds=10):
    """Philox4x32 as the paper writes it, in Python integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def array_philox(counter, key):
    c = np.array(counter, np.uint32)
    even, odd = philox(np.array(key, np.uint32)[:, None], c[[0, 2], None], c[[1, 3], None])
    return int(even[0, 0]), int(odd[0, 0]), int(even[1, 0]), int(odd[1, 0])


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # kat_vectors of Random123
        ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, expected):
    assert scalar_philox(counter, key) == expected
    assert array_philox(counter, key) == expected


def test_philox_is_the_scalar_algorithm_on_random_counters():
    rng = np.random.default_rng(0)
    for words in rng.integers(0, 2**32, (50, 6)).tolist():
        assert array_philox(words[:4], words[4:]) == scalar_philox(words[:4], words[4:])


def test_bits_are_philox_of_the_place_and_the_key():
    key = mg.random.key(2**33 + 5)
    found = mg.random.bits(key, (3, 3)).numpy().ravel().tolist()
    expected = [word for block in range(3) for word in scalar_philox((block, 0, 0, 0), (5, 2))]
    assert found == expected[:9]


def test_the_same_key_draws_the_same_and_a_longer_draw_begins_with_the_shorter():
    short, long = mg.random.bits(KEY, (5,)).numpy(), mg.random.bits(KEY, (11,)).numpy()
    np.testing.assert_array_equal(short, long[:5])


DRAWS = {
    "bits": lambda k: mg.random.bits(k, (5,)),
    "bits64": lambda k: mg.random.bits(k, (3,), mg.uint64),
    "split": lambda k: mg.random.split(k, 3),
    "fold_in": lambda k: mg.random.fold_in(k, 7),
    "uniform": lambda k: mg.random.uniform(k, (2, 3), minval=-1.0, maxval=2.0),
    "uniform32": lambda k: mg.random.uniform(k, (7,), mg.float32),
    "normal": lambda k: mg.random.normal(k, (50,)),
    "normal32": lambda k: mg.random.normal(k, (4,), mg.float32),
    "truncated_normal": lambda k: mg.random.truncated_normal(k, -2.0, 2.0, (6,)),
    "truncated_tail": lambda k: mg.random.truncated_normal(k, 5.0, 6.0, (6,)),
    "bernoulli": lambda k: mg.random.bernoulli(k, 0.3, (9,)),
    "categorical": lambda k: mg.random.categorical(k, mg.asarray([[0.0, 1.0, 2.0], [0.0, 0.0, 5.0]])),
    "permutation": lambda k: mg.random.permutation(k, 10),
    "randint": lambda k: mg.random.randint(k, (6,), -3, 12),
    "orthogonal": lambda k: mg.nn.initializers.orthogonal()(k, (4, 3)),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_draw_is_the_same_bits_under_vmap_graph_checkpoint_and_grad(draw):
    keys = mg.random.split(KEY, 4)
    one_by_one = np.stack([draw(k).numpy() for k in keys])
    mapped = mg.vmap(draw)(keys).numpy()
    assert mapped.dtype == one_by_one.dtype
    np.testing.assert_array_equal(mapped, one_by_one)
    twice = mg.vmap(mg.vmap(draw))(mg.reshape(keys, (2, 2, 2))).numpy()
    np.testing.assert_array_equal(twice.reshape(one_by_one.shape), one_by_one)
    np.testing.assert_array_equal(mg.make_graph(draw)(keys[0])(keys[1]).numpy(), one_by_one[1])
    np.testing.assert_array_equal(mg.checkpoint(draw)(keys[2]).numpy(), one_by_one[2])
    scaled = mg.grad(lambda x: mg.sum(x * mg.astype(draw(keys[3]), mg.float64)))(1.0)
    np.testing.assert_allclose(scaled.numpy(), one_by_one[3].astype(float).sum(), rtol=1e-12)


def test_vmapped_draws_with_the_key_shared_are_the_same_for_each():
    both = mg.vmap(lambda x: x + mg.random.normal(KEY, (3,)))(mg.zeros((2, 1)))
    np.testing.assert_array_equal(both[0].numpy(), both[1].numpy())


def test_keys_of_split_fold_in_and_the_seed_all_differ():
    keys = [KEY, *mg.random.split(KEY, 100), *[mg.random.fold_in(KEY, k) for k in range(100)]]
    keys += [mg.random.fold_in(KEY, 2**40), mg.random.fold_in(KEY, 2**40 + 1)]
    keys += [mg.random.key(k) for k in (0, 1, 2**32, 2**64 - 1)]
    assert len({tuple(k.tolist()) for k in keys}) == len(keys)
    words = mg.random.bits(KEY, (400,)).numpy().reshape(-1, 4)[:, :2]
    assert {tuple(w) for w in words.tolist()}.isdisjoint({tuple(k.tolist()) for k in keys})


def test_fold_in_takes_a_traced_number():
    steps = mg.vmap(lambda k: mg.random.fold_in(KEY, k))(mg.arange(3)).numpy()
    np.testing.assert_array_equal(steps, [mg.random.fold_in(KEY, k).numpy() for k in range(3)])


N = 40_000


def assert_distribution(sample, cdf):
    """Kolmogorov-Smirnov at a level of 1e-4, for a fixed seed."""
    x = np.sort(np.asarray(sample, np.float64).ravel())
    expected = np.array([cdf(v) for v in x])
    steps = np.arange(x.size + 1) / x.size
    distance = max(np.max(steps[1:] - expected), np.max(expected - steps[:-1]))
    assert distance < 2.23 / math.sqrt(x.size)


def normal_cdf(x):
    return math.erfc(-x / math.sqrt(2)) / 2


def truncated_cdf(low, high, x):
    if low > 0:  # reflected: the left tail has its digits
        return 1 - truncated_cdf(-high, -low, -x)
    return (normal_cdf(x) - normal_cdf(low)) / (normal_cdf(high) - normal_cdf(low))


@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_draws_have_their_distributions(dtype):
    uniform = mg.random.uniform(KEY, (N,), dtype, -1.0, 3.0)
    assert uniform.dtype == dtype
    assert uniform.numpy().min() >= -1
    assert uniform.numpy().max() <= 3
    assert_distribution(uniform, lambda v: (v + 1) / 4)
    normal = mg.random.normal(KEY, (N,), dtype)
    assert normal.dtype == dtype
    assert_distribution(normal, normal_cdf)
    for low, high in ((-2.0, 2.0), (1.0, 1.5), (-9.0, -8.0), (8.0, 9.0), (-math.inf, 0.0)):
        truncated = mg.random.truncated_normal(KEY, low, high, (N,), dtype)
        assert truncated.dtype == dtype
        assert low <= truncated.numpy().min() <= truncated.numpy().max() <= high
        assert_distribution(truncated, functools.partial(truncated_cdf, low, high))


def test_uniform_stays_below_one_and_takes_differentiable_bounds():
    assert mg.random.uniform(KEY, (N,), mg.float32).numpy().max() < 1
    u = mg.random.uniform(KEY, (4,)).numpy()
    jacobian = mg.jacrev(lambda high: mg.random.uniform(KEY, (4,), minval=1.0, maxval=high))(3.0).numpy()
    np.testing.assert_allclose(jacobian, u, rtol=1e-15)


def test_inverse_normal_cdf_is_the_inverse_to_rounding_in_the_centre_and_both_tails():
    from metagrad.ops.inverse_normal import InverseNormalCdf

    p = np.concatenate([np.linspace(0.001, 0.999, 999), 10.0 ** -np.arange(4.0, 300, 7)])
    x = InverseNormalCdf().forward(p)
    back = np.array([normal_cdf(v) for v in x])
    assert np.max(np.abs(back / p - 1) / (1 + x * x)) < 1e-15  # a unit in the last place of x is x^2 of them of p
    q = np.arange(1, 512) / 1024  # 1 - q is exact
    np.testing.assert_array_equal(InverseNormalCdf().forward(1 - q), -InverseNormalCdf().forward(q))
    np.testing.assert_allclose(mg.grad(InverseNormalCdf())(0.5).item(), math.sqrt(2 * math.pi), rtol=1e-14)


def test_bernoulli_and_categorical_have_their_frequencies():
    p = mg.asarray([0.1, 0.8])
    hits = mg.random.bernoulli(KEY, p, (N, 2)).numpy().mean(0)
    np.testing.assert_allclose(hits, [0.1, 0.8], atol=0.01)
    assert mg.random.bernoulli(KEY, p).shape == (2,)
    weights = np.array([0.5, 0.2, 0.3, 0.0])
    with np.errstate(divide="ignore"):
        drawn = mg.random.categorical(KEY, np.log(weights), shape=(N,)).numpy()
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / N, weights, atol=0.01)
    columns = mg.random.categorical(KEY, np.array([[0.0, 50.0], [50.0, 0.0]]), axis=0)
    assert columns.tolist() == [1, 0]


def test_randint_is_even_over_its_range_also_at_the_limits():
    drawn = mg.random.randint(KEY, (N,), -2, 5).numpy()
    assert set(drawn.tolist()) == set(range(-2, 5))
    np.testing.assert_allclose(np.bincount(drawn + 2) / N, 1 / 7, atol=0.01)
    full = mg.random.randint(KEY, (1000,), -(2**63), 2**63).numpy()
    assert full.min() < -(2**62)
    assert full.max() > 2**62
    small = mg.random.randint(KEY, (1000,), 250, 256, mg.uint8)
    assert small.dtype == np.uint8
    assert set(small.tolist()) == set(range(250, 256))


def test_permutation_keeps_every_element_and_every_order_is_as_likely():
    assert sorted(mg.random.permutation(KEY, 100).tolist()) == list(range(100))
    keys = mg.random.split(KEY, 6000)
    orders = mg.vmap(lambda k: mg.random.permutation(k, 3))(keys).numpy()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert counts.shape == (6,)
    np.testing.assert_allclose(counts / 6000, 1 / 6, atol=0.02)
    x = np.arange(12).reshape(3, 4)
    shuffled = mg.random.permutation(KEY, x, axis=1).numpy()
    np.testing.assert_array_equal(shuffled, x[:, mg.random.permutation(KEY, 4).numpy()])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: mg.random.key(-1), OptionError, r"\[key\] requires an integer seed .* got -1"),
        (lambda: mg.random.key(1.5), OptionError, r"\[key\]"),
        (lambda: mg.random.uniform(3, (2,)), DTypeError, r"requires a key"),
        (lambda: mg.random.uniform(np.zeros(2), (2,)), DTypeError, r"float64 of shape \(2,\)"),
        (lambda: mg.random.normal(mg.random.split(KEY)), ShapeError, r"vmap"),
        (lambda: mg.random.normal(KEY, (2,), mg.int32), DTypeError, r"float32 or float64"),
        (lambda: mg.random.bits(KEY, (2,), mg.float32), DTypeError, r"uint32 or uint64"),
        (lambda: mg.random.randint(KEY, (2,), 5, 5), OptionError, r"minval < maxval"),
        (lambda: mg.random.randint(KEY, (2,), 0, 300, mg.uint8), OptionError, r"uint8"),
        (lambda: mg.random.truncated_normal(KEY, 2.0, 1.0), OptionError, r"lower < upper"),
        (lambda: mg.random.fold_in(KEY, 1.5), MetagradError, r"\[fold_in\] requires an integer"),
    ],
)
def test_bad_arguments_get_one_clear_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call()
