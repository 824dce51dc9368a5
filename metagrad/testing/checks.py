"""Checks of derivatives of any order, in every combination of modes, against the numeric oracles."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingRuleError, OptionError, requires
from .estimates import DomainError, Estimate, KinkError
from .judgement import Number, alone, at_argument
from .options import chosen_modes, require_numbers, require_whole
from .other_ways import OTHERWISE, OVERFLOWS, other_ways
from .problem import Problem
from .report import Kink, Mismatch, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .libraries import Library, Scalar


def check_gradients(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] | None = None,
    *,
    rtol: float = 1e-10,
    min_digits: float = 4.0,
    step: float | None = None,
    seed: int = 0,
    redraws: int = 8,
) -> Report:
    """Compare the derivatives of f at args, of orders 1 to `order`, with numeric ones.

    With random weights w and c and directions v1, v2, ... order k is the derivative of order k - 1 along vk, and order
    0 is g = w . f + c . (f - f(x))^2 / |f|, whose square lets a cotangent depend on the arguments. Before the next
    order is taken, vk turns with them, v + t . (x - x0) / |x0|, which lets a tangent depend on them, too. Each order is
    taken by every sequence of the modes (for order 2: reverse over reverse, forward over reverse, ...), with vk in one
    argument at a time. Its oracle is the numeric derivative along vk of order k - 1, which was checked before. The
    first derivative must be the same for cotangents and tangents of other sizes and signs, for one argument alone, and
    for one output alone. Weights and directions have no entry near zero, so that an error in one element of thousands
    shows. Equal means within ten times the oracle's own error plus `rtol` of the number's scale, sum |g_i v_i|; where
    two differ by more, both are measured again, with the rounding of the derivative itself. A point at a kink is moved
    and counted; there, the derivative must lie between the slopes of both sides. `step` is the first that differences
    try; they go on to smaller ones by themselves.

    f: of metagrad, or a `torch_function`, `jax_function` or `numpy_function`; it returns a tree of arrays. args: trees
    of float64 arrays; leaves of other kinds are data. `modes` are "reverse" and "forward", or the library's own, less
    forward mode where the function has none.

    Returns a `Report`, which is true; raises AssertionError with it where a derivative is off: it names the argument,
    the worst element, the steps tried. Raises NotMeasuredError where the oracle has fewer than `min_digits`; KinkError
    where no smooth point is found; DTypeError for what cannot be measured, NondeterministicError where f or a
    derivative of it is not the same each time, OptionError.

    >>> import metagrad as mg
    >>> report = check_gradients(lambda x, y: mg.sin(x) @ y, [mg.ones((2, 3)), mg.ones(3)], order=3)
    >>> report.oracles
    {'complex step': 6}
    >>> report.digits(2) > 14
    True
    """
    __tracebackhide__ = True
    require_whole("check_gradients", "an order", order, 1)
    require_numbers("check_gradients", rtol=rtol, min_digits=min_digits, step=step, seed=seed, redraws=redraws)
    rng = np.random.default_rng(seed)
    problem = Problem("check_gradients", f, args, rng, curved=True, step=step)
    chosen = chosen_modes("check_gradients", modes, problem.library.modes, ("reverse", "forward"))
    if order > 1 and chosen == ["forward"] and not problem.library.forward_nests:
        need = f"mode reverse too, or order=1: forward mode of {problem.library.name} does not nest,"
        raise OptionError(requires("check_gradients", need, f"modes={modes!r}"))
    report = Report(order, seed=seed, min_digits=min_digits, left_out=problem.left_out)
    first: KinkError | None = None
    while True:
        try:
            with np.errstate(all="ignore"):
                _check(problem, report, rng, chosen, rtol)
            return problem.settled(report)
        except KinkError as error:
            first = first or error  # what comes later is of points that nobody gave
            if report.redrawn == redraws:
                raise first from None
            report = _again(report, redrawn=report.redrawn + 1)
            problem.move(rng)
        except MissingRuleError as error:
            if modes is not None or "forward" not in chosen:
                raise
            chosen.remove("forward")
            report = _again(report, left_out=[*report.left_out, f"forward mode is left out: {error}"])


def _again(report: Report, **changed: Any) -> Report:
    """An empty report that keeps what was found on the way."""
    return replace(report, oracles={}, verdicts=[], mismatches=[], notes=[], **changed)


def _check(problem: Problem, report: Report, rng: np.random.Generator, modes: Sequence[str], rtol: float) -> None:
    chains: dict[str, Scalar] = {"": problem.scalar}
    for k in range(1, report.order + 1):
        v = problem.direction(rng)
        base = next(iter(chains.values()))
        expected = [_expected(problem, report, base, v, i, modes) for i in range(len(v))]
        found = {
            name: problem.twice(f"order {k}, {name}", partial(_slopes, problem, mode, d, v))
            for (_, d), mode, name in _extended(problem.library, chains, modes)
        }
        sizes = np.max([parts for _, parts in found.values()], axis=0)
        for (_, d), mode, name in _extended(problem.library, chains, modes):
            for i, (got, estimate) in enumerate(zip(found[name][0], expected, strict=True)):
                number = Number(problem, k, name, mode, base, d, v, i, got, sizes[i], rtol)
                number.judge(estimate, report)
        if k == 1 and not report.mismatches:
            _hold_to_other_ways(problem, report, modes, v, {mode: found[mode][0] for mode in modes}, sizes)
        if report.mismatches:
            return
        if k < report.order:
            v = problem.turning(rng)
            chains = {
                name: problem.library.along(mode, d, v)
                for (_, d), mode, name in _extended(problem.library, chains, modes)
            }


def _hold_to_other_ways(
    problem: Problem, report: Report, modes: Sequence[str], v: list[Any], plain: dict[str, list[float]], sizes: Any
) -> None:
    """Hold first derivatives, which agree with the oracle, against the same by other ways."""
    for name, mode, slopes in other_ways(problem, modes, v):
        for i, (got, same, size) in enumerate(zip(slopes, plain[mode], sizes, strict=True)):
            if not (np.isfinite(got) or np.isfinite(size * OVERFLOWS)):
                continue
            verdict = Verdict(1, name, problem.names[i], got, same, 0.0, f"plain {mode}", size, OTHERWISE * size)
            if not verdict.agrees:
                report.mismatches.append(Mismatch(verdict, v[i]))


def _extended(library: Library, chains: dict[str, Scalar], modes: Sequence[str]) -> list[Any]:
    """Every chain with every mode on top, and the name of that."""
    return [
        ((chain, d), mode, f"{mode} over {chain}" if chain else mode)
        for (chain, d), mode in itertools.product(chains.items(), modes)
        if library.forward_nests or mode == "reverse" or "forward" not in chain
    ]


def _expected(problem: Problem, report: Report, base: Scalar, v: list[Any], i: int, modes: Sequence[str]) -> Estimate:
    """The numeric derivative along v's part in argument i. At a kink, what is given there is noted."""
    try:
        with at_argument(problem.names[i]):
            estimate = problem.estimate(base, alone(v, i))
    except DomainError:
        raise
    except KinkError as error:
        if error.slopes is not None and base is problem.scalar:
            left, right = error.slopes
            bound = 1e-6 * max(abs(left.value), abs(right.value)) + 10 * max(left.error, right.error)
            for mode in modes:
                given = _slopes(problem, mode, base, v)[0][i]
                where = f"{problem.names[i]}, {mode}"
                report.kinks.append(Kink(where, float(left.value), float(right.value), given, bound))
        raise
    report.oracles[estimate.oracle] = report.oracles.get(estimate.oracle, 0) + 1
    if estimate.note:
        report.notes.append(f"{estimate.oracle}, {problem.names[i]}: {estimate.note}")
    return estimate


def _slopes(problem: Problem, mode: str, d: Scalar, v: list[Any]) -> tuple[list[float], list[float]]:
    """The derivative of a scalar along v's part in each argument alone, and the sizes of what was summed for it."""
    if mode == "reverse":
        products = [g * w for g, w in zip(problem.gradient(d), v, strict=True)]
        return [float(p.sum()) for p in products], [float(abs(p).sum()) for p in products]
    found = [problem.pushed(d, [w if i == j else np.zeros_like(w) for j, w in enumerate(v)]) for i in range(len(v))]
    return found, [abs(x) for x in found]
