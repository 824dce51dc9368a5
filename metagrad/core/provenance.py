"""Where an operation comes from: its line of user code, its scope, and the operation whose derivative it is.

Nobody asks for it while all goes well: eager operations are not noted, and a failure is looked at by running the
function once more with every operation noted. A graph trace notes what it writes down.
"""

from __future__ import annotations

import linecache
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .trace import Tracer, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .primitive import Primitive

_PACKAGE = str(Path(__file__).parents[1])
_NOTE = "[metagrad] "


class Source(NamedTuple):
    """A line of user code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"

    @property
    def code(self) -> str:
        """The line itself, where its file can be read."""
        return linecache.getline(self.file, self.line).strip()


class Derivation:
    """One taking of a derivative: a walk back (`mode` "gradient") or a push forward ("tangent"), begun in a scope."""

    __slots__ = ("mode", "scope")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.scope = context.scope


class Operation:
    """An operation that ran or was written down. `order` is 0 for what a function itself computes, else 1 + its
    origin's.

    A derivative stands in the scope of its origin; `derivation` is the taking of a derivative that made it, with the
    scope in which that was called, and None for what the function itself computes. `differentiated` says whether a
    derivative of it was taken, which may have made nothing: that of `2 * x` is a number.
    """

    __slots__ = ("derivation", "differentiated", "order", "origin", "primitive", "scope", "source")

    def __init__(
        self,
        primitive: Primitive,
        source: Source | None,
        scope: tuple[str, ...],
        origin: Operation | None,
        derivation: Derivation | None = None,
    ) -> None:
        self.primitive = primitive
        self.source = source
        self.scope = scope
        self.origin = origin
        self.derivation = derivation
        self.differentiated = False
        self.order: int = 0 if origin is None else 1 + origin.order


class Context(threading.local):
    """What is going on in a thread, for those that note operations."""

    origin: Operation | None = None
    """The operation whose derivative is being computed."""
    derivation: Derivation | None = None
    """The taking of a derivative that this belongs to."""
    source: Source | None = None
    """The line that an equation of a graph had, while that graph is run again."""
    scope: tuple[str, ...] = ()
    """The names opened by `named_scope`."""


context = Context()
noting = 0
"""How many graph traces are open in the process, or wish that eager operations be noted: while none, nobody looks up
origins."""
locating = 0
"""How many of these wish for eager operations."""
_lock = threading.Lock()


def _count(notes: int, locates: int) -> None:
    global noting, locating
    with _lock:
        noting += notes
        locating += locates


@contextmanager
def graph_running() -> Iterator[None]:
    """The time in which a graph trace is open; it has no origin from outside."""
    origin, context.origin = context.origin, None
    _count(1, 0)
    try:
        yield
    finally:
        _count(-1, 0)
        context.origin = origin


@contextmanager
def located() -> Iterator[None]:
    """The time in which eager operations are noted, in all threads: it takes a walk over the frames for each."""
    _count(1, 1)
    try:
        yield
    finally:
        _count(-1, -1)


@contextmanager
def derivative_of(origin: Operation, derivation: Derivation) -> Iterator[None]:
    """Operations run inside are noted as the derivative of `origin`, made by `derivation`; so is what goes wrong."""
    before = context.origin, context.derivation
    context.origin, context.derivation = origin, derivation
    origin.differentiated = True
    try:
        yield
    except Exception as error:
        if locating and not is_explained(error):
            note(error, f"raised by the derivative rule of {history(origin)}")
        raise
    finally:
        context.origin, context.derivation = before


@contextmanager
def once_more() -> Iterator[None]:
    """What runs inside is the operation whose derivative is being computed, run again, and of its order."""
    origin, before = context.origin, (context.origin, context.derivation)
    if origin is not None:
        context.origin, context.derivation = origin.origin, origin.derivation
    try:
        yield
    finally:
        context.origin, context.derivation = before


class Replay:
    """How a graph runs while operations are noted: as its equations, with their scopes, lines and origins."""

    def __init__(self) -> None:
        self.again: dict[Operation, Operation | None] = {}

    def __call__(self, equation: Operation) -> Callable[..., Value]:
        """What runs an equation of the graph."""

        def bind(*inputs: Value) -> Value:
            before = context.scope, context.source, context.origin, context.derivation
            outer, own = context.scope, equation.scope
            context.scope = own if own[: len(outer)] == outer else outer + own
            context.source = equation.source
            context.origin = None if equation.origin is None else self.again.get(equation.origin)
            context.derivation = equation.derivation
            try:
                output = equation.primitive.bind(*inputs)
                self.again[equation] = again = origin_of(equation.primitive, output)
                if again is not None:
                    again.differentiated |= equation.differentiated
            finally:
                context.scope, context.source, context.origin, context.derivation = before
            return output

        return bind


def current(primitive: Primitive) -> Operation:
    """An operation that is running now."""
    origin = context.origin
    if origin is None:
        return Operation(primitive, user_line(), context.scope, None)
    return Operation(primitive, user_line(), origin.scope, origin, context.derivation)


def origin_of(primitive: Primitive, output: Value) -> Operation | None:
    """What a trace keeps of an operation for its derivative: the equation of the innermost graph trace before all."""
    equation = _equation_of(output[0] if type(output) is tuple else output)
    return equation or (current(primitive) if locating else None)


def _equation_of(value: Value) -> Operation | None:
    """The equation of the innermost graph trace that a value comes from."""
    while isinstance(value, Tracer):
        equation: Operation | None = getattr(value, "equation", None)
        if equation is not None:
            return equation
        value = value._value
    return None


def note_constant(value: Value) -> None:
    """Say of what made a value that its derivative was taken, where that is zero because no argument reaches it."""
    if noting and (equation := _equation_of(value)) is not None:
        equation.differentiated = True


def user_line() -> Source | None:
    """The innermost line that runs outside of this library, or that of the equation that is replayed."""
    if context.source is not None:
        return context.source
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            return Source(code.co_filename, frame.f_lineno, code.co_qualname)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def history(operation: Operation) -> str:
    """An operation in words: its name, its order, what it is a derivative of, and the line that all began with."""
    text, ran = f"`{operation.primitive.name}` (order {operation.order})", operation.source
    while operation.origin is not None:
        operation = operation.origin
        text += f", which the derivative of `{operation.primitive.name}` runs"
    if operation.scope:
        text += f", in scope {'/'.join(operation.scope)}"
    if operation.source is not None:
        text += f", written at {operation.source}"
        if operation.source.code:
            text += f":\n    {operation.source.code}"
        if ran is not None and ran != operation.source:
            text += f"\nand run from {ran}" + (f":\n    {ran.code}" if ran.code else "")
    return text


def note(error: BaseException, text: str) -> None:
    """Say on an error where it comes from."""
    error.add_note(_NOTE + text)


def is_explained(error: BaseException) -> bool:
    """Whether it says already where it comes from."""
    return any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ()))


def explain(error: Exception, again: Callable[[], object]) -> None:
    """Note on an error of a backward pass which line's derivative it was, found by running all of it `again`, noted."""
    if locating or is_explained(error) or isinstance(error, MemoryError | RecursionError):
        return
    try:
        with located():
            again()
    except Exception as second:
        if type(second) is type(error):
            for note in getattr(second, "__notes__", ()):
                error.add_note(note)
