"""What a caller may ask of a check."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, requires

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def require_whole(check: str, what: str, n: Any, least: int) -> None:
    """Raise OptionError for what is no whole number of at least that."""
    if not isinstance(n, Integral) or isinstance(n, bool) or n < least:
        raise OptionError(requires(check, f"{what} of at least {least}", repr(n)))


def _is_real(x: Any) -> bool:
    return isinstance(x, Real)


def require_numbers(
    check: str,
    *,
    rtol: Any = 0.0,
    min_digits: Any = 0.0,
    step: Any = None,
    seed: Any = 0,
    redraws: Any = 0,
) -> None:
    """Raise OptionError for tolerances below zero, more digits than there are, and steps that do not move."""
    if not _is_real(rtol) or not 0 <= rtol < math.inf:
        raise OptionError(requires(check, "rtol of at least 0", repr(rtol)))
    if not _is_real(min_digits) or not 0 <= min_digits <= 15:
        raise OptionError(requires(check, "min_digits from 0 to 15", repr(min_digits)))
    if step is not None and not (_is_real(step) and 0 < step < math.inf):
        raise OptionError(requires(check, "a step above 0", repr(step)))
    require_whole(check, "a seed", seed, 0)
    require_whole(check, "redraws", redraws, 0)


def chosen_modes(check: str, modes: Sequence[str] | None, default: Sequence[str], known: Collection[str]) -> list[str]:
    """The modes asked for, or the default; raises OptionError for those that are not known."""
    if modes is None:
        return list(default)
    if isinstance(modes, str) or not modes or not set(modes) <= set(known):
        need = f"modes among {', '.join(known)}, in a tuple such as {(next(iter(known)),)},"
        raise OptionError(requires(check, need, repr(modes)))
    return list(modes)
