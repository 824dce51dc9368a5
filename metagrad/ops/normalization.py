"""Normalisation: to mean 0 and variance 1 over some axes, and the norms of deep learning that stand on it.

Three primitives, each a kernel: `Standardize`, `StandardizePullback`, which is its derivative, and
`StandardizePullbackGradients`, which is the derivative of that. From the third order on the derivatives are those of
the last one's composite. Nothing is saved without its history: y and s, by which all are written, are outputs of the
first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import metagrad_kernels.normalization as kernels

from ..core.primitive import Aval, Primitive, add_cotangents
from ..errors import DTypeError, OptionError, ShapeError, requires
from .arithmetic import add, divide, multiply, negative, sqrt, square, subtract
from .dtypes import weak
from .elementwise import common_device, shape_of
from .fused import Fused
from .reductions import mean
from .reductions import sum as sum_
from .shape import all_mapped, normal_axes, permute_dims, reshape
from .windows import positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value


@dataclass(frozen=True, eq=False, repr=False)
class _OverAxes(Primitive):
    """A function of arrays of one shape (s: with axes of size 1) for which the axes [first, last] are one axis.

    They are counted from the end, so that a mapped axis in front changes nothing.
    """

    analytic = True
    first: int
    last: int

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(range(self.first, self.last + 1))

    def mean(self, x: Value) -> Value:
        return mean(x, axis=self.axes, keepdims=True)

    def scale_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([1 if self.first <= k - len(shape) <= self.last else n for k, n in enumerate(shape)])

    def merged(self, x: Any) -> Any:
        """(a, r, b), as the kernels know it."""
        shape = x.shape
        first, last = len(shape) + self.first, len(shape) + self.last + 1
        return x.reshape(math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:]))

    def merged_scale(self, s: Any) -> Any:
        return s.reshape(-1, math.prod(s.shape[len(s.shape) + self.last + 1 :]))

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Any:
        return self.bind(*(inputs if all(batched) else all_mapped(batched, inputs)))


@dataclass(frozen=True, eq=False, repr=False)
class Standardize(_OverAxes):
    """(y, s) of x: s = 1 / sqrt(variance + eps) and y = (x - mean) s."""

    work = 6
    uses_inputs = False
    eps: float

    def forward(self, x: Any) -> Any:
        if x.dtype not in _KERNELS_TAKE:
            return self.composite(x)
        y, s = kernels.standardize(self.merged(x), self.eps)
        return y.reshape(x.shape), s.reshape(self.scale_shape(x.shape))

    def composite(self, x: Value) -> Any:
        centred = subtract(x, self.mean(x))
        s = divide(1.0, sqrt(add(self.mean(square(centred)), self.eps)))
        return multiply(centred, s), s

    def abstract(self, x: Any) -> Any:
        return Aval(x.shape, x.dtype, x.device), Aval(self.scale_shape(x.shape), x.dtype, x.device)

    def vjp(self, i: int, cotangent: Any, output: Any, x: Value) -> Value:
        (y, s), (of_y, of_s) = output, cotangent
        total = None if of_y is None else self.pullback.bind(y, s, of_y)
        return add_cotangents(total, None if of_s is None else multiply(self.slope(y, s), of_s))

    def jvp(self, i: int, tangent: Value, output: Any, x: Value) -> Any:
        y, s = output  # the Jacobian of y is symmetric
        return self.pullback.bind(y, s, tangent), sum_(
            multiply(self.slope(y, s), tangent), axis=self.axes, keepdims=True
        )

    def jvp_all(self, tangents: list[Value], output: Any, *inputs: Value) -> Any:
        return self.jvp(0, tangents[0], output, *inputs)

    @property
    def pullback(self) -> StandardizePullback:
        return StandardizePullback(self.first, self.last)

    def slope(self, y: Value, s: Value) -> Value:
        """The derivative of s for x: -s^2 y / r."""
        r = math.prod([y.shape[axis] for axis in self.axes])
        return multiply(multiply(square(s), -1.0 / r), y)


@dataclass(frozen=True, eq=False, repr=False)
class StandardizePullback(_OverAxes):
    """h = s (g - <g> - y <g y>) of y, s and g, with means <.>: what the cotangent g of y is for x."""

    work = 7

    def forward(self, y: Any, s: Any, g: Any) -> Any:
        if _no_kernel(y, s, g):
            return self.composite(y, s, g)
        return kernels.pullback(self.merged(y), self.merged_scale(s), self.merged(g)).reshape(y.shape)

    def composite(self, y: Value, s: Value, g: Value) -> Value:
        return multiply(s, subtract(subtract(g, self.mean(g)), multiply(y, self.mean(multiply(g, y)))))

    def abstract(self, y: Any, s: Any, g: Any) -> Aval:
        return Aval(y.shape, np.result_type(y.dtype, s.dtype, g.dtype), common_device(self.name, (y, s, g)))

    def vjp_all(
        self, needed: Sequence[bool], cotangent: Value, output: Value, y: Value, s: Value, g: Value
    ) -> list[Value]:
        if needed[0] or needed[1]:
            found = StandardizePullbackGradients(self.first, self.last).bind(y, s, g, cotangent)
            return [v if need else None for v, need in zip(found, needed, strict=True)]
        return [None, None, self.bind(y, s, cotangent)]

    def jvp_all(self, tangents: list[Value], output: Value, y: Value, s: Value, g: Value) -> Value:
        dy, ds, dg = tangents
        total = None if dg is None else self.bind(y, s, dg)
        if ds is not None:
            total = add_cotangents(total, multiply(output, divide(ds, s)))
        if dy is not None:
            bent = add(multiply(dy, self.mean(multiply(g, y))), multiply(y, self.mean(multiply(g, dy))))
            total = add_cotangents(total, negative(multiply(s, bent)))
        return total


@dataclass(frozen=True, eq=False, repr=False)
class StandardizePullbackGradients(_OverAxes, Fused):
    """What the cotangent c of h is for y, s and g."""

    work = 20

    def forward(self, y: Any, s: Any, g: Any, c: Any) -> Any:
        if _no_kernel(y, s, g, c):
            return self.composite(y, s, g, c)
        merged = self.merged
        of_y, of_s, of_g = kernels.pullback_gradients(merged(y), self.merged_scale(s), merged(g), merged(c))
        return of_y.reshape(y.shape), of_s.reshape(s.shape), of_g.reshape(y.shape)

    def composite(self, y: Value, s: Value, g: Value, c: Value) -> Any:
        pullback = StandardizePullback(self.first, self.last)
        by_g, by_c = self.mean(multiply(g, y)), self.mean(multiply(c, y))
        of_y = negative(multiply(s, add(multiply(c, by_g), multiply(g, by_c))))
        bent = subtract(subtract(g, self.mean(g)), multiply(y, by_g))
        return of_y, sum_(multiply(c, bent), axis=self.axes, keepdims=True), pullback.bind(y, s, c)

    def abstract(self, y: Any, s: Any, g: Any, c: Any) -> Any:
        dtype = np.result_type(y.dtype, s.dtype, g.dtype, c.dtype)
        device = common_device(self.name, (y, s, g, c))
        return Aval(y.shape, dtype, device), Aval(s.shape, dtype, device), Aval(y.shape, dtype, device)


_KERNELS_TAKE = (np.dtype(np.float32), np.dtype(np.float64))


def _no_kernel(*arrays: Any) -> bool:
    """Whether the types are complex, or differ: then the composite serves."""
    return any(a.dtype not in _KERNELS_TAKE or a.dtype != arrays[0].dtype for a in arrays)


def batch_norm(x: Any, /, scale: Any = None, offset: Any = None, *, axis: Any, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(variance + eps) * scale + offset, with mean and variance of x itself over `axis`.

    For images (n, h, w, c), `axis` is (-4, -3, -2); under `vmap` each mapped element has statistics of its own. The
    variance is the mean square, as all batch norms use for the batch at hand. `scale` and `offset` broadcast against x;
    None leaves them out. (Ioffe and Szegedy 2015, arXiv 1502.03167.)

    Raises ShapeError where fewer than two values are averaged, or scale or offset do not broadcast; DTypeError unless x
    is floating-point; OptionError for an eps that is not positive.

    >>> import metagrad as mg
    >>> mg.nn.batch_norm(mg.asarray([[1.0, 5.0], [3.0, 5.0]]), axis=0, eps=1e-12)
    Tensor([[-1.,  0.],
            [ 1.,  0.]], dtype=float64)
    """
    return _norm("batch_norm", x, scale, offset, axis, eps)


