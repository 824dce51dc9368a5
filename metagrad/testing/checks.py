"""Checks of derivatives of any order, in every combination of modes, against the numeric oracles."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, requires
from .differences import central_difference
from .estimates import Estimate, KinkError
from .problem import Problem
from .report import Kink, Mismatch, Report, Verdict
from .worst import worst_element

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
    seed: int = 0,
    redraws: int = 8,
) -> Report:
    """Compare the derivatives of f at args, of orders 1 to `order`, with numeric ones.

    With random weights w and c and directions v1, v2, ... order k is the number D^k g(x) [v1, ..., vk] for
    g = w . f + c . (f - f(x))^2, whose square lets a cotangent depend on the arguments. It is taken by every sequence
    of the modes (for order 2: reverse over reverse, forward over reverse, ...), with vk in one argument at a time. Its
    oracle is the numeric derivative along vk of order k - 1, which was checked before. Weights and directions have no
    entry near zero, so that an error in one element of thousands shows. Equal means within ten times the oracle's own
    error plus `rtol` of the number's scale, sum |g_i v_i|. A point near a kink is moved and counted; there, the
    derivative must lie between the slopes of both sides.

    f: of metagrad, or a `torch_function`, `jax_function` or `numpy_function`; it returns a tree of arrays. args: trees
    of float64 arrays; leaves of other kinds are data. `modes` are "reverse" and "forward", or the library's own.

    Returns a `Report`, which is true; raises AssertionError with it where a derivative is off: it names the argument,
    the worst element, the steps tried. Raises KinkError where no smooth point is found; DTypeError for what cannot be
    measured, NondeterministicError, OptionError.

    >>> import metagrad as mg
    >>> report = check_gradients(lambda x, y: mg.sin(x) @ y, [mg.ones((2, 3)), mg.ones(3)], order=3)
    >>> report.oracles
    {'complex step': 6}
    >>> report.digits(2) > 14
    True
    """
    __tracebackhide__ = True
    if order < 1:
        raise OptionError(requires("check_gradients", "an order of at least 1", order))
    rng = np.random.default_rng(seed)
    problem = Problem("check_gradients", f, args, rng, curved=True)
    chosen = tuple(problem.library.modes if modes is None else modes)
    if not chosen or not set(chosen) <= {"reverse", "forward"}:
        raise OptionError(requires("check_gradients", "modes among reverse and forward", modes))
    report = Report(order, seed=seed)
    for attempt in range(redraws + 1):
        try:
            with np.errstate(all="ignore"):
                _check(problem, report, rng, chosen, rtol)
        except KinkError:
            if attempt == redraws:
                raise
            report = Report(order, redrawn=report.redrawn + 1, seed=seed, kinks=report.kinks)
            problem.move(rng)
        else:
            break
    return report.raise_if_wrong()


def _check(problem: Problem, report: Report, rng: np.random.Generator, modes: tuple[str, ...], rtol: float) -> None:
    chains: dict[str, Scalar] = {"": problem.scalar}
    for k in range(1, report.order + 1):
        v = problem.direction(rng)
        base = next(iter(chains.values()))
        expected = [_expected(problem, report, base, v, i, modes) for i in range(len(v))]
        found = {
            name: _slopes(problem, mode, d, v) for (chain, d), mode, name in _extended(problem.library, chains, modes)
        }
        sizes = np.max([parts for _, parts in found.values()], axis=0)
        for (_, d), mode, name in _extended(problem.library, chains, modes):
            for i, (got, estimate) in enumerate(zip(found[name][0], expected, strict=True)):
                verdict = _verdict(k, name, problem.names[i], got, estimate, sizes[i], rtol)
                if not verdict.agrees:
                    estimate = _confirmed(problem, base, v, i, estimate)
                    verdict = _verdict(k, name, problem.names[i], got, estimate, sizes[i], rtol)
                report.verdicts.append(verdict)
                if not verdict.agrees:
                    worst = None
                    if not report.mismatches:
                        worst = worst_element(problem, base, d, mode, v[i], i, lambda s, e: rtol * s + 10 * e)
                    report.mismatches.append(Mismatch(verdict, v[i], worst))
        if report.mismatches:
            return
        if k < report.order:
            v = problem.direction(rng)
            chains = {
                name: problem.library.along(mode, d, v)
                for (_, d), mode, name in _extended(problem.library, chains, modes)
            }


def _extended(library: Library, chains: dict[str, Scalar], modes: tuple[str, ...]) -> list[Any]:
    """Every chain with every mode on top, and the name of that."""
    return [
        ((chain, d), mode, f"{mode} over {chain}" if chain else mode)
        for (chain, d), mode in itertools.product(chains.items(), modes)
        if library.forward_nests or mode == "reverse" or "forward" not in chain
    ]


def _alone(v: Sequence[Any], i: int) -> list[Any]:
    return [w if i == j else None for j, w in enumerate(v)]


def _expected(problem: Problem, report: Report, base: Scalar, v: list[Any], i: int, modes: tuple[str, ...]) -> Estimate:
    """The numeric derivative along v's part in argument i. At a kink, what is given there is noted."""
    try:
        estimate = problem.library.estimate(base, problem.point, _alone(v, i))
    except KinkError as error:
        if error.slopes is not None and base is problem.scalar:
            left, right = error.slopes
            bound = 1e-6 * max(1.0, abs(left.value), abs(right.value))
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


def _verdict(
    order: int, chain: str, argument: str, got: float, expected: Estimate, size: float, rtol: float
) -> Verdict:
    value, error = float(expected.value), float(expected.error)
    scale = max(abs(value), size if np.isfinite(size) else 0.0)
    return Verdict(order, chain, argument, got, value, error, expected.oracle, scale, rtol * scale + 10 * error)


def _confirmed(problem: Problem, base: Scalar, v: list[Any], i: int, first: Estimate) -> Estimate:
    """A number that is off is measured again, by other steps: the estimate that they agree on best, or the first.

    Its error is then no less than what two of them differ by. So an oracle that overrates itself alarms nobody.
    """
    g = problem.library.on_the_line(base, problem.point, _alone(v, i))
    others = [central_difference(g, step=step) for step in (0.031, 0.011)]
    if first.oracle != others[0].oracle:
        best = min(others, key=lambda e: e.error)
        return first if abs(first.value - best.value) <= 10 * best.error else best
    pairs = itertools.combinations([first, *others], 2)
    a, b = min(pairs, key=lambda pair: abs(pair[0].value - pair[1].value) + pair[0].error + pair[1].error)
    better = min(a, b, key=lambda e: e.error)
    return better._replace(error=max(better.error, abs(a.value - b.value)))
