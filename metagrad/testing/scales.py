"""Where the first steps do not give the derivative: steps of other sizes, and the verdict where none of them serves."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import requires
from .estimates import EPS, Estimate, KinkError, number
from .tables import NOISE, ROUNDING, SAFETY, STAYS, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = 0.05
"""The first of the steps, where nothing is known of the function."""

RATIO = 32.0
"""From one table's first step to the next one's: tables of 8 rows have three in common, so no size is left out."""

DIGIT = 0.1
"""What is known to within this part of its size has a digit."""


def first_step(length: float) -> float:
    """STEP for an argument of a usual or unknown size, otherwise in proportion to it."""
    return STEP * length if length and not 1 / RATIO < length < RATIO else STEP


def _other_steps(coarse: Table) -> list[float]:
    """First steps of other tables: in proportion to the argument, and smaller and smaller while g has digits left."""
    own = first_step(coarse.length)
    steps = [own, *(STEP * RATIO**-k for k in range(9)), *(own * RATIO**-k for k in range(1, 5))]
    return [h for h in dict.fromkeys(steps) if h != coarse.steps[0] and h > 1e4 * coarse.unit * coarse.length]


def at_other_scales(coarse: Table, found: Estimate, rows: int) -> Estimate:
    """The estimate by the steps that serve best, where those of the first table do not.

    Raises KinkError where none serves because g has a kink or a jump.
    """
    first = _Diagnosis(coarse, found)
    if first.suffices:
        return first.estimate
    refined, probes = _refine(first, rows)
    return _verdict(first, probes) if refined is None else refined


class _Diagnosis:
    """What the first table shows once the noise of g is known: an estimate that it supports, a kink, or neither."""

    def __init__(self, table: Table, found: Estimate) -> None:
        self.table = table
        self.noise = table.noise(2e-6 * table.steps[0])
        self.rounded = bool(np.any(self.noise > 1e-11 * table.size))
        self.kinked = table.kinked(self.noise)
        self.estimate = found if self.kinked else table.estimate(self.noise)._replace(note=found.note)
        self.supported = table.supports(self.estimate, self.noise)
        if self.supported and self.rounded:
            relative = np.max(self.noise / np.maximum(table.size, 1e-300))
            note = f"the function is rounded, to about {relative:.0e} of its size"
            self.estimate = self.estimate._replace(note=note)

    @property
    def suffices(self) -> bool:
        """Whether other steps have nothing to add: they would give a rounded function fewer digits."""
        return self.supported and self.rounded and bool(np.max(self.estimate.error) <= 1e-5 * self.table.slope)

    @cached_property
    def uncertainty(self) -> Any:
        """How far off the estimate may be: at a kink it may be either of the slopes."""
        if not self.kinked:
            return self.estimate.error
        left, right = self.table.sides()
        return np.maximum(self.estimate.error, abs(left.value - right.value))

    @cached_property
    def parted(self) -> Any:
        """The entries that may have a kink: their gap does not close. `kinked` has seen already that it is no noise."""
        return self.table.lasting & self.table.parted(0.0 if self.kinked else self.noise)

    def closes_in(self, probe: Table) -> bool:
        """Whether the slopes on either side come together at a probe: a glance, before it gets all of its rows."""
        if np.any(probe.parted(tolerance=1e-2)):
            return False
        stays = self.parted & (probe.gap > STAYS * self.table.gap + probe.blur)
        return not (self.kinked and np.any(stays))

    def contradicts(self, found: Estimate, best: Estimate) -> bool:
        """Whether an estimate disagrees with the best so far, where the first has a digit: others may only refine it.

        Otherwise a function of many small jumps, such as one that is rounded to float32, would seem to have the slope
        zero that it has between them.
        """
        if not (self.supported or self.kinked):
            return False
        has_digit = np.max(self.uncertainty) <= DIGIT * np.max(abs(self.estimate.value))
        return bool(has_digit and np.any(abs(found.value - best.value) > SAFETY * (self.uncertainty + found.error)))


def _refine(first: _Diagnosis, rows: int) -> tuple[Estimate | None, list[Table]]:
    """The estimate by those of the other steps that serve best, or None; and short tables of all that were tried."""
    best, error = None, first.estimate.error if first.supported else np.inf
    probes = []
    for h in _other_steps(first.table):
        if np.all(EPS * abs(first.table.middle) / h > error):  # rounding is larger than what would be won
            continue
        probe = first.table.starting_at(h, 2)
        if not probe.finite:
            continue
        probes.append(probe)
        if not first.closes_in(probe):
            continue
        table = probe.extended(rows)
        found = table.estimate()
        if not table.supports(found) or first.contradicts(found, best or first.estimate):
            continue
        if np.max(found.error) < np.max(error):
            best, error = found._replace(note=f"steps above {h:.1e} are too long for it"), found.error
            if table.settles(found):
                break
    return best, probes


def _verdict(first: _Diagnosis, probes: Sequence[Table]) -> Estimate:
    """What the first table comes to where no other steps serve: an estimate, as uncertain as its quotients disagree.

    Raises KinkError where g has a kink, or where it jumps.
    """
    if np.any(first.parted):
        _require_no_kink(first, probes)
    if first.supported:
        return first.estimate
    _require_no_jump(first.table, _finest([first.table, *probes]))
    off = abs(first.table.quotients[-1] - first.estimate.value)
    return first.estimate._replace(error=number(np.maximum(first.uncertainty, off)))


def _require_no_kink(first: _Diagnosis, probes: Sequence[Table]) -> None:
    """Raise where the gap stays down to the smallest steps at which rounding leaves it a digit."""
    coarse = first.table
    legible = [p for p in probes if np.any(first.parted & (p.blur < DIGIT * coarse.gap))]
    fine = _finest([coarse, *legible])
    apart = first.parted & fine.parted(_noise_beside(fine)) & (fine.gap > STAYS * coarse.gap)
    if np.any(apart):
        raise _kink(coarse, fine, apart)


def _require_no_jump(coarse: Table, fine: Table) -> None:
    """Raise where g rises over the smallest steps of all as it does over those of the first table."""
    bound = STAYS * coarse.rise + NOISE * _noise_beside(fine) + ROUNDING * coarse.size
    if fine.finest < coarse.finest and np.any(fine.rise > bound):
        raise _no_derivative(f"a jump of {np.max(fine.rise):.4g}")


def _kink(coarse: Table, fine: Table, apart: Any) -> KinkError:
    """The error for a point at which the slopes of the sides differ, with these slopes where both exist."""
    where = np.unravel_index(np.argmax(np.where(apart, fine.gap, 0.0)), np.shape(fine.gap))
    jump = float(max(abs(x[where] - fine.middle[where]) for x in fine.pairs[-1]))
    # A jump stays as it is, and made a gap of 3/2 jump / h; at a kink g - g(0) shrinks with the step.
    if fine.finest < coarse.finest and jump > STAYS * coarse.gap[where] * coarse.finest:
        return _no_derivative(f"a jump of {jump:.4g}")
    left, right = coarse.near()
    error = _no_derivative(f"one-sided slopes {left[where]:.4g} and {right[where]:.4g}")
    sides = coarse.sides()
    bound = 1e-6 * np.max([coarse.size, *(abs(side.value) for side in sides)], axis=0)
    if all(np.all(side.error <= bound) for side in sides):
        error.slopes = sides
    return error


def _no_derivative(got: str) -> KinkError:
    return KinkError(requires("central_difference", "a derivative", got))


def _noise_beside(table: Table) -> Any:
    """How much g jumps beyond the smallest steps: what it does there too is nothing special to 0."""
    return table.noise(8 * table.finest)


def _finest(tables: Sequence[Table]) -> Table:
    return min(tables, key=lambda table: table.finest)
