"""What a numeric derivative is: a number that says how good it is, and why there may be none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import MetagradError

if TYPE_CHECKING:
    from numpy.typing import NDArray

EPS = float(np.finfo(np.float64).eps)


OUTSIDE = (ArithmeticError, ValueError, LookupError, RuntimeError)
"""What functions raise for arguments outside of their domain: LinAlgError of NumPy and PyTorch is among them."""


class NotAnalyticError(MetagradError, TypeError):
    """A program with an operation that means nothing on complex numbers: a complex step cannot measure it."""


class KinkError(MetagradError, ArithmeticError):
    """A point at or near which a function has no derivative: one-sided differences disagree, or nothing converges.

    `slopes` is `(left, right)`, the one-sided derivatives with their errors, where both exist.
    """

    slopes: tuple[Estimate, Estimate] | None = None


class DomainError(KinkError):
    """A point around which a function is not finite, however small the step."""


class NotMeasuredError(MetagradError, ArithmeticError):
    """A check whose oracle has too few digits to tell right from wrong: the message is its report."""


class NondeterministicError(MetagradError, ValueError):
    """A function that does not give the same numbers for the same arguments."""


class Trial(NamedTuple):
    """A step size, the plain difference quotient for it, and what extrapolation has made of all steps so far."""

    step: float
    quotient: Any
    extrapolated: Any


class Estimate(NamedTuple):
    """A numeric derivative, a number or an array of them, and by how much it is probably wrong (absolutely).

    `tried` are the steps that led to it, `note` is what a reader should know of them.
    """

    value: Any
    error: Any
    oracle: str
    tried: tuple[Trial, ...] = ()
    note: str = ""


def random_direction(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A direction with entries of either sign and sizes between 0.5 and 1.5: none so small that it hides an error."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)


def digits(error: Any, scale: Any) -> float:
    """How many decimal digits are right where `error` is off and `scale` is the size: 0 to 15.65, float64's all.

    >>> digits(0.001, 1.0)
    3.0
    """
    if error == 0 or not np.isfinite(error):
        return 0.0 if error else -math.log10(EPS)
    return float(np.clip(math.log10(max(scale, 1e-300)) - math.log10(max(error, 1e-300)), 0.0, -math.log10(EPS))) + 0.0


def number(x: Any) -> Any:
    """An array of one entry and no axes as a Python float; other arrays as they are."""
    return float(x) if np.ndim(x) == 0 else x
