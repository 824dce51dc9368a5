"""How the matrices of an operand lie in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..launch import namespace


class Operand(NamedTuple):
    """Matrices that are stored by rows.

    Attributes:
        array: C-contiguous, (a, rows, columns), or (1, rows, columns) where all are one.
        transposed: whether the operand's matrices are the transposes of the stored ones.
        stride: numbers from one matrix to the next.
    """

    array: Any
    transposed: bool
    stride: int


def operand(x: Any) -> Operand:
    """An array (a, n, k) as such; copied only where it cannot be read as it lies."""
    if x.strides[0] == 0:
        x = x[:1]
    turned = x.swapaxes(1, 2)
    transposed = turned.flags.c_contiguous and not x.flags.c_contiguous
    array = turned if transposed else namespace(x).ascontiguousarray(x)
    return Operand(array, transposed, array.shape[1] * array.shape[2] if len(array) > 1 else 0)