def layer_norm(x: Any, /, scale: Any = None, offset: Any = None, *, axis: Any = -1, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(variance + eps) * scale + offset, for each example over its features, `axis`.

    `scale` and `offset` broadcast against x; None leaves them out. (Ba, Kiros and Hinton 2016, arXiv 1607.06450.)
    Raises as `batch_norm`.

    >>> import metagrad as mg
    >>> mg.nn.layer_norm(mg.asarray([1.0, 3.0]), eps=1e-12)
    Tensor([-1.,  1.], dtype=float64)
    """
    return _norm("layer_norm", x, scale, offset, axis, eps)


def group_norm(x: Any, /, groups: int, scale: Any = None, offset: Any = None, *, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(variance + eps) * scale + offset, over height, width and the channels of a group.

    x: (..., h, w, c), whose channels fall into `groups` parts; `scale` and `offset` broadcast against x, None leaves
    them out. (Wu and He 2018, arXiv 1803.08494.) Raises as `batch_norm`; OptionError for groups that do not divide c.

    >>> import metagrad as mg
    >>> mg.nn.group_norm(mg.ones((5, 4, 4, 6)), 3).shape
    (5, 4, 4, 6)
    """
    name = "group_norm"
    shape = tuple(shape_of(x))
    if len(shape) < 3:
        raise ShapeError(requires(name, "images of shape (..., h, w, c)", f"shape {shape}"))
    groups = positive(name, "groups", groups)
    if shape[-1] % groups:
        raise OptionError(requires(name, f"groups that divide {shape[-1]} channels", f"{groups}"))
    parts = reshape(x, (*shape[:-1], groups, shape[-1] // groups))
    y = reshape(_norm(name, parts, None, None, (-4, -3, -1), eps), shape)
    return _scaled(name, y, scale, offset)


def positive_eps(name: str, eps: Any) -> float:
    """A number above 0; raises OptionError for another."""
    found = weak(eps)
    if not isinstance(found, int | float) or not found > 0:
        raise OptionError(requires(name, "a positive eps", repr(eps)))
    return float(found)


def _norm(name: str, x: Value, scale: Value, offset: Value, axis: Any, eps: Any) -> Value:
    shape = tuple(shape_of(x))
    axes = normal_axes(name, axis, len(shape))
    if getattr(x, "dtype", np.dtype(int)).kind != "f":
        raise DTypeError(requires(name, "an array in floating point", str(getattr(x, "dtype", type(x).__name__))))
    eps = positive_eps(name, eps)
    count = math.prod([shape[a] for a in axes])
    if count < 2:
        need = "at least two values to take statistics of"
        raise ShapeError(requires(name, need, f"{count} along axis {axis} of shape {shape}"))
    rank = len(shape)
    if axes == tuple(range(axes[0], axes[-1] + 1)):
        y, _ = Standardize(axes[0] - rank, axes[-1] - rank, eps).bind(x)
    else:  # bring them together, and back
        order = [a for a in range(rank) if a not in axes] + list(axes)
        y, _ = Standardize(-len(axes), -1, eps).bind(permute_dims(x, tuple(order)))
        y = permute_dims(y, tuple(int(k) for k in np.argsort(order)))
    return _scaled(name, y, scale, offset)


def _scaled(name: str, y: Value, scale: Value, offset: Value) -> Value:
    for what, v, apply in (("a scale", scale, multiply), ("an offset", offset, add)):
        if v is None:
            continue
        shape = tuple(shape_of(v))
        if len(shape) > y.ndim or any(m not in (1, n) for m, n in zip(shape[::-1], y.shape[::-1], strict=False)):
            raise ShapeError(requires(name, f"{what} that broadcasts against {y.shape}", f"shape {shape}"))
        y = apply(y, v)
    return y
