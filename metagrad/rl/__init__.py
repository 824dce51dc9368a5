"""Meta-reinforcement learning: families of environments, policies, rollouts, and MAML with a trust region outside.

Environments are Gymnasium's; `pip install "metagrad[rl]"` brings them, and MuJoCo. Navigation alone needs neither.
"""

from __future__ import annotations

from .advantages import as_batch, discounted, generalized_advantages, linear_baseline, standardized
from .conjugate_gradient import Solution, conjugate_gradient
from .distributions import Categorical, Gaussian
from .family import Family, Informed
from .gymnasium_family import GymnasiumFamily
from .learner import MAML, Collected, Draw, for_each_task, mean_return
from .locomotion import Ant, HalfCheetah
from .navigation import Navigation
from .objective import Objective
from .outer import PPO, TRPO, Ascent, Outer
from .policies import CategoricalPolicy, GaussianPolicy, policy_for
from .registration import register
from .rendering import frames
from .rollouts import rollout
from .surrogates import SURROGATES, dice, likelihood_ratio, log_likelihood, surrogate
from .trajectories import Batch, Trajectories, masked_mean

__all__ = [
    "MAML",
    "PPO",
    "SURROGATES",
    "TRPO",
    "Ant",
    "Ascent",
    "Batch",
    "Categorical",
    "CategoricalPolicy",
    "Collected",
    "Draw",
    "Family",
    "Gaussian",
    "GaussianPolicy",
    "GymnasiumFamily",
    "HalfCheetah",
    "Informed",
    "Navigation",
    "Objective",
    "Outer",
    "Solution",
    "Trajectories",
    "as_batch",
    "conjugate_gradient",
    "dice",
    "discounted",
    "for_each_task",
    "frames",
    "generalized_advantages",
    "likelihood_ratio",
    "linear_baseline",
    "log_likelihood",
    "masked_mean",
    "mean_return",
    "policy_for",
    "register",
    "rollout",
    "standardized",
    "surrogate",
]
