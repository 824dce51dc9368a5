"""Densities, divergences and draws agree with NumPy's arithmetic and with samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from problems import learner, moved, objective

import metagrad as mg
from metagrad import rl
from metagrad.errors import OptionError

RNG = np.random.default_rng(0)
MEAN, OTHER = RNG.normal(size=(2, 3, 2))
STD, OTHER_STD = np.array([[0.5, 2.0]]), np.array([[1.5, 0.7]])


def density(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


def log_density(x, mean, std):
    return -(((x - mean) / std) ** 2) / 2 - math.log(std * math.sqrt(2 * math.pi))


def integrated(function):
    """Over a wide grid of one action."""
    grid = np.linspace(-30, 30, 60_001)
    return np.trapezoid(function(grid), grid)


def test_a_gaussian_is_its_density():
    x = RNG.normal(size=(3, 2))
    got = rl.Gaussian(MEAN, np.log(STD)).log_prob(x)
    np.testing.assert_allclose(got, np.log(density(x, MEAN, STD)).sum(axis=-1), rtol=1e-12)


def test_the_kl_of_gaussians_is_the_integral_from_the_first_to_the_second():
    got = rl.Gaussian(MEAN, np.log(STD)).kl(rl.Gaussian(OTHER, np.log(OTHER_STD)))
    for row in range(3):
        total = 0.0
        for a in range(2):
            p, q = (MEAN[row, a], STD[0, a]), (OTHER[row, a], OTHER_STD[0, a])
            total += integrated(lambda x, p=p, q=q: density(x, *p) * (log_density(x, *p) - log_density(x, *q)))
        assert float(got[row]) == pytest.approx(total, rel=1e-8)


def test_categorical_log_probs_and_kl_are_those_of_the_softmax():
    logits, others = RNG.normal(size=(2, 4, 3))
    p, q = (np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True) for x in (logits, others))
    actions = np.array([0, 2, 1, 2])
    here = rl.Categorical(logits)
    np.testing.assert_allclose(here.log_prob(actions), np.log(p[np.arange(4), actions]), rtol=1e-12)
    np.testing.assert_allclose(here.kl(rl.Categorical(others)), (p * np.log(p / q)).sum(axis=-1), rtol=1e-12)
    np.testing.assert_allclose(here.entropy(), -(p * np.log(p)).sum(axis=-1), rtol=1e-12)


def test_draws_have_the_distribution_s_moments():
    mean = np.broadcast_to(MEAN[:1], (200_000, 2))
    drawn = rl.Gaussian(mean, np.log(STD)).sample(np.random.default_rng(0))
    np.testing.assert_allclose(drawn.mean(axis=0), MEAN[0], atol=5 * 2 / math.sqrt(200_000))
    np.testing.assert_allclose(drawn.std(axis=0), STD[0], rtol=0.01)
    logits = np.broadcast_to(np.log([0.2, 0.5, 0.3]), (100_000, 3))
    counts = np.bincount(rl.Categorical(logits).sample(np.random.default_rng(0))) / 100_000
    np.testing.assert_allclose(counts, [0.2, 0.5, 0.3], atol=0.01)


def test_entropy_is_minus_the_mean_log_prob():
    here = rl.Gaussian(np.broadcast_to(MEAN[:1], (100_000, 2)), np.log(STD))
    sampled = -np.asarray(here.log_prob(here.sample(np.random.default_rng(0)))).mean()
    assert float(here.entropy()[0]) == pytest.approx(sampled, abs=0.02)


def test_the_objective_s_kl_goes_from_the_old_policy_to_the_new():
    params, found = objective(learner())
    there = moved(params, size=0.3)
    old, new = found.distributions(params), found.distributions(there)
    weights = found.query.mask / found.query.mask.sum(axis=(1, 2), keepdims=True) / 3
    expected = (np.asarray(old.kl(new)) * weights).sum()
    backwards = (np.asarray(new.kl(old)) * weights).sum()
    assert float(found.kl(there)) == pytest.approx(expected, rel=1e-12)
    assert abs(expected - backwards) > 1e-3 * expected


def test_the_standard_deviation_has_a_floor():
    policy = rl.GaussianPolicy(2, hidden=(4,))
    params = {**policy.init(mg.random.key(0), 3), "log_std": mg.asarray(np.full(2, -50, np.float32))}
    assert np.exp(np.asarray(policy.apply(params, np.zeros((1, 3), np.float32)).log_std)).min() == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rl.GaussianPolicy(0), r"\[GaussianPolicy\] requires .*actions.* but got 0"),
        (lambda: rl.GaussianPolicy(2, initial_std=0), r"\[GaussianPolicy\] requires an initial_std above 0 but got 0"),
        (lambda: rl.CategoricalPolicy(2, context=-1), r"\[CategoricalPolicy\] requires a context .* but got -1"),
    ],
)
def test_policies_that_cannot_be_are_one_sentence(call, words):
    with pytest.raises(OptionError, match=words):
        call()
