"""Difference quotients, extrapolated to step zero: of both sides together, and of each alone where there is a kink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import requires
from .estimates import EPS, DomainError, Estimate, KinkError, Trial, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ORACLE = "central differences"


def central_difference(g: Callable[[float], Any], *, step: float = 0.05, rows: int = 8) -> Estimate:
    """g'(0) of a function whose values are numbers or arrays, from D(h) = (g(h) - g(-h)) / 2h, extrapolated to h = 0.

    D(h) = g'(0) + a h^2 + b h^4 + ..., so a table of halved steps removes one power after the other:
    T[i][j] = T[i][j-1] + (T[i][j-1] - T[i-1][j-1]) / (4^j - 1) (Richardson 1911; Ridders 1982).
    The entry that differs least from its neighbours is the value; that difference and the rounding of g are the error.
    A first step that leaves the domain of g is halved until it does not.

    Raises KinkError where one-sided differences disagree in the limit, or the table does not converge; DomainError
    where g is not finite around 0.

    >>> import math
    >>> estimate = central_difference(math.exp)
    >>> abs(estimate.value - 1.0) <= max(estimate.error, 1e-11)
    True
    >>> central_difference(abs)
    Traceback (most recent call last):
        ...
    metagrad.testing.estimates.KinkError: [central_difference] requires a derivative but got one-sided slopes -1 and 1
    """
    middle = np.asarray(g(0.0), np.float64)
    if not np.isfinite(middle).all():
        raise DomainError(requires("central_difference", "finite values at the point", middle[~np.isfinite(middle)][0]))
    first, after, before = _first_step(g, step)
    steps = [first * 0.5**i for i in range(rows)]
    pairs = [(after, before)] + [(np.asarray(g(h), np.float64), np.asarray(g(-h), np.float64)) for h in steps[1:]]
    size = np.max([abs(middle), *(abs(x) for pair in pairs for x in pair)], axis=0)
    if not np.isfinite(size).all():
        raise DomainError(requires("central_difference", "finite values around the point", size[~np.isfinite(size)][0]))
    quotients = [(a - b) / (2 * h) for h, (a, b) in zip(steps, pairs, strict=True)]
    right = [(a - middle) / h for h, (a, _) in zip(steps, pairs, strict=True)]
    left = [(middle - b) / h for h, (_, b) in zip(steps, pairs, strict=True)]
    curves = [(a - 2 * middle + b) / (2 * h * h) for h, (a, b) in zip(steps, pairs, strict=True)]
    floor = _rounding(steps, quotients, curves, size)
    best = _extrapolated(steps, quotients, 4.0, floor, ORACLE)
    if first < step:
        best = best._replace(note=f"steps above {first:.1e} leave the domain")
    near = [2 * fine - coarse for *_, coarse, fine in (left, right)]
    slope, gap = np.maximum(abs(near[0]), abs(near[1])), abs(near[0] - near[1])
    larger, allowed = np.maximum(slope, size), 1e-3 * slope + 1e-5 * size
    if np.any((gap > allowed) | (best.error > 1e-8 * larger)):
        noise = _noise(g, middle)
        noisy = bool(np.any(noise > 1e-11 * size))
        if np.any(gap > allowed + 16 * noise / steps[-1]) or (not noisy and np.any(best.error > 1e-5 * larger)):
            left_side, right_side = (_extrapolated(steps, q, 2.0, 4 * EPS * size, ORACLE) for q in (left, right))
            raise _kink((left_side, right_side), gap > allowed, near, best, size)
        if noisy:
            error = number(np.maximum(best.error, 4 * noise / steps[-1]))
            relative = np.max(noise / np.maximum(size, 1e-300))
            best = best._replace(error=error, note=f"the function is rounded, to about {relative:.0e} of its size")
    return best


def one_sided_slopes(g: Callable[[float], float], *, step: float = 0.05, rows: int = 10) -> tuple[Estimate, Estimate]:
    """`(left, right)`: the derivatives of g at 0 from either side, each with an error; they differ at a kink.

    D(h) = (g(h) - g(0)) / h = g'(0+) + a h + b h^2 + ..., extrapolated as in `central_difference`, with 2^j - 1.

    Raises KinkError where a side does not converge.

    >>> left, right = one_sided_slopes(lambda t: abs(t) + t * t)
    >>> left.value, right.value
    (-1.0, 1.0)
    """
    middle = np.asarray(g(0.0), np.float64)
    if not np.isfinite(middle).all():
        raise DomainError(requires("one_sided_slopes", "a finite value at the point", middle))
    first, *_ = _first_step(g, step)
    steps = [first * 0.5**i for i in range(rows)]
    found = []
    for name, side in (("left", -1), ("right", 1)):
        values = [np.asarray(g(side * h), np.float64) for h in steps]
        size = np.max(np.abs([middle, *values]), axis=0)
        quotients = [side * (y - middle) / h for h, y in zip(steps, values, strict=True)]
        estimate = _extrapolated(steps, quotients, 2.0, 4 * EPS * size, f"differences on the {name}")
        if not np.all(estimate.error <= 1e-5 * np.maximum(size, abs(estimate.value))):
            got = f"slopes {quotients[-2]:.4g} and {quotients[-1]:.4g} at the smallest steps on the {name}"
            raise KinkError(requires("one_sided_slopes", "a function with a slope on each side", got))
        found.append(estimate)
    return found[0], found[1]


def _first_step(g: Callable[[float], Any], step: float) -> tuple[float, Any, Any]:
    for _ in range(40):
        after, before = np.asarray(g(step), np.float64), np.asarray(g(-step), np.float64)
        if np.isfinite(after).all() and np.isfinite(before).all():
            return step, after, before
        step /= 2
    got = f"{after} at {step:.1e} and {before} at {-step:.1e}" if after.ndim == 0 else f"none at steps of {step:.1e}"
    raise DomainError(requires("central_difference", "finite values around the point", got))


def _rounding(steps: Sequence[float], odd: Sequence[Any], even: Sequence[Any], size: Any) -> Any:
    """The noise of a function, seen in its odd part over h and its even part over h^2: at least the values' rounding.

    Differences of these shrink four times from step to step: what does not shrink is noise over h or h^2. Of the last
    four steps the second largest counts, since one may meet a distant kink.
    """
    if len(steps) < 3:
        return 4 * EPS * size
    seen = []
    for power, series in ((1, odd), (2, even)):
        apart = abs(np.diff(series, axis=0))
        kept = np.maximum(apart[1:] - apart[:-1] / 2, 0.0)[-4:]
        seen.append([h**power * k for h, k in zip(steps[-len(kept) :], kept, strict=True)])
    return np.sort(np.max(seen, axis=0), axis=0)[-2:][0] + 4 * EPS * size


def _extrapolated(steps: Sequence[float], quotients: Sequence[Any], base: float, noise: Any, oracle: str) -> Estimate:
    """The limit of quotients at halved steps whose error is a series in h (base 2) or in h^2 (base 4).

    `noise` is that of the function; a quotient has it divided by its step.
    """
    table: list[list[Any]] = []
    value, error = np.full(np.shape(noise), np.nan), np.full(np.shape(noise), np.inf)
    tried = []
    for i, (h, quotient) in enumerate(zip(steps, quotients, strict=True)):
        row = [quotient]
        for j in range(1, i + 1):
            left, above = row[j - 1], table[i - 1][j - 1]
            row.append(left + (left - above) / (base**j - 1))
            off = np.maximum(abs(row[j] - left), abs(row[j] - above)) + noise / h
            better = off < error
            value, error = np.where(better, row[j], value), np.where(better, off, error)
        table.append(row)
        tried.append(Trial(h, number(quotient), number(value if i else quotient)))
    return Estimate(number(value), number(error), oracle, tuple(tried))


def _noise(g: Callable[[float], Any], middle: Any) -> Any:
    """How much g jumps between points so near that a smooth function is straight there."""
    near = [np.asarray(g(t), np.float64) for t in (-3e-7, -2e-7, -1e-7, 1e-7, 2e-7, 3e-7)]
    line = np.stack([*near[:3], middle, *near[3:]])
    return abs(np.diff(line, 3, axis=0)).max(axis=0) / 8


def _kink(sides: tuple[Estimate, Estimate], apart: Any, near: Any, best: Estimate, size: Any) -> KinkError:
    """The error for a point at which the slopes of the sides differ, or near which nothing converges."""
    where = np.unravel_index(np.argmax(apart), np.shape(apart))
    if not np.any(apart):
        got = f"an error of {np.max(best.error):.1e}"
        return KinkError(requires("central_difference", "a smooth function near the point", got))
    got = f"one-sided slopes {near[0][where]:.4g} and {near[1][where]:.4g}"
    error = KinkError(requires("central_difference", "a derivative", got))
    bound = 1e-6 * np.max([size, *(abs(side.value) for side in sides)], axis=0)
    if all(np.all(side.error <= bound) for side in sides):
        error.slopes = sides
    return error
