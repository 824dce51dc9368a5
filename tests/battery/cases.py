"""One row for each public operation, and more where shapes or options take another path. The battery runs over these.

A row says how to call the operation on arrays, how to make the arrays, and what NumPy says. Static options (axes,
shapes) are closed over, so the arguments are arrays alone: floating-point ones are differentiated, others are data.
"""

from __future__ import annotations

import functools
import math
import statistics
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import metagrad as mg
from metagrad.core.pytree import flatten
from metagrad.core.tensor import public
from metagrad.ops.affine import affine
from metagrad.ops.arithmetic import add_scaled
from metagrad.ops.inverse_normal import inverse_normal_cdf
from metagrad.ops.normalization import StandardizePullback
from metagrad.ops.pooling import WindowGather, WindowScatter
from metagrad.ops.random import OrthogonalFactor

Make = Callable[[np.random.Generator], Any]


@dataclass(frozen=True)
class OpCase:
    """`operation` is the public name that the row stands for, `detail` what is special about it."""

    operation: str
    f: Callable[..., Any]
    args: tuple[Make, ...]
    reference: Callable[..., Any]
    detail: str = ""
    derivative: str = "smooth"
    """"smooth": numeric to third order; "none": it leaves every derivative; "own": tested by a test of its own."""
    float32: bool = True

    @property
    def id(self) -> str:
        return f"{self.operation}({self.detail})"

    def example(self, draw: int = 0) -> list[Any]:
        rng = np.random.default_rng([zlib.crc32(self.id.encode()), draw])
        return [make(rng) for make in self.args]

    @property
    def moving(self) -> list[int]:
        return [k for k, x in enumerate(self.example()) if np.asarray(x).dtype.kind == "f"]


# How to make an argument. All keep a distance from kinks, poles and ties.


def real(*shape: int) -> Make:
    """Either sign, sizes from 0.3 to 1.8."""
    return lambda rng: rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 1.8, shape)


def between(low: float, high: float, *shape: int) -> Make:
    return lambda rng: rng.uniform(low, high, shape)


def positive(*shape: int) -> Make:
    return between(0.5, 2.0, *shape)


