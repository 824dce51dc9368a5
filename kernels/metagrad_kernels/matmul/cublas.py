"""cuBLAS, where it can be loaded."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from cuda import pathfinder

from ..launch import namespace
from .blas import Blas

try:
    _LIBRARY = ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
except (RuntimeError, OSError) as error:
    raise ImportError(str(error).partition("\n")[0]) from error


class _Handles(threading.local):
    """Those of a thread, by device."""

    def __init__(self) -> None:
        self.of: dict[int, Blas] = {}


_HANDLES = _Handles()


def matmul(x: Any, y: Any, precision: str) -> Any:
    cuda = namespace(x).cuda
    device = cuda.runtime.getDevice()
    if device not in _HANDLES.of:
        _HANDLES.of[device] = Blas(_LIBRARY)
    return _HANDLES.of[device].matmul(x, y, precision, cuda.get_current_stream().ptr)
