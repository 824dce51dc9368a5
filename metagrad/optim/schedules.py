"""Learning-rate schedules: functions of the step, which counts from 0.

For a Python integer they give a float; for a traced step, a traced value. `metagrad.optim` exports them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.tensor import public
from ..errors import OptionError, requires
from ..ops.arithmetic import add, astype, divide, minimum, multiply, pow, subtract, where
from ..ops.dtypes import weak
from ..ops.exponential import cos
from ..ops.predicates import floor, greater_equal

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value

Schedule = Any
"""A function of the step."""


def _schedule(formula: Callable[[Value], Value]) -> Schedule:
    boundary = public(formula)

    def at(step: Any) -> Any:
        return float(boundary(step)) if isinstance(step, int | np.integer) else boundary(step)

    return at


def _steps(name: str, what: str, n: int) -> int:
    n = weak(n)
    if not isinstance(n, int) or n < 1:
        raise OptionError(requires(name, f"a positive integer as {what}", repr(n)))
    return n


def constant(value: float) -> Schedule:
    """Always `value`.

    >>> from metagrad.optim import constant
    >>> constant(0.1)(7)
    0.1
    """
    return lambda step: value


def exponential_decay(init_value: float, decay_rate: float, decay_steps: int = 1, staircase: bool = False) -> Schedule:
    """init_value decay_rate^(step / decay_steps); with `staircase`, the exponent is rounded down.

    Raises OptionError for a number of steps that is no positive integer.

    >>> from metagrad.optim import exponential_decay
    >>> exponential_decay(1.0, 0.5, decay_steps=10)(20)
    0.25
    """
    decay_steps = _steps("exponential_decay", "decay_steps", decay_steps)

    def formula(step: Value) -> Value:
        exponent = divide(step, decay_steps)
        return multiply(pow(decay_rate, floor(exponent) if staircase else exponent), init_value)

    return _schedule(formula)


def cosine_decay(init_value: float, decay_steps: int, final_value: float = 0.0) -> Schedule:
    """Half a cosine from init_value down to final_value at `decay_steps`, then constant (Loshchilov and Hutter 2017).

    Raises OptionError for a number of steps that is no positive integer.

    >>> from metagrad.optim import cosine_decay
    >>> cosine_decay(1.0, 10)(5), cosine_decay(1.0, 10)(99)
    (0.5, 0.0)
    """
    decay_steps = _steps("cosine_decay", "decay_steps", decay_steps)

    def formula(step: Value) -> Value:
        angle = multiply(divide(minimum(step, decay_steps), decay_steps), math.pi)
        return add(multiply(add(cos(angle), 1), (init_value - final_value) / 2), final_value)

    return _schedule(formula)


def linear_warmup(peak_value: float, warmup_steps: int, after: Schedule = None) -> Schedule:
    """From 0 in a line to peak_value at `warmup_steps`, then constant; or then `after`, counted from there.

    Raises OptionError for a number of steps that is no positive integer.

    >>> from metagrad.optim import linear_warmup
    >>> linear_warmup(1.0, 4)(1), linear_warmup(1.0, 4)(9)
    (0.25, 1.0)
    """
    warmup_steps = _steps("linear_warmup", "warmup_steps", warmup_steps)
    later = public(after) if after is not None else None

    def formula(step: Value) -> Value:
        rising = multiply(divide(minimum(step, warmup_steps), warmup_steps), peak_value)
        if later is None:
            return rising
        return where(greater_equal(step, warmup_steps), later(subtract(step, warmup_steps)), rising)

    return _schedule(formula)


def piecewise_constant(boundaries: list[int], values: list[float]) -> Schedule:
    """values[k] from step boundaries[k - 1] on; one more value than boundaries.

    Raises OptionError for boundaries that do not rise, and for another number of values.

    >>> from metagrad.optim import piecewise_constant
    >>> [piecewise_constant([2, 4], [1.0, 0.1, 0.01])(step) for step in (0, 2, 5)]
    [1.0, 0.1, 0.01]
    """
    if len(values) != len(boundaries) + 1 or list(boundaries) != sorted(set(boundaries)):
        got = f"{list(boundaries)} and {list(values)}"
        raise OptionError(requires("piecewise_constant", "rising boundaries and one more value", got))

    def formula(step: Value) -> Value:
        found: Value = values[0]
        for start, value in zip(boundaries, values[1:], strict=True):
            found = where(greater_equal(step, start), value, found)
        return astype(found, float)

    return _schedule(formula)
