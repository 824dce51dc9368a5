"""Hessian-vector products: against the numeric derivative of the gradient, element by element, and symmetric."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten
from ..errors import MissingRuleError, OptionError, ShapeError, requires
from .differences import WithinDomain
from .estimates import EPS, DomainError, Estimate, KinkError, Trial, number
from .numeric import extent, moved
from .options import chosen_modes, require_numbers
from .problem import Problem
from .report import Mismatch, Report, Verdict, Worst
from .tables import noise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def check_hvp(
    f: Callable[..., Any],
    args: Sequence[Any],
    hvp: Callable[..., Any] | None = None,
    modes: Sequence[str] | None = None,
    *,
    rtol: float = 1e-10,
    min_digits: float = 4.0,
    step: float | None = None,
    seed: int = 0,
    redraws: int = 8,
) -> Report:
    """Compare H v of a scalar function with the numeric derivative of its gradient along v, and u . H v with v . H u.

    `hvp(args, tangents)` is a product to be checked, of the function's own library: a tree like the arguments, or one
    array for one argument. Without it, the library's own are, by `modes`: "reverse_over_reverse",
    "forward_over_reverse", "reverse_over_forward", as far as the library has them. Every element is compared. f, args,
    options and what is raised are as for `check_gradients`; the gradient itself is taken to be right. An f that returns
    no scalar is weighed at random and summed; a given product needs a scalar.

    >>> import metagrad as mg
    >>> x = mg.asarray([0.5, 2.0])
    >>> bool(check_hvp(lambda x: mg.sum(x**3), [x]))
    True
    >>> check_hvp(lambda x: mg.sum(x**3), [x], hvp=lambda args, tangents: 5 * args[0] * tangents[0])
    Traceback (most recent call last):
        ...
    AssertionError: check_hvp: a derivative is wrong (seed 0)
    ...
    """
    __tracebackhide__ = True
    require_numbers("check_hvp", rtol=rtol, min_digits=min_digits, step=step, seed=seed, redraws=redraws)
    rng = np.random.default_rng(seed)
    problem = Problem("check_hvp", f, args, rng, weigh=hvp is None, step=step)
    if hvp is not None and not callable(hvp):
        raise OptionError(requires("check_hvp", "hvp=, a function (args, tangents) -> H v,", repr(hvp)))
    known = chosen_modes("check_hvp", modes, problem.library.products, problem.library.known_products)
    report = Report(2, "check_hvp", seed=seed, min_digits=min_digits, left_out=problem.left_out)
    first: KinkError | None = None
    while True:
        v, u = problem.direction(rng), problem.direction(rng)
        try:
            expected = _numeric(problem, v)
        except KinkError as error:
            first = first or error  # what comes later is of points that nobody gave
            if report.redrawn == redraws:
                raise first from None
            report.redrawn += 1
            report.notes.append(f"the gradient has a kink at the point: {error}")
            problem.move(rng)
        else:
            break
    report.oracles[expected.oracle] = 1
    if expected.note:
        report.notes.append(f"{expected.oracle}: {expected.note}")
    for name, product in _products(problem, hvp, known).items():
        try:
            _compare(report, problem, name, product, expected, u, v, rtol)
        except MissingRuleError as error:
            if modes is not None or hvp is not None or "forward" not in name:
                raise
            report.left_out.append(f"{name} is left out: {error}")
    return problem.settled(report)


def _compare(
    report: Report,
    problem: Problem,
    name: str,
    product: Any,
    expected: Estimate,
    u: list[Any],
    v: list[Any],
    rtol: float,
) -> None:
    """Hold one product against the numeric one, and against itself the other way round.

    Where only that differs, the other one is held against its numeric one: it may be rounding.
    """
    with np.errstate(all="ignore"):
        hv = _flat(problem.twice(name, lambda: product(v)))
        lost = partial(_rounding, problem, product)
        _compare_elements(report, problem, name, hv, expected, v, rtol, lost)
        hu = _flat(product(u))
        uhv, vhu = _flat(u) * hv, _flat(v) * hu
        size = max(abs(uhv).sum(), abs(vhu).sum())
        error = np.finfo(np.float64).eps * size
        symmetric = Verdict(
            2, f"{name}, symmetry", "u . H v", uhv.sum(), vhu.sum(), error, "v . H u", size, rtol * size
        )
        if not symmetric.agrees and not report.mismatches:
            _compare_elements(report, problem, name, hu, _numeric(problem, u), u, rtol, lost)
            if not report.mismatches:
                report.notes.append(f"{name}: u . H v and v . H u differ by {symmetric.difference:.2g}, of {size:.2g}")
                return
        report.verdicts.append(symmetric)
        if not symmetric.agrees:
            report.mismatches.append(Mismatch(symmetric, _flat(v)))


def _flat(v: Sequence[Any]) -> Any:
    return np.concatenate([np.ravel(w) for w in v])


def _numeric(problem: Problem, v: list[Any]) -> Estimate:
    """The derivative of the gradient along v, all arguments in one row."""
    library = problem.library
    for name, gradient in zip(problem.names, problem.gradient(problem.scalar), strict=True):
        if not np.isfinite(gradient).all():
            got = f"{float(gradient[~np.isfinite(gradient)][0])} in {name}"
            raise DomainError(requires(problem.check, "a finite gradient at the point", got))
    return problem.estimate(lambda *x: library.row(library.gradient(problem.scalar, x)), v)


def _products(problem: Problem, hvp: Any, modes: Sequence[str]) -> dict[str, Callable[[list[Any]], list[Any]]]:
    """The products to be checked by name: functions of a direction to H v, a NumPy array for each argument."""
    library = problem.library

    def given(v: list[Any]) -> list[Any]:
        with library.running():
            product = hvp(*problem.trees(v))
            found = flatten(product)[0]
            arrays = [np.asarray(library.leave(p), np.float64) for p in found]
        if [p.shape for p in arrays] != [x.shape for x in problem.point]:
            need = f"a product of shapes {', '.join(str(x.shape) for x in problem.point)}, those of the arguments"
            raise ShapeError(requires("check_hvp", need, ", ".join(str(p.shape) for p in arrays) or repr(product)))
        return arrays

    def by(mode: str) -> Callable[[list[Any]], list[Any]]:
        def product(v: list[Any]) -> list[Any]:
            with library.running():
                x = list(map(library.enter, problem.point))
                return [
                    np.asarray(library.leave(p), np.float64)
                    for p in library.hessian_product(mode, problem.scalar, x, v)
                ]

        return product

    if hvp is not None:
        return {"given": given}
    return {mode: by(mode) for mode in modes}


def _rounding(problem: Problem, product: Callable[[list[Any]], list[Any]], v: list[Any]) -> Any:
    """What H v jumps by nearby, at most by as many digits as the gradient has lost there, too."""
    point, length = problem.point, extent(problem.point, v)

    def on_the_line(row: Callable[[], list[Any]]) -> Callable[[float], Any]:
        def at(t: float) -> Any:
            problem.point = moved(point, v, t)
            try:
                return _flat(row())
            finally:
                problem.point = point

        return WithinDomain(at)

    hv, gradient = on_the_line(lambda: product(v)), on_the_line(lambda: problem.gradient(problem.scalar))
    share = np.max(noise(gradient, 1e-7 * length)) / max(float(np.max(abs(gradient(0.0)))), 1e-300)
    near, far = noise(hv, 64 * EPS * length), noise(hv, 1e-7 * length)
    return np.maximum(near, np.minimum(far, 100 * share * np.max(abs(hv(0.0)))))


def _compare_elements(
    report: Report,
    problem: Problem,
    name: str,
    hv: Any,
    expected: Estimate,
    v: list[Any],
    rtol: float,
    lost: Callable[[list[Any]], Any],
) -> None:
    start, rounding = 0, None
    for i, (argument, x, w) in enumerate(zip(problem.names, problem.point, v, strict=True)):
        part = slice(start, start + x.size)
        start += x.size
        got, value, error = hv[part], expected.value[part], expected.error[part]
        if not x.size:
            continue
        scale, natural = float(abs(expected.value).max()), problem.natural(2, i)
        if max(scale, float(abs(hv).max())) <= 16 * EPS * natural + 10 * float(abs(expected.error).max()):
            scale = max(scale, natural)
        unseen = problem.flat | (value == 0)  # what a function that is saturated there rounds is nothing
        floor = problem.unseen(2, i, far=True) if unseen.any() else 0.0
        allowed = rtol * scale + 10 * error + np.where(unseen, floor, 0.0)
        if (abs(got - value) > allowed).any():
            rounding = lost(v) if rounding is None else rounding
            allowed = allowed + 10 * np.nan_to_num(rounding[part])
        off = np.where(np.isfinite(got), abs(got - value) - allowed, np.inf)
        k = int(np.argmax(off))
        verdict = Verdict(
            2,
            name,
            argument,
            float(got[k]),
            float(value[k]),
            float(error[k]),
            expected.oracle,
            scale,
            float(allowed[k]),
        )
        report.verdicts.append(verdict)
        if not verdict.agrees:
            tried = tuple(
                Trial(t.step, float(t.quotient[part][k]), float(t.extrapolated[part][k])) for t in expected.tried
            )
            element = Estimate(number(value[k]), number(error[k]), expected.oracle, tried, expected.note)
            index = tuple(map(int, np.unravel_index(k, x.shape)))
            worst = Worst(index, x.shape, float(got[k]), element, int((off > 0).sum()) == 1)
            verdict = replace(verdict, scale=max(verdict.scale, natural))  # as good an oracle as the function needs
            report.mismatches.append(Mismatch(verdict, w, worst))
