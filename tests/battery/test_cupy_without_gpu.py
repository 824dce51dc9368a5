"""Every operation on CuPy's own arrays where there is no GPU: it gets as far as asking the driver.

So CuPy has the first function that it needs, and takes the arguments that it gets. What comes after is compared in
tests/emulation/test_arrays.py, name by name.
"""

from __future__ import annotations

import numpy as np
import pytest
from cases import CASES
from places import CUPY

import metagrad as mg
from metagrad.errors import DeviceError
from metagrad_kernels import KernelUnavailable

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
pytestmark = [
    pytest.mark.skipif(CUPY is not None, reason="there is a GPU: the battery runs on it"),
    pytest.mark.filterwarnings("ignore:.*cublas:RuntimeWarning"),  # which is not installed with CuPy
]

AT_THE_DRIVER = (
    "InsufficientDriver",
    "NoDevice",
    "libcu",
    "libnv",
    "driver",
    "[convolution]",
    "[softmax_cross_entropy]",
)


@pytest.mark.parametrize("case", [case for case in CASES if case.args], ids=lambda case: case.id)
def test_it_gets_as_far_as_the_driver(case):
    held = [np.array(x, order="C") for x in case.example()]
    args = []
    for x in held:  # arrays of CuPy on memory that no GPU could read
        memory = cupy.cuda.UnownedMemory(x.ctypes.data, max(x.nbytes, 1), x, 0)
        args.append(mg.Tensor(cupy.ndarray(x.shape, x.dtype, cupy.cuda.MemoryPointer(memory, 0))))
    stopped = None
    try:
        case.f(*args)
    except (DeviceError, KernelUnavailable, ImportError, cupy.cuda.runtime.CUDARuntimeError) as error:
        stopped = error
    assert stopped is None or any(word in str(stopped) for word in AT_THE_DRIVER)


def test_its_error_for_a_full_device_is_one_of_memory():
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
