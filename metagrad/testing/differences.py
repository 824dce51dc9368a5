"""Numeric derivatives of a function on a line, by steps of the size that the function needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import requires
from .estimates import EPS, DomainError, Estimate, KinkError, number
from .tables import Table, noise

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = 0.05
"""The first of the steps, where nothing is known of the function."""


def central_difference(
    g: Callable[[float], Any], *, step: float = STEP, rows: int = 8, length: float = 0.0
) -> Estimate:
    """g'(0) of a function whose values are numbers or arrays, from D(h) = (g(h) - g(-h)) / 2h, extrapolated to h = 0.

    D(h) = g'(0) + a h^2 + b h^4 + ..., so a table of halved steps removes one power after the other:
    T[i][j] = T[i][j-1] + (T[i][j-1] - T[i-1][j-1]) / (4^j - 1) (Richardson 1911; Ridders 1982).
    The entry that differs least from its neighbours is the value; that difference and the rounding of g are the error.

    A first step that leaves the domain of g is halved until it does not. Where the table of the first steps does not
    converge, or shows two slopes, others follow: in proportion to `length`, the size of the argument that t is added
    to, then smaller by 32, 32^2, ... until rounding is larger than what would be won. So the scale of g does not
    matter, and a kink is one that no step is small enough to leave out.

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
    table = _first_table(g, middle, step, rows, length)
    found = table.estimate()
    if table.steps[0] < step:
        found = found._replace(note=f"steps above {table.steps[0]:.1e} leave the domain")
    fits = not length or 1 / 32 < length < 32 or np.max(found.error) <= 1e-6 * np.max(abs(found.value))
    return found if fits and table.settles(found) else _at_other_scales(table, found, rows, length)


def one_sided_slopes(g: Callable[[float], float], *, step: float = STEP, rows: int = 10) -> tuple[Estimate, Estimate]:
    """`(left, right)`: the derivatives of g at 0 from either side, each with an error; they differ at a kink.

    D(h) = (g(h) - g(0)) / h = g'(0+) + a h + b h^2 + ..., extrapolated as in `central_difference`, with 2^j - 1. Where
    that does not converge, steps are smaller by 32, 32^2 and 32^3.

    Raises KinkError where a side does not converge.

    >>> left, right = one_sided_slopes(lambda t: abs(t) + t * t)
    >>> left.value, right.value
    (-1.0, 1.0)
    """
    middle = np.asarray(g(0.0), np.float64)
    if not np.isfinite(middle).all():
        raise DomainError(requires("one_sided_slopes", "a finite value at the point", middle))
    for k in range(4):
        table = _first_table(g, middle, step * 32.0**-k, rows, 0.0)
        sides = table.sides()
        bound = 1e-5 * np.max([table.size if k == 0 else table.slope, *(abs(side.value) for side in sides)])
        if all(side.error <= bound for side in sides):
            return sides[0]._replace(oracle="differences on the left"), sides[1]._replace(
                oracle="differences on the right"
            )
    name, quotients = ("left", table.left) if sides[0].error > bound else ("right", table.right)
    got = f"slopes {quotients[-2]:.4g} and {quotients[-1]:.4g} at the smallest steps on the {name}"
    raise KinkError(requires("one_sided_slopes", "a function with a slope on each side", got))


def _first_table(g: Callable[[float], Any], middle: Any, step: float, rows: int, length: float) -> Table:
    for _ in range(40):
        probe = Table(g, middle, step, 1, length)
        if probe.finite:
            break
        step /= 2
    else:
        (after, before), h = probe.pairs[0], probe.steps[0]
        got = f"{after} at {h:.1e} and {before} at {-h:.1e}" if after.ndim == 0 else f"none at steps of {h:.1e}"
        raise DomainError(requires("central_difference", "finite values around the point", got))
    table = probe.extended(rows)
    if not table.finite:
        got = table.size[~np.isfinite(table.size)][0]
        raise DomainError(requires("central_difference", "finite values around the point", got))
    return table


def _other_steps(step: float, length: float) -> list[float]:
    """First steps of other tables: in proportion to the argument, and smaller and smaller."""
    own = STEP * length if length and not 1 / 32 < length < 32 else STEP
    steps = [own, *(STEP * 32.0**-k for k in range(9)), *(own * 32.0**-k for k in range(1, 5))]
    return [h for h in dict.fromkeys(steps) if h != step and h > 1e4 * EPS * length]


