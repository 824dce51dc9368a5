"""What a fused primitive is: a kernel that does at once what a composite of primitives says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ..core.forward import ForwardTrace, ForwardTracer
from ..core.primitive import Primitive
from ..core.provenance import context, once_more
from ..core.reverse import ReverseTrace, pull_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value


class Fused(Primitive):
    """Its rules differentiate `composite`, so they are right at every order, whatever the kernel keeps to itself."""

    name: ClassVar[str] = "fused"
    uses_output = False

    def composite(self, *inputs: Value) -> Any:
        """The outputs of `forward`, written with primitives."""
        raise self._missing("composite")

    def vjp_all(self, needed: Sequence[bool], cotangent: Any, output: Any, *inputs: Value) -> list[Value]:
        trace = ReverseTrace(self.name)
        with trace.running(), once_more():
            sources = [trace.source(x) if need else x for x, need in zip(inputs, needed, strict=True)]
            outputs = self.composite(*sources)
        several = type(outputs) is tuple
        pairs = zip(outputs, cotangent, strict=True) if several else [(outputs, cotangent)]
        ends = [(trace.lower(o)[1], c) for o, c in pairs if c is not None]
        moved = [s.node for s, need in zip(sources, needed, strict=True) if need]
        found = iter(pull_back(ends, moved, context.derivation))
        return [next(found) if need else None for need in needed]

    def jvp_all(self, tangents: list[Value], output: Any, *inputs: Value) -> Any:
        trace = ForwardTrace(self.name, context.derivation)
        with trace.running(), once_more():
            moved = [x if t is None else ForwardTracer(trace, x, t) for x, t in zip(inputs, tangents, strict=True)]
            outputs = self.composite(*moved)
        if type(outputs) is tuple:
            return tuple([trace.lower(o)[1] for o in outputs])
        return trace.lower(outputs)[1]
