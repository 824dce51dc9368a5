"""exp in sums and products, which the compiler turns into vector instructions: the C library's is a call a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

# exp(x) for x <= 0, to two units in the last place: x = k log(2) + r, where |r| <= log(2) / 2, so
# exp(x) = 2**k * (1 + r + r**2/2! + ...). Adding 1.5 * 2**23 (or 2**52) rounds x / log(2) to the integer k and leaves k
# in the low bits of the sum, from where a shift puts it in the exponent. log(2) is split so that k times its upper part
# is exact. Results below the smallest normal number are zero.


def _float32(x: Any) -> Any:
    shifted = np.float32(x * np.float32(1.4426950408889634) + np.float32(12582912))
    k = shifted - np.float32(12582912)
    r = (x - k * np.float32(0.693359375)) + k * np.float32(2.12194440054690583e-4)
    p = np.float32(1 / 5040)
    p = p * r + np.float32(1 / 720)
    p = p * r + np.float32(1 / 120)
    p = p * r + np.float32(1 / 24)
    p = p * r + np.float32(1 / 6)
    p = p * r + np.float32(1 / 2)
    p = p * r + np.float32(1)
    p = p * r + np.float32(1)
    power = np.int32((shifted.view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(0) if x < np.float32(-87) else p * power


def _float64(x: Any) -> Any:
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)
    k = shifted - 6755399441055744.0
    r = (x - k * 0.693145751953125) - k * 1.42860682030941723212e-6
    p = 1 / 479001600
    p = p * r + 1 / 39916800
    p = p * r + 1 / 3628800
    p = p * r + 1 / 362880
    p = p * r + 1 / 40320
    p = p * r + 1 / 5040
    p = p * r + 1 / 720
    p = p * r + 1 / 120
    p = p * r + 1 / 24
    p = p * r + 1 / 6
    p = p * r + 1 / 2
    p = p * r + 1
    p = p * r + 1
    power = np.int64((shifted.view(np.int64) + 1023) << 52).view(np.float64)
    return 0.0 if x < -708.0 else p * power


def exp(x: Any) -> Any:
    """Of a float32 or float64 that is at most 0."""
    return np.exp(x)  # what it means; compiled code takes one of the two above


@overload(exp, jit_options={"fastmath": {"contract"}})
def _(x: Any) -> Any:
    # Without "reassoc", which would cancel the shift.
    return _float32 if x == types.float32 else _float64
