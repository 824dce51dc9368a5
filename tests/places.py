"""Where a kernel's test runs it: NumPy's reference, the CPU's kernels, and CUDA's on a GPU or in the emulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metagrad_kernels import emulation
from metagrad_kernels.launch import namespace


def cupy_or_none() -> Any:
    """CuPy where it has a GPU."""
    try:
        import cupy
    except ImportError:
        return None
    return cupy if cupy.cuda.is_available() else None


CUPY = cupy_or_none()
needs_cuda = pytest.mark.skipif(
    CUPY is None and emulation.missing() is not None, reason=f"no GPU, and the emulation lacks {emulation.missing()}"
)
needs_emulation = pytest.mark.skipif(
    emulation.missing() is not None, reason=f"the emulation lacks {emulation.missing()}"
)
DEVICE = "emulated" if CUPY is None else "cuda"
"""What the library's tests take for a device: a GPU if there is one, else the emulation."""
IMPLEMENTATIONS = ["reference", "cpu", pytest.param("cuda", marks=needs_cuda)]
each_implementation = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)


def run(function: Any, *arguments: Any, implementation: str, **options: Any) -> Any:
    """`function` on NumPy arrays, by an implementation, wherever that runs; NumPy arrays again."""
    if implementation != "cuda":
        return function(*arguments, implementation=implementation, **options)
    xp = emulation.arrays if CUPY is None else CUPY
    moved = [xp.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments]
    options = {name: xp.asarray(x) if isinstance(x, np.ndarray) else x for name, x in options.items()}
    result = function(*moved, **options)
    parts = result if isinstance(result, tuple) else (result,)
    assert all(namespace(part) is xp for part in parts)
    back = tuple(part.get() for part in parts)
    return back if isinstance(result, tuple) else back[0]


DEVICES = [
    pytest.param("emulated", marks=needs_emulation),
    pytest.param("cuda", marks=pytest.mark.skipif(CUPY is None, reason="CuPy finds no GPU here")),
]
each_device = pytest.mark.parametrize("device", DEVICES)
