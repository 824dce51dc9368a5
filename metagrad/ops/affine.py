"""A bilinear product and an offset in one pass: what a layer with a bias computes, and the gradient of both.

The two primitives are each other's derivatives, so a gradient of a gradient has one operation where the layer had one.
"""

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
from .reductions import Sum
from .shape import all_mapped, broadcast_to, reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value
    from .bilinear import Bilinear


@dataclass(frozen=True, eq=False, repr=False)
class _WithOffset(Primitive):
    """A product and an offset that has those axes of it that `axes` names, in order."""

    analytic = True
    uses_output = False
    product: Bilinear
    axes: tuple[int, ...]

    @functools.cached_property
    def ndim(self) -> int:
        """Of the product: the offset always has the last axis."""
        return max(self.axes) + 1

    def spread(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The offset's shape with ones for the axes that it lacks."""
        size = dict(zip(self.axes, shape, strict=True))
        return tuple([size.get(k, 1) for k in range(self.ndim)])

    @functools.cached_property
    def places(self) -> tuple[Any, ...]:
        """The index that gives an offset of plain numbers those ones."""
        return tuple([slice(None) if k in self.axes else None for k in range(self.ndim)])

    @functools.cached_property
    def sum(self) -> Sum:
        """What an offset's cotangent is of the product's."""
        return Sum(tuple([k for k in range(self.ndim) if k not in self.axes]), False)


class Affine(_WithOffset):
    """x y + offset."""

    @functools.cached_property
    def pullback(self) -> AffinePullback:
        """What gives the cotangents of y and of the offset."""
        return AffinePullback(self.product, self.axes)

    def forward(self, x: Any, y: Any, offset: Any) -> Any:
        return self.product.forward(x, y, offset[self.places])

    def abstract(self, x: Any, y: Any, offset: Any) -> Aval:
        product = self.product.abstract(x, y)
        wanted = tuple([product.shape[k] for k in self.axes])
        if tuple(offset.shape) != wanted:
            raise ShapeError(requires("affine", f"an offset of shape {wanted}", f"shape {offset.shape}"))
        return Aval(product.shape, np.result_type(product.dtype, offset.dtype), product.device)

    def flops(self, output: Any, *inputs: Any) -> int:
        shape: tuple[int, ...] = output.shape
        return self.product.flops(output, *inputs[:2]) + math.prod(shape)

    def vjp_all(
        self, needed: Sequence[bool], cotangent: Value, output: Value, x: Value, y: Value, offset: Value
    ) -> list[Value]:
        of_x = self.product.vjp(0, cotangent, output, x, y) if needed[0] else None
        if needed[1] and needed[2]:
            return [of_x, *self.pullback.bind(x, cotangent)]
        of_y = self.product.vjp(1, cotangent, output, x, y) if needed[1] else None
        return [of_x, of_y, self.sum.bind(cotangent) if needed[2] else None]

    def jvp_all(self, tangents: list[Value], output: Value, x: Value, y: Value, offset: Value) -> Value:
        dx, dy, d = tangents
        total = None if dx is None else self.product.bind(dx, y)
        if dy is not None:
            total = add_cotangents(total, self.product.bind(x, dy))
        if d is None:
            return total
        spread = reshape(d, self.spread(shape_of(d)))
        return broadcast_to(spread, output.shape) if total is None else add_cotangents(total, spread)

    def batch(self, batched: tuple[bool, ...], x: Value, y: Value, offset: Value) -> Value:
        if not (batched[0] or batched[1]):  # one product for all elements: nothing of it is mapped
            shape = shape_of(offset)
            spread = reshape(offset, (shape[0], *self.spread(shape[1:])))
            return add_cotangents(self.product.bind(x, y), spread)
        return _batched(self, batched).bind(x, y, offset)


class AffinePullback(_WithOffset):
    """The cotangents of y and of the offset in `Affine`, for x and the cotangent g of its output."""

    @functools.cached_property
    def layer(self) -> Affine:
        """Its transpose."""
        return Affine(self.product, self.axes)

    def forward(self, x: Any, g: Any) -> Any:
        return self.product.of_second.forward(x, g), self.sum.forward(g)

    def abstract(self, x: Any, g: Any) -> tuple[Aval, Aval]:
        return self.product.of_second.abstract(x, g), self.sum.abstract(g)

    def flops(self, output: Any, *inputs: Any) -> int:
        return self.product.of_second.flops(output[0], *inputs) + self.sum.flops(output[1], inputs[1])

    def vjp_all(self, needed: Sequence[bool], cotangent: Any, output: Any, x: Value, g: Value) -> list[Value]:
        y, offset = cotangent
        of_x = self.product.vjp(0, g, None, x, y) if needed[0] and y is not None else None
        if not needed[1]:
            return [of_x, None]
        if y is not None and offset is not None:
            return [of_x, self.layer.bind(x, y, offset)]
        return [of_x, self.product.bind(x, y) if offset is None else self.sum.vjp(0, offset, None, g)]

    def jvp_all(self, tangents: list[Value], output: Any, x: Value, g: Value) -> Any:
        dx, dg = tangents
        of_y, of_offset = (None, None) if dg is None else self.bind(x, dg)
        if dx is not None:
            of_y = add_cotangents(of_y, self.product.of_second.bind(dx, g))
        return of_y, of_offset

    def batch(self, batched: tuple[bool, ...], x: Value, g: Value) -> Any:
        if not batched[1]:
            _, g = all_mapped(batched, (x, g))
        mapped = _batched(self, (batched[0], True, True))
        return mapped.bind(x, g)


@functools.lru_cache(4096)
def _batched(primitive: _WithOffset, batched: tuple[bool, ...]) -> _WithOffset:
    """With a mapped axis in front of the product, and of those of x, y and the offset that have it."""
    axes = tuple([k + 1 for k in primitive.axes])
    return type(primitive)(primitive.product.batched(batched[:2]), (0, *axes) if batched[2] else axes)


def affine(x: Value, w: Value, offset: Value) -> Value:
    """x w + offset for x (..., k), w (k, m) and offset (m,)."""
    return _layer(len(shape_of(x))).bind(x, w, offset)


@functools.lru_cache(64)
def _layer(ndim: int) -> Affine:
    """For inputs of so many axes."""
    lead = LETTERS[: ndim - 1]
    return Affine(Contract(lead + "Z", "ZY", lead + "Y"), (len(lead),))
