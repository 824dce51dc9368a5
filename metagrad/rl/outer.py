"""Outer updates: trust region, PPO's clipped bound, and one step of any optimiser. All maximise an `Objective`.

An outer update is pure: `init(params) -> state` and `update(objective, state, params) -> (params, state, report)`,
where the report says in numbers what it did.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.pytree import flatten, tree_map, unflatten
from ..core.tensor import Tensor
from ..errors import OptionError, requires
from ..ops.windows import positive
from ..transforms import value_and_grad
from .conjugate_gradient import conjugate_gradient

if TYPE_CHECKING:
    from .objective import Objective

Array = np.ndarray[Any, Any]
Report = dict[str, float]


class Outer(Protocol):
    """What every outer update is."""

    def init(self, params: Any) -> Any:
        """The state before the first update."""

    def update(self, objective: Objective, state: Any, params: Any) -> tuple[Any, Any, Report]:
        """(params, state, report) after an update from the parameters that drew the objective's trajectories."""


class TRPO:
    """Trust region policy optimisation: the largest gain of the surrogate with a mean KL of at most `max_kl`.

    The direction solves (H + damping) x = g, g the surrogate's gradient and H the KL's Hessian, by so many iterations
    of conjugate gradient; the first step has the length at which the quadratic model of the KL is `max_kl`; the line
    search shortens it by `backtrack`, at most `tries` times, until the surrogate rises and the KL holds. Where none
    does, the parameters stay as they are, and a RuntimeWarning says so. `curvature` is "fisher", J^T F J, which equals
    H at the parameters that drew the trajectories and takes no third derivative, or "hessian", by `mg.hvp`, which is
    taken at all others.

    The report has the surrogate's gain ("gain") and "kl" of the step that was taken, the steps tried ("tries"), whether
    none was accepted ("skipped"), conjugate gradient's relative residual ("residual") and whether it met a direction of
    no positive curvature ("indefinite").

    Schulman et al. 2015, "Trust region policy optimization", appendix C. Raises OptionError for settings out of range.
    """

    def __init__(
        self,
        max_kl: float = 0.01,
        *,
        iterations: int = 10,
        damping: float = 1e-5,
        backtrack: float = 0.8,
        tries: int = 15,
        curvature: str = "fisher",
    ) -> None:
        for name, value, most in (("max_kl", max_kl, np.inf), ("backtrack", backtrack, 1.0)):
            if not (is_number(value) and 0 < value < most):
                raise OptionError(requires("TRPO", f"a {name} between 0 and {most:g}", repr(value)))
        if not (is_number(damping) and 0 <= damping < np.inf):
            raise OptionError(requires("TRPO", "a damping of 0 or more", repr(damping)))
        if curvature not in ("fisher", "hessian"):
            raise OptionError(requires("TRPO", "a curvature that is fisher or hessian", repr(curvature)))
        self.max_kl, self.damping, self.backtrack, self.curvature = max_kl, damping, backtrack, curvature
        self.iterations = positive("TRPO", "iterations", iterations)
        self.tries = positive("TRPO", "tries", tries)

    def init(self, params: Any) -> dict[str, Any]:
        """Nothing is kept from one update to the next: {}."""
        return {}

    def update(self, objective: Objective, state: Any, params: Any) -> tuple[Any, Any, Report]:
        """See the class."""
        value, gradients = value_and_grad(objective.surrogate)(params)
        gradient = vector(gradients)
        if not (np.isfinite(gradient).all() and gradient.any()):
            got = "zero" if np.isfinite(gradient).all() else _NO_NUMBERS
            need = "a surrogate whose gradient is finite and not zero"
            return params, state, {"residual": 1.0, "indefinite": 0.0} | _skipped("TRPO", 0, need, got)
        cheap = self.curvature == "fisher" and objective.is_old(params)
        exact = objective.fisher_product() if cheap else objective.kl_product(params)

        def product(v: Array) -> Array:
            return vector(exact(like(v, params))) + self.damping * v

        solution = conjugate_gradient(product, gradient, self.iterations)
        quadratic = float(solution.x @ product(solution.x))
        report = {"residual": solution.residual, "indefinite": float(solution.indefinite)}
        if not (np.isfinite(quadratic) and quadratic > 0):
            need = "a direction of positive curvature"
            return params, state, report | _skipped("TRPO", 0, need, f"x^T H x = {quadratic:g}")
        step = solution.x * (2 * self.max_kl / quadratic) ** 0.5
        before = float(value)
        for k in range(self.tries):
            candidate = like(vector(params) + self.backtrack**k * step, params)
            surrogate, kl = objective.surrogate_and_kl(candidate)
            if surrogate > before and kl <= self.max_kl:
                return candidate, state, report | _taken(surrogate - before, kl, k + 1)
        found = f"none of {self.tries}, the last with a gain of {surrogate - before:.2g} and a KL of {kl:.2g}"
        need = f"a step that raises the surrogate within a KL of {self.max_kl:g}"
        return params, state, report | _skipped("TRPO", self.tries, need, found)


