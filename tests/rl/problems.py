"""Small meta-objectives in float64, for the tests of reinforcement learning."""

from __future__ import annotations

import numpy as np

import metagrad as mg
from metagrad import rl


def learner(outer=None, *, family=None, hidden=(6,), steps=1, surrogate="log_likelihood", **options):
    """MAML on a short navigation, with a smooth net in float64."""
    family = rl.Navigation(horizon=6) if family is None else family
    policy = rl.policy_for(
        family, hidden=hidden, activation=mg.tanh, dtype=np.float64, context=options.pop("context", 0)
    )
    options = {"lr": 0.3, "rollouts": 5, "tasks": 3, **options}
    return rl.MAML(family, policy, outer or rl.TRPO(), steps=steps, surrogate=surrogate, **options)


def objective(maml, seed=0):
    """Parameters away from the origin's symmetry, and the meta-objective at them."""
    params = maml.init(mg.random.key(seed)).params
    draw = maml.sample(np.random.default_rng(seed))
    batches = maml.collect(params, draw.tasks, np.random.default_rng(draw.seed)).batches
    return params, maml.objective(params, batches)


def moved(params, seed=1, size=0.05):
    """Parameters nearby."""
    rng = np.random.default_rng(seed)
    return mg.core.pytree.tree_map(lambda x: mg.asarray(np.asarray(x) + size * rng.standard_normal(x.shape)), params)


def direction(params, seed=2):
    """A tree like the parameters, standard normal."""
    rng = np.random.default_rng(seed)
    return mg.core.pytree.tree_map(lambda x: mg.asarray(rng.standard_normal(x.shape)), params)
