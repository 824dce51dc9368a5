"""Kernels for metagrad: plain arrays in, plain arrays out.

One folder an operation: its `__init__` is the contract and chooses an implementation by the type of the array at call
time, `reference.py` is the readable truth in NumPy, and the others (`cpu.py`, `cuda.py`, `cuda_numba.py`) are fast.
`kernels()` lists what can run here, and why the rest cannot; `prefer` serves whatever runs inside by one of them.
"""

from .dispatch import Implementation, KernelStatus, Operation, kernels, prefer
from .erf import erf
from .errors import KernelUnavailable
from .pooling import avg_pool, avg_pool_transpose, max_pool, window_gather, window_scatter
from .softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_gradient

__all__ = [
    "Implementation",
    "KernelStatus",
    "KernelUnavailable",
    "Operation",
    "avg_pool",
    "avg_pool_transpose",
    "erf",
    "kernels",
    "max_pool",
    "prefer",
    "softmax_cross_entropy",
    "softmax_cross_entropy_gradient",
    "window_gather",
    "window_scatter",
]
