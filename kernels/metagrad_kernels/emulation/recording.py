"""A CUDA graph that is not there: what runs on emulated arrays is written down, and run again on the same memory.

Unlike a GPU's capture the first time is run, too.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_tape: ContextVar[list[Callable[[], object]] | None] = ContextVar("tape", default=None)


def note(again: Callable[[], object]) -> None:
    """What a replay has to do at this place."""
    tape = _tape.get()
    if tape is not None:
        tape.append(again)


def refuse_in_a_graph(operation: str) -> None:
    """Raises NotImplementedError while something is recorded, as CuPy does for what calls cuBLAS or cuSOLVER."""
    if _tape.get() is not None:
        raise NotImplementedError(f"[{operation}] requires a library that cannot be captured in a CUDA graph")


def recorded(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)` on NumPy's arrays; a replay writes to the same results."""
    result = function(*args, **kwargs)
    if isinstance(result, np.generic):
        result = np.asarray(result)
    if _tape.get() is not None:
        given = (getattr(function, "__self__", None), *args, *kwargs.values())
        kept = [_own(x, given) for x in (result if isinstance(result, tuple | list) else (result,))]

        def again() -> None:
            fresh = function(*args, **kwargs)
            for old, new in zip(kept, fresh if isinstance(fresh, tuple | list) else (fresh,), strict=True):
                if old is not None:
                    old[...] = new

        note(again)
    return result


def _own(result: Any, given: Any) -> Any:
    """A result that has memory of its own; None for a view of what was given, and for what is no array."""
    arrays = [x for x in given if isinstance(x, np.ndarray)]
    is_own = isinstance(result, np.ndarray) and not any(np.may_share_memory(result, x) for x in arrays)
    return result if is_own else None


class Recording:
    """A list of what was done while it was open; `replay` does it again."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    @contextmanager
    def allocating(self) -> Iterator[None]:
        """Nothing: a replay of the emulation keeps each array for itself."""
        yield

    def __enter__(self) -> Recording:
        from .arrays import no_host_copies

        self._open = ExitStack()
        self._open.enter_context(no_host_copies())
        self._open.callback(_tape.reset, _tape.set(self._steps))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def replay(self) -> None:
        """Do all of it."""
        for step in self._steps:
            step()
