"""The objectives of the inner step by name: equal gradients at the policy that drew the data, other second derivatives.

A surrogate is a function of `log_prob` (trajectories, time), the actions' log-probabilities by the policy at hand, and
of the batch, and gives a scalar to be maximised. Each has the policy gradient, the mean over steps of
A_t grad log pi_t, as its gradient where `log_prob` equals the batch's own. Of their Hessians only `dice`'s is, in
expectation, the Hessian of the expected return: `likelihood_ratio` lacks the products of scores at different times of a
trajectory, `log_likelihood` all products of scores. With one step an episode, `dice` and `likelihood_ratio` agree.

That is said of advantages of a discount of 1, in episodes of one length. Those of `as_batch`, discounted from their own
step on, make an expected gradient that is the gradient of no function (its Jacobian is not symmetric), so that no
surrogate has its derivative: `dice` then weighs the product of two scores by 1 where discount^(s - t) belongs. Times
discount^t they would make that of the discounted return, and `dice` would be right again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import OptionError, requires
from ..operations import cumulative_sum, exp
from .trajectories import Batch, masked_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    Surrogate = Callable[[Any, Batch], Any]


def log_likelihood(log_prob: Any, batch: Batch) -> Any:
    """The mean of log pi_t A_t (the authors' code; Williams 1992). Differentiated twice it drops the score products.

    >>> import metagrad as mg
    >>> one, two = mg.ones((1, 2)), mg.asarray([[2.0, 4.0]])
    >>> log_likelihood(-one, Batch(None, None, two, one, -one))
    Tensor(-3., dtype=float64)
    """
    return masked_mean(log_prob * batch.advantages, batch.mask)


def likelihood_ratio(log_prob: Any, batch: Batch) -> Any:
    """The mean of pi_t / pi_old,t A_t: right at second order for each action alone, not for their products over time.

    Rothfuss et al. 2019, "ProMP: proximal meta-policy search", section 4.

    >>> import metagrad as mg
    >>> one, two = mg.ones((1, 2)), mg.asarray([[2.0, 4.0]])
    >>> likelihood_ratio(-one, Batch(None, None, two, one, -one))
    Tensor(3., dtype=float64)
    """
    return masked_mean(exp(log_prob - batch.log_probs) * batch.advantages, batch.mask)


def dice(log_prob: Any, batch: Batch) -> Any:
    """The mean of (box_t - box_{t-1}) A_t, where box_t = exp of the sum over s <= t of log pi_s - log pi_old,s.

    Right at every order for advantages of discount 1, see above. At the policy that drew the batch each box is 1, and
    the value 0. Foerster et al. 2018, "DiCE: the infinitely differentiable Monte Carlo estimator", with advantages as
    in Farquhar et al. 2019, "Loaded DiCE". The batch's own log-probabilities stand in the place of their stop_gradient:
    the same there, at every order, and elsewhere what importance sampling says, so that a line search sees the function
    that was differentiated.

    >>> import metagrad as mg
    >>> one, two = mg.ones((1, 2)), mg.asarray([[2.0, 4.0]])
    >>> mg.grad(lambda x: dice(x, Batch(None, None, two, one, -one)))(-one)
    Tensor([[1., 2.]], dtype=float64)
    """
    taken = (log_prob - batch.log_probs) * batch.mask
    upto = cumulative_sum(taken, axis=-1)
    return masked_mean((exp(upto) - exp(upto - taken)) * batch.advantages, batch.mask)


_BY_NAME = {"log_likelihood": log_likelihood, "likelihood_ratio": likelihood_ratio, "dice": dice}
SURROGATES = tuple(_BY_NAME)


def surrogate(name: str) -> Surrogate:
    """The surrogate of a name; raises OptionError for another."""
    if name not in _BY_NAME:
        raise OptionError(requires("surrogate", f"one of {', '.join(SURROGATES)}", repr(name)))
    return _BY_NAME[name]
