"""A GPU that is not there: the CUDA kernels run on the CPU, compiled from the same source by g++.

`arrays.asarray` makes an array that stands for one on a GPU. Every kernel takes such arrays, launches its `.cu` file on
them (a fiber a CUDA thread, see emulation.h), and shows what a GPU hides: a barrier that is missing, shared memory read
before it was written, a write outside of an array, a deadlock. It is for tests and for learning, and slow.

>>> from metagrad_kernels import emulation
>>> from metagrad_kernels.relu import relu
>>> import numpy as np
>>> if emulation.missing() is None:
...     assert relu(emulation.arrays.asarray(np.float32([-1, 2]))).tolist() == [0, 2]
"""

from . import arrays
from .build import EmulationError, launch, missing, scheduled

__all__ = ["EmulationError", "arrays", "launch", "missing", "scheduled"]
