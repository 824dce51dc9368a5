"""Whether a derivative is what the oracle says: what is off is measured again, with the rounding that both may have."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .differences import central_difference
from .estimates import EPS, DomainError, Estimate
from .numeric import extent
from .report import Mismatch, Report, Verdict
from .tables import noise
from .worst import worst_element

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .libraries import Scalar
    from .problem import Problem


def alone(v: list[Any], i: int) -> list[Any]:
    """The part of a direction in argument i; the others stay."""
    return [w if i == j else None for j, w in enumerate(v)]


@contextmanager
def at_argument(name: str) -> Iterator[None]:
    """Let a DomainError say along which argument it was met."""
    try:
        yield
    except DomainError as error:
        raise DomainError(f"{error} from {name}") from None


@dataclass(frozen=True)
class Number:
    """The derivative `got` of d along v's part in argument i, by a mode that makes the chain `name` of an order.

    `base` is another d, whose numeric derivative is the oracle; `size` is that of what was summed for the number.
    """

    problem: Problem
    order: int
    name: str
    mode: str
    base: Scalar
    d: Scalar
    v: list[Any]
    i: int
    got: float
    size: float
    rtol: float

    def judge(self, estimate: Estimate, report: Report) -> None:
        """Write the verdict into the report, and the worst element where it is the first that does not agree."""
        verdict, note = self._verdict(estimate)
        report.verdicts.append(verdict)
        report.notes += [note] * bool(note)
        if not verdict.agrees:
            worst = None
            if not report.mismatches:
                worst = worst_element(
                    self.problem, self.base, self.d, self.mode, self.v[self.i], self.i, self._tolerance
                )
            report.mismatches.append(Mismatch(verdict, self.v[self.i], worst))
        elif verdict.oracle_digits < report.min_digits:
            report.verdicts[-1] = self._held_to_the_function(verdict)

    def _verdict(self, estimate: Estimate) -> tuple[Verdict, str]:
        """By the estimate; where that is off, by the function's size, by other steps, by the rounding of d."""
        verdict = self._against(estimate)
        if not verdict.agrees:
            verdict = self._held_to_the_function(verdict)
        if verdict.agrees:
            return verdict, ""
        again = self._confirmed(estimate)
        verdict = self._against(again)
        if verdict.agrees:
            return verdict, ""
        for one in (estimate, again):
            verdict = self._against(one._replace(error=max(float(one.error), self._rounding)))
            if verdict.agrees:
                where = f"order {self.order}, {self.name}, {verdict.argument}"
                return verdict, f"{where}: the derivative itself is rounded, to about {self._rounding:.0e}"
        return verdict, ""

    def _tolerance(self, scale: Any, error: Any) -> Any:
        return self.rtol * scale + 10 * error

    def _against(self, estimate: Estimate) -> Verdict:
        value, error = float(estimate.value), float(estimate.error)
        scale = max(abs(value), self.size if np.isfinite(self.size) else 0.0)
        argument, tolerance = self.problem.names[self.i], self._tolerance(scale, error)
        return Verdict(
            self.order, self.name, argument, self.got, value, error, estimate.oracle, scale, float(tolerance)
        )

    def _held_to_the_function(self, verdict: Verdict) -> Verdict:
        """A derivative by which the function would change by its rounding alone is nothing: held to its size."""
        far = self.problem.flat or verdict.expected == 0
        natural = self.problem.natural(self.order, self.i, far)
        rounding = self.problem.unseen(self.order, self.i, far)
        nothing = self.size <= rounding and abs(verdict.expected) <= rounding + 10 * verdict.error
        if not nothing:
            return verdict
        return replace(verdict, scale=max(verdict.scale, natural), tolerance=max(verdict.tolerance, 2 * rounding))

    @cached_property
    def _rounding(self) -> float:
        """The rounding of the derivative of d: of its largest intermediate value, and what it jumps by nearby.

        Between points that differ in their last places this is the function's condition. A little further apart it
        shows digits that were lost on the way, and is held to those that `base` has lost too: a derivative in float32
        is wrong.
        """
        problem, library, moves = self.problem, self.problem.library, alone(self.v, self.i)
        whole = [np.zeros_like(x) if w is None else w for x, w in zip(problem.point, moves, strict=True)]
        slope = library.along(self.mode, self.d, whole)
        g, length = library.on_the_line(slope, problem.point, moves), extent(problem.point, moves)
        below = library.on_the_line(self.base, problem.point, moves)
        lost = 100 * float(noise(below, 1e-7 * length)) / max(abs(float(below(0.0))), 1e-300)
        near, far = (float(noise(g, spacing * length)) for spacing in (64 * EPS, 1e-7))
        jumps = max(near, far if lost > 1 else min(far, lost * abs(float(g(0.0)))))
        return max(jumps if np.isfinite(jumps) else 0.0, EPS * library.largest(self.d, problem.point, whole))

    def _confirmed(self, first: Estimate) -> Estimate:
        """Measured again, by other steps: the estimate that they agree on best, or the first.

        Its error is then no less than what two of them differ by. So an oracle that overrates itself alarms nobody.
        """
        problem, moves = self.problem, alone(self.v, self.i)
        g, length = problem.library.on_the_line(self.base, problem.point, moves), extent(problem.point, moves)
        first_step = first.tried[0].step if first.tried else problem.step
        steps = [part * first_step for part in (0.62, 0.22)]
        with at_argument(problem.names[self.i]):
            others = [central_difference(g, step=step, length=length, unit=problem.unit) for step in steps]
        if first.oracle != others[0].oracle:
            best = min(others, key=lambda e: e.error)
            return first if abs(first.value - best.value) <= 10 * best.error else best
        pairs = itertools.combinations([first, *others], 2)
        a, b = min(pairs, key=lambda pair: abs(pair[0].value - pair[1].value) + pair[0].error + pair[1].error)
        better = min(a, b, key=lambda e: e.error)
        return better._replace(error=max(better.error, abs(a.value - b.value)))
