"""Kernels written in Python, which Numba compiles for a GPU; or runs itself, in its simulator, on emulated arrays."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if importlib.util.find_spec("numba_cuda") is None:
    raise ImportError("the package numba-cuda is not installed")

from numba import cuda, types
from numba.cuda.core import config

from .emulation.recording import note
from .errors import KernelUnavailable
from .launch import namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIMULATED = bool(config.ENABLE_CUDASIM)
"""Whether Numba simulates: it was imported with NUMBA_ENABLE_CUDASIM=1 in the environment."""

device: Callable[[Any], Any] = cuda.jit(device=True, inline="always")
"""For what kernels call. Written into them, it is compiled without a GPU, too."""

INT = types.int64


def array(dtype: Any, ndim: int) -> Any:
    """The type of a C-contiguous array."""
    return types.Array(numba.from_dtype(np.dtype(dtype)), ndim, "C")


class Kernel:
    """A function that runs once for each thread.

    Attributes:
        signatures: the types of its arguments, for which it is compiled where there is no GPU. On one, it is compiled
            for those that it meets.
    """

    def __init__(self, function: Callable[..., None], signatures: Iterable[tuple[Any, ...]]) -> None:
        self.function, self.signatures = function, tuple(signatures)
        self._compiled = cuda.jit(function)

    def launch(self, grid: tuple[int, ...], block: tuple[int, ...], *arguments: Any) -> None:
        """Run it on CuPy's current stream, or in the simulator on emulated arrays; KernelUnavailable without that."""
        xp = namespace(arguments[0])
        if xp.__name__ != "cupy":
            self._simulate(grid, block, arguments)
            return
        # What the arguments wait for is on this stream, too: Numba must not wait for it, least of all in a capture.
        stream = cuda.external_stream(xp.cuda.get_current_stream().ptr)
        given = [cuda.as_cuda_array(a, sync=False) if isinstance(a, xp.ndarray) else a for a in arguments]
        before, config.CUDA_LOW_OCCUPANCY_WARNINGS = config.CUDA_LOW_OCCUPANCY_WARNINGS, 0
        try:
            configured = self._compiled[grid, block, stream]
        finally:
            config.CUDA_LOW_OCCUPANCY_WARNINGS = before
        configured(*given)

    def _simulate(self, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        if not SIMULATED:
            need = "numba runs emulated arrays in Numba's simulator only: set NUMBA_ENABLE_CUDASIM=1 before the start"
            raise KernelUnavailable(self.function.__name__, need)
        given = [getattr(a, "host", a) for a in arguments]

        def run() -> None:
            self._compiled[grid, block](*given)

        run()
        note(run)
