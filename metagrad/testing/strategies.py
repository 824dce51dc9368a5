"""Hypothesis strategies for tests of derivatives: points away from kinks, shapes that broadcast, programs, nestings."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, requires
from .programs import BINARY, NESTINGS, PIECEWISE, UNARY, N, Nesting, Program

try:
    from hypothesis import strategies as st
except ImportError as error:
    need = "hypothesis (pip install 'metagrad[test]' has it)"
    raise ImportError(requires("testing.strategies", need, "no such package")) from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

Shape = tuple[int, ...]


def shapes(*, max_dims: int = 3, max_side: int = 4) -> SearchStrategy[Shape]:
    """Shapes of up to `max_dims` axes, each of 1 to `max_side`."""
    return st.lists(st.integers(1, max_side), max_size=max_dims).map(tuple)


@st.composite
def broadcastable_shapes(draw: Any, count: int = 2, *, max_dims: int = 3, max_side: int = 4) -> tuple[Shape, ...]:
    """A tuple of `count` shapes that broadcast together: leading axes are missing here and there, others are 1."""
    whole = draw(shapes(max_dims=max_dims, max_side=max_side))

    def part() -> Shape:
        kept = whole[draw(st.integers(0, len(whole))) :]
        return tuple(1 if draw(st.booleans()) else n for n in kept)

    return tuple(part() for _ in range(count))


def arrays(
    shape: Shape, *, low: float = -2.0, high: float = 2.0, away_from: Sequence[float] = (0.0,), margin: float = 0.1
) -> SearchStrategy[Any]:
    """float64 arrays with entries from `low` to `high`, none within `margin` of a kink in `away_from`.

    Raises OptionError where nothing is left.

    >>> from hypothesis import find
    >>> find(arrays((2,), away_from=(0.0, 2.0)), lambda x: True)
    array([1., 1.])
    """
    edges = [low, *itertools.chain.from_iterable((k - margin, k + margin) for k in sorted(away_from)), high]
    gaps = [(max(a, low), min(b, high)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    allowed = [st.floats(a, b) for a, b in gaps if a <= b]
    if not allowed:
        raise OptionError(requires("arrays", f"room from {low} to {high}", f"{margin} around each of {away_from}"))
    count = math.prod(shape)
    entries = st.lists(st.one_of(*reversed(allowed)), min_size=count, max_size=count)
    return entries.map(lambda found: np.array(found, np.float64).reshape(shape))


def directions(shape: Shape) -> SearchStrategy[Any]:
    """Arrays with entries of either sign and sizes from 0.5 to 1.5: none hides an error."""
    return arrays(shape, low=-1.5, high=1.5, margin=0.5)


def programs(*, smooth: bool = True, min_steps: int = 2, max_steps: int = 6) -> SearchStrategy[Program]:
    """Random networks: functions of two 3 x 3 matrices to one, with kinks here and there unless `smooth`.

    >>> from hypothesis import find
    >>> find(programs(), lambda program: program.steps[0][0] == "sin")
    Program(steps=(('sin', 0), ('add', 0, 0)))
    """
    unary = sorted(UNARY if smooth else UNARY | PIECEWISE)
    one = st.tuples(st.sampled_from(unary), st.integers(0, 9))
    two = st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 9), st.integers(0, 9))
    steps = st.lists(st.one_of(two, one), min_size=min_steps, max_size=max_steps)
    return steps.map(lambda found: Program(tuple(found)))


def points() -> SearchStrategy[tuple[Any, Any]]:
    """Two matrices for a program, with entries of sizes from 0.3 to 0.9."""
    matrix = arrays((N, N), low=-0.9, high=0.9, margin=0.3)
    return st.tuples(matrix, matrix)


def nestings(*, min_depth: int = 2, max_depth: int = 5) -> SearchStrategy[Nesting]:
    """Random nestings of transforms, each applied to a polynomial, with the exact result."""
    names = st.lists(st.sampled_from(sorted(NESTINGS)), min_size=min_depth, max_size=max_depth)
    return names.map(lambda found: Nesting(tuple(found)))


__all__ = [
    "arrays",
    "broadcastable_shapes",
    "directions",
    "nestings",
    "points",
    "programs",
    "shapes",
]
