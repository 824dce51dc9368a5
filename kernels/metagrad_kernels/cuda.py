"""Launching on a GPU: NVRTC compiles an entry when it is first launched on an architecture, CuPy keeps the result."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import KernelUnavailable
from .launch import COMPILE_OPTIONS

if TYPE_CHECKING:
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


def first_error(log: str) -> str:
    """The first line of a compiler's log that is an error."""
    return next((line for line in log.splitlines() if "error" in line), log.strip())
