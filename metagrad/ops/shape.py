"""Operations that move elements and change none."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from operator import index as as_index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.devices import device_of, namespace
from ..core.primitive import Aval, Primitive
from ..core.trace import Tracer
from ..errors import DTypeError, ShapeError, TraceError, requires
from .elementwise import common_device, shape_of, unbroadcast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value


def normal_axis(name: str, axis: Any, rank: int) -> int:
    """The axis counted from the front; raises ShapeError where there is none."""
    try:
        n = as_index(axis)
    except TypeError:
        raise ShapeError(requires(name, "an axis that is a whole number", repr(axis))) from None
    if not -rank <= n < rank:
        raise ShapeError(requires(name, f"an axis of an array with {rank} axes", axis))
    return n % rank


def normal_axes(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    """All axes that `axis` (None, a number or several) names, in order; raises ShapeError where there are none such."""
    try:
        return _normal_axes(name, tuple(axis) if isinstance(axis, list) else axis, rank)
    except TypeError:  # what has no hash is no number
        raise ShapeError(requires(name, "axes that are whole numbers", repr(axis))) from None


def whole_numbers(name: str, sizes: Any, need: str = "a shape of whole numbers") -> tuple[int, ...]:
    """A number, or several, as a tuple of integers; raises ShapeError for anything else."""
    several = type(sizes) is tuple or isinstance(sizes, list | tuple) or getattr(sizes, "ndim", 0) == 1
    try:
        return tuple([as_index(n) for n in (sizes if several else (sizes,))])
    except TypeError:
        raise ShapeError(requires(name, need, repr(sizes))) from None


def as_shape(name: str, shape: Any) -> tuple[int, ...]:
    """A size, or several, as a shape; raises ShapeError unless they are whole numbers of at least 0."""
    found = whole_numbers(name, shape)
    if found and min(found) < 0:
        raise ShapeError(requires(name, "sizes of at least 0", found))
    return found


@functools.lru_cache(1024)
def _normal_axes(name: str, axis: Any, rank: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(rank))
    axes = tuple(sorted(normal_axis(name, a, rank) for a in (axis if isinstance(axis, tuple) else (axis,))))
    if len(set(axes)) != len(axes):
        raise ShapeError(requires(name, "different axes", axis))
    return axes


def all_mapped(batched: tuple[bool, ...], inputs: Sequence[Value]) -> list[Value]:
    """Inputs of a batching rule, those that are not mapped repeated along a new axis 0."""
    size = next(x.shape[0] for x, b in zip(inputs, batched, strict=True) if b)
    return [x if b else broadcast_to(x, (size, *x.shape)) for x, b in zip(inputs, batched, strict=True)]


class Linear(Primitive):
    """A primitive that is linear in its first input; the others are indices. Its JVP is itself."""

    work = 0
    analytic = True
    uses_output = False

    def jvp(self, i: int, tangent: Value, output: Value, *inputs: Value) -> Value:
        return self.bind(tangent, *inputs[1:])


class Rearrangement(Linear):
    """A linear primitive of one input."""

    uses_inputs = False


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Rearrangement):
    view = True
    shape: tuple[int, ...]

    def forward(self, x: Any) -> Any:
        return np.reshape(x, self.shape)

    def abstract(self, x: Any) -> Aval:
        if math.prod(x.shape) != math.prod(self.shape):
            raise ShapeError(requires("reshape", f"a shape of {math.prod(x.shape)} elements for {x.shape}", self.shape))
        return Aval(self.shape, x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return reshape(cotangent, x.shape)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return Reshape((x.shape[0], *self.shape)).bind(x)


@dataclass(frozen=True, eq=False, repr=False)
class PermuteDims(Rearrangement):
    view = True
    axes: tuple[int, ...]

    def forward(self, x: Any) -> Any:
        return x.transpose(self.axes)

    def abstract(self, x: Any) -> Aval:
        return Aval(tuple(x.shape[a] for a in self.axes), x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return PermuteDims(tuple(inverse)).bind(cotangent)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return PermuteDims((0, *(a + 1 for a in self.axes))).bind(x)


@dataclass(frozen=True, eq=False, repr=False)
class BroadcastTo(Rearrangement):
    view = True
    shape: tuple[int, ...]

    def forward(self, x: Any) -> Any:
        lead = len(self.shape) - x.ndim
        if isinstance(x, np.generic):
            x = np.asarray(x)
        if type(x) is not np.ndarray or not x.flags.c_contiguous or lead < 0:
            return np.broadcast_to(x, self.shape)
        # np.broadcast_to, without its 4 us of checks that `abstract` repeats where they fail.
        strides = [0] * lead
        for n, wanted, stride in zip(x.shape, self.shape[lead:], x.strides, strict=True):
            if n != wanted and n != 1:
                raise ValueError
            strides.append(stride if n == wanted else 0)
        return np.ndarray(self.shape, x.dtype, x, 0, strides)

    def abstract(self, x: Any) -> Aval:
        lead = len(self.shape) - len(x.shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, self.shape[lead:], strict=True)):
            raise ShapeError(requires("broadcast_to", f"a shape that {x.shape} broadcasts to", self.shape))
        return Aval(self.shape, x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return unbroadcast(cotangent, x)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        ones = (1,) * (len(self.shape) - len(x.shape) + 1)
        return BroadcastTo((x.shape[0], *self.shape)).bind(reshape(x, (x.shape[0], *ones, *x.shape[1:])))


@dataclass(frozen=True, eq=False, repr=False)
class Concat(Primitive):
    """Several arrays, one after the other along an axis."""

    work = 0
    analytic = True
    uses_inputs = uses_output = False
    axis: int

    def forward(self, *inputs: Any) -> Any:
        return np.concatenate(inputs, axis=self.axis)

    def abstract(self, *inputs: Any) -> Aval:
        first, axis = inputs[0], self.axis
        for x in inputs:
            if len(x.shape) != len(first.shape) or any(
                n != m for k, (n, m) in enumerate(zip(x.shape, first.shape, strict=True)) if k != axis
            ):
                shapes = " and ".join(str(y.shape) for y in inputs)
                raise ShapeError(requires("concat", f"shapes that agree except along axis {axis}", shapes))
        total = sum(x.shape[axis] for x in inputs)
        dtype = np.result_type(*[x.dtype for x in inputs])
        return Aval((*first.shape[:axis], total, *first.shape[axis + 1 :]), dtype, common_device("concat", inputs))

    def vjp_all(self, needed: Sequence[bool], cotangent: Value, output: Value, *inputs: Value) -> list[Value]:
        from .indexing import slice_axis

        found, start = [], 0
        for x, need in zip(inputs, needed, strict=True):
            stop = start + x.shape[self.axis]
            found.append(slice_axis(cotangent, self.axis, start, stop) if need else None)
            start = stop
        return found

    def jvp_all(self, tangents: list[Value], output: Value, *inputs: Value) -> Value:
        from .creation import zeros_like

        return self.bind(*[zeros_like(x) if t is None else t for t, x in zip(tangents, inputs, strict=True)])

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Value:
        return Concat(self.axis + 1).bind(*all_mapped(batched, inputs))


def with_array(x: Value) -> Value:
    """A value with a shape and a dtype: a Python number as an array."""
    return np.asarray(x) if type(x) in (int, float, bool) else x


def along(x: Value, axis: int, n: int | None = None) -> Any:
    """The plain numbers from 0 to n - 1, by default as many as x has along an axis, with the other axes of size 1."""
    shape = [1] * len(shape_of(x))
    shape[axis] = -1
    return namespace(x).arange(shape_of(x)[axis] if n is None else n).reshape(shape)


def reshape(x: Any, /, shape: Any) -> Any:
    """The same elements in another shape; one entry may be -1. Raises ShapeError where the sizes differ."""
    wanted = whole_numbers("reshape", shape)
    given = shape_of(x)
    if wanted and min(wanted) < 0:
        rest = -math.prod(wanted)
        size = math.prod(given)
        if rest < 1 or wanted.count(-1) != 1 or size % rest:
            raise ShapeError(requires("reshape", f"a shape of {size} elements for {given}", wanted))
        wanted = tuple([size // rest if n == -1 else n for n in wanted])
    return x if wanted == given and hasattr(x, "shape") else Reshape(wanted).bind(with_array(x))


def permute_dims(x: Any, /, axes: Any) -> Any:
    """The axes in another order: axis k of the result is axis `axes[k]` of x."""
    rank = len(shape_of(x))
    order = tuple([normal_axis("permute_dims", a, rank) for a in axes])
    if sorted(order) != list(range(rank)):
        raise ShapeError(requires("permute_dims", f"each of the {rank} axes once", tuple(axes)))
    return x if order == tuple(range(rank)) else PermuteDims(order).bind(x)


def swapaxes(x: Any, a: int, b: int) -> Any:
    """Two axes exchanged."""
    order = list(range(len(shape_of(x))))
    a, b = normal_axis("swapaxes", a, len(order)), normal_axis("swapaxes", b, len(order))
    order[a], order[b] = order[b], order[a]
    return permute_dims(x, order)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    if len(shape_of(x)) < 2:
        raise ShapeError(requires("matrix_transpose", "at least two axes", f"shape {shape_of(x)}"))
    return swapaxes(x, -1, -2)


def transpose(x: Any, /) -> Any:
    """The transpose of a matrix. Raises ShapeError for another number of axes: use permute_dims or matrix_transpose."""
    if len(shape_of(x)) != 2:
        raise ShapeError(
            requires("transpose", "a matrix (mT and permute_dims take other ranks)", f"shape {shape_of(x)}")
        )
    return swapaxes(x, 0, 1)


def moveaxis(x: Any, source: Any, destination: Any, /) -> Any:
    """Axes moved to other places; the others keep their order."""
    rank = len(shape_of(x))
    single = not isinstance(source, tuple | list)
    sources = [normal_axis("moveaxis", a, rank) for a in ((source,) if single else source)]
    targets = [normal_axis("moveaxis", a, rank) for a in ((destination,) if single else destination)]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ShapeError(
            requires("moveaxis", "as many different destinations as sources", f"{source} to {destination}")
        )
    order = [a for a in range(rank) if a not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return permute_dims(x, order)


def expand_dims(x: Any, /, axis: Any = 0) -> Any:
    """Axes of size 1 inserted so that they stand at `axis` in the result."""
    shape = list(shape_of(x))
    axes = normal_axes("expand_dims", axis, len(shape) + (len(axis) if isinstance(axis, tuple | list) else 1))
    for a in axes:
        shape.insert(a, 1)
    return reshape(x, tuple(shape))


def squeeze(x: Any, /, axis: Any = None) -> Any:
    """Axes of size 1 removed: those named, or all of them. Raises ShapeError for an axis of another size."""
    shape = shape_of(x)
    axes = [a for a, n in enumerate(shape) if n == 1] if axis is None else normal_axes("squeeze", axis, len(shape))
    if any(shape[a] != 1 for a in axes):
        raise ShapeError(requires("squeeze", "axes of size 1", f"axis {axis} of shape {shape}"))
    return reshape(x, tuple(n for a, n in enumerate(shape) if a not in axes))


def broadcast_to(x: Any, /, shape: Any) -> Any:
    """x repeated, without a copy, to a larger shape."""
    wanted = as_shape("broadcast_to", shape)
    return x if shape_of(x) == wanted and hasattr(x, "shape") else BroadcastTo(wanted).bind(with_array(x))


def broadcast_arrays(*arrays: Any) -> Any:
    """All arrays in the shape they broadcast to together."""
    from .elementwise import common_shape

    shape = common_shape("broadcast_arrays", [shape_of(x) for x in arrays])
    return [broadcast_to(x, shape) for x in arrays]


def concat(arrays: Any, /, *, axis: int | None = 0) -> Any:
    """Arrays joined along an axis they have; with axis None, flattened first."""
    arrays = _several("concat", arrays)
    if not arrays:
        raise ShapeError(requires("concat", "at least one array", "none"))
    if axis is None:
        return concat([reshape(x, (-1,)) for x in arrays], axis=0)
    first = shape_of(arrays[0])
    return Concat(normal_axis("concat", axis, len(first))).bind(*[with_array(x) for x in arrays])


def _several(name: str, arrays: Any) -> list[Value]:
    try:
        return list(arrays)
    except TypeError:
        raise DTypeError(requires(name, "a list or tuple of arrays", repr(arrays))) from None


def stack(arrays: Any, /, *, axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis."""
    arrays = _several("stack", arrays)
    shapes = {shape_of(x) for x in arrays}
    if len(shapes) != 1:
        raise ShapeError(requires("stack", "arrays of one shape", " and ".join(map(str, sorted(shapes))) or "none"))
    return concat([expand_dims(x, axis) for x in arrays], axis=axis)


