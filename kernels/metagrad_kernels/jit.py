"""Numba with the settings that all CPU kernels share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

# Sums may be vectorised and products fused; NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}


def _digest() -> str:
    """Of the files beside this one: what kernels are built from."""
    content = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(content).hexdigest()[:12]


_DIGEST = _digest()


def compiled(function: Callable[..., Any], signature: Any) -> Any:
    """`function` in machine code for one signature, to be called from Python: without the GIL meanwhile."""
    return _on_disk(
        lambda **options: numba.njit(signature, nogil=True, **OPTIONS, **options), function, function.__name__
    )


def ufunc(function: Callable[..., Any], inputs: int) -> Any:
    """A NumPy ufunc of so many numbers of one type, float32 or float64."""
    signatures = [kind(*[kind] * inputs) for kind in (numba.float32, numba.float64)]
    vectorize: Any = numba.vectorize
    fast = OPTIONS["fastmath"]
    found = _on_disk(lambda **options: vectorize(signatures, fastmath=fast, **options), function, function.__name__)
    return found.ufunc  # NumPy's own, which starts sooner than the object of Numba's around it


def entry(code: CodeType, signature: Any, label: str, names: dict[str, Any]) -> Any:
    """Code as C can call it, by its `address`, with these globals. `label` sets it apart from others of its name."""
    label = hashlib.sha256(label.encode()).hexdigest()[:12]
    function = FunctionType(code, names)
    return _on_disk(lambda **options: numba.cfunc(signature, **OPTIONS, **options), function, f"{code.co_name}_{label}")


def _on_disk(compiler: Callable[..., Any], function: Callable[..., Any], name: str) -> Any:
    """The function compiled, and kept on disk where there is a place to."""
    # Numba's cache on disk looks at the function's own file only: the digest is part of the name that it is kept under.
    function = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    function.__qualname__ = f"{name}_{_DIGEST}"
    try:
        return compiler(cache=True)(function)
    except RuntimeError as error:
        # Neither the folder of this file nor the user's cache can be written: compile again in every process.
        if "no locator available" not in str(error):
            raise
        return compiler()(function)


def const(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array that a kernel only reads. It serves writable ones, too."""
    return numba.types.Array(numba.from_dtype(dtype), ndim, "C", readonly=True)


def mutable(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array that a kernel writes."""
    return numba.types.Array(numba.from_dtype(dtype), ndim, "C")
