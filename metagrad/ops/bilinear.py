"""What is common to products: linear in each of two operands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..core.primitive import Primitive

if TYPE_CHECKING:
    from ..core.trace import Value


class Bilinear(Primitive):
    """A product of two operands. Its leading axes have names, so that one more is only another member of the family."""

    analytic = True
    uses_output = False

    def forward(self, x: Any, y: Any, start: Any = None) -> Any:
        """The product; added to `start`, an array that broadcasts to it, if there is one."""
        raise self._missing("forward")

    @property
    def of_second(self) -> Bilinear:
        """The product of the first operand and a cotangent that is the second's cotangent."""
        raise self._missing("of_second")

    def batched(self, which: tuple[bool, ...]) -> Self:
        """The member with one more axis, the first, of these operands and of the result."""
        raise self._missing("batched")

    def jvp(self, i: int, tangent: Value, output: Any, *operands: Value) -> Value:
        return self.bind(tangent, operands[1]) if i == 0 else self.bind(operands[0], tangent)

    def batch(self, batched: tuple[bool, ...], *operands: Value) -> Value:
        return self.batched(batched).bind(*operands)


def added(total: Any, start: Any) -> Any:
    """total + start, in the memory of `total` where it has the type for it."""
    fits = start.dtype is total.dtype or np.result_type(total, start) == total.dtype
    return np.add(total, start, out=total if fits else None)
