"""Numeric derivatives of a function on a line, by steps of the size that the function needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import requires
from .estimates import EPS, OUTSIDE, DomainError, Estimate, KinkError
from .scales import RATIO, STEP, at_other_scales, first_step
from .tables import NOISE, Table

if TYPE_CHECKING:
    from collections.abc import Callable


def central_difference(
    g: Callable[[float], Any], *, step: float = STEP, rows: int = 8, length: float = 0.0, unit: float = EPS
) -> Estimate:
    """g'(0) of a function whose values are numbers or arrays, from D(h) = (g(h) - g(-h)) / 2h, extrapolated to h = 0.

    D(h) = g'(0) + a h^2 + b h^4 + ..., so a table of halved steps removes one power after the other:
    T[i][j] = T[i][j-1] + (T[i][j-1] - T[i-1][j-1]) / (4^j - 1) (Richardson 1911; Ridders 1982).
    The entry that differs least from its neighbours is the value; that difference and the rounding of g are the error.

    A first step that leaves the domain of g is halved until it does not. Where the table of the first steps does not
    converge, or shows two slopes, others follow: in proportion to `length`, the size of the argument that t is added
    to, then smaller by 32, 32^2, ... until rounding is larger than what would be won. So the scale of g does not
    matter, and a kink is one that no step is small enough to leave out. `unit` is the roundoff of g's arithmetic.

    Raises KinkError where g jumps or one-sided slopes disagree however small the step; DomainError where g is not
    finite around 0.

    >>> import math
    >>> estimate = central_difference(math.exp)
    >>> abs(estimate.value - 1.0) <= max(estimate.error, 1e-11)
    True
    >>> round(central_difference(lambda t: math.sin(1e6 * t)).value, 3)
    1000000.0
    >>> central_difference(abs)
    Traceback (most recent call last):
        ...
    metagrad.testing.estimates.KinkError: [central_difference] requires a derivative but got one-sided slopes -1 and 1
    """
    middle = np.asarray(g(0.0), np.float64)
    if not np.isfinite(middle).all():
        raise DomainError(requires("central_difference", "finite values at the point", middle[~np.isfinite(middle)][0]))
    table = _first_table(g, middle, step, rows, length, unit)
    found = table.estimate()
    if table.steps[0] < step:
        found = found._replace(note=f"steps above {table.steps[0]:.1e} leave the domain{_why(g)}")
    # Steps out of proportion to the argument show a slope that g has not at 0: none where rounding swallows them, or
    # that of points far away. There an error that is small beside the slope has to be small beside the value too.
    suited = first_step(length) == STEP or np.max(found.error) <= 1e-6 * np.max(abs(found.value))
    return found if suited and table.settles(found) else at_other_scales(table, found, rows)


def one_sided_slopes(
    g: Callable[[float], float], *, step: float = STEP, rows: int = 10, unit: float = EPS
) -> tuple[Estimate, Estimate]:
    """`(left, right)`: the derivatives of g at 0 from either side, each with an error; they differ at a kink.

    D(h) = (g(h) - g(0)) / h = g'(0+) + a h + b h^2 + ..., extrapolated as in `central_difference`, with 2^j - 1. Where
    that does not converge, steps are smaller by 32, 32^2 and 32^3. `unit` is the roundoff of g's arithmetic.

    Raises KinkError where a side does not converge.

    >>> left, right = one_sided_slopes(lambda t: abs(t) + t * t)
    >>> left.value, right.value
    (-1.0, 1.0)
    """
    middle = np.asarray(g(0.0), np.float64)
    if not np.isfinite(middle).all():
        raise DomainError(requires("one_sided_slopes", "a finite value at the point", middle))
    for k in range(4):
        table = _first_table(g, middle, step * RATIO**-k, rows, 0.0, unit)
        sides = table.sides(table.rounding)
        bound = 1e-5 * np.max([table.size if k == 0 else table.slope, *(abs(side.value) for side in sides)])
        bound += NOISE * table.rounding / table.steps[0]
        if all(side.error <= bound for side in sides):
            return sides[0]._replace(oracle="differences on the left"), sides[1]._replace(
                oracle="differences on the right"
            )
    name, quotients = ("left", table.left) if sides[0].error > bound else ("right", table.right)
    got = f"slopes {quotients[-2]:.4g} and {quotients[-1]:.4g} at the smallest steps on the {name}"
    raise KinkError(requires("one_sided_slopes", "a function with a slope on each side", got))


class WithinDomain:
    """A function on a line, with NaN where a step leads it to raise, as a decomposition does outside of its domain.

    `raised` is what it raised last, to be said where no step is small enough. At 0 it raises.
    """

    def __init__(self, g: Callable[[float], Any]) -> None:
        self.g = g
        self.raised: Exception | None = None

    def __call__(self, t: float) -> Any:
        try:
            return self.g(t)
        except OUTSIDE as error:
            if t == 0:
                raise
            self.raised = error
            return np.full(np.shape(self.g(0.0)), np.nan)


def _why(g: Callable[[float], Any]) -> str:
    """What g raised outside of its domain, in brackets."""
    raised = getattr(g, "raised", None)
    return "" if raised is None else f" ({type(raised).__name__}: {str(raised).partition(chr(10))[0]})"


def _first_table(
    g: Callable[[float], Any], middle: Any, step: float, rows: int, length: float, unit: float = EPS
) -> Table:
    for _ in range(40):
        probe = Table(g, middle, step, 1, length, unit)
        if probe.finite:
            break
        step /= 2
    else:
        (after, before), h = probe.pairs[0], probe.steps[0]
        got = f"{after} at {h:.1e} and {before} at {-h:.1e}" if after.ndim == 0 else f"none at steps of {h:.1e}"
        raise DomainError(requires("central_difference", "finite values around the point", got + _why(g)))
    table = probe.extended(rows)
    if not table.finite:
        got = f"{table.size[~np.isfinite(table.size)][0]}{_why(g)}"
        raise DomainError(requires("central_difference", "finite values around the point", got))
    return table
