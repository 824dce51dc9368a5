"""The geometry of windows that slide over images: settings made uniform, and sizes of what comes out.

Images have a size (h, w); a window covers `window` places, `dilation` apart, and moves by `stride`. With padding
(before, after), an axis of n places gives

    floor((n + before + after - ((window - 1) dilation + 1)) / stride) + 1

places. "SAME" is that of TensorFlow and JAX: ceil(n / stride) places, by as little padding as this takes, of which the
smaller half comes first. So an even window, at stride 1, has its one extra place after.
"""

from __future__ import annotations

from operator import index as as_index
from typing import Any

from ..errors import OptionError, requires

Pair = tuple[int, int]
"""A number for the vertical and one for the horizontal axis."""

PairOfPairs = tuple[Pair, Pair]
"""((top, bottom), (left, right))."""


def pair(name: str, what: str, value: Any) -> Pair:
    """A positive integer for both axes, or one for each. `name` and `what` are the operation's and the setting's.

    >>> pair("conv2d", "stride", 2)
    (2, 2)

    Raises OptionError for anything else.
    """
    try:
        first, second = value if isinstance(value, tuple | list) else (value, value)
        found = as_index(first), as_index(second)
    except (TypeError, ValueError):
        found = (0, 0)
    if min(found) < 1:
        raise OptionError(requires(name, f"a positive integer or two for the {what}", repr(value)))
    return found


def positive(name: str, what: str, value: Any) -> int:
    """A positive integer of any type.

    Raises OptionError for anything else.
    """
    try:
        found = as_index(value)
    except TypeError:
        found = 0
    if found < 1:
        raise OptionError(requires(name, f"a positive integer for the {what}", repr(value)))
    return found


def padding_pairs(
    name: str, padding: Any, size: Pair, window: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> PairOfPairs:
    """((top, bottom), (left, right)) for "SAME", for "VALID" (none), or for such pairs.

    >>> padding_pairs("conv2d", "SAME", size=(28, 28), window=(3, 2), stride=(1, 1))
    ((1, 1), (0, 1))

    Raises OptionError for another name, another structure, and negative numbers.
    """
    if isinstance(padding, str):
        if padding == "VALID":
            return (0, 0), (0, 0)
        if padding == "SAME":
            vertical, horizontal = map(_same, size, window, stride, dilation)
            return vertical, horizontal
    else:
        try:
            (top, bottom), (left, right) = padding
            pairs = (as_index(top), as_index(bottom)), (as_index(left), as_index(right))
        except (TypeError, ValueError):
            pass
        else:
            if min(map(min, pairs)) >= 0:
                return pairs
    need = 'padding "SAME", "VALID" or ((top, bottom), (left, right)) of integers from 0'
    raise OptionError(requires(name, need, repr(padding)))


def _same(n: int, window: int, stride: int, dilation: int) -> Pair:
    total = max((-(-n // stride) - 1) * stride + _extent(window, dilation) - n, 0)
    return total // 2, total - total // 2


def _extent(window: int, dilation: int) -> int:
    """From the first place of a window to the last, both counted."""
    return (window - 1) * dilation + 1


def output_size(size: Pair, window: Pair, stride: Pair, padding: PairOfPairs, dilation: Pair = (1, 1)) -> Pair:
    """How many windows fit along each axis; 0 where the padded image is smaller than one.

    >>> output_size((28, 28), window=(3, 3), stride=(2, 2), padding=((0, 0), (0, 0)))
    (13, 13)
    """
    vertical, horizontal = map(_fitting, size, window, stride, padding, dilation)
    return vertical, horizontal


def _fitting(n: int, window: int, stride: int, padding: Pair, dilation: int) -> int:
    return max((n + sum(padding) - _extent(window, dilation)) // stride + 1, 0)
