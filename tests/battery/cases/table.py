"""What a row of the battery is, and how its arguments are made.

A row says how to call the operation on arrays, how to make the arrays, and what NumPy says. Static options (axes,
shapes) are closed over, so the arguments are arrays alone: floating-point ones are differentiated, others are data.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import metagrad as mg
from metagrad.core.pytree import flatten

Make = Callable[[np.random.Generator], Any]


@dataclass(frozen=True)
class OpCase:
    """`operation` is the public name that the row stands for, `detail` what is special about it."""

    operation: str
    f: Callable[..., Any]
    args: tuple[Make, ...]
    reference: Callable[..., Any]
    detail: str = ""
    derivative: str = "smooth"
    """"smooth": numeric to third order; "none": it leaves every derivative; "own": tested by a test of its own."""
    float32: bool = True

    @property
    def id(self) -> str:
        return f"{self.operation}({self.detail})"

    def example(self, draw: int = 0) -> list[Any]:
        rng = np.random.default_rng([zlib.crc32(self.id.encode()), draw])
        return [make(rng) for make in self.args]

    @property
    def moving(self) -> list[int]:
        return [k for k, x in enumerate(self.example()) if np.asarray(x).dtype.kind == "f"]


# How to make an argument. All keep a distance from kinks, poles and ties.


def real(*shape: int) -> Make:
    """Either sign, sizes from 0.3 to 1.8."""
    return lambda rng: rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 1.8, shape)


def between(low: float, high: float, *shape: int) -> Make:
    return lambda rng: rng.uniform(low, high, shape)


def positive(*shape: int) -> Make:
    return between(0.5, 2.0, *shape)


def distinct(*shape: int) -> Make:
    """No two alike: at least 0.1 apart, none within 0.05 of an integer multiple of 0.2."""
    n = math.prod(shape)
    return lambda rng: (0.2 * (rng.permutation(n) - n // 2) + 0.1 + rng.uniform(-0.03, 0.03, n)).reshape(shape)


def grid(offset: float) -> Callable[..., Make]:
    """Within 0.05 of a multiple of 0.5 plus an offset: two with other offsets are never near each other."""
    return lambda *shape: lambda rng: 0.5 * rng.integers(0, 4, shape) + offset + rng.uniform(-0.05, 0.05, shape)


def integers(low: int, high: int, *shape: int) -> Make:
    return lambda rng: rng.integers(low, high, shape)


def booleans(*shape: int) -> Make:
    return lambda rng: rng.integers(0, 2, shape).astype(bool)


def const(value: Any) -> Make:
    return lambda rng: np.array(value)


def regular(*shape: int) -> Make:
    """Matrices far from singular, not symmetric."""
    return lambda rng: rng.uniform(-0.6, 0.6, shape) + 1.5 * np.eye(shape[-1])


def definite(*shape: int) -> Make:
    """Symmetric positive definite, eigenvalues well apart."""

    def make(rng: np.random.Generator) -> Any:
        q = np.linalg.qr(rng.normal(size=shape))[0]
        return np.einsum("...ij,j,...kj->...ik", q, 1.0 + 0.7 * np.arange(shape[-1]), q)

    return make


class Cases(list[OpCase]):
    """Of a family of operations."""

    def row(
        self,
        operation: str,
        *args: Make,
        f: Any = None,
        ref: Any = None,
        both: Any = None,
        detail: str = "",
        **options: Any,
    ) -> None:
        """Add a case.

        `f` and `ref` default to metagrad's and NumPy's function of that name; `both` takes the namespace.
        """
        if both is not None:
            f, ref = functools.partial(both, mg), functools.partial(both, np)
        fields = {k: options.pop(k) for k in ("derivative", "float32") if k in options}
        home = mg
        numpy_home: Any = np
        name = operation
        if operation.startswith("random."):
            ref = lambda *a: [np.asarray(x) for x in flatten(f(*a))[0]]  # noqa: E731
        if operation.startswith("linalg."):
            home, numpy_home, name = mg.linalg, np.linalg, operation.removeprefix("linalg.")
        ours = f if f is not None else getattr(home, name)
        theirs = ref if ref is not None else getattr(numpy_home, name)
        if options:
            detail = detail or ", ".join(f"{k}={v}" for k, v in options.items())
            if f is None:
                plain = ours
                ours = lambda *a: plain(*a, **options)  # noqa: E731
            if ref is None:
                bare = theirs
                theirs = lambda *a: bare(*a, **options)  # noqa: E731
        taken = {case.id for case in self}
        full = detail
        k = 2
        while OpCase(operation, ours, args, theirs, full).id in taken:
            full, k = f"{detail} {k}".strip(), k + 1
        self.append(OpCase(operation, ours, args, theirs, full, **fields))
