"""Launching on a GPU: NVRTC compiles an entry when it is first launched on an architecture, CuPy keeps the result."""

from __future__ import annotations

import functools
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import KernelUnavailable
from .launch import COMPILE_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .launch import Source

NULL = np.uint64(0)
"""What a kernel is given for None, which CuPy would pass on as no argument at all."""


def launch(
    source: Source, entry: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
) -> None:
    """Run an entry on CuPy's current stream. Raises KernelUnavailable where it does not compile."""
    import cupy

    function = _compiled(source, entry, cupy.cuda.runtime.getDevice())
    function(grid, block, tuple(NULL if a is None else a for a in arguments))


@functools.lru_cache(4096)
def _compiled(source: Source, entry: str, device: int) -> Any:
    import cupy

    try:
        module = cupy.RawModule(code=source.text, options=COMPILE_OPTIONS, name_expressions=(entry,))
        return module.get_function(entry)
    except cupy.cuda.compiler.CompileException as error:
        raise KernelUnavailable(source.path.name, f"{entry} does not compile: {first_error(str(error))}") from error


def missing() -> str:
    """What CuPy finds wrong with this machine's GPU, or "" where it can be used."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy cannot be imported ({error})"
    if not cupy.cuda.runtime.driverGetVersion():
        return "CuPy finds no GPU, nor NVIDIA's driver for one"
    try:
        found = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no GPU that it can use ({str(error).partition(': ')[2]})"
    return "" if found else "CuPy finds no GPU"


class Recording:
    """A CUDA graph: what is launched while it is open is not run but written down; `replay` runs all of it.

    It has a memory pool of its own, from which nothing else is allocated, so that no one writes to what it uses.
    """

    def __init__(self) -> None:
        import cupy

        self._cuda = cupy.cuda
        self._pool = cupy.cuda.MemoryPool()
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._graph: Any = None

    @contextmanager
    def allocating(self) -> Iterator[None]:
        """New arrays come from the graph's memory."""
        with self._cuda.using_allocator(self._pool.malloc):
            yield

    def __enter__(self) -> Recording:
        self._open = ExitStack()
        self._stream.wait_event(self._cuda.get_current_stream().record())
        self._open.enter_context(self.allocating())
        self._open.enter_context(self._stream)
        self._stream.begin_capture()
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        with self._open:
            try:
                self._graph = self._stream.end_capture()
            except self._cuda.runtime.CUDARuntimeError:
                if kind is None:  # else what broke the capture is already on its way up
                    raise

    def replay(self) -> None:
        """Run it on the current stream."""
        self._graph.launch(self._cuda.get_current_stream())


def first_error(log: str) -> str:
    """The first line of a compiler's log that is an error."""
    return next((line for line in log.splitlines() if "error" in line), log.strip())