def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """The slices of x along an axis, as a tuple."""
    from .indexing import getitem

    axis = normal_axis("unstack", axis, len(shape_of(x)))
    return tuple([getitem(x, (slice(None),) * axis + (k,)) for k in range(x.shape[axis])])


def flip(x: Any, /, *, axis: Any = None) -> Any:
    """The order of the elements reversed along some axes, or all."""
    from .indexing import getitem

    axes = normal_axes("flip", axis, len(shape_of(x)))
    return getitem(x, tuple([slice(None, None, -1 if a in axes else 1) for a in range(len(x.shape))]))


def roll(x: Any, /, shift: Any, *, axis: Any = None) -> Any:
    """Elements shifted along axes; what leaves at the end comes in at the front."""
    from .indexing import slice_axis

    if axis is None:
        return reshape(roll(reshape(x, (-1,)), shift, axis=0), x.shape)
    steps = whole_numbers("roll", shift, "shifts that are whole numbers")
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if len(steps) != len(axes) and 1 not in (len(steps), len(axes)):
        raise ShapeError(requires("roll", "a shift for each axis", f"{shift} for {axis}"))
    steps, axes = steps * (len(axes) if len(steps) == 1 else 1), axes * (len(steps) if len(axes) == 1 else 1)
    for step, axis in zip(steps, axes, strict=True):
        a = normal_axis("roll", axis, len(x.shape))
        n = x.shape[a]
        cut = -step % n if n else 0
        if cut:
            x = concat([slice_axis(x, a, cut, n), slice_axis(x, a, 0, cut)], axis=a)
    return x


