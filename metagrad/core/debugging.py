"""debug_nans: stop at the operation that makes the first NaN or infinity, and say where it stands.

While it is open, another `bind` stands in the place of the primitives' own; while it is not, nothing is there at all.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NonFiniteError, requires
from .primitive import Primitive
from .provenance import current, history, located, note
from .trace import Tracer, Value

if TYPE_CHECKING:
    from collections.abc import Iterator

_bind = Primitive.bind
_open = 0
_lock = threading.Lock()


@contextmanager
def debug_nans() -> Iterator[None]:
    """Stop where an operation makes the first NaN or infinity: in a function or a derivative of it, of any order.

    NonFiniteError names the operation, its order, the line of user code that it or what it is a derivative of stands
    in, and of each input the shape, the range, and whether it had NaN already. An infinity that was given, such as that
    of a mask, may be handed on; a NaN may not. It holds in all threads while it is open, and in graphs that are run. It
    makes every operation several times slower, and costs nothing once closed.

    >>> import metagrad as mg
    >>> with mg.debug_nans():
    ...     mg.grad(lambda x: mg.sqrt(x * x))(0.0)
    Traceback (most recent call last):
        ...
    metagrad.errors.NonFiniteError: [divide] requires a finite result, as debug_nans is on, but got inf...
    """
    global _open
    with _lock:
        _open += 1
        Primitive.bind = _checked_bind  # type: ignore[method-assign]
    try:
        with located():
            yield
    finally:
        with _lock:
            _open -= 1
            if not _open:
                Primitive.bind = _bind  # type: ignore[method-assign]


def _checked_bind(self: Primitive, *inputs: Value) -> Any:
    output = _bind(self, *inputs)
    if not any(isinstance(x, Tracer) for x in inputs):
        for k, result in enumerate(output if type(output) is tuple else (output,)):
            if _is_bad(result, inputs):
                raise _stop(self, inputs, result, f" in output {k}" if type(output) is tuple else "")
    return output


def _special(x: Value) -> tuple[bool, bool]:
    """Whether a value has NaN, and whether it has an infinity."""
    if type(x) is not float and getattr(getattr(x, "dtype", None), "kind", "") != "f":
        return False, False
    finite = np.isfinite(x)
    if finite.all():
        return False, False
    return bool(np.isnan(x).any()), bool(np.isinf(x).any())


def _is_bad(result: Value, inputs: tuple[Value, ...]) -> bool:
    nan, infinite = _special(result)
    return nan or (infinite and not any(any(_special(x)) for x in inputs))


def _stop(primitive: Primitive, inputs: tuple[Value, ...], result: Any, which: str) -> NonFiniteError:
    bad = np.isnan(result) if np.isnan(result).any() else ~np.isfinite(result)
    where = [int(i) for i in np.argwhere(bad)[0]]
    got = f"{float(result[tuple(where)])}{which}"
    if where:
        got += f" at {where} of shape {tuple(result.shape)}, {int(bad.sum())} such of {result.size}"
    error = NonFiniteError(requires(primitive.name, "a finite result, as debug_nans is on,", got))
    lines = [f"it is {history(current(primitive))}"]
    lines += [f"    input {k}: {_described(x)}" for k, x in enumerate(inputs)]
    note(error, "\n".join(lines))
    return error


def _described(x: Value) -> str:
    if not hasattr(x, "dtype"):
        return repr(x)
    text = f"{x.dtype}{list(x.shape)}"
    if not x.size or x.dtype.kind not in "fiu":
        return text
    nan = int(np.isnan(x).sum())
    seen = x[~np.isnan(x)] if nan else x
    if seen.size:
        text += (
            f" from {float(seen.min()):.4g} to {float(seen.max()):.4g}"
            if seen.size > 1
            else f" {float(seen.min()):.4g}"
        )
    return text + (f", had NaN already in {nan} of {x.size}" if nan else ", no NaN")
