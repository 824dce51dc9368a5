"""The inverse of the normal distribution function, with +, -, *, / and sqrt only: the same bits wherever IEEE holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.devices import namespace
from .arithmetic import multiply, square
from .elementwise import UnaryByOutput
from .exponential import exp

if TYPE_CHECKING:
    from ..core.trace import Value

# Wichura 1988, algorithm AS 241 (PPND16), Applied Statistics 37: three rational functions, each to about 1e-16.
_CENTRE = (
    (3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077,
     21213.794301586595867, 39307.895800092710610, 28729.085735721942674, 5226.4952788528545610),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550,
     0.148103976427480074590, 0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
     0.0265321895265761230930, 0.00124266094738807843860, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip


def _rational(coefficients: Any, r: Any) -> Any:
    above, below = coefficients
    numerator, denominator = above[-1], below[-1]
    for a, b in zip(above[-2::-1], below[-2::-1], strict=True):
        numerator, denominator = numerator * r + a, denominator * r + b
    return numerator / denominator


def _log(x: Any) -> Any:
    """The logarithm by its atanh series, which has no other operations than sums, products and quotients."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < math.sqrt(0.5)
    mantissa, exponent = np.where(low, 2 * mantissa, mantissa), exponent - low
    s = (mantissa - 1) / (mantissa + 1)
    z = s * s
    series = np.zeros_like(s)
    for n in range(21, 0, -2):
        series = series * z + 1 / n
    return exponent * math.log(2) + 2 * s * series


class InverseNormalCdf(UnaryByOutput):
    """The x for which a normal number is below x with probability p in (0, 1), float64."""

    def forward(self, p: Any) -> Any:
        if namespace(p) is not np:
            return self._everywhere(p)
        q = np.asarray(p - 0.5)
        x = np.asarray(q * _rational(_CENTRE, 0.180625 - q * q))
        outside = np.abs(q) > 0.425
        if outside.any():
            nearer = np.minimum(p, 1 - p)[outside]
            r = np.sqrt(-_log(nearer))
            tail = np.where(r <= 5, _rational(_TAIL, r - 1.6), _rational(_FAR, r - 5))
            x[outside] = np.where(q[outside] < 0, -tail, tail)
        return x

    def _everywhere(self, p: Any) -> Any:
        """All three functions of each number, so that none has to be looked at."""
        q = p - 0.5
        r = np.sqrt(-_log(np.minimum(p, 1 - p)))
        tail = np.where(r <= 5, _rational(_TAIL, r - 1.6), _rational(_FAR, r - 5))
        tail = np.where(q < 0, -tail, tail)
        return np.where(np.abs(q) > 0.425, tail, q * _rational(_CENTRE, 0.180625 - q * q))

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, multiply(exp(multiply(square(output), 0.5)), math.sqrt(2 * math.pi)))


def inverse_normal_cdf(p: Value) -> Value:
    """The x for which a normal number is below x with probability p in (0, 1), float64."""
    return InverseNormalCdf().bind(p)
