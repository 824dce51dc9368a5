"""How exact the products of float32 are on a GPU: as float32, or as its tensor cores take them.

TF32 keeps the 8 bits of float32's exponent and 10 of the 23 of its fraction: factors are rounded to it, sums are not.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PRECISIONS = ("float32", "tf32")

_current: ContextVar[str] = ContextVar("precision", default="float32")


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Inside, products of float32 matrices and convolutions on a GPU are taken in "float32" or in "tf32".

    On the CPU, and of float64, they are what they are. Raises ValueError for another name.

    >>> import metagrad as mg
    >>> with mg.precision("tf32"):
    ...     mg.ones((2, 3)) @ mg.ones((3, 1))
    Tensor([[3.],
            [3.]], dtype=float64)
    """
    token = _current.set(chosen("precision", name))
    try:
        yield
    finally:
        _current.reset(token)


def chosen(operation: str, name: str | None) -> str:
    """A precision, where None is the one that is set; raises ValueError for a name that is none."""
    if name is None:
        return _current.get()
    if name not in PRECISIONS:
        raise ValueError(f"[{operation}] requires a precision 'float32' or 'tf32' but got {name!r}")
    return name
