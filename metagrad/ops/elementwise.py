"""What all elementwise primitives share: broadcasting, batching, and one derivative rule for both modes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.primitive import Aval, Primitive, handed, not_an_array
from ..errors import DeviceError, DTypeError, ShapeError, requires

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value


def shape_of(x: Value) -> tuple[int, ...]:
    """The shape of a value or of an `Aval`; () for a Python scalar. Raises DTypeError for what is no array."""
    try:
        return x.shape  # type: ignore[no-any-return]
    except AttributeError:
        if not isinstance(x, int | float):
            raise DTypeError(requires("array", "an array or a number", not_an_array(x))) from None
        return ()


def common_shape(name: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that shapes broadcast to; raises ShapeError."""
    longest = max(shapes, key=len)
    if all(shape == longest or not shape for shape in shapes):
        return longest
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ShapeError(requires(name, "shapes that broadcast to one", listed)) from None


def common_device(name: str, inputs: tuple[Any, ...]) -> str:
    """The one device of the inputs; raises DeviceError where there are two.

    An array without axes on the CPU is a number, which goes with arrays anywhere.
    """
    devices = {x.device for x in inputs if isinstance(x, Aval) and (x.shape or x.device != "cpu")}
    if len(devices) > 1:
        raise DeviceError(requires(name, "arrays of one device", " and ".join(sorted(devices))))
    return devices.pop() if devices else "cpu"


def unbroadcast(g: Value, x: Value) -> Value:
    """The sum of `g` over the axes along which `x` was broadcast: the transpose of broadcasting."""
    shape = shape_of(x)
    given = g.shape
    if given == shape:
        return g
    lead = len(given) - len(shape)
    stretched = tuple([lead + k for k, n in enumerate(shape) if n == 1 and given[lead + k] != 1])
    if not lead:
        return handed.sum(g, axis=stretched, keepdims=True)
    reduced = handed.sum(g, axis=(*range(lead), *stretched))
    return reduced if reduced.shape == shape else handed.reshape(reduced, shape)


class Elementwise(Primitive):
    """output[i] = f(inputs[i]), with broadcasting.

    The Jacobian is diagonal, so one rule serves both modes: `times(i, d, output, *inputs)` is d times the partial
    derivative for input i, where d is a cotangent of the output or a tangent of the input.
    """

    name: ClassVar[str] = "elementwise"

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        raise self._missing("times")

    def vjp(self, i: int, cotangent: Value, output: Value, *inputs: Value) -> Value:
        product = self.times(i, cotangent, output, *inputs)
        return product if product is None or product.shape == inputs[i].shape else unbroadcast(product, inputs[i])

    def jvp(self, i: int, tangent: Value, output: Value, *inputs: Value) -> Value:
        return self.times(i, tangent, output, *inputs)

    def jvp_all(self, tangents: list[Value], output: Value, *inputs: Value) -> Value:
        total = super().jvp_all(tangents, output, *inputs)
        if total is None or total.shape == output.shape:
            return total
        return handed.broadcast_to(total, output.shape)

    def abstract(self, *inputs: Any) -> Aval:
        device = common_device(self.name, inputs)
        shape = common_shape(self.name, [shape_of(x) for x in inputs])
        kinds = tuple([x.dtype if isinstance(x, Aval) else type(x) for x in inputs])
        dtype = _dtype_of_result(self, kinds)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            for x in inputs:
                if type(x) is int and not limits.min <= x <= limits.max:
                    raise DTypeError(requires(self.name, f"numbers within {dtype}", x))
        return Aval(shape, dtype, device)

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Value:
        return self.bind(*(inputs if len(inputs) == 1 else align(batched, inputs)))


def align(batched: tuple[bool, ...], inputs: tuple[Value, ...]) -> Sequence[Value]:
    """Batched inputs with axes of size 1 after the mapped one, so that broadcasting from the right keeps it in
    front."""
    ranks = [len(getattr(x, "shape", ())) - b for x, b in zip(inputs, batched, strict=True)]
    rank = max(ranks)
    if min(ranks) == rank:
        return inputs
    return [
        handed.reshape(x, (x.shape[0], *(1,) * (rank - r), *x.shape[1:])) if b and r < rank else x
        for x, b, r in zip(inputs, batched, ranks, strict=True)
    ]


@functools.lru_cache(4096)
def _dtype_of_result(primitive: Elementwise, kinds: tuple[Any, ...]) -> Any:
    """The dtype that NumPy gives for inputs of such dtypes or Python types, found by asking it."""
    ones = [np.ones((), kind) if isinstance(kind, np.dtype) else kind(1) for kind in kinds]
    try:
        with np.errstate(all="ignore"):
            return np.asarray(primitive.forward(*ones)).dtype
    except TypeError:
        listed = " and ".join([kind.name if isinstance(kind, np.dtype) else kind.__name__ for kind in kinds])
        raise DTypeError(requires(primitive.name, "dtypes for which it is defined", listed)) from None


class Predicate(Elementwise):
    """An elementwise function that is constant wherever it is smooth: it leaves every derivative."""

    differentiable = False


class UnaryByOutput(Elementwise):
    """An elementwise function whose derivative is written with the output only."""

    uses_inputs = False


class UnaryByInput(Elementwise):
    """An elementwise function whose derivative is written with the inputs only."""

    uses_output = False
