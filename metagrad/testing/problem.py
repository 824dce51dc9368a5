"""A function at a point, as the checks see it: a scalar function of its floating-point arguments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..core.pytree import flatten, leaf_names, unflatten
from ..errors import DTypeError, OptionError, requires
from .arithmetic import roundoff
from .estimates import EPS, OUTSIDE, DomainError, NondeterministicError, NotMeasuredError, random_direction
from .functions import around, as_function, calls, require_own
from .scales import STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from .estimates import Estimate
    from .report import Report


T = TypeVar("T")

COARSE = 1e-5
"""The roundoff from which on a difference has no digits worth having."""

AGAIN = 16
"""So often a function is called twice, before its derivatives are looked at and before one is said to be wrong."""

ALIKE = 1e-10
"""By so much of its size a derivative may differ from one time to the next: sums may be in another order."""


class Problem:
    """The outputs of f, weighed at random and summed, as a scalar function of the arguments that move.

    Where it is `curved`, squares of what the outputs have moved from the point are weighed and added, so that from the
    second order on a cotangent depends on the arguments: a rule that takes it for a constant shows. They are divided by
    the outputs' size, or else they would hide the rest where that is large.

    Raises DTypeError where nothing can be measured, NondeterministicError where two calls differ, DomainError where the
    function is not finite.
    """

    def __init__(
        self,
        check: str,
        f: Callable[..., Any],
        args: Sequence[Any],
        rng: np.random.Generator,
        *,
        weigh: bool = True,
        curved: bool = False,
        step: float | None = None,
    ) -> None:
        if hasattr(args, "shape") or not isinstance(args, Sequence) or isinstance(args, str):
            raise OptionError(requires(check, "a list of arguments, such as [x],", type(args).__name__))
        self.step = STEP if step is None else step
        function = as_function(check, f)
        self.check, self.function, self.library = check, function, function.library
        library = self.library
        leaves, structure = flatten(tuple(args))
        names = leaf_names(tuple(args))
        for name, x in zip(names, leaves, strict=True):
            require_own(check, library, name, x)
        arrays = [library.leave(x) if library.is_array(x) else x for x in leaves]
        self.leaves = len(arrays)
        self.places = [k for k, x in enumerate(arrays) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        self.names = [f"argument {names[k]}" for k in self.places]
        self.point = [arrays[k] for k in self.places]
        for name, x in zip(self.names, self.point, strict=True):
            if x.dtype != np.float64:
                best = int(-np.log10(np.finfo(x.dtype).eps) * 2 / 3)
                need = f"float64, to be measured well (in {x.dtype} a difference has {best} digits at most),"
                raise DTypeError(requires(check, need, f"{x.dtype} at {name}"))
        with library.running():
            fixed = [library.enter(x) if isinstance(x, np.ndarray) else x for x in arrays]

        def filled(moved: Sequence[Any], rest: Sequence[Any] = fixed) -> Any:
            full = list(rest)
            for k, x in zip(self.places, moved, strict=True):
                full[k] = x
            return unflatten(structure, full)

        def outputs(*moved: Any) -> list[Any]:
            return flatten(function(*filled(moved)))[0]

        if not self.places:
            types = ", ".join(f"{np.asarray(x).dtype} at argument {n}" for x, n in zip(arrays, names, strict=True))
            raise DTypeError(requires(check, "floating-point arguments", types or "none"))
        self.outputs, self.filled = outputs, filled
        self.library = library.at(filled, self.places, self.leaves)
        self.weigh = weigh and library.weighs
        found = self._evaluated()
        self.require_same_again()
        weights = self._weights(found, rng)
        if all(w is None for w in weights):
            results = ", ".join(str(y.dtype) for y in found)
            raise DTypeError(requires(check, "floating-point results", results or "none"))
        self.left_out = [
            f"{name} has no elements: nothing is measured there"
            for name, x in zip(self.names, self.point, strict=True)
            if not x.size
        ]
        beside = self._beside(found, range(len(self.point)), 0.25)
        sizes = [np.max([np.abs(y), np.abs(z)], initial=0.0) or 1.0 for y, z in zip(found, beside, strict=True)]
        curvatures = [
            None if w is None else random_direction(rng, w.shape) * s for w, s in zip(weights, sizes, strict=True)
        ]
        self.lengths = [_length(x) for x in self.point]
        self.found, self.weights = found, weights

        def sum_of(chosen: Sequence[int]) -> Callable[..., Any]:
            def scalar(*moved: Any) -> Any:
                total: Any = 0.0
                made = outputs(*moved)
                for k in chosen:
                    total = total + library.weighed(made[k], weights[k])
                    if curved and self.weigh:
                        away = (made[k] - library.enter(found[k])) * (1 / sizes[k])  # before the square: no overflow
                        total = total + library.weighed(away**2, curvatures[k])
                return total

            return scalar

        weighed = [k for k, w in enumerate(weights) if w is not None]
        self.scalar = sum_of(weighed)
        self.parts = [sum_of([k]) for k in weighed]
        """The scalar functions of one output each, whose sum that is."""
        self.unit = self._roundoff()
        """That of the function's arithmetic, which may be less than float64 inside."""

    def _evaluated(self) -> list[Any]:
        """The outputs at the point as NumPy arrays, the same in two calls."""
        library = self.library
        with library.running():
            try:
                found, again = (self.outputs(*map(library.argument, self.point)) for _ in range(2))
            except RuntimeError as error:
                if library.name != "torch" or "dtype" not in str(error):
                    raise
                need = "a function that takes float64, to be measured well (a module after .double()),"
                raise DTypeError(requires(self.check, need, str(error))) from error
            except TypeError as error:
                if library.name == "metagrad" and (owner := calls(self.function.f)):
                    raise DTypeError(requires(self.check, around(owner), f"{owner}'s {error}")) from error
                raise
            wrong = [y for y in found if not library.is_array(y)]
            if wrong or not any(map(library.is_result, found)):
                got = ", ".join(f"{type(y).__name__} {y!r}" for y in wrong or found) or "None"
                need = f"a function that returns {library.results}"
                if library.name == "metagrad" and any(isinstance(y, np.generic) for y in found):
                    need += " (metagrad.testing.numpy_function(f, gradient) around a function of NumPy)"
                raise DTypeError(requires(self.check, need, got))
            first, second = (list(map(library.leave, ys)) for ys in (found, again))
        for k, (a, b) in enumerate(zip(first, second, strict=True)):
            if a.shape != b.shape:
                got = f"shapes {a.shape} and {b.shape} in output {k}"
                raise NondeterministicError(requires(self.check, "a function that returns the same each time", got))
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
                off = np.abs(np.subtract(a, b, dtype=np.float64))
                where = list(map(int, np.unravel_index(int(np.argmax(off)), off.shape)))
                got = f"two calls that differ by {off.max():.3g} at {where} of output {k}: give it its key or seed"
                raise NondeterministicError(requires(self.check, "a function that returns the same each time", got))
        for k, y in enumerate(first):
            if y.dtype.kind == "f" and not np.isfinite(y).all():
                where = list(map(int, np.argwhere(~np.isfinite(y))[0]))
                got = f"{float(y[tuple(where)])} at {where} of output {k}"
                raise DomainError(requires(self.check, "finite values at the point", got))
        return first

    def _roundoff(self) -> float:
        """That of the scalar; raises NotMeasuredError where it leaves no digits to a difference."""
        turns = [(1 + np.cos(np.arange(x.size) ** 2.0) / 2).reshape(x.shape) for x in self.point]
        v = [length * turn for length, turn in zip(self.lengths, turns, strict=True)]
        rows = zip(self.weights, self.found, strict=True)
        size = float(sum(np.abs(w * y).sum() for w, y in rows if w is not None))
        with np.errstate(all="ignore"):
            unit = roundoff(self.library.on_the_line(self.scalar, self.point, v), size)
        if unit > COARSE:
            self.require_same_again()
            got = f"one that jumps by {unit:.0e} of its size between points nearby, as in bfloat16 or float16"
            raise NotMeasuredError(requires(self.check, "a function that computes in float64 or float32", got))
        return unit

    def settled(self, report: Report) -> Report:
        """The report; raises it where it is false."""
        __tracebackhide__ = True
        if not report:
            self.require_same_again()
        return report.raise_if_wrong()

    def require_same_again(self) -> None:
        """Raise NondeterministicError where the function gives other results, though two calls gave the same."""
        for _ in range(AGAIN):
            self._evaluated()

    def _beside(self, found: list[Any], places: Sequence[int], part: float) -> list[Any]:
        """The outputs with some arguments moved by a part, or as they were found where they are not finite then."""
        library, away = self.library, list(self.point)
        for i in places:
            x = self.point[i]
            turns = np.cos(np.arange(x.size) ** 2.0).reshape(x.shape) if abs(part) < 1 else 1.0  # without a pattern
            away[i] = x + part * np.where(x == 0, _length(x), x) * turns
        try:
            with library.running(), np.errstate(all="ignore"):
                beside = [np.asarray(library.leave(y)) for y in self.outputs(*map(library.argument, away))]
        except OUTSIDE:
            return found
        if [y.shape for y in beside] != [y.shape for y in found]:
            return found
        return [z if np.isfinite(z).all() else y for y, z in zip(found, beside, strict=True)]

    def twice(self, what: str, compute: Callable[[], T]) -> T:
        """A derivative, computed twice: raises NondeterministicError where it is not the same."""
        first, second = compute(), compute()
        one, other = (np.concatenate([np.ravel(a) for a in flatten(found)[0]]) for found in (first, second))
        off = np.max(abs(one - other), initial=0.0)
        if off > ALIKE * np.max(abs(one), initial=0.0):
            got = f"two that differ by {off:.3g} ({what}): give its rule a key or seed"
            raise NondeterministicError(requires(self.check, "a derivative that is the same each time", got))
        return first

    def natural(self, order: int, argument: int, far: bool = False) -> float:
        """The size of a derivative in an argument, after others in all of them, by how much the function changes.

        That is when it moves by a quarter. Where nothing but rounding changes, it is by how large the function is.
        `far` from the point, at zero, twice as much and on the other side, one that is flat here, as saturated ones
        are, shows the size of what it rounds.
        """
        places = range(len(self.point)) if order > 1 else (argument,)
        rows = [(w, y) for w, y in zip(self.weights, self.found, strict=True) if w is not None]
        change = 0.0
        for part in (0.25, 1.0, -1.0, -2.0) if far else (0.25,):
            beside = self._beside(self.found, places, part)
            kept = [z for w, z in zip(self.weights, beside, strict=True) if w is not None]
            change = max(change, float(sum(np.abs(w * (z - y)).sum() for (w, y), z in zip(rows, kept, strict=True))))
        whole = float(sum(np.abs(w * y).sum() for w, y in rows))
        size = change if change > 64 * EPS * whole else whole
        lengths = [min(1.0, x) for x in self.lengths] if far else self.lengths
        return size / min(lengths) ** (order - 1) / lengths[argument]

    def unseen(self, order: int, argument: int, far: bool = False) -> float:
        """A derivative by which the function would change by rounding alone, as of the sums before a normalisation.

        `far` is for functions that show nothing at the point: what hides it are larger numbers, such as logits.
        """
        return (1024 if far else 64) * EPS * self.natural(order, argument, far)

    @cached_property
    def flat(self) -> bool:
        """Whether the function does not change at all around the point, as a saturated one: it shows no derivative."""
        v = [np.full_like(x, length) for x, length in zip(self.point, self.lengths, strict=True)]
        g = self.library.on_the_line(self.scalar, self.point, v)
        return all(float(g(t)) == float(g(0.0)) for t in (1e-2, -1e-2, 1e-4, -1e-4))

    def estimate(self, d: Any, direction: Sequence[Any]) -> Estimate:
        """The numeric derivative of d along a direction. Steps that had to be small are the first the next time."""
        found = self.library.estimate(d, self.point, direction, self.step, self.unit)
        if found.tried and found.tried[0].step < self.step / 8:
            self.step = found.tried[0].step
        return found

    def _weights(self, found: list[Any], rng: np.random.Generator) -> list[Any]:
        if self.weigh:
            return [random_direction(rng, y.shape) if y.dtype.kind == "f" else None for y in found]
        if [y.size for y in found] != [1]:
            got = ", ".join(str(y.shape) for y in found)
            raise DTypeError(requires(self.check, "a function that returns a scalar here", f"shape {got}"))
        return [np.ones(found[0].shape)]

    def direction(self, rng: np.random.Generator) -> list[Any]:
        """A direction in all arguments."""
        return [random_direction(rng, x.shape) for x in self.point]

    def turning(self, rng: np.random.Generator) -> Any:
        """A direction that depends on the arguments, so that a rule that takes a tangent for a constant shows."""
        turns = [w / size for w, size in zip(self.direction(rng), self.lengths, strict=True)]
        return self.library.turning(list(self.point), self.direction(rng), turns)

    def trees(self, v: Sequence[Any]) -> tuple[Any, Any]:
        """The point and a direction as the user's arguments; what does not move has None for a direction."""
        enter = self.library.enter
        args = self.filled(list(map(enter, self.point)))
        return args, self.filled(list(map(enter, v)), [None] * self.leaves)

    def move(self, rng: np.random.Generator) -> None:
        """Go to another point nearby."""
        self.__dict__.pop("flat", None)
        self.point = [
            x + rng.uniform(0.05, 0.15) * random_direction(rng, x.shape) * np.maximum(abs(x), 0.5 * size)
            for x, size in zip(self.point, self.lengths, strict=True)
        ]

    def gradient(self, d: Any, places: Sequence[int] | None = None) -> list[Any]:
        """The gradient of a scalar at the point, in NumPy: for all arguments, or some, the others constants."""
        library = self.library
        with library.running():
            point = list(map(library.enter, self.point))
            chosen = range(len(point)) if places is None else places

            def of_chosen(*moved: Any) -> Any:
                full = list(point)
                for k, x in zip(chosen, moved, strict=True):
                    full[k] = x
                return d(*full)

            found = library.gradient(d if places is None else of_chosen, [point[k] for k in chosen])
            return [np.asarray(library.leave(g), np.float64) for g in found]

    def pushed(self, d: Any, v: Sequence[Any]) -> float:
        """The derivative of a scalar at the point along v, by forward mode."""
        library = self.library
        with library.running():
            found = library.push(d, list(map(library.enter, self.point)), list(map(library.enter, v)))
            return float(library.leave(found))


def _length(x: Any) -> float:
    """The size of an array: its largest entry, or 1 where that is nothing."""
    return float(np.max(np.abs(x), initial=0.0)) or 1.0
