"""Reverse mode: a trace that remembers, and the walk back over what it remembered.

A `Node` holds what one operation's derivative needs, as values one level down. The walk runs the primitives' VJP rules
on those, at the lower level, so an outer transform sees the walk as ordinary operations: a gradient can be
differentiated again without asking for it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from sys import getrefcount
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..errors import ShapeError, requires
from . import provenance
from .primitive import Aval, handed
from .provenance import Derivation, derivative_of, origin_of
from .tensor import Tensor
from .trace import Trace, Tracer, Value

if TYPE_CHECKING:
    from .primitive import Primitive


class Node:
    """One operation that was recorded. `parents[i]` made input i; None where that input needs no derivative."""

    __slots__ = ("inputs", "origin", "output", "parents", "rule", "serial")

    def __init__(
        self,
        serial: int,
        rule: Any,
        inputs: list[Value],
        output: Any,
        parents: list[Node | Slot | None],
        origin: Any,
    ) -> None:
        self.serial = serial
        self.rule = rule
        self.inputs = inputs
        self.output = output
        self.parents = parents
        self.origin = origin


@final
class Slot:
    """Output k of an operation that has several."""

    __slots__ = ("k", "node")

    def __init__(self, node: Node, k: int) -> None:
        self.node = node
        self.k = k


class ReverseTracer(Tracer):
    """A value with the node that made it, or the node's slot."""

    __slots__ = ("node",)

    def __init__(self, trace: ReverseTrace, value: Value, node: Any) -> None:
        self.trace = trace
        self._value = value
        self.node = node

    def __repr__(self) -> str:
        return f"Tensor({self._value!r}, traced by {self.trace.transform})"


class ReverseTrace(Trace):
    """Runs every operation one level down and remembers it."""

    __slots__ = ("serial",)

    def __init__(self, transform: str) -> None:
        super().__init__(transform)
        self.serial = 0

    def source(self, value: Value) -> ReverseTracer:
        """A value to differentiate with respect to."""
        return ReverseTracer(self, value, self.record(None, [], None, [], None))

    def lower(self, x: Value) -> tuple[Value, Node | Slot | None]:
        """The value one level down, and the node or slot that made it, if this trace watched it."""
        if type(x) is ReverseTracer and x.trace is self:
            return x._value, x.node
        return x, None

    def process(self, primitive: Primitive, inputs: tuple[Value, ...]) -> Any:
        if not self.alive:
            raise self.escaped(primitive)
        values: list[Value] = []
        parents: list[Node | Slot | None] = []
        for x in inputs:
            if type(x) is ReverseTracer and x.trace is self:
                values.append(x._value)
                parents.append(x.node)
            else:
                values.append(x)
                parents.append(None)
        rule: Any = primitive
        if primitive.linearize is None:
            output = primitive.bind(*values)
            if not primitive.differentiable:
                return output
        else:
            output, rule = primitive.linearize(*values)
        origin = origin_of(primitive, output) if provenance.noting else None
        saved = values if rule.uses_inputs else [shape_only(x) for x in values]
        if type(output) is tuple:
            return self._several(rule, saved, output, parents, origin)
        self.serial = serial = self.serial + 1
        node = Node(serial, rule, saved, output if rule.uses_output else None, parents, origin)
        return ReverseTracer(self, output, node)

    def _several(self, rule: Any, saved: Any, output: tuple[Value, ...], parents: Any, origin: Any) -> Any:
        kept = output if rule.uses_output else tuple(map(shape_only, output))
        node = self.record(rule, saved, kept, parents, origin)
        return tuple(ReverseTracer(self, o, Slot(node, k)) if o.dtype.kind == "f" else o for k, o in enumerate(output))

    def record(self, rule: Any, inputs: Any, output: Any, parents: Any, origin: Any) -> Node:
        self.serial += 1
        return Node(self.serial, rule, inputs, output, parents, origin)


