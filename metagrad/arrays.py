"""Devices: where an array lives, and how it gets elsewhere. The only module of the library that imports CuPy."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

from .core.tensor import Tensor
from .errors import DeviceError, requires

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory() -> None:
    """Let the C library keep up to 1 GB of freed memory for the next arrays instead of handing it back to the system.

    A meta-step frees all that it made, and the next makes it again: with glibc's defaults, a tenth of its time and more
    is the system's, giving out fresh pages. Elsewhere it does nothing.
    """
    options = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if options is not None:
        options(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it allows
        options(_M_TRIM_THRESHOLD, 1 << 30)


def device_of(array: Any) -> str:
    """The device of a plain array: "cpu", or "cuda:0" and so on."""
    return "cpu" if isinstance(array, np.ndarray | np.generic) else f"cuda:{array.device.id}"


def cupy() -> Any:
    """The CuPy module with a usable GPU; raises DeviceError that says which of the two is missing."""
    try:
        import cupy as module
    except ImportError as error:
        need = "the package CuPy for 'cuda' (pip install \"metagrad[cuda]\")"
        raise DeviceError(requires("device", need, error)) from error
    if not module.cuda.is_available():
        raise DeviceError(
            requires("device", "an NVIDIA GPU and its driver for 'cuda'", "a machine where CuPy finds none")
        )
    return module


def to_device(array: Any, device: str) -> Any:
    """A plain array on the named device, "cpu" or "cuda"; raises DeviceError where it is not here."""
    if isinstance(array, Tensor):
        if array.device.startswith(device):
            return array
        raise DeviceError(requires("asarray", "arrays to be moved outside of transforms", f"{array!r} to {device}"))
    if device == "cpu":
        return array if isinstance(array, np.ndarray | np.generic) else array.get()
    if device.split(":")[0] == "cuda":
        return cupy().asarray(array)
    raise DeviceError(requires("device", "'cpu' or 'cuda'", repr(device)))
