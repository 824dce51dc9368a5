"""The outer curvature is exact: an HVP through the inner step is the numeric derivative of the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from problems import direction, learner, moved, objective
from tolerances import close

import metagrad as mg
from metagrad import testing
from metagrad.rl.outer import vector


@pytest.mark.parametrize("surrogate", ["log_likelihood", "likelihood_ratio", "dice"])
@pytest.mark.parametrize("of", ["kl", "surrogate"])
def test_hvp_is_the_numeric_derivative_of_the_gradient_through_one_inner_step(of, surrogate):
    params, found = objective(learner(surrogate=surrogate))
    function = getattr(found, of)
    assert testing.check_hvp(
        function, [moved(params)], modes=["reverse_over_reverse", "forward_over_reverse"], min_digits=8
    )


def test_hvp_at_the_old_policy_is_the_numeric_derivative_too():
    params, found = objective(learner(steps=2))
    assert testing.check_hvp(found.kl, [params], modes=["reverse_over_reverse"])


@pytest.mark.parametrize("options", [{}, {"steps": 2}, {"context": 3}, {"first_order": True}, {"surrogate": "dice"}])
def test_fisher_products_are_those_with_the_kl_s_hessian_at_the_old_policy(options):
    params, found = objective(learner(**options))
    v = direction(params)
    close(vector(found.fisher_product()(v)), vector(found.kl_product(params)(v)), order=2)


def test_at_the_old_policy_the_kl_s_gradient_vanishes_and_elsewhere_not():
    params, found = objective(learner())
    assert np.abs(vector(mg.grad(found.kl)(params))).max() < 1e-15
    assert np.abs(vector(mg.grad(found.kl)(moved(params)))).max() > 1e-4


def test_away_from_the_old_policy_the_fisher_form_is_not_the_hessian():
    """There the third derivative of the inner loss counts: the cheap form must not be used."""
    params, found = objective(learner())
    v = direction(params)
    gap = vector(found.fisher_product()(v)) - vector(found.kl_product(moved(params))(v))
    assert np.linalg.norm(gap) > 0.01 * np.linalg.norm(vector(found.fisher_product()(v)))


def test_the_inner_step_counts_in_the_curvature():
    """First-order MAML takes the inner gradient as a constant: another matrix."""
    params, whole = objective(learner())
    _, cut = objective(learner(first_order=True))
    v = direction(params)
    a, b = vector(whole.fisher_product()(v)), vector(cut.fisher_product()(v))
    assert np.linalg.norm(a - b) > 0.01 * np.linalg.norm(a)


def test_the_meta_gradient_at_the_old_policy_is_the_numeric_derivative_of_the_surrogate():
    params, found = objective(learner(surrogate="dice", steps=2))
    assert testing.check_gradients(found.surrogate, [params], order=1)


def test_a_discrete_policy_has_the_same_two_forms():
    from metagrad import rl

    class Signs(rl.Navigation):
        """Two actions: left and right."""

        discrete, action_size = True, 2

        def step(self, states, tasks, actions):
            moves = np.where(actions[:, None] == 1, 0.1, -0.1) * np.array([1.0, 0.0])
            return super().step(states, tasks, moves)

    params, found = objective(learner(family=Signs(horizon=6)))
    v = direction(params)
    close(vector(found.fisher_product()(v)), vector(found.kl_product(params)(v)), order=2)
    assert testing.check_hvp(found.kl, [moved(params)], modes=["reverse_over_reverse"])
