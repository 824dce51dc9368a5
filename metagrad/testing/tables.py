"""Difference quotients at halved steps on both sides of a point, and what extrapolation makes of them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import EPS, Estimate, Trial, number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ORACLE = "central differences"

ROUNDING = 64 * EPS
"""What rounding may make of `gap`, as a part of the size of g over h: 8 EPS in each value, times 8 for the weights."""

NOISE = 16.0
"""The same of the noise of g: twice that in each value, times 8."""

KINK = 1e-6
"""The smallest kink, as a part of the slope: less is taken for the curvature that the steps have left."""

STAYS = 0.5
"""What keeps more than this part of its size at smaller steps stays: where g is smooth, half a step makes `gap` 1/8."""

SAFETY = 10.0
"""By how much an estimate of an error may be too small."""


class Table:
    """g at 0, and at h and -h for `rows` steps h, each half of the one before.

    `length` is the size of the argument that t is added to: so much times EPS is lost of every step. `unit` is the
    roundoff of g's arithmetic.
    """

    def __init__(
        self,
        g: Callable[[float], Any],
        middle: Any,
        first: float,
        rows: int,
        length: float,
        unit: float = EPS,
        known: Table | None = None,
    ) -> None:
        self.g, self.middle, self.length, self.unit = g, middle, length, unit
        self.steps = [first * 0.5**i for i in range(rows)]
        done = 0 if known is None else len(known.steps)
        fresh = [(_at(g, h), _at(g, -h)) for h in self.steps[done:]]
        self.pairs: list[tuple[Any, Any]] = fresh if known is None else known.pairs + fresh
        self.sizes = [np.maximum(abs(middle), np.maximum(abs(a), abs(b))) for a, b in self.pairs]

    def extended(self, rows: int) -> Table:
        """With so many rows, of which these are the first."""
        return Table(self.g, self.middle, self.steps[0], rows, self.length, self.unit, self)

    def starting_at(self, step: float, rows: int) -> Table:
        """The table of the same function by other steps."""
        return Table(self.g, self.middle, step, rows, self.length, self.unit)

    @property
    def finest(self) -> float:
        """The smallest of the steps."""
        return self.steps[-1]

    @property
    def rise(self) -> Any:
        """By how much g differs from one end of the smallest step to the other."""
        return abs(np.subtract(*self.pairs[-1]))

    @property
    def size(self) -> Any:
        return np.max(self.sizes, axis=0)

    def noise(self, spacing: float) -> Any:
        """By how much g jumps between points so near, or by its roundoff where that is known to be more."""
        return np.maximum(noise(self.g, spacing), self.rounding)

    @property
    def rounding(self) -> Any:
        """What g's arithmetic is known to jump by, where it is not float64's."""
        return self.unit * self.size if self.unit > EPS else np.zeros_like(self.size)

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.size).all())

    @cached_property
    def right(self) -> list[Any]:
        return [(a - self.middle) / h for h, (a, _) in zip(self.steps, self.pairs, strict=True)]

    @cached_property
    def left(self) -> list[Any]:
        return [(self.middle - b) / h for h, (_, b) in zip(self.steps, self.pairs, strict=True)]

    @cached_property
    def quotients(self) -> list[Any]:
        return [(r + q) / 2 for r, q in zip(self.right, self.left, strict=True)]

    @property
    def slope(self) -> float:
        """How fast g changes over the smallest step: its fastest entry."""
        return float(np.max(np.maximum(abs(self.right[-1]), abs(self.left[-1])), initial=0.0))

    def near(self, row: int = -1) -> tuple[Any, Any]:
        """The slopes on either side, from the two smallest steps, or from a row and that above it."""
        return 2 * self.left[row] - self.left[row - 1], 2 * self.right[row] - self.right[row - 1]

    @property
    def gap(self) -> Any:
        """By how much these differ: h^3 where g is smooth, a constant at a kink, 1/h at a jump and of noise.

        It is a sum of values of g with weights that add up to 8 / h.
        """
        return abs(np.subtract(*self.near()))

    @property
    def lasting(self) -> Any:
        """Whether the gap does not close as the steps get smaller."""
        return self.gap > STAYS * abs(np.subtract(*self.near(-2))) if len(self.steps) > 2 else np.isfinite(self.gap)

    @property
    def blur(self) -> Any:
        """What the rounding of g may be in `gap`."""
        return ROUNDING * self.sizes[-1] / self.finest

    def parted(self, noise: Any = 0.0, tolerance: float = KINK) -> Any:
        """Where the slopes on either side differ by more than curvature, rounding and the noise of g would have it."""
        return self.gap > tolerance * self.slope + self.blur + NOISE * noise / self.finest

    def sides(self, noise: Any = 0.0) -> tuple[Estimate, Estimate]:
        """The slopes on either side, extrapolated."""
        floors = [noise + 4 * EPS * size for size in self.sizes]
        left, right = (extrapolated(self.steps, q, 2.0, floors, ORACLE) for q in (self.left, self.right))
        return left, right

    def kinked(self, noise: Any = 0.0) -> bool:
        """Whether the two sides have slopes of their own."""
        if not np.any(self.parted()):
            return False
        left, right = self.sides(noise)
        return bool(np.any(abs(right.value - left.value) > SAFETY * (left.error + right.error) + KINK * self.slope))

    def estimate(self, noise: Any = 0.0) -> Estimate:
        """The derivative at 0, from D(h) = (g(h) - g(-h)) / 2h; `noise` is g's, where more is known than shows here."""
        curves = [(r - q) / 2 / h for h, r, q in zip(self.steps, self.right, self.left, strict=True)]
        seen = np.maximum(noise, _scatter(self.steps, (1, self.quotients), (2, curves)))
        lost = [abs(q) * EPS * self.length for q in self.quotients]
        floors = [seen + 4 * EPS * size + less for size, less in zip(self.sizes, lost, strict=True)]
        return extrapolated(self.steps, self.quotients, 4.0, floors, ORACLE)

    def supports(self, found: Estimate, noise: Any = 0.0) -> bool:
        """Whether the smallest steps show what the extrapolation says: steps longer than a wave converge by chance."""
        slope = np.max(np.maximum(abs(self.right[0]), abs(self.left[0])), initial=0.0)
        off = abs(self.quotients[-1] - found.value)
        return bool(np.all(off <= 1e-2 * slope + self.blur + found.error)) and not self.kinked(noise)

    def settles(self, found: Estimate) -> bool:
        """Whether an estimate from here needs no other steps."""
        slope = self.slope
        return bool(slope == 0 or np.max(found.error, initial=0.0) <= 1e-8 * slope) and self.supports(found)


