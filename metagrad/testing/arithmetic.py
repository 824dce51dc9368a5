"""How many digits a function computes with: float64 arguments do not make it float64 inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import EPS

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE, SMALL = 1 / 32, 8e-11
"""What jumps by more of its size is not rounded, not even to bfloat16; what jumps by less may be float64."""

SEEN = 8e-6
"""The largest jumps of arithmetic whose steps are not seen to end above 4e-8, the least of the distances: float32's."""

LEVELS = 12
"""As many distances, each a quarter of the one before, from 0.16."""


def roundoff(g: Callable[[float], Any], size: float) -> float:
    """The jumps of g, a function on a line around 0 of numbers of a size, as a part of it: EPS where it has none.

    A quarter of the distance makes third differences 64 times smaller where g is smooth, and 4 times where it has
    kinks. Those of rounding it leaves as they are, down to a distance at which few points have a jump between them:
    there nothing is left at once. Those of a wave stay too, at distances above its length, and then get smaller.
    """
    levels = [_third_differences(g, 0.16 * 4.0**-k) / (size or 1.0) for k in range(LEVELS)]
    clear = [k for k, level in enumerate(levels) if level > SMALL]
    if not clear or any(level > levels[clear[-1]] / 1e4 for level in levels[clear[-1] + 1 :]):
        return EPS
    most = LARGE if clear[-1] + 1 < LEVELS else SEEN
    thrice = zip(levels, levels[1:], levels[2 : clear[-1] + 1], strict=False)
    staying = [min(three) for three in thrice if max(three) < min(8 * min(three), most)]
    return max([EPS, *staying])


def _third_differences(g: Callable[[float], Any], spacing: float) -> float:
    """Their median: a kink or a jump between two points is in no more than three of them."""
    sides = [[float(g(sign * k * spacing)) for k in range(1, 8)] for sign in (1, -1)]
    return float(np.median(np.abs(np.diff(sides, 3, axis=1))))
