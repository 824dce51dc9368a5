"""Elementwise functions of one argument and of two, choice and limits."""

from __future__ import annotations

import statistics

import numpy as np

import metagrad as mg
from metagrad.core.tensor import public
from metagrad.ops.arithmetic import add_scaled
from metagrad.ops.inverse_normal import inverse_normal_cdf

from .table import Cases, between, booleans, const, distinct, grid, integers, positive, real

CASES = Cases()
row = CASES.row

# Of one argument.
for _name, _make in {
    "abs": real,
    "acos": lambda *s: between(-0.8, 0.8, *s),
    "acosh": lambda *s: between(1.3, 2.5, *s),
    "asin": lambda *s: between(-0.8, 0.8, *s),
    "asinh": real,
    "atan": real,
    "atanh": lambda *s: between(-0.7, 0.7, *s),
    "cos": real,
    "cosh": real,
    "exp": real,
    "expm1": real,
    "log": positive,
    "log10": positive,
    "log1p": lambda *s: between(-0.5, 1.5, *s),
    "log2": positive,
    "negative": real,
    "positive": real,
    "reciprocal": real,
    "sin": real,
    "sinh": real,
    "sqrt": positive,
    "square": real,
    "tan": lambda *s: between(-1.1, 1.1, *s),
    "tanh": real,
}.items():
    row(_name, _make(2, 3))
    row(_name, _make(), detail="scalar")
    row(_name, _make(0, 3), detail="empty")

for _name in ("ceil", "floor", "isfinite", "isinf", "isnan", "round", "sign", "signbit", "trunc"):
    row(_name, real(2, 3), derivative="none")
    row(_name, real(0, 3), detail="empty", derivative="none")
for _name in ("isfinite", "isinf", "isnan", "signbit"):
    row(_name, const([1.0, np.inf, -np.inf, np.nan, -0.0]), detail="specials", derivative="none")
row("logical_not", booleans(2, 3))
row("bitwise_invert", integers(-9, 9, 2, 3))
row("astype", real(2, 3), f=lambda x: mg.astype(x, mg.float32), ref=lambda x: x.astype(np.float32), derivative="own")
row(
    "astype",
    integers(-9, 9, 2, 3),
    f=lambda x: mg.astype(x, mg.float64),
    ref=lambda x: x.astype(np.float64),
    detail="int",
)

# Of two arguments: equal shapes, broadcast both ways, a scalar array, a Python number, no elements.
for _name, _left, _right in (
    ("add", real, real),
    ("subtract", real, real),
    ("multiply", real, real),
    ("divide", real, real),
    ("pow", positive, real),
    ("atan2", real, real),
    ("copysign", real, real),
    ("nextafter", real, real),
    ("hypot", real, real),
    ("logaddexp", real, real),
    ("maximum", grid(0.0), grid(0.25)),
    ("minimum", grid(0.0), grid(0.25)),
    ("remainder", lambda *s: between(3.4, 3.6, *s), lambda *s: between(0.98, 1.02, *s)),
):
    _f, _g = getattr(mg, _name), getattr(np, _name)
    row(_name, _left(2, 3), _right(2, 3))
    row(_name, _left(2, 3), _right(3), detail="row broadcast")
    row(_name, _left(2, 1), _right(4, 1, 3), detail="both broadcast")
    row(_name, _left(), _right(2, 2), detail="scalar array")
    row(_name, _left(2, 3), f=lambda x, _f=_f: _f(x, 1.22), ref=lambda x, _g=_g: _g(x, 1.22), detail="number right")
    row(_name, _right(2, 3), f=lambda x, _f=_f: _f(3.4, x), ref=lambda x, _g=_g: _g(3.4, x), detail="number left")
    row(_name, _left(0, 3), _right(3), detail="empty")
    row(
        _name,
        _left(3),
        f=lambda x, _f=_f: _f(x, x * 0.9 + 0.02),
        ref=lambda x, _g=_g: _g(x, x * 0.9 + 0.02),
        detail="shared",
    )

row("pow", real(2, 3), both=lambda xp, x: x**2, detail="square")
row("pow", real(2, 3), both=lambda xp, x: x**3, detail="cube")
row("pow", real(2, 3), both=lambda xp, x: x**5, detail="fifth")
row("pow", real(2, 3), both=lambda xp, x: x**-2.0, detail="inverse square")
row("pow", positive(2, 3), both=lambda xp, x: x**0.5, detail="root")
row("pow", real(2, 3), f=lambda x: x**1 + x**0, ref=lambda x: x + 1, detail="one and zero")
row("pow", real(2, 3), both=lambda xp, x: 2.5**x, detail="number base")
row("pow", positive(2, 3), const([0.0, 1.0, 2.0]), detail="whole exponents")
row("pow", integers(1, 4, 3), integers(0, 3, 3), detail="integers")
row(
    "pow",
    real(2, 3),
    integers(0, 4, 3),
    ref=lambda x, n: x ** n.astype(float),
    detail="integer exponents",
    float32=False,
)
row("floor_divide", between(3.1, 3.9, 2, 3), between(0.9, 1.0, 3), derivative="none")
for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    row(_name, real(2, 3), real(3), derivative="none")
    row(_name, const([1.0, 2.0, 3.0]), const([1.0, 3.0, 2.0]), detail="ties", derivative="none")
    row(_name, real(0, 3), real(3), detail="empty", derivative="none")
for _name in ("logical_and", "logical_or", "logical_xor"):
    row(_name, booleans(2, 3), booleans(3))
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift"):
    row(_name, integers(0, 9, 2, 3), integers(0, 5, 3))
row("where", booleans(2, 3), real(2, 3), real(3))
row("where", booleans(3), real(2, 3), both=lambda xp, c, x: xp.where(c, x, 0.0), detail="number")
row("where", booleans(3), real(), real(2, 1), detail="broadcast")
row("where", booleans(0, 3), real(0, 3), real(3), detail="empty")
row("clip", distinct(2, 4), both=lambda xp, x: xp.clip(x, -0.4, 0.4), detail="both")
row("clip", distinct(2, 4), f=lambda x: mg.clip(x, min=-0.2), ref=lambda x: np.clip(x, -0.2, None), detail="min")
row("clip", distinct(2, 4), f=lambda x: mg.clip(x, max=0.2), ref=lambda x: np.clip(x, None, 0.2), detail="max")

# What users do not call by name.
row("add_scaled", real(2, 3), real(3), f=public(lambda x, y: add_scaled(x, y, -0.3)), ref=lambda x, y: x - 0.3 * y)

_inverse_normal = np.vectorize(statistics.NormalDist().inv_cdf, otypes=[float])
row("inverse_normal_cdf", between(0.1, 0.9, 2, 3), f=public(inverse_normal_cdf), ref=_inverse_normal, float32=False)

row(
    "inverse_normal_cdf",
    const([1e-12, 1e-4, 0.07, 0.08, 0.92, 0.93, 0.9999]),
    f=public(inverse_normal_cdf),
    ref=_inverse_normal,
    detail="tails",
    derivative="own",
    float32=False,
)