def extrapolated(
    steps: Sequence[float], quotients: Sequence[Any], base: float, noise: Sequence[Any], oracle: str
) -> Estimate:
    """The limit of quotients at halved steps whose error is a series in h (base 2) or in h^2 (base 4).

    `noise` is that of the function at each step; a quotient has it divided by its step.
    """
    table: list[list[Any]] = []
    value, error = np.full(np.shape(noise[0]), np.nan), np.full(np.shape(noise[0]), np.inf)
    tried = []
    for i, (h, quotient, floor) in enumerate(zip(steps, quotients, noise, strict=True)):
        row = [quotient]
        for j in range(1, i + 1):
            left, above = row[j - 1], table[i - 1][j - 1]
            row.append(left + (left - above) / (base**j - 1))
            off = np.maximum(abs(row[j] - left), abs(row[j] - above)) + floor / h
            better = off < error
            value, error = np.where(better, row[j], value), np.where(better, off, error)
        table.append(row)
        tried.append(Trial(h, number(quotient), number(value if i else quotient)))
    return Estimate(number(value), number(error), oracle, tuple(tried))


def noise(g: Callable[[float], Any], spacing: float) -> Any:
    """How much g jumps between points so near that a smooth function is straight there, on either side of 0.

    Neither side has 0 itself, so that a kink or a jump there is not taken for noise.
    """
    sides = [np.stack([_at(g, sign * k * spacing) for k in range(1, 5)]) for sign in (1, -1)]
    return np.max([abs(np.diff(side, 3, axis=0)).max(axis=0) for side in sides], axis=0) / 8


def _at(g: Callable[[float], Any], t: float) -> Any:
    return np.asarray(g(t), np.float64)


def _scatter(steps: Sequence[float], *parts: tuple[int, Sequence[Any]]) -> Any:
    """The noise of a function, seen in its odd part over h (1) and its even part over h^2 (2).

    Differences of these shrink four times from step to step: what does not shrink is noise over h or h^2. Of the last
    four steps the second largest counts, since one may meet a distant kink.
    """
    if len(steps) < 3:
        return 0.0
    seen = []
    for power, series in parts:
        apart = abs(np.diff(series, axis=0))
        kept = np.maximum(apart[1:] - apart[:-1] / 2, 0.0)[-4:]
        seen.append([h**power * k for h, k in zip(steps[-len(kept) :], kept, strict=True)])
    return np.sort(np.max(seen, axis=0), axis=0)[-2:][0]
