"""At a kink there is no derivative, but there are wrong ones: those outside of the slopes of both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .differences import one_sided_slopes
from .estimates import Estimate, KinkError, random_direction
from .options import require_numbers, require_whole
from .problem import Problem
from .report import Kink, Report
from .scales import RATIO, STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def check_subgradient(
    f: Callable[..., Any], args: Sequence[Any], *, directions: int = 4, rtol: float = 1e-6, seed: int = 0
) -> Report:
    """Check that the first derivative given at args, kink or not, is one of those that both sides leave open.

    Along each axis of few arguments, and along random dense directions, by steps in proportion to the entries, the
    derivative of a weighed sum of f's outputs must lie between the one-sided slopes. Where these are equal there is no
    kink, and it must be equal to them. f and args as for `check_gradients`.

    Returns a `Report` whose `kinks` are those that were found; raises AssertionError with it where a derivative lies
    outside, KinkError where the slopes of a side do not converge, as for a square root at 0.

    >>> import metagrad as mg
    >>> [kink.between for kink in check_subgradient(mg.abs, [mg.asarray([0.0])], directions=1).kinks]
    [True, True]
    """
    __tracebackhide__ = True
    require_whole("check_subgradient", "directions", directions, 1)
    require_numbers("check_subgradient", rtol=rtol, seed=seed)
    rng = np.random.default_rng(seed)
    problem = Problem("check_subgradient", f, args, rng)
    gradient = problem.twice("order 1", lambda: problem.gradient(problem.scalar))
    report = Report(1, "check_subgradient", seed=seed, left_out=problem.left_out)
    for i, (x, g) in enumerate(zip(problem.point, gradient, strict=True)):
        units = list(np.eye(x.size).reshape(x.size, *x.shape)) if x.size <= 16 else []
        for v in [*units, *(random_direction(rng, x.shape) for _ in range(directions))]:
            if kink := _kink(problem, i, v, g, rtol):
                report.kinks.append(kink)
    return problem.settled(report)


def _kink(problem: Problem, i: int, v: Any, g: Any, rtol: float) -> Kink | None:
    """The kink along the direction v in argument i, where steps of no size show a slope that the gradient g has."""
    first = None
    for k in range(4):
        try:
            part, left, right, wide = _slopes(problem, i, v, RATIO**-k)
        except KinkError:
            if first is None:
                raise
            break
        error, given = max(left.error, right.error), float((g * part).sum())
        tolerance = rtol * max(abs(left.value), abs(right.value), float(abs(g * part).sum())) + 10 * error
        if left.value == right.value == 0:  # flat, perhaps because it is saturated
            tolerance += problem.unseen(1, i, far=True)
        where = problem.names[i]
        if v.size and np.count_nonzero(v) == 1:
            where += f" at element {list(map(int, np.argwhere(v)[0]))}"
        if wide:
            where += f", or within {wide:.1g} of it"
        kink = Kink(where, left.value, right.value, given, tolerance)
        if abs(left.value - right.value) <= tolerance and kink.between:
            return None
        first = first or kink
    return first


def _slopes(problem: Problem, i: int, v: Any, scale: float) -> tuple[Any, Estimate, Estimate, float]:
    """The direction v in argument i in proportion to its entries, and the slopes of both sides along it.

    An entry that is so small that rounding hides what it does is moved as the largest one is: by steps that say
    nothing of what is nearer than the smallest of them, which is given then.
    """
    x, length = problem.point[i], problem.lengths[i]
    sizes = np.where(x == 0, length, abs(x))
    largest = float(np.max(sizes, initial=0.0, where=v != 0)) or 1.0
    for part, step in ((v * (sizes / largest), STEP * largest * scale), (v, STEP * length * scale)):
        moves = [part if i == j else None for j in range(len(problem.point))]
        try:
            g = problem.library.on_the_line(problem.scalar, problem.point, moves)
            left, right = one_sided_slopes(g, step=step, unit=problem.unit)
            return part, left, right, 0.0 if part is not v else min(trial.step for trial in left.tried)
        except KinkError as error:
            failed = error
    raise failed
