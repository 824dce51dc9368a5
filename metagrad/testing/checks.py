"""Checks of derivatives of any order, in every combination of modes, against the numeric oracles."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten, leaf_names, unflatten
from ..errors import DTypeError, OptionError, requires
from ..operations import asarray, multiply
from ..operations import sum as sum_
from ..transforms import grad, jvp
from .numeric import Estimate, KinkError, float_leaves, numeric_derivative, plain, random_direction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Scalar = Any
"""A function of the moving leaves that returns a scalar."""


@dataclass
class Report:
    """What was compared: `checks` numbers, by which oracles; the worst was wrong by `worst`, the loosest tolerance was
    `loosest` (both relative to the number, or to 1 where that is larger); `redrawn` points lay too near a kink."""

    order: int
    checks: int = 0
    worst: float = 0.0
    loosest: float = 0.0
    redrawn: int = 0
    oracles: dict[str, int] = field(default_factory=dict)


class _Problem:
    """A function as a scalar function of its floating-point leaves: its outputs, weighed at random and summed."""

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], rng: np.random.Generator) -> None:
        leaves, structure = flatten(tuple(args))
        self.moving = float_leaves(tuple(args))
        self.names = [f"argument {leaf_names(tuple(args))[k]}" for k in self.moving]
        self.point = [plain(leaves[k]) for k in self.moving]
        for name, x in zip(self.names, self.point, strict=True):
            if x.dtype != np.float64:
                raise DTypeError(requires("check_gradients", "float64, to be measured well", f"{x.dtype} at {name}"))
        leaves = [asarray(leaf) if hasattr(leaf, "dtype") else leaf for leaf in leaves]
        outputs = flatten(f(*unflatten(structure, leaves)))[0]
        weights = [random_direction(rng, y.shape) if y.dtype.kind == "f" else None for y in map(asarray, outputs)]
        if not self.moving or all(w is None for w in weights):
            raise DTypeError(requires("check_gradients", "floating-point arguments and results", "none"))

        def scalar(*moved: Any) -> Any:
            full = list(leaves)
            for k, x in zip(self.moving, moved, strict=True):
                full[k] = asarray(x)
            found = flatten(f(*unflatten(structure, full)))[0]
            total: Any = 0.0
            for y, w in zip(found, weights, strict=True):
                if w is not None:
                    total = total + sum_(multiply(y, w))
            return total

        self.scalar = scalar

    def direction(self, rng: np.random.Generator) -> list[Any]:
        return [random_direction(rng, x.shape) for x in self.point]


def _gradient(d: Scalar, point: Sequence[Any]) -> Any:
    return grad(d, argnums=tuple(range(len(point))))(*point)


def _along(mode: str, d: Scalar, v: list[Any]) -> Scalar:
    """The derivative of a scalar function along v, again a scalar function."""
    if mode == "forward":
        return lambda *x: jvp(d, x, tuple(v))[1]

    def reverse(*x: Any) -> Any:
        total: Any = 0.0
        for g, w in zip(_gradient(d, x), v, strict=True):
            total = total + sum_(multiply(g, w))
        return total

    return reverse


def _slopes(mode: str, d: Scalar, point: list[Any], v: list[Any]) -> list[float]:
    """The derivative of a scalar function along v's part in each argument alone."""
    if mode == "reverse":
        return [float(np.sum(np.asarray(g) * w)) for g, w in zip(_gradient(d, point), v, strict=True)]
    found = []
    for k in range(len(point)):
        alone = tuple(w if i == k else np.zeros_like(w) for i, w in enumerate(v))
        found.append(float(jvp(d, tuple(point), alone)[1]))
    return found


