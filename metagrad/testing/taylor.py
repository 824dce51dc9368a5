"""The Taylor test: how fast the remainder of a Taylor polynomial falls. It needs no tolerance."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingRuleError
from .differences import central_difference
from .estimates import EPS, KinkError, NotMeasuredError
from .numeric import extent
from .options import require_numbers, require_whole
from .problem import Problem
from .report import counted
from .scales import STEP
from .tables import noise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REDRAWS = 8

ALIKE = 0.3
"""By so much the slopes from one step to the next may differ in a range where one power is all that is left."""

SMALLER = 2.0**-6
"""Tables of nine steps, each so much smaller than the one before, have three in common."""


@dataclass(frozen=True)
class TaylorReport:
    """The remainders R(h) at steps h, and the slope of log R against log h; true where that is order + 1.

    The slope is that of the smallest steps whose remainders are above rounding: the median of the last three from one
    step to the next, since one may meet a zero of the remainder. It is infinite where fewer than three remainders are
    left. `redrawn` points lay at a kink.
    """

    order: int
    steps: tuple[float, ...]
    remainders: tuple[float, ...]
    rounding: float
    seed: int = 0
    redrawn: int = 0

    @property
    def seen(self) -> list[tuple[float, float]]:
        """The steps before the first whose remainder is no more than rounding, with their remainders."""
        rows = zip(self.steps, self.remainders, strict=True)
        return list(itertools.takewhile(lambda row: row[1] > self.rounding, rows))

    @property
    def clear(self) -> list[tuple[float, float]]:
        """Those so far above rounding that it does not change a slope."""
        return [(h, r) for h, r in self.seen if r > 8 * self.rounding]

    @property
    def chosen(self) -> list[tuple[float, float]]:
        """The smallest of them, up to four, clear ones where there are so many."""
        return (self.clear if len(self.clear) > 3 else self.seen)[-4:]

    @property
    def slopes(self) -> list[float]:
        """Up to three slopes, between those next to each other."""
        if len(self.chosen) < 3:
            return []
        steps, remainders = np.diff(np.log(self.chosen), axis=0).T
        return list(map(float, remainders / steps))

    @property
    def slope(self) -> float:
        return float(np.median(self.slopes)) if self.slopes else math.inf

    @property
    def settled(self) -> bool:
        """Whether these agree, so that the steps are small enough for the function."""
        return len(self.slopes) == 3 and max(abs(s - self.slope) for s in self.slopes) < ALIKE

    @property
    def wrong(self) -> bool:
        """Whether they settle at a power that a wrong derivative leaves."""
        return self.settled and self.slope < self.order + 0.5

    def denies(self, other: TaylorReport) -> bool:
        """Whether little is left, by smaller steps than the other's, of the power that is left there."""
        step, left = other.chosen[0]
        rows = zip(self.steps, self.remainders, strict=True)
        return any(left * (h / step) ** round(other.slope) > 64 * max(self.rounding, r) for h, r in rows)

    def __bool__(self) -> bool:
        return self.slope > self.order + 0.7

    def __str__(self) -> str:
        if self:
            verdict = "as it should"
        elif self.wrong:
            verdict = f"so a derivative of order {max(1, round(self.slope))} is wrong"
        else:
            verdict = "not measured: at no steps above rounding is it a power"
        moved = [f"the point lay at a kink and was moved {counted(self.redrawn, 'time')}"] * bool(self.redrawn)
        lines = [
            f"check_taylor: the remainder after order {self.order} falls as h^{self.slope:.2f}, {verdict}",
            *moved,
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
    order k that is wrong leaves a slope of k. Steps are 2^-3 to 2^-11; where the slope is too small there, they are in
    proportion to those that `central_difference` needs, then smaller until the slope is right or stays as it is. Where
    it does neither, another direction is drawn. A point at a kink is moved, and counted. Derivatives are by the
    library's first mode, then forward mode where it has that. f and args as for `check_gradients`.

    Returns a `TaylorReport`, which is true; raises AssertionError with it where the slope is too small,
    NotMeasuredError where it settles nowhere above rounding, KinkError where no smooth point is found.

    >>> import metagrad as mg
    >>> print(f"{check_taylor(lambda x: mg.exp(mg.sin(x)), [mg.asarray([0.3, 0.8])]).slope:.1f}")
    3.0
    """
    __tracebackhide__ = True
    report = _measured(f, args, order, seed)
    if not report:
        raise (AssertionError if report.wrong else NotMeasuredError)(str(report))
    return report


def taylor_slope(f: Callable[..., Any], args: Sequence[Any], order: int = 2, *, seed: int = 0) -> float:
    """The slope that `check_taylor` measures: order + 1 where all derivatives are right, infinite for a polynomial.

    >>> import metagrad as mg
    >>> round(taylor_slope(lambda x: mg.exp(mg.sin(x)), [mg.asarray([0.3, 0.8])]))
    3
    """
    return _measured(f, args, order, seed).slope


def _measured(f: Callable[..., Any], args: Sequence[Any], order: int, seed: int) -> TaylorReport:
    require_whole("check_taylor", "an order", order, 1)
    require_numbers("check_taylor", seed=seed)
    rng = np.random.default_rng(seed)
    problem = Problem("check_taylor", f, args, rng)
    report = _drawn(problem, order, rng, seed)
    if not report:
        problem.require_same_again()
    return report


def _drawn(problem: Problem, order: int, rng: np.random.Generator, seed: int) -> TaylorReport:
    """What is found along one direction or more, at a point without kinks."""
    redrawn, first = 0, None
    kink: KinkError | None = None
    for draw in range(REDRAWS + 1):
        try:
            report = _along(problem, order, problem.direction(rng), seed, redrawn)
        except KinkError as error:
            kink = kink or error  # what comes later is of points that nobody gave
            if draw == REDRAWS:
                raise kink from None
            problem.move(rng)
            redrawn, first = redrawn + 1, None
        else:
            if report.wrong or (report and (first is None or report.settled)):
                return report
            first = first or report
    assert first is not None
    return first


def _along(problem: Problem, order: int, v: list[Any], seed: int, redrawn: int) -> TaylorReport:
    """What is found along one direction; raises KinkError where the point lies at a kink."""
    g = problem.library.on_the_line(problem.scalar, problem.point, v)
    coefficients = problem.twice(f"orders 1 to {order}", lambda: _coefficients(problem, order, v))
    length = extent(problem.point, v)

    lost = max(problem.unseen(1, i, far=True) for i in range(len(v))) if problem.flat else 0.0
    lost = max(lost, problem.unit * abs(coefficients[0]))

    def at(scale: float) -> TaylorReport:
        return _remainders(g, coefficients, scale, length, lost, seed, redrawn)

    report = at(1.0 if redrawn == 0 else 2.0**-5)  # where it was moved from, there is a kink
    if report and (report.settled or not report.slopes):
        return report
    return _settled(report, at, central_difference(g, length=length, unit=problem.unit).tried[0].step / STEP)


def _settled(first: TaylorReport, at: Callable[[float], TaylorReport], scale: float) -> TaylorReport:
    """The first report by smaller steps that is true and settled, or else the last that settled above rounding.

    A derivative that is wrong shows the more, the smaller the steps. But where those are longer than a wave of the
    function, the largest term of the polynomial is all that is left, wrong or not: so one false report is not enough.
    Nor is one whose remainder is gone by steps at which a wrong derivative's would be above rounding.
    """
    report = first if scale == 1 else at(scale)
    found = first
    while report.slopes and not (found and found.settled):
        if report.settled or not found.settled or len(report.clear) > 3:
            found = report
        scale *= SMALLER
        report = at(scale)
    return report if found.wrong and report.denies(found) else found


def _coefficients(problem: Problem, order: int, v: list[Any]) -> list[float]:
    """D^k g / k! for k from 0 to the order, as the library gives them."""
    library, d = problem.library, problem.scalar
    outer = "forward" if "forward" in library.modes else "reverse"
    found = [float(library.on_the_line(d, problem.point, v)(0.0))]
    for k in range(1, order + 1):
        mode = "reverse" if k == 1 else outer
        try:
            value = float(library.on_the_line(library.along(mode, d, v), problem.point, v)(0.0))
        except MissingRuleError:
            mode = outer = "reverse"
            value = float(library.on_the_line(library.along(mode, d, v), problem.point, v)(0.0))
        d = library.along(mode, d, v)
        found.append(value / math.factorial(k))
    if not np.isfinite(found).all():
        raise KinkError(f"[check_taylor] requires finite derivatives at the point but got {found}")
    return found


def _remainders(
    g: Callable[[float], float],
    coefficients: list[float],
    scale: float,
    length: float,
    lost: float,
    seed: int,
    redrawn: int,
) -> TaylorReport:
    """What is left of g, by steps in proportion to the scale; so much of its values is `lost` to rounding at least."""
    steps = [scale * 2.0**-n for n in range(3, 12)]
    remainders = [abs(float(g(h)) - sum(c * h**k for k, c in enumerate(coefficients))) for h in steps]
    size = max(abs(c) * steps[0] ** k for k, c in enumerate(coefficients))
    spacing = max(2e-6 * steps[0], 64 * EPS * length)  # nearer points are the same ones
    rounding = max(lost, 1e-13 * size, 8 * float(noise(g, spacing)), 4 * EPS * length * abs(coefficients[1]))
    order = len(coefficients) - 1
    return TaylorReport(order, tuple(steps), tuple(remainders), rounding, seed, redrawn)