def distinct(*shape: int) -> Make:
    """No two alike: at least 0.1 apart, none within 0.05 of an integer multiple of 0.2."""
    n = math.prod(shape)
    return lambda rng: (0.2 * (rng.permutation(n) - n // 2) + 0.1 + rng.uniform(-0.03, 0.03, n)).reshape(shape)


def grid(offset: float) -> Callable[..., Make]:
    """Within 0.05 of a multiple of 0.5 plus an offset: two with other offsets are never near each other."""
    return lambda *shape: lambda rng: 0.5 * rng.integers(0, 4, shape) + offset + rng.uniform(-0.05, 0.05, shape)


def integers(low: int, high: int, *shape: int) -> Make:
    return lambda rng: rng.integers(low, high, shape)


def booleans(*shape: int) -> Make:
    return lambda rng: rng.integers(0, 2, shape).astype(bool)


def const(value: Any) -> Make:
    return lambda rng: np.array(value)


def regular(*shape: int) -> Make:
    """Matrices far from singular, not symmetric."""
    return lambda rng: rng.uniform(-0.6, 0.6, shape) + 1.5 * np.eye(shape[-1])


def definite(*shape: int) -> Make:
    """Symmetric positive definite, eigenvalues well apart."""

    def make(rng: np.random.Generator) -> Any:
        q = np.linalg.qr(rng.normal(size=shape))[0]
        return np.einsum("...ij,j,...kj->...ik", q, 1.0 + 0.7 * np.arange(shape[-1]), q)

    return make


CASES: list[OpCase] = []


def row(
    operation: str, *args: Make, f: Any = None, ref: Any = None, both: Any = None, detail: str = "", **options: Any
) -> None:
    """Add a case; `f` and `ref` default to metagrad's and NumPy's function of that name, `both` takes the namespace."""
    if both is not None:
        f, ref = functools.partial(both, mg), functools.partial(both, np)
    fields = {k: options.pop(k) for k in ("derivative", "float32") if k in options}
    home = mg
    numpy_home: Any = np
    name = operation
    if operation.startswith("random."):
        ref = lambda *a: [np.asarray(x) for x in flatten(f(*a))[0]]  # noqa: E731
    if operation.startswith("linalg."):
        home, numpy_home, name = mg.linalg, np.linalg, operation.removeprefix("linalg.")
    ours = f if f is not None else getattr(home, name)
    theirs = ref if ref is not None else getattr(numpy_home, name)
    if options:
        detail = detail or ", ".join(f"{k}={v}" for k, v in options.items())
        if f is None:
            plain = ours
            ours = lambda *a: plain(*a, **options)  # noqa: E731
        if ref is None:
            bare = theirs
            theirs = lambda *a: bare(*a, **options)  # noqa: E731
    taken = {case.id for case in CASES}
    full = detail
    k = 2
    while OpCase(operation, ours, args, theirs, full).id in taken:
        full, k = f"{detail} {k}".strip(), k + 1
    CASES.append(OpCase(operation, ours, args, theirs, full, **fields))


# Elementwise, of one argument.
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

# Elementwise, of two arguments: equal shapes, broadcast both ways, a scalar array, a Python number, no elements.
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

# Reductions.
_AXES: tuple[dict[str, Any], ...] = ({}, {"axis": 0}, {"axis": -1, "keepdims": True}, {"axis": (0, -1)})
for _name in ("sum", "mean", "prod", "var", "std"):
    for _options in _AXES:
        row(_name, real(3, 2, 4), **_options)
row("sum", real(), detail="scalar")
for _axis in (0, 1, -1, (0, 1), None):
    row("sum", real(6, 30, 4), axis=_axis, detail=f"large, axis={_axis}")
row("sum", integers(-9, 9, 2, 3), detail="int")
row("sum", real(0, 3), detail="empty")
row("sum", real(0, 3), axis=1)
row("prod", real(), detail="scalar")
row("prod", real(0, 3), axis=0, detail="empty")
row("prod", real(0, 3), axis=1, detail="empty rows")
row("prod", real(7), detail="odd")
row("mean", real(0, 3), axis=1, detail="empty rows")
for _name in ("var", "std"):
    row(
        _name,
        real(5, 3),
        f=lambda x, n=_name: getattr(mg, n)(x, axis=0, correction=1),
        ref=lambda x, n=_name: getattr(np, n)(x, axis=0, ddof=1),
        detail="correction=1",
    )
for _name in ("max", "min"):
    for _options in _AXES:
        row(_name, distinct(3, 2, 4), **_options)
    row(_name, distinct(0, 3), axis=1, detail="empty rows")
for _name in ("any", "all"):
    row(_name, booleans(2, 3))
    row(_name, booleans(2, 3), axis=0)
    row(_name, booleans(2, 3), axis=-1, keepdims=True)
    row(_name, booleans(0, 3), detail="empty")
for _name in ("argmax", "argmin"):
    row(_name, distinct(3, 4), derivative="none")
    row(_name, distinct(3, 4), axis=0, derivative="none")
    row(_name, distinct(3, 4), axis=-1, keepdims=True, derivative="none")
    row(_name, distinct(3, 4), keepdims=True, derivative="none")
    row(_name, const([2.0, 1.0, 2.0, 1.0]), detail="ties", derivative="none")


def _lse(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


for _options in _AXES:
    row(
        "logsumexp",
        distinct(3, 2, 4),
        ref=lambda x, o=_options: _lse(x, **o),
        f=lambda x, o=_options: mg.logsumexp(x, **o),
        detail=str(_options),
    )
row(
    "logsumexp",
    distinct(2, 3),
    f=lambda x: mg.logsumexp(x + 1e3, axis=1),
    ref=lambda x: _lse(x, axis=1) + 1e3,
    detail="large",
    float32=False,
)
row(
    "logsumexp", distinct(0, 3), f=lambda x: mg.logsumexp(x, axis=1), ref=lambda x: _lse(x, axis=1), detail="empty rows"
)
row("cumulative_sum", real(5), ref=np.cumsum)
row("cumulative_sum", real(2, 4), axis=1)
row("cumulative_sum", real(2, 4), axis=-2)
row("cumulative_sum", real(2, 4), axis=1, include_initial=True)
row("cumulative_sum", real(2, 0), axis=1, detail="empty")
row("diff", real(5))
row("diff", real(2, 4), axis=0)
row("diff", real(2, 4), axis=1, n=2)
row("diff", real(2), axis=0, n=3, detail="to nothing")
row("diff", real(2, 0), axis=1, detail="empty")
row("diff", real(4), real(1), real(2), both=lambda xp, x, a, b: xp.diff(x, prepend=a, append=b), detail="joined")
for _options in _AXES:
    row("count_nonzero", integers(-1, 2, 3, 2, 4), **_options)
row("count_nonzero", real(2, 3), derivative="none")
for _side in ("left", "right"):
    row("searchsorted", const([1.0, 2.0, 2.0, 4.0]), distinct(2, 3), side=_side, derivative="none")
    row(
        "searchsorted",
        const([1.0, 2.0, 2.0, 4.0]),
        const([0.0, 2.0, 4.0, 5.0]),
        side=_side,
        detail=f"ties, {_side}",
        derivative="none",
    )
row("searchsorted", const([1, 2, 4]), integers(0, 6), detail="scalar")
row("searchsorted", const([1, 2, 4]), integers(0, 6, 0, 2), detail="empty")
row(
    "searchsorted",
    const([4, 1, 2]),
    integers(0, 6, 5),
    both=lambda xp, x, v: xp.searchsorted(x, v, sorter=np.array([1, 2, 0])),
    detail="sorter",
)
row("sort", distinct(2, 5), axis=-1)
row("sort", distinct(4, 2), axis=0)
row(
    "sort",
    distinct(2, 5),
    f=lambda x: mg.sort(x, descending=True),
    ref=lambda x: np.sort(x)[:, ::-1],
    detail="descending",
)
row("sort", distinct(0, 3), axis=0, detail="empty")
row("argsort", distinct(2, 5), axis=-1, derivative="none")
row("argsort", distinct(4, 2), axis=0, derivative="none")
row(
    "argsort", const([2.0, 1.0, 2.0, 1.0]), ref=lambda x: np.argsort(x, kind="stable"), detail="ties", derivative="none"
)
row(
    "argsort",
    const([2.0, 1.0, 2.0, 1.0]),
    f=lambda x: mg.argsort(x, descending=True),
    ref=lambda x: np.argsort(-x, kind="stable"),
    detail="descending ties",
    derivative="none",
)

# Shape.
row("reshape", real(2, 6), f=lambda x: mg.reshape(x, (3, -1)), ref=lambda x: x.reshape(3, -1))
row("reshape", real(), f=lambda x: mg.reshape(x, (1, 1)), ref=lambda x: x.reshape(1, 1), detail="scalar")
row("reshape", real(0, 3), f=lambda x: mg.reshape(x, (3, 0)), ref=lambda x: x.reshape(3, 0), detail="empty")
row("permute_dims", real(2, 3, 4), f=lambda x: mg.permute_dims(x, (2, 0, 1)), ref=lambda x: x.transpose(2, 0, 1))
row(
    "permute_dims",
    real(2, 3, 4),
    f=lambda x: mg.permute_dims(x, (-1, 1, 0)),
    ref=lambda x: x.transpose(-1, 1, 0),
    detail="negative",
)
row("matrix_transpose", real(2, 3, 4))
row("matrix_transpose", real(0, 3), detail="empty")
row("transpose", real(2, 3))
row("moveaxis", real(2, 3, 4), both=lambda xp, x: xp.moveaxis(x, 0, -1))
row("moveaxis", real(2, 3, 4), both=lambda xp, x: xp.moveaxis(x, (0, 2), (1, 0)), detail="two")
row("swapaxes", real(2, 3, 4), both=lambda xp, x: xp.swapaxes(x, 0, -1))
row("expand_dims", real(2, 3), axis=0)
row("expand_dims", real(2, 3), axis=-1)
row("expand_dims", real(2, 3), axis=(0, 2))
row("squeeze", real(1, 3, 1), axis=0)
row("squeeze", real(1, 3, 1), axis=(0, -1))
row("broadcast_to", real(2, 1), both=lambda xp, x: xp.broadcast_to(x, (3, 2, 4)))
row("broadcast_to", real(), both=lambda xp, x: xp.broadcast_to(x, (2,)), detail="scalar")
row("broadcast_to", real(1, 3), both=lambda xp, x: xp.broadcast_to(x, (0, 3)), detail="to empty")
row("broadcast_arrays", real(2, 1), real(3), ref=lambda x, y: list(np.broadcast_arrays(x, y)))
row("concat", real(2, 3), real(2, 1), both=lambda xp, x, y: xp.concat([x, y], axis=1), detail="axis 1")
row("concat", real(3), real(0), real(2), both=lambda xp, *a: xp.concat(a), detail="with empty")
row("concat", real(2, 2), real(3), both=lambda xp, x, y: xp.concat([x, y], axis=None), detail="flat")
row("stack", real(2, 3), real(2, 3), both=lambda xp, x, y: xp.stack([x, y]))
row("stack", real(2, 3), real(2, 3), both=lambda xp, x, y: xp.stack([x, y], axis=-1), detail="axis -1")
row("unstack", real(3, 2), ref=lambda x: tuple(x))
row("unstack", real(3, 2), f=lambda x: mg.unstack(x, axis=-1), ref=lambda x: tuple(x.T), detail="axis -1")
row("flip", real(2, 3))
row("flip", real(2, 3), axis=-1)
row("roll", real(5), both=lambda xp, x: xp.roll(x, 2))
row("roll", real(2, 3), both=lambda xp, x: xp.roll(x, -1), detail="flat")
row("roll", real(2, 3), both=lambda xp, x: xp.roll(x, (1, 5), axis=(0, -1)), detail="two")
row("roll", real(0, 3), both=lambda xp, x: xp.roll(x, 1, axis=0), detail="empty")
row("tile", real(2, 3), both=lambda xp, x: xp.tile(x, (2, 2)))
row("tile", real(3), both=lambda xp, x: xp.tile(x, (2, 1, 2)), detail="more axes")
row("tile", real(2, 3), both=lambda xp, x: xp.tile(x, 2), detail="fewer axes")
row("repeat", real(2, 3), both=lambda xp, x: xp.repeat(x, 2))
row("repeat", real(2, 3), both=lambda xp, x: xp.repeat(x, 3, axis=-1), detail="axis")
row(
    "repeat",
    real(2, 3),
    f=lambda x: mg.repeat(x, np.array([2, 0, 1]), axis=1),
    ref=lambda x: np.repeat(x, [2, 0, 1], axis=1),
    detail="counts",
)
row("pad", real(2, 3), both=lambda xp, x: xp.pad(x, ((1, 0), (2, 1))))
row("pad", real(2, 3), both=lambda xp, x: xp.pad(x, 1, constant_values=2.5), detail="value")
row("pad", real(0, 3), both=lambda xp, x: xp.pad(x, ((1, 1), (0, 0))), detail="empty")
row("tril", real(2, 3, 4))
row("tril", real(3, 3), k=-1)
row("triu", real(2, 3, 4))
row("triu", real(3, 3), k=1)
row("meshgrid", real(2), real(3), ref=lambda x, y: np.meshgrid(x, y))
row("meshgrid", real(2), real(3), both=lambda xp, x, y: xp.meshgrid(x, y, indexing="ij"), detail="ij")

# Indexing.
_MASK = np.array([[True, False, True], [False, False, True]])
_INDICES: dict[str, tuple[tuple[int, ...], Any]] = {
    "integer": ((4, 3), 1),
    "negative integer": ((4, 3), (-1, -2)),
    "slice": ((5, 3), slice(1, 4)),
    "step": ((5, 3), slice(None, None, 2)),
    "negative step": ((5, 4), (slice(None, None, -1), slice(3, 0, -2))),
    "new axis": ((2, 3), (None, slice(None), None, 1)),
    "ellipsis": ((2, 3, 4), (..., 1)),
    "empty slice": ((4, 3), slice(2, 2)),
    "list": ((4, 3), [2, 0, 2, -1]),
    "array": ((4, 3), np.array([[0, 3], [3, 1]])),
    "two arrays": ((4, 3), (np.array([0, 3, 3]), np.array([2, 0, 0]))),
    "broadcast arrays": ((4, 3), (np.array([[0], [3]]), np.array([2, 0]))),
    "arrays apart": ((2, 3, 4), (np.array([0, 1, 1]), slice(None), np.array([3, 0, 0]))),
    "array second": ((2, 3, 4), (slice(None), np.array([2, 0, 0]))),
    "array and slice": ((2, 5, 4), (slice(None), np.array([2, 0, 0]), slice(None, None, 2))),
    "array and integer": ((2, 5, 4), (1, slice(None), np.array([2, 0]))),
    "array and new axis": ((2, 5, 4), (None, np.array([1, 0]), None, np.array([2, 0]))),
    "array of two axes in the middle": ((2, 5, 4), (slice(None), np.array([[2, 0], [1, 1]]))),
    "mask": ((2, 3), _MASK),
    "mask of the first axis": ((3, 2), np.array([True, False, True])),
    "mask after a slice": ((4, 2, 3), (slice(1, 3), _MASK)),
    "mask of nothing": ((3,), np.zeros(3, bool)),
    "empty array": ((3, 2), np.zeros(0, int)),
}
for _detail, (_shape, _index) in _INDICES.items():
    row("getitem", real(*_shape), both=lambda xp, x, i=_index: x[i], detail=_detail)
row("getitem", real(4, 3), integers(-4, 4, 2, 2), both=lambda xp, x, i: x[i], detail="index argument")
row(
    "getitem",
    real(4, 3),
    integers(0, 4, 2),
    integers(0, 3, 2),
    both=lambda xp, x, i, j: x[i, j],
    detail="two index arguments",
)
row("getitem", real(4, 3), integers(0, 3, 2), both=lambda xp, x, i: x[:, i], detail="second axis, index argument")
row("take", real(4, 3), integers(0, 3, 5), both=lambda xp, x, i: xp.take(x, i, axis=1), detail="axis 1")
row("take", real(4), integers(0, 4, 2, 2), ref=lambda x, i: np.take(x, i))
row("take_along_axis", real(3, 4), integers(0, 4, 3, 2), axis=-1)
row("take_along_axis", real(3, 4), integers(0, 3, 2, 4), axis=0)
row("take_along_axis", real(3, 4), integers(0, 4, 1, 2), axis=1, detail="broadcast")


def _assigned(x: Any, index: Any, value: Any) -> Any:
    found = np.array(x)
    found[index] = value
    return found


def _added(x: Any, index: Any, value: Any) -> Any:
    found = np.array(x)
    np.add.at(found, index, value)
    return found


for _detail, (_shape, _index) in _INDICES.items():
    _inner = np.zeros(_shape)[_index].shape
    row(
        "At",
        real(*_shape),
        real(*_inner),
        f=lambda x, v, i=_index: x.at[i].set(v),
        ref=lambda x, v, i=_index: _assigned(x, i, v),
        detail=f"set, {_detail}",
    )
    row(
        "At",
        real(*_shape),
        real(*_inner[-1:]),
        f=lambda x, v, i=_index: x.at[i].add(v),
        ref=lambda x, v, i=_index: _added(x, i, v),
        detail=f"add, {_detail}, broadcast",
    )
row("At", real(4, 3), f=lambda x: x.at[1].set(0.5), ref=lambda x: _assigned(x, 1, 0.5), detail="set, number")
row(
    "At",
    real(4, 3),
    integers(0, 4, 2),
    real(2, 3),
    f=lambda x, i, v: x.at[i].set(v),
    ref=_assigned,
    detail="set, index argument",
)
row(
    "At",
    real(4, 3),
    integers(0, 4, 2),
    real(2, 3),
    f=lambda x, i, v: x.at[i].add(v),
    ref=_added,
    detail="add, index argument",
)

# Contraction. Every way in which leading axes can meet.
for _x, _y in (
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (1, 3, 4)),
    ((1, 2, 3), (1, 3, 4)),
    ((1, 2, 3), (3, 4)),
    ((2, 3), (1, 3, 4)),
    ((2, 1, 2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (1, 5, 3, 2)),
    ((2, 5, 2, 3), (2, 1, 3, 2)),
    ((5, 2, 3), (3,)),
    ((1, 2, 3), (3,)),
    ((3,), (5, 3, 2)),
    ((2, 1), (1, 3)),
    ((1, 3), (3, 1)),
    ((2, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((0, 2, 3), (3, 2)),
):
    row("matmul", real(*_x), real(*_y), detail=f"{_x} @ {_y}")
row("matmul", real(3, 3), both=lambda xp, x: x @ x, detail="with itself")
row("matmul", real(2, 3), real(4, 3), both=lambda xp, x, y: x @ y.T, detail="transposed")
row("vecdot", real(2, 3), real(3), ref=np.vecdot)
row("vecdot", real(3, 2), real(3, 2), axis=0)
row("tensordot", real(2, 3, 4), real(3, 4, 5))
row("tensordot", real(2, 3), real(3, 2), axes=1)
row("tensordot", real(2), real(3), axes=0)
row(
    "tensordot",
    real(2, 3, 4),
    real(4, 5, 2),
    both=lambda xp, x, y: xp.tensordot(x, y, axes=((0, -1), (2, 0))),
    detail="named",
)
row("outer", real(2), real(3))
for _subscripts, _shapes in {
    "ij,jk->ik": ((2, 3), (3, 4)),
    "ij,jk": ((2, 3), (3, 4)),
    "bij,bkj->bik": ((2, 3, 4), (2, 2, 4)),
    "ij,jk,k->i": ((2, 3), (3, 4), (4,)),
    "ii->i": ((3, 3),),
    "ii": ((3, 3),),
    "ij->ji": ((2, 3),),
    "ij->j": ((2, 3),),
    "ij,kl->i": ((2, 3), (4, 2)),
    "i,i->": ((3,), (3,)),
    "i,j->ji": ((2,), (3,)),
    "ij,ij->ij": ((2, 3), (2, 3)),
    "iij,jk->ik": ((3, 3, 2), (2, 4)),
    "...ij,...jk->...ik": ((5, 2, 3), (5, 3, 4)),
    "...i,i->...": ((2, 3), (3,)),
    "ab,bc,cd,de->ae": ((2, 3), (3, 2), (2, 4), (4, 2)),
    "i,i,i->i": ((3,), (3,), (3,)),
    ",i->i": ((), (3,)),
}.items():
    row("einsum", *[real(*s) for s in _shapes], both=lambda xp, *a, e=_subscripts: xp.einsum(e, *a), detail=_subscripts)

# Linear algebra.
for _name in ("matmul", "outer", "tensordot", "vecdot"):
    row(
        f"linalg.{_name}",
        *(
            (real(3), real(3))
            if _name in ("outer", "vecdot")
            else (real(2, 3, 2), real(3, 2, 4))
            if _name == "tensordot"
            else (real(2, 3), real(3, 4))
        ),
    )
row("add_scaled", real(2, 3), real(3), f=public(lambda x, y: add_scaled(x, y, -0.3)), ref=lambda x, y: x - 0.3 * y)
row("affine", real(2, 3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b)
row("affine", real(3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b, detail="vector")
row("affine", real(5, 2, 3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b, detail="stack")
row("affine", real(0, 3), real(3, 4), real(4), f=public(affine), ref=lambda x, w, b: x @ w + b, detail="empty")
row("linalg.matrix_transpose", real(2, 3))
row("linalg.matrix_power", regular(3, 3), both=lambda xp, x: xp.linalg.matrix_power(x, 5))
row("linalg.matrix_power", regular(2, 2), both=lambda xp, x: xp.linalg.matrix_power(x, 0), detail="zero")
row("linalg.matrix_power", regular(2, 3, 3), both=lambda xp, x: xp.linalg.matrix_power(x, -3), detail="negative")
row("linalg.diagonal", real(2, 3, 4), ref=lambda x: np.linalg.diagonal(x))
row("linalg.diagonal", real(3, 4), offset=1)
row("linalg.diagonal", real(3, 4), offset=-2)
row("linalg.trace", real(2, 3, 3))
row("linalg.trace", real(3, 4), offset=-1)
row("linalg.solve", regular(3, 3), real(3, 2))
row("linalg.solve", regular(3, 3), real(3), detail="vector")
row("linalg.solve", regular(2, 3, 3), real(3, 2), detail="broadcast b")
row("linalg.solve", regular(3, 3), real(2, 3, 2), detail="broadcast a")
for _lower in (True, False):
    row(
        "linalg.solve_triangular",
        regular(3, 3),
        real(3, 2),
        f=lambda a, b, k=_lower: mg.linalg.solve_triangular(a, b, lower=k),
        ref=lambda a, b, k=_lower: np.linalg.solve(np.tril(a) if k else np.triu(a), b),
        detail=f"lower={_lower}",
    )
row("linalg.inv", regular(2, 3, 3))
row("linalg.det", regular(1, 1), detail="1")
row("linalg.det", regular(2, 2), detail="2")
row("linalg.det", regular(2, 3, 3), detail="3, stack")
row("linalg.det", regular(5, 5), detail="5")
row("linalg.det", lambda rng: 0.4 * regular(9, 9)(rng), detail="9")
row("linalg.slogdet", regular(2, 3, 3), ref=lambda x: tuple(np.linalg.slogdet(x)))
row(
    "linalg.slogdet",
    lambda rng: regular(3, 3)(rng)[::-1].copy(),
    ref=lambda x: tuple(np.linalg.slogdet(x)),
    detail="negative",
)
row("linalg.cholesky", definite(2, 3, 3))
row(
    "linalg.cholesky",
    definite(3, 3),
    f=lambda x: mg.linalg.cholesky(x, upper=True),
    ref=lambda x: np.linalg.cholesky(x).T,
    detail="upper",
)
row(
    "linalg.eigh",
    definite(2, 3, 3),
    both=lambda xp, x: [p**k for p, k in zip(xp.linalg.eigh(x), (1, 2), strict=True)],
    detail="values and squared vectors",
)
row("linalg.eigvalsh", definite(4, 4))
row("linalg.vector_norm", real(2, 3))
row("linalg.vector_norm", real(2, 3), axis=-1, keepdims=True)
for _ord in (1, 3, 2.5, 0):
    row("linalg.vector_norm", real(2, 3), axis=0, ord=_ord)
for _ord in (np.inf, -np.inf):
    row("linalg.vector_norm", distinct(2, 3), axis=1, ord=_ord)
for _ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    row("linalg.matrix_norm", positive(2, 3, 2), ord=_ord)
row("linalg.matrix_norm", distinct(2, 3), ord="nuc", keepdims=True, detail="wide")
row("linalg.SingularMatrixError", f=lambda: mg.zeros(1), ref=lambda: np.zeros(1), detail="a class")

# Creation.
for _name in ("zeros", "ones", "empty"):
    row(
        _name,
        f=lambda n=_name: getattr(mg, n)((2, 3), dtype=np.float32),
        ref=lambda n=_name: np.zeros((2, 3), np.float32) + np.float32(n == "ones"),
    )
    row(f"{_name}_like", real(2, 3), ref=lambda x, n=_name: np.zeros_like(x) + x.dtype.type(n == "ones"))
row("full", real(), both=lambda xp, v: xp.full((2, 3), v))
row("full_like", real(2, 3), real())
row("arange", f=lambda: (mg.arange(4), mg.arange(1.0, 3.0, 0.5)), ref=lambda: (np.arange(4), np.arange(1.0, 3.0, 0.5)))
row("linspace", f=lambda: mg.linspace(0.0, 1.0, 5), ref=lambda: np.linspace(0.0, 1.0, 5))
row("linspace", real(), real(2, 1), both=lambda xp, a, b: xp.linspace(a, b, 4), detail="ends")
row("linspace", real(), both=lambda xp, a: xp.linspace(a, a + 2, 5, endpoint=False), detail="open end")
row("linspace", real(2), both=lambda xp, a: xp.linspace(a, a, 1), detail="one point")
row("linspace", f=lambda: mg.linspace(-3, 4, 6, dtype=int), ref=lambda: np.linspace(-3, 4, 6, dtype=int), detail="int")
row(
    "finfo",
    real(2),
    f=lambda x: mg.asarray(mg.finfo(x).bits),
    ref=lambda x: np.asarray(np.finfo(x.dtype).bits),
    derivative="none",
    float32=False,
)
row("iinfo", integers(0, 2), f=lambda x: mg.asarray(mg.iinfo(x).max), ref=lambda x: np.asarray(np.iinfo(x.dtype).max))
row("isdtype", f=lambda: mg.asarray(mg.isdtype(mg.int32, "integral")), ref=lambda: np.asarray(True))
row(
    "result_type",
    real(2),
    f=lambda x: mg.zeros(2, dtype=mg.result_type(x, 1.5)),
    ref=lambda x: np.zeros(2, x.dtype),
    derivative="none",
)
row("eye", f=lambda: mg.eye(2, 3, k=1), ref=lambda: np.eye(2, 3, k=1))
row("asarray", real(2, 3))

# What transforms are made of.
row("stop_gradient", real(2, 3), ref=lambda x: x, derivative="none")
row(
    "checkpoint",
    real(2, 3),
    real(3),
    f=mg.checkpoint(lambda x, y: (mg.sin(x) * y, mg.exp(y))),
    ref=lambda x, y: (np.sin(x) * y, np.exp(y)),
)


@mg.custom_vjp
def _cube(x: Any, y: Any) -> Any:
    return x**3 * y


_cube.defvjp(
    lambda x, y: (x**3 * y, (x, y)),
    lambda residuals, g: (3 * g * residuals[0] ** 2 * residuals[1], g * residuals[0] ** 3),
)
row("custom_vjp", real(2, 3), real(2, 3), f=_cube, ref=lambda x, y: x**3 * y, derivative="own")

# Neural networks.


def _softmax(x: Any, axis: int = -1) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


def _one_hot(labels: Any, classes: int) -> Any:
    return np.eye(classes)[labels]


_erf = np.vectorize(math.erf, otypes=[float])
_inverse_normal = np.vectorize(statistics.NormalDist().inv_cdf, otypes=[float])
for _name, _g in {
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "gelu": lambda x: (x * 0.5 * (1 + _erf(x / math.sqrt(2)))).astype(x.dtype),
    "leaky_relu": lambda x: np.where(x > 0, x, x * x.dtype.type(0.01)),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "tanh": np.tanh,
}.items():
    row(f"nn.{_name}", real(2, 3), f=getattr(mg.nn, _name), ref=_g)
    row(f"nn.{_name}", real(0, 3), f=getattr(mg.nn, _name), ref=lambda x: x, detail="empty")
row(
    "nn.gelu",
    real(2, 3),
    f=lambda x: mg.nn.gelu(x, approximate=True),
    ref=lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    detail="approximate",
)
for _name, _g in {"softmax": _softmax, "log_softmax": lambda x, axis=-1: np.log(_softmax(x, axis))}.items():
    for _shape, _axis in (((3,), -1), ((2, 3), -1), ((2, 3, 2), 1), ((2, 3), 0), ((0, 3), -1)):
        row(
            f"nn.{_name}",
            real(*_shape),
            f=lambda x, n=_name, a=_axis: getattr(mg.nn, n)(x, axis=a),
            ref=lambda x, g=_g, a=_axis: g(x, a),
            detail=f"{_shape}, axis {_axis}",
        )
row("nn.mean_squared_error", real(2, 3), real(2, 3), f=mg.nn.mean_squared_error, ref=lambda x, y: np.mean((x - y) ** 2))
row(
    "nn.mean_squared_error", real(), real(), f=mg.nn.mean_squared_error, ref=lambda x, y: (x - y) ** 2, detail="scalars"
)
for _shape in ((4,), (2, 4), (2, 3, 4), (0, 4)):
    row(
        "nn.softmax_cross_entropy",
        real(*_shape),
        integers(0, 4, *_shape[:-1]),
        f=mg.nn.softmax_cross_entropy,
        ref=lambda x, y: (-np.log(_softmax(x)) * _one_hot(y, 4)).sum(-1).astype(x.dtype),
        detail=f"integer labels, {_shape}",
    )
    row(
        "nn.softmax_cross_entropy",
        real(*_shape),
        between(0.1, 1.0, *_shape),
        f=mg.nn.softmax_cross_entropy,
        ref=lambda x, y: (-np.log(_softmax(x)) * y).sum(-1),
        detail=f"soft labels, {_shape}",
    )


def _conv2d(x: Any, w: Any, stride: Any = (1, 1), pads: Any = ((0, 0), (0, 0)), dilation: Any = (1, 1)) -> Any:
    """The sum that defines it, pixel by pixel; leading axes broadcast, `pads` as in np.pad."""
    x = np.pad(x, [(0, 0)] * (x.ndim - 3) + [*pads, (0, 0)])
    kh, kw = w.shape[-4:-2]
    high, wide = (
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[-3:-1], (kh, kw), stride, dilation, strict=True)
    )
    rows = []
    for i, j in np.ndindex(high, wide):
        taps = [
            (
                x[..., i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], :, None] * w[..., a, b, :, :]
            ).sum(-2)
            for a, b in np.ndindex(kh, kw)
        ]
        rows.append(sum(taps))
    out = np.stack(rows, axis=-2)
    return out.reshape(*out.shape[:-2], high, wide, out.shape[-1])


def _conv2d_transpose(x: Any, w: Any, size: Any, **settings: Any) -> Any:
    """The matrix of the convolution, one unit image after the other, transposed."""
    unit = np.eye(math.prod((*size, w.shape[-2])), dtype=x.dtype).reshape(-1, *size, w.shape[-2])
    return np.einsum("uijo,...ijo->...u", _conv2d(unit, w, **settings), x).reshape(*x.shape[:-3], *size, w.shape[-2])


for _detail, _x, _w, _settings, _by_hand in (
    ("SAME", (2, 4, 5, 2), (3, 3, 2, 3), {}, {"pads": ((1, 1), (1, 1))}),
    ("VALID", (4, 4, 2), (2, 3, 2, 2), {"padding": "VALID"}, {}),
    ("stride 2", (2, 5, 4, 1), (3, 3, 1, 2), {"stride": 2}, {"stride": (2, 2), "pads": ((1, 1), (0, 1))}),
    ("even window", (3, 3, 1), (2, 2, 1, 2), {}, {"pads": ((0, 1), (0, 1))}),
    ("stride beyond the window", (5, 5, 2), (1, 2, 2, 1), {"stride": 3, "padding": "VALID"}, {"stride": (3, 3)}),
    (
        "explicit padding, dilation",
        (4, 3, 2),
        (2, 2, 2, 2),
        {"padding": ((1, 0), (0, 2)), "dilation": (2, 1)},
        {"pads": ((1, 0), (0, 2)), "dilation": (2, 1)},
    ),
    ("weights for each task", (2, 3, 3, 3, 1), (2, 1, 2, 2, 1, 2), {"padding": "VALID"}, {}),
    ("images for all tasks", (3, 3, 2), (2, 2, 2, 2, 1), {"padding": "VALID"}, {}),
    ("no images", (0, 3, 3, 1), (2, 2, 1, 2), {"padding": "VALID"}, {}),
):
    row(
        "nn.conv2d",
        real(*_x),
        real(*_w),
        f=lambda x, w, s=_settings: mg.nn.conv2d(x, w, **s),
        ref=lambda x, w, s=_by_hand: _conv2d(x, w, **s),
        detail=_detail,
    )
row(
    "nn.conv2d",
    real(2, 3, 4, 4),
    real(2, 2, 2, 6),
    f=lambda x, w: mg.nn.conv2d(x, w, groups=2, padding="VALID"),
    ref=lambda x, w: np.concatenate([_conv2d(x[..., :2], w[..., :3]), _conv2d(x[..., 2:], w[..., 3:])], -1),
    detail="groups",
)
row(
    "nn.conv2d",
    real(2, 3, 4, 4),
    real(2, 2, 2, 6),
    real(6),
    f=lambda x, w, b: mg.nn.conv2d(x, w, b, groups=2, padding="VALID"),
    ref=lambda x, w, b: np.concatenate([_conv2d(x[..., :2], w[..., :3]), _conv2d(x[..., 2:], w[..., 3:])], -1) + b,
    detail="groups, bias",
)
for _detail, _x, _w in (
    ("bias", (2, 3, 4, 2), (2, 2, 2, 3)),
    ("bias, weights for each task", (2, 2, 3, 3, 1), (2, 1, 2, 2, 1, 3)),
    ("bias, images for all tasks", (3, 3, 2), (2, 2, 2, 2, 3)),
):
    row(
        "nn.conv2d",
        real(*_x),
        real(*_w),
        real(3),
        f=lambda x, w, b: mg.nn.conv2d(x, w, b, padding="VALID"),
        ref=lambda x, w, b: _conv2d(x, w) + b,
        detail=_detail,
    )
for _detail, _x, _w, _size, _settings, _by_hand in (
    ("stride 2", (2, 2, 2, 3), (3, 3, 2, 3), (4, 4), {"stride": 2}, {"stride": (2, 2), "pads": ((0, 1), (0, 1))}),
    ("VALID", (2, 2, 1), (2, 3, 2, 1), (3, 4), {"padding": "VALID"}, {}),
    (
        "a size by name",
        (2, 2, 2),
        (1, 2, 1, 2),
        (4, 4),
        {"padding": "VALID", "stride": 2, "output_size": (4, 4)},
        {"stride": (2, 2)},
    ),
):
    row(
        "nn.conv2d_transpose",
        real(*_x),
        real(*_w),
        f=lambda x, w, s=_settings: mg.nn.conv2d_transpose(x, w, **s),
        ref=lambda x, w, n=_size, s=_by_hand: _conv2d_transpose(x, w, n, **s),
        detail=_detail,
    )


def _standard(x: Any, axis: Any, eps: float = 1e-5) -> Any:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + x.dtype.type(eps))


for _name, _shape, _axis, _by_keyword in (
    ("batch_norm", (3, 2, 2, 2), (-4, -3, -2), {"axis": (-4, -3, -2)}),
    ("batch_norm", (4, 3), (0,), {"axis": 0, "eps": 0.3}),
    ("batch_norm", (3, 2, 2), (0, 2), {"axis": (0, 2)}),
    ("layer_norm", (2, 4), (-1,), {}),
    ("layer_norm", (2, 2, 2, 2), (1, 2, 3), {"axis": (1, 2, 3)}),
    ("layer_norm", (0, 3), (-1,), {}),
):
    row(
        f"nn.{_name}",
        real(*_shape),
        f=lambda x, n=_name, k=_by_keyword: getattr(mg.nn, n)(x, **k),
        ref=lambda x, a=_axis, k=_by_keyword: _standard(x, a, k.get("eps", 1e-5)),
        detail=f"{_shape} over {_axis}",
    )
row(
    "nn.batch_norm",
    real(5, 3),
    real(3),
    real(3),
    f=lambda x, scale, offset: mg.nn.batch_norm(x, scale, offset, axis=0),
    ref=lambda x, scale, offset: _standard(x, 0) * scale + offset,
    detail="scale and offset",
)
row(
    "standardize_pullback",
    real(2, 4, 2),
    positive(2, 1, 2),
    real(2, 4, 2),
    f=StandardizePullback(-2, -2),
    ref=lambda y, s, g: s * (g - g.mean(1, keepdims=True) - y * (g * y).mean(1, keepdims=True)),
)
row(
    "nn.group_norm",
    real(2, 1, 2, 4),
    real(4),
    f=lambda x, offset: mg.nn.group_norm(x, 2, offset=offset),
    ref=lambda x, offset: _standard(x.reshape(2, 2, 2, 2), (1, 3)).reshape(2, 1, 2, 4) + offset,
)

row(
    "nn.softmax_cross_entropy",
    real(2, 4),
    integers(0, 4, 2),
    f=lambda x, y: mg.nn.softmax_cross_entropy(x, y, label_smoothing=0.3),
    ref=lambda x, y: (-np.log(_softmax(x)) * (0.7 * _one_hot(y, 4) + 0.075)).sum(-1).astype(x.dtype),
    detail="integer labels, smoothed",
)
row(
    "nn.softmax_cross_entropy",
    real(2, 4),
    between(0.1, 1.0, 2, 4),
    f=lambda x, y: mg.nn.softmax_cross_entropy(x, y, label_smoothing=0.3),
    ref=lambda x, y: (-np.log(_softmax(x)) * (0.7 * y + 0.075)).sum(-1),
    detail="soft labels, smoothed",
)

# Pooling.


def _pooled(reduce: Any, fill: float, x: Any, window: Any, stride: Any, padding: Any) -> Any:
    """A reduction over each window of images, padded with a number, window by window."""
    padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + [*padding, (0, 0)], constant_values=fill)
    height, width = padded.shape[-3:-1]
    rows = [
        [
            reduce(padded[..., i : i + window[0], j : j + window[1], :], axis=(-3, -2))
            for j in range(0, width - window[1] + 1, stride[1])
        ]
        for i in range(0, height - window[0] + 1, stride[0])
    ]
    return np.stack([np.stack(row, axis=-2) for row in rows], axis=-3)


_NO_PADDING = ((0, 0), (0, 0))
for _shape, _window, _options, _stride, _padding in (
    ((4, 4, 2), (2, 2), {}, (2, 2), _NO_PADDING),
    ((5, 4, 1), (2, 3), {"stride": 1}, (1, 1), _NO_PADDING),
    ((2, 5, 5, 1), (3, 3), {"stride": 2, "padding": "SAME"}, (2, 2), ((1, 1), (1, 1))),
    ((2, 1, 3, 4, 2), (2, 2), {"stride": (2, 1), "padding": "SAME"}, (2, 1), ((0, 1), (0, 1))),
    ((4, 5, 2), (2, 3), {"stride": (3, 2), "padding": ((1, 0), (2, 1))}, (3, 2), ((1, 0), (2, 1))),
    ((0, 4, 4, 2), (2, 2), {}, (2, 2), _NO_PADDING),
    ((2, 3, 3, 0), (2, 2), {}, (2, 2), _NO_PADDING),
):
    for _name, _reduce, _fill in (("max_pool2d", np.max, -np.inf), ("avg_pool2d", np.mean, 0.0)):
        row(
            f"nn.{_name}",
            distinct(*_shape),
            f=lambda x, n=_name, w=_window, o=_options: getattr(mg.nn, n)(x, w, **o),
            ref=functools.partial(
                lambda r, fill, w, s, p, x: _pooled(r, fill, x, w, s, p), _reduce, _fill, _window, _stride, _padding
            ),
            detail=f"{_shape}, window {_window}, {_options}",
        )
for _name, _reduce in (("global_max_pool2d", np.max), ("global_avg_pool2d", np.mean)):
    for _shape in ((3, 2, 4), (2, 3, 2, 2), (0, 3, 2, 2)):
        row(
            f"nn.{_name}",
            distinct(*_shape),
            f=getattr(mg.nn, _name),
            ref=lambda x, r=_reduce: r(x, axis=(-3, -2)),
            detail=f"{_shape}",
        )


def _each_named(indices: Any) -> Any:
    """For windows of 2 x 3 with stride 1: places in an array of indices, and the pixels that these name."""
    for at in np.ndindex(*indices.shape):
        *lead, i, j, c = at
        row, column = divmod(int(indices[at]), 3)
        yield at, (*lead, i + row, j + column, c)


def _gathered(x: Any, indices: Any) -> Any:
    found = np.zeros(indices.shape, x.dtype)
    for at, pixel in _each_named(indices):
        found[at] = x[pixel]
    return found


def _scattered(g: Any, indices: Any) -> Any:
    found = np.zeros((*g.shape[:-3], 3, 4, g.shape[-1]), g.dtype)
    for at, pixel in _each_named(indices):
        found[pixel] += g[at]
    return found


def _window_indices(*shape: int) -> Make:
    return lambda rng: rng.integers(0, 6, shape, dtype=np.uint8)


_SLIDING = ((2, 3), (1, 1), ((0, 0), (0, 0)))
for _lead in ((), (2,), (0, 2)):
    _indices = _window_indices(*_lead, 2, 2, 2)
    row("window_gather", real(*_lead, 3, 4, 2), _indices, f=WindowGather(*_SLIDING), ref=_gathered, detail=f"{_lead}")
    row(
        "window_scatter",
        real(*_lead, 2, 2, 2),
        _indices,
        f=WindowScatter(*_SLIDING, (3, 4)),
        ref=_scattered,
        detail=f"{_lead}",
    )

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

# Random: what they draw is tested elsewhere; here, that transforms leave it alone.


def keys() -> Make:
    return lambda rng: rng.integers(0, 2**32, 2, dtype=np.uint32)


row("random.bits", keys(), f=lambda k: mg.random.bits(k, (5,)))
row("random.fold_in", keys(), integers(0, 9), f=mg.random.fold_in)
row("random.normal", keys(), f=lambda k: mg.random.normal(k, (2, 3)))
row(
    "nn.dropout",
    real(3, 4),
    keys(),
    f=lambda x, k: mg.nn.dropout(x, 0.4, k),
    ref=lambda x, k: np.where(
        mg.random.bits(k, x.shape).numpy() / 2**32 >= 0.4, x / x.dtype.type(0.6), x.dtype.type(0)
    ),
)
row("nn.dropout", real(0, 4), keys(), f=lambda x, k: mg.nn.dropout(x, 0.4, k), ref=lambda x, k: x, detail="empty")
row("orthogonal_factor", regular(3, 3), f=OrthogonalFactor(), ref=lambda x: _positive_qr(x), derivative="none")


def _positive_qr(x: Any) -> Any:
    q, r = np.linalg.qr(x)
    return q * np.sign(np.diag(r))
