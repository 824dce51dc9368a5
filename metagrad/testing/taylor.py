"""The Taylor test: how fast the remainder of a Taylor polynomial falls. It needs no tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import KinkError
from .problem import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class TaylorReport:
    """The remainders R(h) at steps h, and the slope of log R against log h; true where that is order + 1.

    Remainders that rounding has reached are left out of the slope; it is infinite where fewer than three are left.
    """

    order: int
    steps: tuple[float, ...]
    remainders: tuple[float, ...]
    rounding: float
    seed: int = 0

    @property
    def slope(self) -> float:
        seen = [
            (math.log(h), math.log(r)) for h, r in zip(self.steps, self.remainders, strict=True) if r > self.rounding
        ]
        if len(seen) < 3:
            return math.inf
        steps, remainders = np.array(seen).T
        return float(np.polyfit(steps, remainders, 1)[0])

    def __bool__(self) -> bool:
        return self.slope > self.order + 0.7

    def __str__(self) -> str:
        verdict = "as it should" if self else f"so a derivative of order {max(1, round(self.slope))} is wrong"
        lines = [
            f"check_taylor: the remainder after order {self.order} falls as h^{self.slope:.2f}, {verdict}",
            f"{'step':>9}  {'remainder':>10}  {'slope':>6}",
        ]
        for k, (h, r) in enumerate(zip(self.steps, self.remainders, strict=True)):
            before = self.remainders[k - 1] if k else math.nan
            slope = math.log2(before / r) if k and min(before, r) > self.rounding else math.nan
            rounded = "" if r > self.rounding else "  rounding"
            lines.append(f"{h:9.1e}  {r:10.2e}  {'' if math.isnan(slope) else format(slope, '.2f'):>6}{rounded}")
        return "\n".join(lines)


def check_taylor(f: Callable[..., Any], args: Sequence[Any], order: int = 2, *, seed: int = 0) -> TaylorReport:
    """Check that f's Taylor polynomial of `order` leaves a remainder that falls as h^(order + 1).

    R(h) = |g(h) - sum over k <= order of h^k D^k g / k!| for g(h) = w . f(x + h v) with random w and v: a derivative of
    order k that is wrong leaves a slope of k. Derivatives are by the library's first mode, then forward mode where it
    has that. f and args as for `check_gradients`.

    Returns a `TaylorReport`, which is true; raises AssertionError with it where the slope is too small.

    >>> import metagrad as mg
    >>> print(f"{check_taylor(lambda x: mg.exp(mg.sin(x)), [mg.asarray([0.3, 0.8])]).slope:.1f}")
    3.0
    """
    __tracebackhide__ = True
    report = _measured(f, args, order, seed)
    if not report:
        raise AssertionError(str(report))
    return report


def taylor_slope(f: Callable[..., Any], args: Sequence[Any], order: int = 2, *, seed: int = 0) -> float:
    """The slope that `check_taylor` measures: order + 1 where all derivatives are right, infinite for a polynomial.

    >>> import metagrad as mg
    >>> round(taylor_slope(lambda x: mg.exp(mg.sin(x)), [mg.asarray([0.3, 0.8])]))
    3
    """
    return _measured(f, args, order, seed).slope


def _measured(f: Callable[..., Any], args: Sequence[Any], order: int, seed: int) -> TaylorReport:
    rng = np.random.default_rng(seed)
    problem = Problem("check_taylor", f, args, rng)
    library, v = problem.library, problem.direction(rng)
    outer = "forward" if "forward" in library.modes else "reverse"
    d = problem.scalar
    coefficients = [float(library.on_the_line(d, problem.point, v)(0.0))]
    for k in range(1, order + 1):
        d = library.along("reverse" if k == 1 else outer, d, v)
        coefficients.append(float(library.on_the_line(d, problem.point, v)(0.0)) / math.factorial(k))
    if not np.isfinite(coefficients).all():
        raise KinkError(f"[check_taylor] requires finite derivatives at the point but got {coefficients}")
    g = library.on_the_line(problem.scalar, problem.point, v)
    steps = [2.0**-n for n in range(3, 12)]
    remainders = [abs(float(g(h)) - sum(c * h**k for k, c in enumerate(coefficients))) for h in steps]
    rounding = 1e-13 * max(1.0, *map(abs, coefficients))
    return TaylorReport(order, tuple(steps), tuple(remainders), rounding, seed)
