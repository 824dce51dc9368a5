"""What a check found, for people: how many digits agree, how many the oracle has, and if they do not agree, where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import NotMeasuredError, digits

if TYPE_CHECKING:
    from .estimates import Estimate


@dataclass(frozen=True)
class Verdict:
    """One number that was compared. `scale` is the size of what was summed for it; digits count from there.

    Where the number is nothing but rounding, `scale` is what the function's size makes of it.
    """

    order: int
    chain: str
    argument: str
    got: float
    expected: float
    error: float
    oracle: str
    scale: float
    tolerance: float

    @property
    def difference(self) -> float:
        return abs(self.got - self.expected)

    @property
    def agrees(self) -> bool:
        return bool(self.difference <= self.tolerance) and np.isfinite(self.got)

    @property
    def digits(self) -> float:
        """To how many digits the two agree."""
        return digits(self.difference, self.scale)

    @property
    def oracle_digits(self) -> float:
        """To how many digits the oracle itself is good."""
        return digits(self.error, self.scale)

    def __str__(self) -> str:
        return (
            f"order {self.order}, {self.chain}, {self.argument}: expected {self.expected:.12g} "
            f"(error about {self.error:.1e}, by {self.oracle}) but got {self.got:.12g}; "
            f"agrees to {counted(self.digits)}, the oracle is good to {self.oracle_digits:.0f}"
        )


@dataclass(frozen=True)
class Worst:
    """The element of an argument whose derivative is off most, and what is left when it is taken out."""

    index: tuple[int, ...]
    shape: tuple[int, ...]
    got: float
    expected: Estimate
    rest_agrees: bool | None = None

    def lines(self) -> list[str]:
        where = f"element {list(self.index)} of shape {self.shape}" if self.shape else "the number itself"
        found = [f"{where}: expected {self.expected.value:.12g} but got {self.got:.12g}{_hint(self)}"]
        if self.rest_agrees:
            found.append("all other elements agree")
        if self.expected.note:
            found.append(self.expected.note)
        if self.expected.tried:
            found.append(f"{'step':>9}  {'difference quotient':>22}  {'extrapolated':>22}")
            found += [f"{t.step:9.2e}  {t.quotient:22.15g}  {t.extrapolated:22.15g}" for t in self.expected.tried]
        return found


def counted(found: float, what: str = "digit") -> str:
    """A number of things, in words that fit it."""
    return f"{found:.0f} {what}{'' if round(found) == 1 else 's'}"


def _hint(worst: Worst) -> str:
    expected = float(worst.expected.value)
    if not np.isfinite(worst.got):
        return ""
    if abs(worst.got) < 1e-14 * abs(expected):
        return ", which is nothing"
    ratio = worst.got / expected if abs(expected) > 1e3 * worst.expected.error else np.nan
    if abs(ratio + 1) < 1e-6:
        return ", which has the wrong sign"
    if not np.isfinite(ratio):
        return ""
    return f", 1{ratio - 1:+.1e} times that" if abs(ratio - 1) < 5e-7 else f", {ratio:.9g} times that"


@dataclass(frozen=True)
class Mismatch:
    """A verdict that does not agree, the direction, and the worst element."""

    verdict: Verdict
    direction: Any
    worst: Worst | None = None

    def __str__(self) -> str:
        lines = [str(self.verdict)]
        if self.worst is not None:
            lines += ["    " + line for line in self.worst.lines()]
        direction = np.array2string(np.asarray(self.direction), precision=4, threshold=12, prefix=" " * 10)
        return "\n".join([*lines, f"    along {direction}"])


@dataclass(frozen=True)
class Kink:
    """A point without a derivative along a direction: the one-sided slopes, and the derivative that was given."""

    argument: str
    left: float
    right: float
    given: float
    tolerance: float

    @property
    def between(self) -> bool:
        """Whether what was given is a subgradient: between the slopes of both sides."""
        low, high = sorted((self.left, self.right))
        return low - self.tolerance <= self.given <= high + self.tolerance

    def __str__(self) -> str:
        verdict = "between them" if self.between else "NOT between them"
        sides = f"slopes {self.left:.6g} on the left and {self.right:.6g} on the right"
        return f"kink in {self.argument}: {sides}, given {self.given:.6g}, {verdict}"


@dataclass
class Report:
    """What was compared. True where all agrees, and the oracle has `min_digits` for all of it.

    `verdicts` are the numbers, `mismatches` those that do not agree, `kinks` what was found on the way; `redrawn`
    points lay at a kink; `oracles` counts the numeric derivatives by their method; `left_out` says what was not
    checked.
    """

    order: int
    check: str = "check_gradients"
    redrawn: int = 0
    seed: int = 0
    min_digits: float = 4.0
    oracles: dict[str, int] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list, repr=False)
    mismatches: list[Mismatch] = field(default_factory=list)
    kinks: list[Kink] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.wrong and self.measured

    @property
    def wrong(self) -> bool:
        """Whether a derivative is off, or at a kink is none of those that both sides leave open."""
        seen = any(m.verdict.oracle_digits >= 1 for m in self.mismatches)
        return seen or not all(kink.between for kink in self.kinks)

    @property
    def measured(self) -> bool:
        """Whether the oracle was good enough to say so: without a digit it accuses nobody."""
        return not self.mismatches and all(v.oracle_digits >= self.min_digits for v in self.verdicts)

    @property
    def checks(self) -> int:
        """How many numbers agree."""
        return sum(v.agrees for v in self.verdicts)

    @property
    def worst(self) -> float:
        """The largest difference, relative to the number or to 1 where that is larger."""
        return max((v.difference / max(v.scale, 1.0) for v in self.verdicts), default=0.0)

    @property
    def loosest(self) -> float:
        """The largest tolerance, relative as `worst` is."""
        return max((v.tolerance / max(v.scale, 1.0) for v in self.verdicts), default=0.0)

    def digits(self, order: int) -> float:
        """To how many digits all numbers of an order agree."""
        return min((v.digits for v in self.verdicts if v.order == order), default=0.0)

    def oracle_digits(self, order: int) -> float:
        """To how many digits the oracles of an order are good."""
        return min((v.oracle_digits for v in self.verdicts if v.order == order), default=0.0)

    def summary(self) -> list[str]:
        """A line for each order."""
        lines = []
        for order in sorted({v.order for v in self.verdicts}):
            found = [v for v in self.verdicts if v.order == order]
            wrong = sum(not v.agrees for v in found)
            oracles = " and ".join(sorted({v.oracle for v in found}))
            verdict = f"{wrong} of {len(found)} are off" if wrong else f"agree to {counted(self.digits(order))}"
            good = f"the oracle, {oracles}, is good to {self.oracle_digits(order):.0f}"
            lines.append(f"order {order}: {counted(len(found), 'number')}, {verdict}; {good}")
        return lines

    def __str__(self) -> str:
        poor = f"not measured: the oracle has fewer than {self.min_digits:g} digits (min_digits)"
        verdict = "a derivative is wrong" if self.wrong else "all derivatives agree" if self.measured else poor
        head = f"{self.check}: {verdict} (seed {self.seed})"
        moved = [f"the point lay at or near a kink and was moved {counted(self.redrawn, 'time')}"] * bool(self.redrawn)
        details = [str(self.mismatches[0])] if self.mismatches else []
        if len(self.mismatches) > 1:
            details += ["also off:", *(f"    {m.verdict}" for m in self.mismatches[1:])]
        return "\n".join([head, *details, *map(str, self.kinks), *self.left_out, *self.notes, *moved, *self.summary()])

    def raise_if_wrong(self) -> Report:
        """The report itself; AssertionError with it where something does not agree, NotMeasuredError where none can."""
        __tracebackhide__ = True  # pytest then shows the caller's line
        if self.wrong:
            raise AssertionError(str(self))
        if not self.measured:
            raise NotMeasuredError(str(self))
        return self