def _at_other_scales(coarse: Table, first: Estimate, rows: int, length: float) -> Estimate:
    """The estimate by the steps that serve best, where those of the first table do not.

    A table of smaller steps refines one that has a digit: it may not contradict it. Otherwise a function of many small
    jumps, such as one that is rounded to float32, would seem to have the slope zero that it has between them.
    """
    g, middle = coarse.g, coarse.middle
    rough = noise(g, 2e-6 * coarse.steps[0])
    rounded, kinked = bool(np.any(rough > 1e-11 * coarse.size)), coarse.kinked(rough)
    best = first if kinked else coarse.estimate(rough)._replace(note=first.note)
    supported = coarse.supports(best, rough)
    if supported and rounded:
        relative = np.max(rough / np.maximum(coarse.size, 1e-300))
        best = best._replace(note=f"the function is rounded, to about {relative:.0e} of its size")
        if np.max(best.error) <= 1e-5 * coarse.slope:
            return best
    off, known, last, finest, persists = best.error, best.error if supported else np.inf, coarse, coarse, True
    if kinked:
        off = np.maximum(off, abs(np.subtract(*(side.value for side in coarse.sides()))))
    doubt = 0.0 if kinked else 16 * rough / coarse.steps[-1]
    wide = coarse.lasting & (coarse.gap > 1e-6 * coarse.slope + coarse.blur + doubt)
    counts = (supported or kinked) and bool(np.max(off) <= 0.1 * np.max(abs(best.value)))
    for h in _other_steps(coarse.steps[0], length):
        if np.all(EPS * abs(middle) / h > known):
            continue
        probe = Table(g, middle, h, 2, length)
        if not probe.finite:
            continue
        finest = min(finest, probe, key=lambda table: table.steps[-1])
        if np.any(wide & (probe.blur < 0.1 * coarse.gap)):
            last = min(last, probe, key=lambda table: table.steps[-1])
        if np.any(probe.gap > 1e-2 * probe.slope + probe.blur):
            continue
        if kinked and np.any(wide & (probe.gap > 0.5 * coarse.gap + probe.blur)):
            continue
        table = probe.extended(rows)
        found = table.estimate()
        contradicts = counts and np.any(abs(found.value - best.value) > 10 * (off + found.error))
        if not table.supports(found) or contradicts or np.max(found.error) >= np.max(known):
            continue
        best, known = found._replace(note=f"steps above {h:.1e} are too long for it"), found.error
        if table.settles(found):
            return best
        persists = False
    if persists and np.any(wide):
        jumps = 16 * noise(g, 8 * last.steps[-1]) / last.steps[-1]
        apart = wide & (last.gap > 1e-6 * last.slope + last.blur + jumps) & (last.gap > 0.5 * coarse.gap)
        if np.any(apart):
            raise _kink(coarse, last, apart)
    if not supported and persists:
        step, (after, before) = finest.steps[-1], finest.pairs[-1]
        jump = np.where(step < coarse.steps[-1], abs(after - before), 0.0)
        across = abs(coarse.pairs[-1][0] - coarse.pairs[-1][1])
        if np.any(jump > 0.5 * across + 16 * noise(g, 8 * step) + 64 * EPS * coarse.size):
            raise KinkError(requires("central_difference", "a derivative", f"a jump of {np.max(jump):.4g}"))
        best = best._replace(error=number(np.maximum(off, abs(coarse.quotients[-1] - best.value))))
    return best


def _kink(coarse: Table, fine: Table, apart: Any) -> KinkError:
    """The error for a point at which the slopes of the sides differ, with these slopes where both exist."""
    where = np.unravel_index(np.argmax(np.where(apart, fine.gap, 0.0)), np.shape(fine.gap))
    jump = float(max(abs(x[where] - fine.middle[where]) for x in fine.pairs[-1]))
    if fine.steps[-1] < coarse.steps[-1] and jump > 0.5 * coarse.gap[where] * coarse.steps[-1]:
        return KinkError(requires("central_difference", "a derivative", f"a jump of {jump:.4g}"))
    left, right = coarse.near()
    got = f"one-sided slopes {left[where]:.4g} and {right[where]:.4g}"
    error = KinkError(requires("central_difference", "a derivative", got))
    sides = coarse.sides()
    bound = 1e-6 * np.max([coarse.size, *(abs(side.value) for side in sides)], axis=0)
    if all(np.all(side.error <= bound) for side in sides):
        error.slopes = sides
    return error
