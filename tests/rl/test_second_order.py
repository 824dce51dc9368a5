"""Which surrogate is right at second order, on an MDP so small that every trajectory can be counted.

Three steps, two actions, a reward that depends on this action and the one before, and a policy that sees time and last
action. The expected return J(theta) is a sum over 8 trajectories: its gradient and Hessian are exact. The expectation
of a surrogate's derivatives, over trajectories drawn at theta, is such a sum, too, with constant probabilities.

All three surrogates give the gradient. Of the Hessian, DiCE gives all. The likelihood ratio differentiates the
probability of each action by itself: it lacks the products of scores at different times. The log-likelihood lacks those
at the same time as well. A meta-gradient is made of this Hessian, and misses by its share.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import metagrad as mg
from metagrad import rl
from metagrad.transforms import stop_gradient

HORIZON, STATES, ACTIONS = 3, 7, 2
RNG = np.random.default_rng(4)
THETA = mg.asarray(RNG.normal(size=(STATES, ACTIONS)))
REWARDS = RNG.normal(size=(STATES, ACTIONS))
ALPHA = 0.4


def trajectories(horizon):
    """(states, actions) of every trajectory: state 0 at first, then one for each time and last action."""
    for actions in itertools.product(range(ACTIONS), repeat=horizon):
        states = [0] + [1 + 2 * t + a for t, a in enumerate(actions[:-1])]
        yield np.array(states), np.array(actions)


def log_probs(theta, states, actions):
    return rl.Categorical(theta[states]).log_prob(actions)


def expected_return(theta, horizon):
    """J, with its derivatives of every order."""
    return sum(
        mg.exp(mg.sum(log_probs(theta, states, actions))) * REWARDS[states, actions].sum()
        for states, actions in trajectories(horizon)
    )


def expected_surrogate(name, horizon):
    """Its expectation over trajectories drawn at `at`, as a function of theta; times the horizon, as it is a mean."""

    def value(theta, at=THETA):
        total = 0.0
        for states, actions in trajectories(horizon):
            drawn = stop_gradient(log_probs(at, states, actions))[None]
            to_go = np.cumsum(REWARDS[states, actions][::-1])[::-1][None]
            batch = rl.Batch(None, actions[None], to_go, np.ones((1, horizon)), drawn)
            term = rl.surrogate(name)(log_probs(theta, states, actions)[None], batch)
            total = total + mg.exp(mg.sum(drawn)) * term * horizon
        return total

    return value


def miss(got, true):
    got, true = np.asarray(got), np.asarray(true)
    return float(np.linalg.norm(got - true) / np.linalg.norm(true))


def hessian_miss(name, horizon):
    true = mg.hessian(lambda theta: expected_return(theta, horizon))(THETA)
    return miss(mg.hessian(expected_surrogate(name, horizon))(THETA), true)


@pytest.mark.parametrize("name", list(rl.SURROGATES))
def test_every_surrogate_has_the_policy_gradient(name):
    true = mg.grad(lambda theta: expected_return(theta, HORIZON))(THETA)
    assert miss(mg.grad(expected_surrogate(name, HORIZON))(THETA), true) < 1e-14


def test_only_dice_has_the_hessian_and_the_others_miss_it_by_so_much():
    misses = {name: hessian_miss(name, HORIZON) for name in rl.SURROGATES}
    print({name: f"{value:.2g}" for name, value in misses.items()})
    assert misses["dice"] < 1e-14
    assert misses["likelihood_ratio"] == pytest.approx(0.654, abs=0.001)
    assert misses["log_likelihood"] == pytest.approx(1.155, abs=0.001)


def test_with_one_action_an_episode_the_likelihood_ratio_is_right_too():
    assert hessian_miss("dice", 1) < 1e-14
    assert hessian_miss("likelihood_ratio", 1) < 1e-14
    assert hessian_miss("log_likelihood", 1) > 0.05


def test_the_meta_gradient_is_right_with_dice_only():
    """d/dtheta of J(theta + alpha grad J(theta)), the inner gradient estimated by each surrogate from data at theta."""

    def after(inner):
        return lambda theta: expected_return(theta + ALPHA * mg.grad(inner)(theta), HORIZON)

    true = mg.grad(after(lambda theta: expected_return(theta, HORIZON)))(THETA)
    found = {name: miss(mg.grad(after(expected_surrogate(name, HORIZON)))(THETA), true) for name in rl.SURROGATES}
    print({name: f"{value:.2g}" for name, value in found.items()})
    assert found["dice"] < 1e-14
    assert found["likelihood_ratio"] > 0.01
    assert found["log_likelihood"] > 0.01


def test_dice_with_a_baseline_has_the_hessian_as_well():
    """A value subtracted from the return to go changes no expected derivative."""
    value = RNG.normal(size=STATES)

    def expected(theta):
        total = 0.0
        for states, actions in trajectories(HORIZON):
            drawn = stop_gradient(log_probs(THETA, states, actions))[None]
            to_go = np.cumsum(REWARDS[states, actions][::-1])[::-1] - value[states]
            batch = rl.Batch(None, actions[None], to_go[None], np.ones((1, HORIZON)), drawn)
            total = total + mg.exp(mg.sum(drawn)) * HORIZON * rl.dice(log_probs(theta, states, actions)[None], batch)
        return total

    true = mg.hessian(lambda theta: expected_return(theta, HORIZON))(THETA)
    assert miss(mg.hessian(expected)(THETA), true) < 1e-14


@pytest.mark.parametrize("weighed", [False, True], ids=["as they are", "times discount^t"])
def test_discounted_advantages_have_a_right_surrogate_only_where_time_weighs_them(weighed):
    """The expected step E[sum grad log pi_t A_t] is the gradient of a function if A_t is discounted from step 0 on."""
    discount = 0.9
    powers = discount ** np.arange(HORIZON)

    def advantages(states, actions):
        to_go = np.cumsum((REWARDS[states, actions] * powers)[::-1])[::-1]
        return to_go if weighed else to_go / powers

    def step(theta):
        total = 0.0
        for states, actions in trajectories(HORIZON):
            a = advantages(states, actions)
            score = mg.grad(lambda p, s=states, c=actions, a=a: mg.sum(log_probs(p, s, c) * a))(theta)
            total = total + mg.exp(mg.sum(log_probs(theta, states, actions))) * score
        return total

    def expected(theta):
        total = 0.0
        for states, actions in trajectories(HORIZON):
            drawn = stop_gradient(log_probs(THETA, states, actions))[None]
            batch = rl.Batch(None, actions[None], advantages(states, actions)[None], np.ones((1, HORIZON)), drawn)
            total = total + mg.exp(mg.sum(drawn)) * HORIZON * rl.dice(log_probs(theta, states, actions)[None], batch)
        return total

    true = np.asarray(mg.jacrev(step)(THETA)).reshape(THETA.size, THETA.size)
    found = np.asarray(mg.hessian(expected)(THETA)).reshape(THETA.size, THETA.size)
    print({"asymmetry": miss(true, true.T), "miss": miss(found, true)})
    if weighed:
        assert miss(true, true.T) < 1e-13
        assert miss(found, true) < 1e-13
    else:
        assert miss(true, true.T) > 0.01
        assert miss(found, true) > 0.01
