"""Distributions over actions, as trees of arrays: traced, mapped and differentiated like any other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..nn import log_softmax
from ..operations import exp, square, sum, take_along_axis

Array = np.ndarray[Any, Any]


class Distribution(Protocol):
    """What a policy says about the actions for observations (..., o)."""

    def log_prob(self, actions: Any) -> Any:
        """Of actions (..., a), or (...) of a categorical distribution: (...)."""

    def kl(self, other: Any) -> Any:
        """KL(self || other), (...)."""

    def entropy(self) -> Any:
        """In nats, (...)."""

    def sample(self, generator: np.random.Generator) -> Array:
        """One action for each observation, drawn on the host."""


class Gaussian(NamedTuple):
    """Independent normal actions: `mean` (..., a), and `log_std`, which broadcasts with it.

    >>> import metagrad as mg
    >>> here = Gaussian(mg.zeros((5, 2)), mg.zeros((1, 2)))
    >>> here.log_prob(mg.zeros((5, 2)))[0]
    Tensor(-1.83787707, dtype=float64)
    >>> here.kl(Gaussian(mg.ones((5, 2)), mg.zeros((1, 2))))[0]
    Tensor(1., dtype=float64)
    """

    mean: Any
    log_std: Any

    def log_prob(self, actions: Any) -> Any:
        """Of actions (..., a), the sum over a of -z^2 / 2 - log_std - log(2 pi) / 2 with z = (action - mean) / std."""
        z = (actions - self.mean) * exp(-self.log_std)
        return -0.5 * sum(square(z), axis=-1) - sum(self.log_std, axis=-1) - 0.5 * self._size * math.log(2 * math.pi)

    def kl(self, other: Gaussian) -> Any:
        """KL(self || other), the sum over a of log(s2 / s1) + (s1^2 + (m1 - m2)^2) / (2 s2^2) - 1/2."""
        ratio = exp(2 * (self.log_std - other.log_std))
        apart = square((self.mean - other.mean) * exp(-other.log_std))
        return sum(other.log_std - self.log_std + 0.5 * (ratio + apart) - 0.5, axis=-1)

    def entropy(self) -> Any:
        """The sum over a of log_std + log(2 pi e) / 2."""
        return sum(self.log_std + 0 * self.mean, axis=-1) + 0.5 * self._size * math.log(2 * math.pi * math.e)

    def sample(self, generator: np.random.Generator) -> Array:
        """Actions (..., a) in the mean's dtype."""
        mean = np.asarray(self.mean)
        noise = generator.standard_normal(mean.shape, mean.dtype)
        return np.asarray(mean + np.exp(np.asarray(self.log_std)) * noise)

    @property
    def _size(self) -> int:
        return int(self.mean.shape[-1])


class Categorical(NamedTuple):
    """One of k actions, by its unnormalised log-probabilities `logits` (..., k).

    >>> import metagrad as mg
    >>> Categorical(mg.zeros((1, 4))).entropy()
    Tensor([1.38629436], dtype=float64)
    """

    logits: Any

    def log_prob(self, actions: Any) -> Any:
        """Of integer actions (...)."""
        found = take_along_axis(log_softmax(self.logits), actions[..., None], axis=-1)
        return found[..., 0]

    def kl(self, other: Categorical) -> Any:
        """KL(self || other), the sum over k of p (log p - log q)."""
        own = log_softmax(self.logits)
        return sum(exp(own) * (own - log_softmax(other.logits)), axis=-1)

    def entropy(self) -> Any:
        """The sum over k of -p log p."""
        own = log_softmax(self.logits)
        return -sum(exp(own) * own, axis=-1)

    def sample(self, generator: np.random.Generator) -> Array:
        """Integer actions (...): the largest of logits plus Gumbel noise."""
        logits = np.asarray(self.logits)
        return np.asarray(np.argmax(logits + generator.gumbel(size=logits.shape), axis=-1))
