"""Dropout by key."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, requires
from .arithmetic import divide, where
from .elementwise import shape_of
from .predicates import greater_equal
from .random import bits


def dropout_rate(name: str, rate: Any) -> float:
    """A rate as a number; raises OptionError outside [0, 1)."""
    if not isinstance(rate, int | float | np.floating | np.integer) or not 0 <= rate < 1:
        raise OptionError(requires(name, "a rate from 0 to below 1", repr(rate)))
    return float(rate)


def dropout(x: Any, /, rate: float, key: Any, *, deterministic: bool = False) -> Any:
    """Each element is 0 with probability `rate`, else divided by 1 - rate: the mean stays x (Srivastava et al. 2014).

    What is dropped depends on the key and on the shape alone, so it is the same under checkpoint and in a replay. Under
    vmap, a key that is not mapped drops the same of each element: split it and map over the keys. With `deterministic`,
    or at rate 0, it gives x, and no key is needed.

    Raises OptionError for a rate outside [0, 1), DTypeError unless x is floating-point and the key a key.

    >>> import metagrad as mg
    >>> mg.nn.dropout(mg.ones(6), 0.5, mg.random.key(0))
    Tensor([0., 2., 2., 2., 2., 0.], dtype=float64)
    """
    rate = dropout_rate("dropout", rate)
    if getattr(x, "dtype", np.dtype(type(x))).kind != "f":
        raise DTypeError(requires("dropout", "floating-point numbers", getattr(x, "dtype", type(x).__name__)))
    if deterministic or rate == 0:
        return x
    if key is None:
        raise DTypeError(requires("dropout", "a key, unless deterministic", "None"))
    kept = greater_equal(bits(key, shape_of(x)), np.uint32(rate * 2**32))
    return where(kept, divide(x, 1 - rate), 0.0)
