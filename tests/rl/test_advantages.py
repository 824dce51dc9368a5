"""Returns, baseline and advantages equal what plain loops compute, and what is masked has no say."""

from __future__ import annotations

import numpy as np
import pytest

from metagrad import rl
from metagrad.errors import OptionError

RNG = np.random.default_rng(0)


def ragged(tasks=2, trajectories=3, time=7, size=2, seed=0):
    """Trajectories of different lengths, one of them of length 1."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, time + 1, (tasks, trajectories))
    lengths[0, 0], lengths[-1, -1] = 1, time
    mask = (np.arange(time) < lengths[..., None]).astype(np.float64)
    observations = rng.normal(size=(tasks, trajectories, time, size)) * 8 * mask[..., None]
    rewards = rng.normal(size=mask.shape) * mask
    actions = rng.normal(size=(*mask.shape, size)) * mask[..., None]
    dropped = np.zeros(tasks, int)
    return rl.Trajectories(observations, actions, rewards, mask, np.zeros(mask.shape), dropped), lengths


def test_discounted_sums_are_those_of_a_loop():
    values = RNG.normal(size=(2, 6))
    for rate in (0.0, 0.5, 1.0):
        expected = [[sum(rate ** (s - t) * row[s] for s in range(t, 6)) for t in range(6)] for row in values]
        np.testing.assert_allclose(rl.discounted(values, rate), expected, rtol=1e-14)


@pytest.mark.parametrize(("discount", "gae_lambda"), [(0.99, 1.0), (0.9, 0.95), (1.0, 0.0)])
def test_generalized_advantages_are_the_mixture_of_n_step_advantages(discount, gae_lambda):
    """By the definition: the sum of (discount lambda)^k delta_{t+k}, each trajectory by itself, at its own length."""
    found, lengths = ragged()
    values = RNG.normal(size=found.rewards.shape) * found.mask
    got = rl.generalized_advantages(found.rewards, values, discount, gae_lambda)
    for place in np.ndindex(lengths.shape):
        n = lengths[place]
        r, v = found.rewards[place][:n], [*values[place][:n], 0.0]
        delta = [r[t] + discount * v[t + 1] - v[t] for t in range(n)]
        expected = [sum((discount * gae_lambda) ** (s - t) * delta[s] for s in range(t, n)) for t in range(n)]
        np.testing.assert_allclose(got[place][:n], expected, rtol=1e-12, atol=1e-12)


def test_with_lambda_1_the_advantage_is_the_return_less_the_baseline():
    found, _ = ragged()
    values = RNG.normal(size=found.rewards.shape) * found.mask
    got = rl.generalized_advantages(found.rewards, values, 0.9, 1.0)
    np.testing.assert_allclose(got, rl.discounted(found.rewards, 0.9) - values, rtol=1e-12, atol=1e-12)


def test_the_baseline_is_a_ridge_regression_of_each_task_on_its_kept_steps():
    found, lengths = ragged()
    targets = RNG.normal(size=found.mask.shape)
    got = rl.linear_baseline(found.observations, targets, found.mask)
    for task in range(len(lengths)):
        rows, goals, places = [], [], []
        for k, n in enumerate(lengths[task]):
            for t in range(n):
                o = np.clip(found.observations[task, k, t], -10, 10)
                rows.append([*o, *o**2, t / 100, (t / 100) ** 2, (t / 100) ** 3, 1.0])
                goals.append(targets[task, k, t])
                places.append((task, k, t))
        f, y = np.array(rows), np.array(goals)
        # The same minimum, as least squares of the rows and of sqrt(ridge) w.
        wide = np.concatenate([f, np.sqrt(1e-5) * np.eye(f.shape[1])])
        w = np.linalg.lstsq(wide, np.concatenate([y, np.zeros(f.shape[1])]), rcond=None)[0]
        np.testing.assert_allclose([got[p] for p in places], f @ w, rtol=1e-6, atol=1e-6)
    assert (got[found.mask == 0] == 0).all()


def test_advantages_have_mean_0_and_deviation_1_over_the_kept_steps_of_each_task():
    found, _ = ragged()
    batch = rl.as_batch(found)
    for task in range(2):
        kept = batch.advantages[task][found.mask[task] > 0]
        assert kept.mean() == pytest.approx(0, abs=1e-12)
        assert kept.std() == pytest.approx(1, abs=1e-6)
    assert (batch.advantages[found.mask == 0] == 0).all()


def test_more_padding_changes_no_advantage_and_no_surrogate():
    found, _ = ragged()
    pad = [(0, 0), (0, 0), (0, 4)]
    longer = rl.Trajectories(
        np.pad(found.observations, [*pad, (0, 0)]),
        np.pad(found.actions, [*pad, (0, 0)]),
        *(np.pad(x, pad) for x in (found.rewards, found.mask, found.log_probs)),
        found.dropped,
    )
    short, long = rl.as_batch(found), rl.as_batch(longer)
    np.testing.assert_allclose(long.advantages[:, :, :7], short.advantages, rtol=1e-9, atol=1e-12)
    rng = np.random.default_rng(3)
    scores = rng.normal(size=found.mask.shape)
    padded = np.pad(scores, pad, constant_values=5.0)  # log-probabilities beyond the end are not 0
    for name in rl.SURROGATES:
        a = rl.surrogate(name)(scores[0], rl.Batch(*(x[0] for x in short)))
        b = rl.surrogate(name)(padded[0], rl.Batch(*(x[0] for x in long)))
        assert float(a) == pytest.approx(float(b), rel=1e-9, abs=1e-12)


def test_returns_are_means_over_the_trajectories_that_were_kept():
    found, _ = ragged()
    np.testing.assert_allclose(found.returns(), found.rewards.sum(axis=2).mean(axis=1))
    mask = found.mask.copy()
    mask[0, 1] = 0
    expected = found.rewards[0, [0, 2]].sum() / 2
    assert found._replace(mask=mask).returns()[0] == pytest.approx(expected)
    mask[1] = 0
    assert np.isnan(found._replace(mask=mask).returns()[1])


@pytest.mark.parametrize("options", [{"discount": 1.1}, {"gae_lambda": -0.1}])
def test_rates_out_of_range_are_refused(options):
    with pytest.raises(OptionError, match=r"\[advantages\] requires a \w+ from 0 to 1 but got"):
        rl.as_batch(ragged()[0], **options)
