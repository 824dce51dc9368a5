"""A bilinear product and an offset in one pass: what a layer with a bias computes."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.primitive import Aval, Primitive, add_cotangents
from ..errors import ShapeError, requires
from .contraction import LETTERS, Contract
from .elementwise import shape_of
from .reductions import sum as sum_
from .shape import broadcast_to, reshape

if TYPE_CHECKING:
    from ..core.trace import Value
    from .bilinear import Bilinear


@dataclass(frozen=True, eq=False, repr=False)
class Affine(Primitive):
    """The product plus an offset that has those axes of it that `axes` names, in order."""

    analytic = True
    uses_output = False
    product: Bilinear
    axes: tuple[int, ...]

    def _spread(self, shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
        """The offset's shape with ones for the axes that it lacks."""
        size = dict(zip(self.axes, shape, strict=True))
        return tuple([size.get(k, 1) for k in range(ndim)])

    @functools.cached_property
    def _ndim(self) -> int:
        return max(self.axes) + 1  # the offset always has the last axis

    def forward(self, x: Any, y: Any, offset: Any) -> Any:
        return self.product.forward(x, y, offset.reshape(self._spread(offset.shape, self._ndim)))

    def abstract(self, x: Any, y: Any, offset: Any) -> Aval:
        product = self.product.abstract(x, y)
        wanted = tuple([product.shape[k] for k in self.axes])
        if tuple(offset.shape) != wanted:
            raise ShapeError(requires("affine", f"an offset of shape {wanted}", f"shape {offset.shape}"))
        return Aval(product.shape, np.result_type(product.dtype, offset.dtype), product.device)

    def flops(self, output: Any, *inputs: Any) -> int:
        shape: tuple[int, ...] = output.shape
        return self.product.flops(output, *inputs[:2]) + math.prod(shape)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value, y: Value, offset: Value) -> Value:
        if i < 2:
            return self.product.vjp(i, cotangent, output, x, y)
        return sum_(cotangent, axis=tuple([k for k in range(self._ndim) if k not in self.axes]))

    def jvp_all(self, tangents: list[Value], output: Value, x: Value, y: Value, offset: Value) -> Value:
        dx, dy, d = tangents
        total = None if dx is None else self.product.bind(dx, y)
        if dy is not None:
            total = add_cotangents(total, self.product.bind(x, dy))
        if d is None:
            return total
        spread = reshape(d, self._spread(shape_of(d), self._ndim))
        return broadcast_to(spread, output.shape) if total is None else add_cotangents(total, spread)

    def batch(self, batched: tuple[bool, ...], x: Value, y: Value, offset: Value) -> Value:
        if not (batched[0] or batched[1]):  # one product for all elements: nothing of it is mapped
            shape = shape_of(offset)
            spread = reshape(offset, (shape[0], *self._spread(shape[1:], self._ndim)))
            return add_cotangents(self.product.bind(x, y), spread)
        return _batched(self, batched).bind(x, y, offset)


@functools.lru_cache(4096)
def _batched(affine: Affine, batched: tuple[bool, ...]) -> Affine:
    axes = tuple([k + 1 for k in affine.axes])
    return Affine(affine.product.batched(batched[:2]), (0, *axes) if batched[2] else axes)


def affine(x: Value, w: Value, offset: Value) -> Value:
    """x w + offset for x (..., k), w (k, m) and offset (m,)."""
    lead = LETTERS[: len(shape_of(x)) - 1]
    return Affine(Contract(lead + "Z", "ZY", lead + "Y"), (len(lead),)).bind(x, w, offset)
