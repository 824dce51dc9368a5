"""What a caller may ask of a check."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, requires

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def require_order(check: str, order: Any) -> None:
    """Raise OptionError for an order that is no whole number of at least 1."""
    if not isinstance(order, int) or isinstance(order, bool) or order < 1:
        raise OptionError(requires(check, "an order of at least 1", repr(order)))


def require_numbers(check: str, *, rtol: float = 0.0, min_digits: float = 0.0, step: float | None = None) -> None:
    """Raise OptionError for tolerances below zero, more digits than there are, and steps that do not move."""
    if not 0 <= rtol < math.inf:
        raise OptionError(requires(check, "rtol of at least 0", repr(rtol)))
    if not 0 <= min_digits <= 15:
        raise OptionError(requires(check, "min_digits from 0 to 15", repr(min_digits)))
    if step is not None and not 0 < step < math.inf:
        raise OptionError(requires(check, "a step above 0", repr(step)))


def chosen_modes(check: str, modes: Sequence[str] | None, default: Sequence[str], known: Collection[str]) -> list[str]:
    """The modes asked for, or the default; raises OptionError for those that are not known."""
    if modes is None:
        return list(default)
    if isinstance(modes, str) or not modes or not set(modes) <= set(known):
        need = f"modes among {', '.join(known)}, in a tuple such as {(next(iter(known)),)},"
        raise OptionError(requires(check, need, repr(modes)))
    return list(modes)
