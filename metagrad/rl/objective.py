"""The meta-objective of one iteration: what the adapted policies make of the trajectories that they drew.

As a function of the meta-parameters, everything here goes through the inner steps, on the trajectories of the policy
that drew them (`old`), which stay fixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten, tree_map
from ..meta import adapt
from ..operations import clip, exp, mean, minimum
from ..transforms import hvp, vjp, vmap
from .trajectories import Batch, masked_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .surrogates import Surrogate


class Objective:
    """Of `supports`, a Batch for each inner step, and `query`, one drawn after the last, all with an axis of tasks.

    `inner` is the surrogate of the inner steps; `steps` (as many as supports), `lr`, `first_order` and `adapted` are
    those of `meta.adapt`. `old` are the meta-parameters that the trajectories come from.
    """

    def __init__(
        self,
        policy: Any,
        inner: Surrogate,
        supports: Sequence[Batch],
        query: Batch,
        old: Any,
        *,
        lr: Any,
        first_order: bool = False,
        adapted: Any = None,
    ) -> None:
        self.policy = policy
        self.inner = inner
        self.supports = tuple(supports)
        self.query = query
        self.old = old
        self._options = {"lr": lr, "first_order": first_order, "adapted": adapted}
        self._old = self.distributions(old)
        self._old_log_probs = self._old.log_prob(query.actions)

    def inner_loss(self, params: Any, batch: Batch) -> Any:
        """Minus the inner surrogate of one task's batch: what `meta.adapt` descends."""
        return inner_loss(self.policy, self.inner, params, batch)

    def distributions(self, params: Any) -> Any:
        """The adapted policies' distributions of actions at the query's observations, with an axis of tasks."""

        def one(supports: tuple[Batch, ...], observations: Any) -> Any:
            steps = len(supports)
            theta = adapt(self.inner_loss, params, lambda step, _: supports[step], steps=steps, **self._options)
            return self.policy.apply(theta, observations)

        return vmap(one)(self.supports, self.query.observations)

    def surrogate(self, params: Any) -> Any:
        """The mean over tasks of the mean over steps of pi / pi_old A, to be maximised."""
        return self._surrogate(self.distributions(params))

    def clipped(self, params: Any, clip_at: float) -> Any:
        """The same, with PPO's lower bound min(r A, clip(r, 1 - clip_at, 1 + clip_at) A) (Schulman et al. 2017)."""
        ratio = self._ratio(self.distributions(params))
        bound = minimum(ratio * self.query.advantages, clip(ratio, 1 - clip_at, 1 + clip_at) * self.query.advantages)
        return self._mean(bound)

    def kl(self, params: Any) -> Any:
        """The mean over tasks and steps of KL(old || new) of the adapted policies."""
        return self._kl(self.distributions(params))

    def surrogate_and_kl(self, params: Any) -> tuple[float, float]:
        """Both, for a line search: the inner steps are taken once."""
        found = self.distributions(params)
        return float(self._surrogate(found)), float(self._kl(found))

    def is_old(self, params: Any) -> bool:
        """Whether these are the parameters that the trajectories come from."""
        pairs = zip(flatten(params)[0], flatten(self.old)[0], strict=True)
        return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)

    def kl_product(self, params: Any) -> Callable[[Any], Any]:
        """v to H v, the exact Hessian of `kl` at any parameters, third derivatives of the inner loss included."""
        return lambda v: hvp(self.kl, (params,), (v,))

    def fisher_product(self) -> Callable[[Any], Any]:
        """v to J^T F J v at the old parameters: there it is the KL's Hessian, without a third derivative.

        J is the Jacobian of the distributions' own parameters phi (means, ...) by the meta-parameters, through the
        inner steps, and F the Hessian of the KL in phi, at which the KL has its minimum: its gradient in phi vanishes,
        and with it the term of J's derivative. J is recorded once: the pullback is linear in its cotangent, so that
        its own pullback is v to J v.
        """
        phi, pullback = vjp(self.distributions, self.old)
        zeros = tree_map(lambda x: np.zeros(x.shape, x.dtype), phi)
        _, pushforward = vjp(lambda cotangent: pullback(cotangent)[0], zeros)

        def product(v: Any) -> Any:
            (moved,) = pushforward(v)
            return pullback(hvp(self._kl, (phi,), (moved,)))[0]

        return product

    def _ratio(self, distributions: Any) -> Any:
        return exp(distributions.log_prob(self.query.actions) - self._old_log_probs)

    def _surrogate(self, distributions: Any) -> Any:
        return self._mean(self._ratio(distributions) * self.query.advantages)

    def _kl(self, distributions: Any) -> Any:
        return self._mean(self._old.kl(distributions))

    def _mean(self, values: Any) -> Any:
        """Over each task's kept steps, then over tasks."""
        return mean(vmap(masked_mean)(values, self.query.mask))


def inner_loss(policy: Any, surrogate: Surrogate, params: Any, batch: Batch) -> Any:
    """Minus a surrogate of one task's batch."""
    return -surrogate(policy.apply(params, batch.observations).log_prob(batch.actions), batch)
