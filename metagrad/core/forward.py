"""Forward mode: a trace that carries a tangent beside every value. No tangent means zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import provenance
from .primitive import as_value, handed
from .provenance import Derivation, derivative_of, origin_of
from .trace import Trace, Tracer, Value

if TYPE_CHECKING:
    from .primitive import Primitive


class ForwardTracer(Tracer):
    """A value, `_value`, and its tangent."""

    __slots__ = ("tangent",)

    def __init__(self, trace: ForwardTrace, value: Value, tangent: Value) -> None:
        self.trace = trace
        self._value = value
        self.tangent = tangent

    def __repr__(self) -> str:
        return f"Tensor({self._value!r}, traced by {self.trace.transform})"


class ForwardTrace(Trace):
    """Runs every operation one level down, and its JVP rule beside it; `part_of` another derivation, or by itself."""

    __slots__ = ("derivation",)

    def __init__(self, transform: str, part_of: Derivation | None = None) -> None:
        super().__init__(transform)
        self.derivation = part_of or Derivation("tangent")

    def lower(self, x: Value) -> tuple[Value, Value]:
        """The value one level down and its tangent, None where this trace did not watch it."""
        if type(x) is ForwardTracer and x.trace is self:
            return x._value, x.tangent
        return x, None

    def process(self, primitive: Primitive, inputs: tuple[Value, ...]) -> Any:
        if not self.alive:
            raise self.escaped(primitive)
        values, tangents = zip(*[self.lower(x) for x in inputs], strict=True)
        output = primitive.bind(*values)
        if not primitive.differentiable:
            return output
        origin = origin_of(primitive, output) if provenance.noting else None
        if origin is None:
            return self._pushed(primitive.jvp_all(list(tangents), output, *values), output)
        with derivative_of(origin, self.derivation):
            return self._pushed(primitive.jvp_all(list(tangents), output, *values), output)

    def _pushed(self, tangent: Any, output: Any) -> Any:
        """The output with its tangent, which is narrower where only inputs of a narrower dtype move."""
        if tangent is None:
            return output
        if type(output) is tuple:
            return tuple([self._pushed(t, o) for t, o in zip(tangent, output, strict=True)])
        found = as_value(tangent)
        if found.dtype is not output.dtype and found.dtype != output.dtype:
            found = handed.astype(found, output.dtype)
        return ForwardTracer(self, output, found)
