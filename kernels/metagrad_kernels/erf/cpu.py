"""Numba: polynomials, which the compiler turns into vector instructions, the numbers shared among all cores.

    erf(x) = x + x p(x^2)                                     where |x| < 1
    erf(x) = 1 - exp(-x^2) q(u),  u = scale / (x + 2) - shift   from there to `last`, after which it rounds to 1

p and q interpolate at Chebyshev's points, x^2 in [0, 1] and u in [-1, 1]. They miss erf by less than the arithmetic of
their type: by 2e-10 and 3e-9 in float32, by 1e-18 and 9e-18 in float64. Coefficients run from the highest power.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from ..exponential import exp
from ..jit import const, mutable
from ..threads import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


COST = 1.5
"""Nanoseconds of a number."""


class _Fit(NamedTuple):
    dtype: Any
    near: tuple[float, ...]
    far: tuple[float, ...]
    scale: float
    shift: float
    last: float


_FLOAT32 = _Fit(
    np.float32,
    (7.87587506e-05, -0.000801686429, 0.00518908742, -0.026854212, 0.112835947, -0.376126267, 0.128379166),
    (-1.1494862e-06, -2.80293833e-05, 4.60786637e-05, 0.00292475208, 0.0268509113, 0.14239533, 0.255395676),
    scale=12.0,
    shift=3.0,
    last=4.0,
)
_FLOAT64 = _Fit(
    np.float64,
    (
        *(-7.7958988270021425e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06),
        *(-1.4924736907419661e-05, 0.00012055294904839707, -0.00085483259753896918, 0.0052239776071164225),
        *(-0.02686617064323777, 0.11283791670945006, -0.37612638903183543, 0.12837916709551256),
    ),
    (
        *(1.8620989806815163e-11, -7.2905085351653978e-11, -2.634243021000669e-10, 2.6223500325142788e-09),
        *(-5.9263613152818326e-10, -7.0051702054753734e-08, 1.6350102372087984e-07, 1.9795611582092641e-06),
        *(-7.3405182849998691e-06, -8.0792204118041285e-05, 0.00019713917776008889, 0.0055888162818258785),
        *(0.038560570425181566, 0.16189356804102537, 0.2214295402299318),
    ),
    scale=9.6,
    shift=2.2,
    last=6.0,
)


def erf(x: NDArray[Any]) -> NDArray[Any]:
    numbers = np.ascontiguousarray(x).reshape(-1)
    result = np.empty_like(numbers)
    _kernel(x.dtype)(numbers, result, units=len(numbers), cost=COST)
    return result.reshape(x.shape)


@functools.cache
def _kernel(dtype: np.dtype[Any]) -> Kernel:
    return Kernel(_erf, const(dtype, 1), mutable(dtype, 1))


# From here on the code is compiled.


def _erf(x: Any, result: Any, begin: int, end: int) -> None:
    numbers, values = x[begin:end], result[begin:end]
    for i in range(len(numbers)):
        values[i] = _number(numbers[i])


def _number(x: Any) -> Any:
    return math.erf(x)  # what it means; compiled code takes what follows


@overload(_number, jit_options={"fastmath": {"contract"}, "forceinline": True})
def _(x: Any) -> Any:
    # Without "reassoc", which would make x + x p one product, and lose half a unit.
    fit = _FLOAT32 if x == types.float32 else _FLOAT64
    real = fit.dtype
    near, far = tuple(map(real, fit.near)), tuple(map(real, fit.far))
    one, two, scale, shift, last = map(real, (1, 2, fit.scale, fit.shift, fit.last))

    def number(x: Any) -> Any:
        size = last if abs(x) > last else abs(x)
        square = size * size
        p = near[0]
        for coefficient in near[1:]:
            p = p * square + coefficient
        u = scale / (size + two) - shift
        q = far[0]
        for coefficient in far[1:]:
            q = q * u + coefficient
        beyond = one - exp(-square) * q
        return x * p + x if size < one else (beyond if x > 0 else -beyond)

    return number
