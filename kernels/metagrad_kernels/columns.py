"""Sums along the columns of stacks of matrices (a, r, b), shared by the kernels that take them.

A unit of work is one a, and all its columns or some. Inner loops run along a row, over views of it: that is what LLVM
vectorises.
"""

from __future__ import annotations

from typing import Any

from numba.extending import register_jitable

from . import threads

BLOCK = 64
"""Rows that are summed in the arrays' own type before the sum goes to float64."""

LINE = 64
"""Bytes of a cache line: two threads should not write to one."""


def width(a: int, b: int, itemsize: int) -> int:
    """Columns of a unit: all, or fewer where there are fewer a than threads."""
    return max(b, 1) if a >= threads.threads else max(-(-b // threads.threads), LINE // itemsize)


# Compiled.


@register_jitable
def columns(unit: int, b: int, wide: int) -> tuple[int, int, int]:
    """Which a, and which columns [first, last), a unit stands for."""
    parts = -(-b // wide)
    first = unit % parts * wide
    return unit // parts, first, min(first + wide, b)


@register_jitable
def flush(sums: Any, totals: Any) -> None:
    """Move the sums of a block to the totals."""
    for j in range(len(sums)):
        totals[j] += sums[j]
        sums[j] = 0
