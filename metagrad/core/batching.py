"""Batching: a trace that runs each operation for all elements of a mapped axis at once. The mapped axis is axis 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .primitive import as_value
from .trace import Trace, Tracer, Value

if TYPE_CHECKING:
    from .primitive import Primitive


class BatchTracer(Tracer):
    """One element, to the function that is mapped; `_value` holds all of them along axis 0."""

    __slots__ = ()

    def __init__(self, trace: BatchTrace, value: Value) -> None:
        self.trace = trace
        self._value = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape[1:]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype}, traced by {self.trace.transform})"


class BatchTrace(Trace):
    """Hands every operation to its batching rule."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        super().__init__("vmap")
        self.size = size

    def lower(self, x: Value) -> tuple[Value, bool]:
        """The value one level down, and whether axis 0 of it is the mapped one."""
        if type(x) is BatchTracer and x.trace is self:
            return x._value, True
        return x, False

    def process(self, primitive: Primitive, inputs: tuple[Value, ...]) -> Any:
        if not self.alive:
            raise self.escaped(primitive)
        values = []
        batched = []
        for x in inputs:
            if type(x) is BatchTracer and x.trace is self:
                values.append(x._value)
                batched.append(True)
            else:
                values.append(x)
                batched.append(False)
        output = primitive.batch(tuple(batched), *values)
        if type(output) is tuple:
            return tuple([BatchTracer(self, as_value(o)) for o in output])
        return BatchTracer(self, as_value(output))
