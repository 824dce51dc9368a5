"""What a trace is: one transform at work on a function, and the values it watches.

A *value* is what flows through the engine: a plain array, a Python scalar (weakly typed), or a `Tracer`. A tracer
belongs to one trace and wraps a value of a lower level. Levels are numbers from one counter of the process, so a
transform that opens later is always above those that were open before it, in every thread, and two traces never share a
level: that is all that is needed against perturbation confusion.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TraceError, requires
from .tensor import Tensor

if TYPE_CHECKING:
    from .primitive import Primitive

Value = Any
"""A plain array, a Python scalar or a `Tracer`."""

_levels = itertools.count(1)
_counting = threading.Lock()


class Trace:
    """One running transform. `process` says what an operation means at its level."""

    __slots__ = ("alive", "level", "transform")

    def __init__(self, transform: str) -> None:
        self.transform = transform
        self.level = next(_levels)
        self.alive = 0  # how often it runs now: a pullback may be called in several threads at once

    def process(self, primitive: Primitive, inputs: tuple[Value, ...]) -> Any:
        raise NotImplementedError

    def escaped(self, primitive: Primitive | None = None) -> TraceError:
        name = self.transform if primitive is None else primitive.name
        return TraceError(
            f"[{name}] requires values of a transform that is still running but got one that escaped "
            f"from {self.transform} after it ended: return it from the function instead of storing it"
        )

    def running(self) -> _Running:
        """The time in which the trace's tracers may be used. IEEE specials are values here, not warnings."""
        return _Running(self)


class _Running:
    """A class, because a generator would take twice as long to enter."""

    __slots__ = ("quiet", "trace")

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.quiet = np.errstate(all="ignore")

    def __enter__(self) -> None:
        self.quiet.__enter__()
        with _counting:
            self.trace.alive += 1

    def __exit__(self, *error: Any) -> None:
        with _counting:
            self.trace.alive -= 1
        self.quiet.__exit__(*error)


class Tracer(Tensor):
    """A value that a trace watches. `_value` is the same value one level down."""

    __slots__ = ("trace",)
    trace: Trace

    def concrete(
        self, operation: str, advice: str = "use mg.where for a choice, mg.stop_gradient for a constant"
    ) -> Any:
        if not self.trace.alive:
            raise self.trace.escaped()
        got = f"Tensor(shape={self.shape}, dtype={self.dtype}, traced by {self.trace.transform})"
        raise TraceError(requires(operation, "a concrete value", f"{got}; inside a transform, {advice}"))
