"""Policies as pure objects without arrays: `init` makes parameters, `apply` gives the distribution of actions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.tensor import Tensor
from ..errors import OptionError, requires
from ..nn import Dense, Sequential, relu
from ..operations import broadcast_to, concat, maximum, reshape
from ..ops.windows import positive
from .distributions import Categorical, Gaussian
from .family import as_family

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Params = Any

MIN_STD = 1e-6
"""The least standard deviation: below it a density overflows in float32."""


class _Policy:
    """A net over the observation, with a learned context vector beside it where one is asked for."""

    name = "policy"
    discrete = False

    def __init__(
        self,
        outputs: int,
        hidden: Sequence[int] = (100, 100),
        activation: Callable[[Any], Any] = relu,
        context: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.outputs = positive(self.name, "actions", outputs)
        if isinstance(context, bool) or not isinstance(context, int) or context < 0:
            raise OptionError(requires(self.name, "a context of a whole number of entries, 0 or more", repr(context)))
        self.context = context
        self.dtype = np.dtype(dtype)
        layers: list[Any] = []
        for width in hidden:
            layers += [Dense(width, dtype=dtype), activation]
        self.net = Sequential(*layers, Dense(outputs, dtype=dtype))

    def init(self, key: Any, observations: int) -> Params:
        """Parameters for observations of so many entries: {"net": ..., ...}; weights by Glorot, biases 0."""
        size = positive(self.name, "observations", observations)
        params = {"net": self.net.init(key, (size + self.context,))}
        if self.context:
            params["context"] = Tensor(np.zeros(self.context, self.dtype))
        return params

    def _outputs(self, params: Params, observations: Any) -> Any:
        if not self.context:
            return self.net.apply(params["net"], observations)
        beside = broadcast_to(params["context"], (*observations.shape[:-1], self.context))
        return self.net.apply(params["net"], concat([observations, beside], axis=-1))

    def adapted(self, params: Params) -> Any:
        """What of the parameters an inner step moves, as `meta.adapt` takes it: all, or the context where there is one.

        Zintgraf et al. 2019, "Fast context adaptation via meta-learning"; appendix C of Finn et al. 2017.
        """
        return {name: name == "context" or not self.context for name in params}


class GaussianPolicy(_Policy):
    """Normal actions: the mean is a net of the observation, the logarithm of the standard deviation is a parameter.

    Parameters: {"net": those of the net, "log_std": (actions,)}, and {"context": (context,)} where that is not 0, which
    is concatenated to each observation. The standard deviation is at least 1e-6.

    Raises OptionError for sizes that are no positive numbers.

    >>> import metagrad as mg
    >>> from metagrad import rl
    >>> policy = rl.GaussianPolicy(2)
    >>> params = policy.init(mg.random.key(0), 3)
    >>> policy.apply(params, mg.zeros((7, 3), dtype=np.float32)).mean.shape
    (7, 2)
    """

    name = "GaussianPolicy"

    def __init__(
        self,
        actions: int,
        hidden: Sequence[int] = (100, 100),
        activation: Callable[[Any], Any] = relu,
        initial_std: float = 1.0,
        context: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(actions, hidden, activation, context, dtype)
        if not initial_std > 0:
            raise OptionError(requires(self.name, "an initial_std above 0", repr(initial_std)))
        self.initial_std = float(initial_std)

    def init(self, key: Any, observations: int) -> Params:
        """Parameters for observations of so many entries."""
        log_std = np.full(self.outputs, math.log(self.initial_std), self.dtype)
        return {**super().init(key, observations), "log_std": Tensor(log_std)}

    def apply(self, params: Params, observations: Any) -> Gaussian:
        """Observations (..., o) to a Gaussian with a mean of shape (..., actions).

        Raises ShapeError where o is not what the parameters were made for.
        """
        mean = self._outputs(params, observations)
        log_std = maximum(params["log_std"], math.log(MIN_STD))
        # Axes of 1, so that it broadcasts with the mean also when both have come out of vmap with an axis of tasks.
        return Gaussian(mean, reshape(log_std, (1,) * (len(mean.shape) - 1) + (self.outputs,)))


class CategoricalPolicy(_Policy):
    """One of so many actions: the logits are a net of the observation. Parameters as of `GaussianPolicy`, less log_std.

    >>> import metagrad as mg
    >>> from metagrad import rl
    >>> policy = rl.CategoricalPolicy(4, hidden=(8,))
    >>> policy.apply(policy.init(mg.random.key(0), 3), mg.zeros((7, 3), dtype=np.float32)).logits.shape
    (7, 4)
    """

    name = "CategoricalPolicy"
    discrete = True

    def apply(self, params: Params, observations: Any) -> Categorical:
        """Observations (..., o) to a Categorical over the actions.

        Raises ShapeError where o is not what the parameters were made for.
        """
        return Categorical(self._outputs(params, observations))


def policy_for(family: Any, **options: Any) -> GaussianPolicy | CategoricalPolicy:
    """The policy that fits a family's actions: Gaussian for a Box, categorical for Discrete.

    Raises OptionError for what is no family.

    >>> from metagrad import rl
    >>> rl.policy_for(rl.Navigation(), hidden=(8,)).outputs
    2
    """
    if as_family("policy_for", family).discrete:
        return CategoricalPolicy(family.action_size, **options)
    return GaussianPolicy(family.action_size, **options)
