"""Numba with the settings that all CPU kernels share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

# Sums may be vectorised and products fused; NaN and infinity keep their meaning.
FASTMATH = {"reassoc", "contract", "nsz"}


def _digest() -> str:
    """Of the files beside this one: what kernels are built from."""
    content = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(content).hexdigest()[:12]


_DIGEST = _digest()


def compiled(function: Callable[..., Any], signature: Any) -> Any:
    """`function` in machine code for one signature: without the GIL, and kept on disk where there is a place to.

    An explicit signature with read-only inputs serves writable arrays too, where Numba would else compile twice.
    """
    # Numba's cache on disk looks at the kernel's own file only. The digest is part of the name that it keeps it under.
    function = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    function.__qualname__ = f"{function.__name__}_{_DIGEST}"
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}
    try:
        return numba.njit(signature, cache=True, **options)(function)
    except RuntimeError as error:
        # Neither the folder of this file nor the user's cache can be written: compile again in every process.
        if "no locator available" not in str(error):
            raise
        return numba.njit(signature, **options)(function)


def const(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array that a kernel only reads."""
    return numba.types.Array(numba.from_dtype(dtype), ndim, "C", readonly=True)


def mutable(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array that a kernel writes."""
    return numba.types.Array(numba.from_dtype(dtype), ndim, "C")
