"""Other ways to the same first derivative: a rule that is right in one of them may be wrong in the others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .libraries import Scalar
    from .problem import Problem

FACTORS = (-(2.0**20), 2.0**20, 2.0**-20)
"""Powers of two, which change no digit of what is linear."""

OVERFLOWS = 2.0**40
"""Where so many times a derivative is no number, these factors may make none of it on the way."""

OTHERWISE = 1e-7
"""By so much of its size a derivative may differ: a cotangent's size may decide how an algorithm goes about it."""


def other_ways(problem: Problem, modes: Sequence[str], v: Sequence[Any]) -> Iterator[tuple[str, str, list[float]]]:
    """(name, mode, derivatives along v's part in each argument alone): what must be as by the plain mode.

    A cotangent or a tangent of another size and sign, because a rule is linear in it; one argument at a time, the
    others constants; one output at a time, the others not used.
    """
    if not problem.library.weighs:
        return
    d = problem.scalar
    for factor in FACTORS:
        if "reverse" in modes:
            gradient = problem.gradient(partial(_times, d, factor))
            yield f"reverse of {factor:.2g} times the cotangent", "reverse", _along(gradient, v, factor)
        if "forward" in modes:
            still = [0 * w for w in v]
            found = [problem.pushed(d, [*still[:i], factor * w, *still[i + 1 :]]) / factor for i, w in enumerate(v)]
            yield f"forward of {factor:.2g} times the tangent", "forward", found
    if "reverse" in modes and len(v) > 1:
        gradient = [problem.gradient(d, [i])[0] for i in range(len(v))]
        yield "reverse for it alone", "reverse", _along(gradient, v)
    if "reverse" in modes and len(problem.parts) > 1:
        each = [problem.gradient(part) for part in problem.parts]
        yield "reverse of one output at a time", "reverse", _along([sum(g) for g in zip(*each, strict=True)], v)


def _times(d: Scalar, factor: float, *x: Any) -> Any:
    return d(*x) * factor


def _along(gradient: Sequence[Any], v: Sequence[Any], factor: float = 1.0) -> list[float]:
    return [float((g * w).sum() / factor) for g, w in zip(gradient, v, strict=True)]