def check_gradients(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("reverse", "forward"),
    *,
    rtol: float = 1e-7,
    seed: int = 0,
    redraws: int = 8,
) -> Report:
    """Compare the derivatives of f at args, of orders 1 to `order`, with numeric ones; AssertionError if one is off.

    With random weights w and directions v1, v2, ... order k is the number D^k (w . f)(x) [v1, ..., vk]. It is taken by
    every sequence of the modes (for order 2: reverse over reverse, forward over reverse, ...), with vk in one argument
    at a time. Its oracle is the numeric derivative along vk of order k - 1, which was checked before. Equal means
    within `rtol` relatively plus ten times the oracle's own error. A point near a kink is moved and counted.

    Args: trees of float64 arrays; leaves of other kinds are data. f returns a tree of arrays.

    Raises AssertionError with the argument, the direction, both numbers and the oracle's error; KinkError where no
    smooth point is found; DTypeError, OptionError.

    >>> import metagrad as mg
    >>> check_gradients(lambda x, y: mg.sin(x) @ y, [mg.ones((2, 3)), mg.ones(3)], order=3).oracles
    {'complex step': 6}
    """
    if not set(modes) <= {"reverse", "forward"} or not modes:
        raise OptionError(requires("check_gradients", "modes among reverse and forward", modes))
    rng = np.random.default_rng(seed)
    problem = _Problem(f, args, rng)
    report = Report(order)
    for attempt in range(redraws + 1):
        try:
            _check(problem, report, rng, modes, rtol)
        except KinkError:
            if attempt == redraws:
                raise
            report = Report(order, redrawn=report.redrawn + 1)
            moved = [
                x + rng.uniform(0.05, 0.15) * random_direction(rng, x.shape) * np.maximum(abs(x), 0.1)
                for x in problem.point
            ]
            problem.point = moved
        else:
            break
    return report


def _check(problem: _Problem, report: Report, rng: np.random.Generator, modes: Sequence[str], rtol: float) -> None:
    chains: dict[str, Scalar] = {"": problem.scalar}
    for k in range(1, report.order + 1):
        v = problem.direction(rng)
        base = next(iter(chains.values()))
        expected = []
        for i in range(len(v)):
            estimate = numeric_derivative(base, problem.point, [w if i == j else None for j, w in enumerate(v)])
            report.oracles[estimate.oracle] = report.oracles.get(estimate.oracle, 0) + 1
            expected.append(estimate)
        for (chain, d), mode in itertools.product(chains.items(), modes):
            name = f"{mode} over {chain}" if chain else mode
            found = _slopes(mode, d, problem.point, v)
            for argument, w, got, estimate in zip(problem.names, v, found, expected, strict=True):
                _compare(report, f"order {k}, {name}, {argument}", w, got, estimate, rtol)
        if k < report.order:
            v = problem.direction(rng)
            chains = {
                f"{mode} over {chain}" if chain else mode: _along(mode, d, v)
                for (chain, d), mode in itertools.product(chains.items(), modes)
            }


def _compare(report: Report, what: str, v: Any, got: float, expected: Estimate, rtol: float) -> None:
    difference = abs(got - expected.value)
    size = max(abs(got), abs(expected.value))
    tolerance = rtol * size + 10 * expected.error
    if not difference <= tolerance:
        direction = np.array2string(np.asarray(v), precision=4, threshold=12)
        raise AssertionError(
            f"{what}: expected {expected.value:.12g} (error about {expected.error:.1e}, by {expected.oracle}) "
            f"but got {got:.12g}, along {direction}"
        )
    report.checks += 1
    report.worst = max(report.worst, difference / max(size, 1.0))
    report.loosest = max(report.loosest, tolerance / max(size, 1.0))


def taylor_slope(f: Callable[..., Any], args: Sequence[Any], order: int = 2, *, seed: int = 0) -> float:
    """How fast the error of f's Taylor polynomial falls: log R(h) / log h, order + 1 where all derivatives are right.

    R(h) = |g(h) - sum over k <= order of h^k D^k g / k!| for g(h) = w . f(x + h v) with random w and v: a derivative of
    order k that is wrong leaves a slope of k. Needs no tolerance of its own; infinite where the polynomial is exact.

    >>> import metagrad as mg
    >>> round(taylor_slope(lambda x: mg.exp(mg.sin(x)), [mg.asarray([0.3, 0.8])]))
    3
    """
    rng = np.random.default_rng(seed)
    problem = _Problem(f, args, rng)
    v = problem.direction(rng)
    d = problem.scalar
    coefficients = [float(d(*problem.point))]
    for k in range(1, order + 1):
        d = _along("reverse" if k == 1 else "forward", d, v)
        coefficients.append(float(d(*problem.point)) / math.factorial(k))
    steps, errors = [], []
    for h in 2.0 ** -np.arange(3, 12):
        moved = [x + h * w for x, w in zip(problem.point, v, strict=True)]
        polynomial = sum(c * h**k for k, c in enumerate(coefficients))
        error = abs(float(problem.scalar(*moved)) - polynomial)
        if error > 1e-13 * max(1.0, *map(abs, coefficients)):
            steps.append(math.log(h))
            errors.append(math.log(error))
    if len(steps) < 3:
        return math.inf
    return float(np.polyfit(steps, errors, 1)[0])
