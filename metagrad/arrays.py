"""Devices: where an array lives, and how it gets elsewhere. The only module of the library that imports CuPy."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

from .core.devices import device_of, out_of_memory
from .core.pytree import tree_map
from .core.tensor import Tensor, to_public, to_value
from .errors import DeviceError, requires

_DLPACK_CPU = 1  # DLDeviceType
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next arrays instead of handing it back to the system.

    A meta-step frees all that it made, and the next makes it again: with glibc's defaults, a tenth of its time and more
    is the system's, giving out fresh pages. So the process keeps what it took at its peak, save more than 1 GB at the
    end of its heap. Elsewhere it does nothing.
    """
    options = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if options is not None:
        options(_M_MMAP_MAX, 0)  # no array gets a mapping of its own, which would end with it
        options(_M_TRIM_THRESHOLD, 1 << 30)


def module(device: str | None) -> Any:
    """The functions that make arrays on the named device: "cpu" (or None), "cuda", or "emulated".

    Raises DeviceError where it is not here.
    """
    kind, _, number = device.partition(":") if isinstance(device, str) else ("cpu" if device is None else "", "", "")
    if kind == "cuda" and number in ("", "0"):
        return cupy()
    if number or kind not in ("cpu", "emulated"):
        raise DeviceError(requires("device", "'cpu', 'cuda' or 'emulated'", repr(device)))
    if kind == "cpu":
        return np
    from metagrad_kernels import emulation

    if lacks := emulation.missing():
        raise DeviceError(requires("device", f"{lacks}, for 'emulated'", "a machine without it"))
    return emulation.arrays


def cupy() -> Any:
    """The CuPy module with a usable GPU; raises DeviceError that says which of the two is missing."""
    try:
        import cupy as found
    except ImportError as error:
        need = "the package CuPy for 'cuda' (pip install \"metagrad[cuda]\")"
        raise DeviceError(requires("device", need, error)) from error
    try:
        count = found.cuda.runtime.getDeviceCount()
    except found.cuda.runtime.CUDARuntimeError as error:
        if "InsufficientDriver" not in str(error):
            count, why = 0, f"{error}"
        elif driver := found.cuda.runtime.driverGetVersion():
            wanted, has = (f"{v // 1000}.{v % 1000 // 10}" for v in (found.cuda.runtime.runtimeGetVersion(), driver))
            need = f"an NVIDIA driver for CUDA {wanted} or later for 'cuda' (nvidia.com/drivers)"
            raise DeviceError(requires("device", need, f"one for CUDA {has}")) from error
        else:
            count, why = 0, "a machine where CuPy finds no driver"
    else:
        why = "a machine where CuPy finds none"
    if not count:
        raise DeviceError(requires("device", "an NVIDIA GPU and its driver (nvidia.com/drivers) for 'cuda'", why))
    return found


def placed(array: Any, device: str) -> Any:
    """A plain array on the named device, itself where it is there already.

    Raises DeviceError where the device is not here, and for a traced value on another one.
    """
    where = device_of(array)
    if where == device or where.partition(":")[0] == device:
        return array
    target = module(device)
    if isinstance(array, Tensor):
        raise DeviceError(requires("to_device", "arrays to be moved outside of transforms", f"{array!r} to {device}"))
    host = array if isinstance(array, np.ndarray | np.generic) else array.get()
    try:
        return host if target is np else target.asarray(host)
    except MemoryError as error:
        raise out_of_memory("to_device", f"{host.dtype}{list(host.shape)}", host.nbytes, target, error) from error


def to_device(tree: Any, device: str, /) -> Any:
    """A tree with its Tensors and arrays on the named device: "cpu", "cuda" or "emulated"; the rest stays as it is.

    Raises DeviceError where the device is not here.

    >>> import metagrad as mg
    >>> mg.to_device((mg.ones(2), 3), "cpu")
    (Tensor([1., 1.], dtype=float64), 3)
    """
    module(device)

    def moved(leaf: Any) -> Any:
        value = to_value(leaf)
        return to_public(placed(value, device)) if hasattr(value, "dtype") else leaf

    return tree_map(moved, tree)


def from_dlpack(x: Any, /) -> Tensor:
    """A Tensor on the memory of another library's array, without a copy: what changes there changes here.

    `x` has `__dlpack__`: a tensor of PyTorch, an array of JAX, of CuPy or of NumPy.
    """
    on_cpu, _ = x.__dlpack_device__()
    return Tensor(np.from_dlpack(x) if on_cpu == _DLPACK_CPU else cupy().from_dlpack(x))


def adopt(x: Any) -> Any:
    """A plain array on the memory of another library's array on a GPU, by `__cuda_array_interface__`."""
    return cupy().asarray(x)