class Ascent:
    """One step of an optimiser of `metagrad.optim` along the surrogate's gradient: the paper's plain meta-update.

    A step whose gradient or whose result is not finite is skipped, and a RuntimeWarning says so. Raises OptionError for
    what is no optimiser.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = _optimizer("Ascent", optimizer)

    def init(self, params: Any) -> Any:
        """The optimiser's."""
        return self.optimizer.init(params)

    def update(self, objective: Objective, state: Any, params: Any) -> tuple[Any, Any, Report]:
        """See the class; the report is TRPO's, as far as it goes."""
        value, gradients = value_and_grad(objective.surrogate)(params)
        if not np.isfinite(vector(gradients)).all():
            return params, state, _skipped("Ascent", 0, _FINITE, _NO_NUMBERS)
        after, moved = self.optimizer.update(_minus(gradients), state, params)
        surrogate, kl = objective.surrogate_and_kl(after)
        if not np.isfinite([surrogate, kl]).all():
            return params, state, _skipped("Ascent", 1, _FINITE, _NO_NUMBERS)
        return after, moved, _taken(surrogate - float(value), kl, 1)


class PPO:
    """So many `epochs` of an optimiser on PPO's clipped bound, each a full-batch gradient through the inner steps.

    An update in which a gradient or the result is not finite is skipped, and a RuntimeWarning says so.

    Schulman et al. 2017, "Proximal policy optimization algorithms", equation 7. Raises OptionError unless `clip` is
    between 0 and 1, and for what is no optimiser.
    """

    def __init__(self, optimizer: Any, *, clip: float = 0.2, epochs: int = 5) -> None:
        if not (is_number(clip) and 0 < clip < 1):
            raise OptionError(requires("PPO", "a clip between 0 and 1", repr(clip)))
        self.optimizer, self.clip = _optimizer("PPO", optimizer), clip
        self.epochs = positive("PPO", "epochs", epochs)

    def init(self, params: Any) -> Any:
        """The optimiser's."""
        return self.optimizer.init(params)

    def update(self, objective: Objective, state: Any, params: Any) -> tuple[Any, Any, Report]:
        """See the class; the report is TRPO's, as far as it goes."""
        ascend = value_and_grad(lambda p: objective.clipped(p, self.clip))
        before, _ = objective.surrogate_and_kl(params)
        after, moved = params, state
        for epoch in range(self.epochs):
            _, gradients = ascend(after)
            if not np.isfinite(vector(gradients)).all():
                return params, state, _skipped("PPO", epoch, _FINITE, _NO_NUMBERS)
            after, moved = self.optimizer.update(_minus(gradients), moved, after)
        surrogate, kl = objective.surrogate_and_kl(after)
        if not np.isfinite([surrogate, kl]).all():
            return params, state, _skipped("PPO", self.epochs, _FINITE, _NO_NUMBERS)
        return after, moved, _taken(surrogate - before, kl, self.epochs)


def vector(tree: Any) -> Array:
    """A tree's leaves one after the other, float64."""
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in flatten(tree)[0]])


def like(values: Array, tree: Any) -> Any:
    """The tree of Tensors that such a vector stands for."""
    leaves, structure = flatten(tree)
    parts = np.split(values, np.cumsum([np.size(leaf) for leaf in leaves])[:-1])
    shaped = [Tensor(part.reshape(leaf.shape).astype(leaf.dtype)) for part, leaf in zip(parts, leaves, strict=True)]
    return unflatten(structure, shaped)


_FINITE = "a surrogate whose gradient is finite, and a finite one after the step"
_NO_NUMBERS = "NaN or infinity, as of steps that are too long"


def is_number(x: Any) -> bool:
    """Whether it is one that can be compared: no boolean, no text."""
    return isinstance(x, int | float | np.number) and not isinstance(x, bool)


def _optimizer(name: str, given: Any) -> Any:
    if isinstance(given, type) or not callable(getattr(given, "update", None)):
        raise OptionError(requires(name, "an optimiser of metagrad.optim, such as Adam(1e-3)", repr(given)))
    return given


def _minus(gradients: Any) -> Any:
    return tree_map(lambda x: -x, gradients)


def _skipped(name: str, tries: int, need: str, got: str) -> Report:
    warnings.warn(requires(name, need, f"{got}; the step is skipped"), RuntimeWarning, stacklevel=4)
    return _taken(0.0, 0.0, tries, skipped=True)


def _taken(gain: float, kl: float, tries: int, skipped: bool = False) -> Report:
    return {"gain": gain, "kl": kl, "tries": float(tries), "skipped": float(skipped)}