class _Walk:
    """The way back over a tape: cotangents by node (by slot, where it has several), and the nodes that have one and
    wait for their turn, newest first.

    A node is younger than its parents, so when its turn comes, all that used it has been. It leaves the walk then, and
    its memory is free as soon as nobody else holds it.
    """

    __slots__ = ("cotangents", "derivation", "waiting")

    def __init__(self, derivation: Derivation) -> None:
        self.cotangents: dict[Node, Any] = {}
        self.waiting: list[tuple[int, Node]] = []
        self.derivation = derivation

    def add(self, node: Node | Slot, cotangent: Value) -> None:
        if type(node) is Slot:
            slots = self.cotangents.get(node.node)
            if slots is None:
                slots = {}
                self.await_turn(node.node, slots)
            before = slots.get(node.k)
            slots[node.k] = cotangent if before is None else _sum(before, cotangent)
            return
        before = self.cotangents.get(node)
        if before is None:
            self.await_turn(node, cotangent)
        else:
            self.cotangents[node] = _sum(before, cotangent)

    def await_turn(self, node: Node, cotangent: Any) -> None:
        self.cotangents[node] = cotangent
        if node.rule is not None:  # a source's cotangent is the result
            heappush(self.waiting, (-node.serial, node))

    def run(self) -> None:
        while self.waiting:
            _, node = heappop(self.waiting)
            cotangent = self.cotangents.pop(node)
            if node.origin is None:
                self.step(node, cotangent)
            else:
                with derivative_of(node.origin, self.derivation):
                    self.step(node, cotangent)

    def step(self, node: Node, cotangent: Any) -> None:
        rule, parents, output, inputs = node.rule, node.parents, node.output, node.inputs
        if type(output) is tuple:  # slots that nobody used are zero
            cotangent = tuple([cotangent.get(k) for k in range(len(output))])
        found = list(rule.vjp_all([p is not None for p in parents], cotangent, output, *inputs)) if rule.joint else None
        for i, parent in enumerate(parents):
            if parent is None:
                continue
            if found is None:
                given = rule.vjp(i, cotangent, output, *inputs)
            else:
                given, found[i] = found[i], None  # so that nobody else holds it
            if given is None:
                continue
            if type(given) is Tensor:
                given = given._value
            dtype = inputs[i].dtype
            try:
                shape, made = given.shape, given.dtype
            except AttributeError:
                raise _misshapen(rule, i, given, inputs[i]) from None
            if shape != inputs[i].shape:
                raise _misshapen(rule, i, given, inputs[i])
            if made is not dtype and made != dtype:
                given = handed.astype(given, dtype)
            self.add(parent, given)


def _counted() -> tuple[int, int]:
    """The references that Python counts of a new array that was handed on as `step`, `add` and `_sum` do it, and of
    what `_is_own` finds below its only view: versions differ."""

    def first(given: Any) -> int:
        return second(given)

    def second(given: Any) -> int:
        return getrefcount(given)

    given = np.empty(1)
    view = np.empty(1).reshape(1, 1)
    base = view.base
    return first(given), getrefcount(base)


_OF_GIVEN, _OF_BASE = _counted()


def _sum(before: Value, given: Value) -> Value:
    """The sum of two cotangents, in the memory of the second where nobody else can see it.

    That is still in the cache, as another array would not be. Graphs and `debug_nans` are shown an addition.
    """
    if (
        type(given) is np.ndarray is type(before)
        and getrefcount(given) == _OF_GIVEN
        and given.dtype is before.dtype
        and given.flags.c_contiguous
        and _is_own(given)
        and not provenance.noting
    ):
        return np.add(before, given, out=given)
    return handed.add(before, given)


def _is_own(array: Any) -> bool:
    """Whether its memory is its own, or of an array of which it is the only view."""
    base = array.base
    if base is None:
        return bool(array.flags.owndata)
    return type(base) is np.ndarray and base.flags.owndata and getrefcount(base) == _OF_BASE


def _misshapen(rule: Any, i: int, given: Any, x: Value) -> ShapeError:
    """A cotangent that no array like the input is: broadcasting would make a wrong gradient of it."""
    got = f"shape {given.shape}" if hasattr(given, "shape") else f"{type(given).__name__} {given!r}"
    need = f"a rule `vjp` that gives an array of the shape {x.shape} of its input {i}"
    return ShapeError(requires(getattr(rule, "name", type(rule).__name__), need, got))


def shape_only(x: Value) -> Value:
    """What a rule that reads no numbers needs of a value."""
    return Aval(x.shape, x.dtype) if hasattr(x, "shape") else x


def pull_back(
    outputs: list[tuple[Node | Slot | None, Value]], sources: list[Node], part_of: Derivation | None = None
) -> list[Value]:
    """The cotangents of the sources for (node, cotangent) pairs of the outputs; None where nothing arrives.

    Empties the list of outputs, so that the walk is the last to hold the tape. It may be `part_of` another one.
    """
    walk = _Walk(part_of or Derivation("gradient"))
    for node, cotangent in outputs:
        if node is not None:
            walk.add(node, cotangent)
    outputs.clear()
    walk.run()
    return [walk.cotangents.get(source) for source in sources]
