"""Where a value lives, and the functions that make arrays there."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..errors import OutOfMemoryError, requires

_MODULES = {"cpu": "numpy", "cuda": "cupy", "emulated": "metagrad_kernels.emulation.arrays"}
_DEVICES = {module: device for device, module in _MODULES.items()}


def device_of(x: Any) -> str:
    """Where a value is, be it an array, traced, an Aval or a Python number: "cpu", "emulated", "cuda:0" and so on."""
    while hasattr(x, "_value"):
        x = x._value
    device = getattr(x, "device", "cpu")
    if isinstance(device, str):
        return device
    name = _DEVICES[type(x).__module__]
    return f"{name}:{device.id}" if name == "cuda" else name


def namespace(*values: Any) -> Any:
    """The functions that make arrays beside these: NumPy, unless one of them is on another device.

    What a rule needs beside its operands is made there by these, so that nothing is copied from the host for it.
    """
    for x in values:
        device = device_of(x)
        if device != "cpu":
            return sys.modules[_MODULES[device.partition(":")[0]]]
    return np


def out_of_memory(operation: str, what: str, size: int, xp: Any, error: MemoryError) -> OutOfMemoryError:
    """What to raise: the operation, the array it was for and its bytes, and what was free where `xp` makes arrays."""
    device, cuda = _DEVICES[xp.__name__], getattr(xp, "cuda", None)
    free = "" if cuda is None else "; {:,} of {:,} bytes were free".format(*cuda.runtime.memGetInfo())
    need = f"memory for {what} ({size:,} bytes) on {device}"
    return OutOfMemoryError(requires(operation, need, f"{error}{free}"))