def tile(x: Any, repetitions: Any, /) -> Any:
    """x repeated as a block along each axis."""
    reps = as_shape("tile", repetitions)
    rank = max(len(reps), len(x.shape))
    reps = (1,) * (rank - len(reps)) + reps
    shape = (1,) * (rank - len(x.shape)) + tuple(x.shape)
    pairs = tuple(n for pair in zip(reps, shape, strict=True) for n in pair)
    spread = broadcast_to(reshape(x, tuple(n for s in shape for n in (1, s))), pairs)
    return reshape(spread, tuple(r * n for r, n in zip(reps, shape, strict=True)))


def repeat(x: Any, repeats: Any, /, *, axis: int | None = None) -> Any:
    """Each element repeated along an axis: a number of times, or as often as an array of counts says."""
    from .indexing import take

    if axis is None:
        return repeat(reshape(x, (-1,)), repeats, axis=0)
    if isinstance(repeats, Tracer):
        raise TraceError(requires("repeat", "counts of known values (their sum is a shape)", f"{repeats!r}"))
    axis = normal_axis("repeat", axis, len(x.shape))
    counts = np.asarray(repeats) if device_of(repeats) == "cpu" else repeats.get()
    if counts.shape not in ((), (1,), (x.shape[axis],)) or counts.dtype.kind not in "iu" or (counts < 0).any():
        need = f"a count of at least 0, or {x.shape[axis]} of them for axis {axis}"
        raise ShapeError(requires("repeat", need, np.array2string(counts, threshold=9)))
    n = x.shape[axis]
    if not counts.shape:
        return take(x, namespace(x).arange(n * int(counts)) // max(int(counts), 1), axis=axis)
    return take(x, np.repeat(np.arange(n), counts), axis=axis)


def pad(x: Any, width: Any, /, *, mode: str = "constant", constant_values: float = 0) -> Any:
    """x with `width` more elements around: a number, a pair (before, after), or a pair for each axis.

    `mode` is "constant". Raises ShapeError for negative widths or a wrong number of pairs.
    """
    from ..errors import OptionError
    from .arithmetic import where
    from .indexing import embed

    if mode != "constant":
        raise OptionError(requires("pad", "mode 'constant'", repr(mode)))
    rank = len(x.shape)
    try:
        widths = np.asarray(width)
        pairs = np.broadcast_to(widths.astype(int, casting="same_kind"), (rank, 2)).tolist()
    except (ValueError, TypeError):
        need = f"a width, a pair, or {rank} pairs of whole numbers"
        raise ShapeError(requires("pad", need, repr(width))) from None
    if any(n < 0 for pair in pairs for n in pair):
        raise ShapeError(requires("pad", "widths of at least 0", width))
    inside = tuple([slice(before, before + n) for (before, _), n in zip(pairs, x.shape, strict=True)])
    shape = tuple([before + n + after for (before, after), n in zip(pairs, x.shape, strict=True)])
    padded = embed(x, inside, shape)
    if constant_values == 0:
        return padded
    mask = namespace(x).zeros(shape, dtype=bool)
    mask[inside] = True
    return where(mask, padded, constant_values)
