"""Reading and writing at places: basic slices, integer arrays, boolean masks.

Two closed pairs carry all of it. `Slice` reads a basic index and `Embed` writes it into zeros. `Gather` reads at
integer arrays over the leading axes and `ScatterAdd` adds into zeros there. Each one's derivative is the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index as as_index
from typing import Any

import numpy as np

from ..arrays import placed
from ..core.devices import device_of, namespace
from ..core.primitive import Aval, Primitive
from ..core.tensor import Tensor, public
from ..core.trace import Tracer, Value
from ..errors import IndexingError, ShapeError, TraceError, requires
from .arithmetic import add, where
from .elementwise import common_device, shape_of
from .predicates import greater_equal
from .shape import Linear, Rearrangement, all_mapped, along, broadcast_to, moveaxis, normal_axis, permute_dims, reshape

Item = Any
"""An int, a slice written as a tuple (start, stop, step), or None for a new axis."""


def _filled(items: tuple[Item, ...]) -> tuple[Any, ...]:
    return tuple([slice(*item) if type(item) is tuple else item for item in items])


def _static(items: tuple[Any, ...]) -> tuple[Item, ...]:
    return tuple([(i.start, i.stop, i.step) if type(i) is slice else i for i in items])


_ALL = (None, None, None)


@dataclass(frozen=True, eq=False, repr=False)
class Slice(Rearrangement):
    """x[index] for a basic index."""

    view = True
    index: tuple[Item, ...]

    def forward(self, x: Any) -> Any:
        return x[_filled(self.index)]

    def abstract(self, x: Any) -> Aval:
        if any(type(item) is tuple and item[2] == 0 for item in self.index):
            raise IndexingError(requires("getitem", "slices with a step other than 0", "a step of 0"))
        try:
            found = (
                np.empty(0).reshape(0)[:0] if x is None else np.broadcast_to(np.empty(()), x.shape)[_filled(self.index)]
            )
        except IndexError as error:
            raise IndexingError(requires("getitem", f"an index into shape {x.shape}", f"{error}")) from None
        return Aval(found.shape, x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return Embed(self.index, x.shape).bind(cotangent)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return Slice((_ALL, *self.index)).bind(x)


@dataclass(frozen=True, eq=False, repr=False)
class Embed(Rearrangement):
    """zeros(shape) with x written at a basic index."""

    index: tuple[Item, ...]
    shape: tuple[int, ...]

    def forward(self, x: Any) -> Any:
        output = namespace(x).zeros(self.shape, x.dtype)
        output[_filled(self.index)] = x
        return output

    def abstract(self, x: Any) -> Aval:
        return Aval(self.shape, x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return Slice(self.index).bind(cotangent)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return Embed((_ALL, *self.index), (x.shape[0], *self.shape)).bind(x)


def _with_batches(arrays: tuple[Any, ...], batches: int) -> tuple[Any, ...]:
    """Index arrays with those of the batch axes in front: element b of the batch reads from element b."""
    shape = arrays[0].shape
    rank = len(shape)
    xp = namespace(*arrays)
    rows = [xp.arange(shape[k]).reshape((-1,) + (1,) * (rank - 1 - k)) for k in range(batches)]
    return (*rows, *arrays)


def _places(arrays: tuple[Any, ...], batches: int, shape: tuple[int, ...]) -> Any:
    """Index arrays, with those of the batch axes, as one of places in the flattened leading axes of a shape."""
    places: Any = 0
    for array, n in zip(_with_batches(arrays, batches), shape, strict=False):
        places = places * n + np.where(array < 0, array + n, array)
    return places.astype(np.int64, copy=False)


@dataclass(frozen=True, eq=False, repr=False)
class Gather(Linear):
    """x[i, j, ...] for integer arrays of one shape over the axes that follow `batches` leading ones, shared by all."""

    batches: int

    def forward(self, x: Any, *arrays: Any) -> Any:
        return x[_with_batches(arrays, self.batches)]

    def abstract(self, x: Any, *arrays: Any) -> Aval:
        rest = x.shape[self.batches + len(arrays) :]
        for axis, array in enumerate(arrays, self.batches):
            if (
                isinstance(array, np.ndarray)
                and array.size
                and not -x.shape[axis] <= array.min() <= array.max() < x.shape[axis]
            ):
                raise IndexingError(
                    requires("getitem", f"indices within an axis of size {x.shape[axis]}", str(array.max()))
                )
        return Aval((*arrays[0].shape, *rest), x.dtype, common_device("getitem", (x, *arrays)))

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value, *arrays: Value) -> Value:
        return ScatterAdd(self.batches, x.shape).bind(cotangent, *arrays) if i == 0 else None

    def jvp(self, i: int, tangent: Value, output: Value, *inputs: Value) -> Value:
        return self.bind(tangent, *inputs[1:]) if i == 0 else None

    def batch(self, batched: tuple[bool, ...], x: Value, *arrays: Value) -> Value:
        if not any(batched[1:]):  # one index for all elements: the mapped axis is only in the way
            k = self.batches + len(arrays)
            moved = moveaxis(x, 0, k)
            return moveaxis(Gather(self.batches).bind(moved, *arrays), len(arrays[0].shape), 0)
        full = all_mapped(batched[1:], arrays)
        if not batched[0]:
            if not self.batches:
                return Gather(0).bind(x, *full)
            x = broadcast_to(x, (full[0].shape[0], *x.shape))
        return Gather(self.batches + 1).bind(x, *full)


@dataclass(frozen=True, eq=False, repr=False)
class ScatterAdd(Linear):
    """zeros(shape) with the elements of x added at integer arrays: the transpose of `Gather`."""

    work = 1
    batches: int
    shape: tuple[int, ...]

    def forward(self, x: Any, *arrays: Any) -> Any:
        if namespace(x) is np:
            output = np.zeros_like(x, shape=self.shape)
            np.add.at(output, _with_batches(arrays, self.batches), x)
            return output
        from metagrad_kernels.scatter import scatter_add

        lead = self.batches + len(arrays)
        n, width = math.prod(self.shape[:lead]), math.prod(self.shape[lead:])
        places = _places(arrays, self.batches, self.shape).reshape(-1)
        rows = x.reshape(len(places), width)
        if x.dtype.char not in "fd":
            return scatter_add(rows.astype(np.float64), places, n).astype(x.dtype).reshape(self.shape)
        return scatter_add(rows, places, n).reshape(self.shape)

    def abstract(self, x: Any, *arrays: Any) -> Aval:
        return Aval(self.shape, x.dtype, common_device("scatter_add", (x, *arrays)))

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value, *arrays: Value) -> Value:
        return Gather(self.batches).bind(cotangent, *arrays) if i == 0 else None

    def jvp(self, i: int, tangent: Value, output: Value, *inputs: Value) -> Value:
        return self.bind(tangent, *inputs[1:]) if i == 0 else None

    def batch(self, batched: tuple[bool, ...], x: Value, *arrays: Value) -> Value:
        full = all_mapped(batched, (x, *arrays))
        return ScatterAdd(self.batches + 1, (full[0].shape[0], *self.shape)).bind(*full)


@dataclass(frozen=True, eq=False, repr=False)
class LastWriter(Primitive):
    """For each place of `shape`, the position in the index arrays that writes it last; -1 where none does."""

    work = 0
    differentiable = False
    batches: int
    shape: tuple[int, ...]

    def forward(self, *arrays: Any) -> Any:
        if namespace(*arrays) is not np:
            return self._on_device(arrays)
        owner = np.full(self.shape, -1)
        inner = arrays[0].shape[self.batches :]
        owner[_with_batches(arrays, self.batches)] = np.arange(math.prod(inner)).reshape(inner)
        return owner

    def _on_device(self, arrays: tuple[Any, ...]) -> Any:
        from metagrad_kernels.scatter import last_writer

        xp, shape = namespace(*arrays), arrays[0].shape
        places = _places(arrays, self.batches, self.shape)
        count = math.prod(shape[self.batches :])
        owner = last_writer(places.reshape(-1), math.prod(self.shape)).reshape(self.shape)
        # Of the places of one element of the batch, counted from its first.
        lead = shape[: self.batches]
        first = xp.arange(math.prod(lead)).reshape((*lead, *(1,) * (len(self.shape) - len(lead))))
        return np.where(owner < 0, -1, owner - first * count)

    def abstract(self, *arrays: Any) -> Aval:
        return Aval(self.shape, np.dtype(np.intp), common_device("set", arrays))

    def batch(self, batched: tuple[bool, ...], *arrays: Value) -> Value:
        full = all_mapped(batched, arrays)
        return LastWriter(self.batches + 1, (full[0].shape[0], *self.shape)).bind(*full)


def slice_axis(x: Value, axis: int, start: int, stop: int) -> Value:
    """x[..., start:stop, ...] along an axis."""
    return Slice((*(_ALL,) * axis, (start, stop, None))).bind(x)


def embed(x: Value, index: tuple[slice, ...], shape: tuple[int, ...]) -> Value:
    """zeros(shape) with x written at a basic index."""
    return Embed(_static(index), shape).bind(x)


@dataclass(frozen=True)
class _Plan:
    """An index taken apart: a basic part, then integer arrays over leading axes of what it leaves, then axes back."""

    basic: tuple[Item, ...]
    order: tuple[int, ...]
    arrays: tuple[Value, ...]
    place: int


def _is_array(item: Any) -> bool:
    return isinstance(item, list) or hasattr(item, "dtype")


def _plan(x: Value, index: Any) -> _Plan:
    shape = shape_of(x)
    items = list(index) if isinstance(index, tuple) else [index]
    items = [_as_index_array(item) if _is_array(item) or type(item) is bool else item for item in items]
    device = device_of(x)
    if any(_is_array(item) and item.dtype.kind == "b" and not item.shape for item in items):
        got = "one of no axis, as True is; None makes an axis"
        raise IndexingError(requires("getitem", "boolean masks with at least one axis", got))
    consumed = sum(
        (1 if item.dtype.kind != "b" else item.ndim) if _is_array(item) else item is not None and item is not Ellipsis
        for item in items
    )
    if consumed > len(shape):
        raise IndexingError(requires("getitem", f"at most {len(shape)} indices for shape {shape}", f"{consumed}"))
    where_dots = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(where_dots) > 1:
        raise IndexingError(requires("getitem", "at most one Ellipsis", f"{len(where_dots)}"))
    fill = [slice(None)] * (len(shape) - consumed)
    k = where_dots[0] if where_dots else len(items)
    items = items[:k] + fill + items[k + 1 :]
    expanded: list[Any] = []
    for item in items:
        if _is_array(item) and item.dtype.kind == "b":
            axis = _axes_before(expanded)
            expanded += _mask_to_indices(_beside(item, device), shape[axis : axis + item.ndim])
        else:
            expanded.append(item)
    if not any(_is_array(item) for item in expanded):
        return _Plan(_static(tuple(_plain(item) for item in expanded)), (), (), 0)
    # Integers beside arrays are arrays to NumPy: they take part in where the result's axes go.
    basic, arrays, axes, positions = [], [], [], []
    axis = 0
    for position, item in enumerate(expanded):
        if _is_array(item) or isinstance(item, int | np.integer):
            arrays.append(_beside(item, device) if _is_array(item) else namespace(x).full((), int(item)))
            axes.append(axis)
            positions.append(position)
            basic.append(slice(None))
            axis += 1
        else:
            basic.append(_plain(item))
            axis += 1
    together = positions == list(range(positions[0], positions[0] + len(positions)))
    rest = [a for a in range(axis) if a not in axes]
    place = axes[0] if together else 0
    common = _common_index_shape([shape_of(a) for a in arrays])
    spread = tuple([broadcast_to(a, common) for a in arrays])
    return _Plan(_static(tuple(basic)), (*axes, *rest), spread, place)


def _common_index_shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise IndexingError(requires("getitem", "index arrays that broadcast to one shape", listed)) from None


def _axes_before(items: list[Any]) -> int:
    return sum(item is not None for item in items)


def _plain(item: Any) -> Any:
    try:
        if item is None:
            return None
        if isinstance(item, slice):
            return slice(*[None if n is None else as_index(n) for n in (item.start, item.stop, item.step)])
        return as_index(item)
    except TypeError:
        raise IndexingError(
            requires("getitem", "integers, slices, None, Ellipsis or arrays of them", repr(item))
        ) from None


def _as_index_array(item: Any) -> Value:
    try:
        array = item._value if type(item) is Tensor else item
        array = np.asarray(item) if isinstance(array, list | bool | np.generic) else array
    except ValueError:
        raise IndexingError(requires("getitem", "index arrays with rows of one length", repr(item))) from None
    if array.dtype.kind not in "iub" and array.size:
        raise IndexingError(requires("getitem", "integer or boolean index arrays", array.dtype))
    return array.astype(np.intp) if array.dtype.kind == "f" else array


def _beside(index: Value, device: str) -> Value:
    """An index where x lives: one that was written down on the CPU is copied there."""
    return placed(index, device) if device != "cpu" and device_of(index) == "cpu" else index


def _mask_to_indices(mask: Value, shape: tuple[int, ...]) -> list[Any]:
    if isinstance(mask, Tracer):
        raise TraceError(
            requires(
                "getitem", "a boolean mask of known values (its sum is a shape)", f"{mask!r}; use mg.where instead"
            )
        )
    if mask.shape != shape:
        raise IndexingError(requires("getitem", f"a boolean mask of shape {shape}", f"shape {mask.shape}"))
    return list(np.nonzero(mask))


def getitem(x: Any, index: Any, /) -> Any:
    """x[index], as NumPy reads it: slices, integers, None, Ellipsis, integer arrays, boolean masks of known values.

    Raises IndexingError for an index outside the array and TraceError for a mask whose values a transform hides.
    """
    plan = _plan(x, index)
    if not plan.arrays:
        return Slice(plan.basic).bind(x)
    x = permute_dims(Slice(plan.basic).bind(x), plan.order)
    _check_range(x, plan.arrays)
    found = Gather(0).bind(x, *plan.arrays)
    rank = len(plan.arrays[0].shape)
    if plan.place and rank:
        found = moveaxis(found, tuple(range(rank)), tuple(range(plan.place, plan.place + rank)))
    elif plan.place:
        return found
    return found


def _check_range(x: Value, arrays: tuple[Value, ...]) -> None:
    for axis, array in enumerate(arrays):
        if isinstance(array, np.ndarray | np.generic) and array.size:
            low, high, n = int(array.min()), int(array.max()), x.shape[axis]
            if not -n <= low <= high < n:
                worst = high if high >= n else low
                raise IndexingError(requires("getitem", f"indices within an axis of size {n}", worst))


def take(x: Any, indices: Any, /, *, axis: int | None = None) -> Any:
    """The slices of x at integer indices along an axis (which may be left out for one-dimensional x)."""
    if axis is None and len(shape_of(x)) != 1:
        raise ShapeError(requires("take", "an axis for an array that is not one-dimensional", f"shape {shape_of(x)}"))
    axis = normal_axis("take", axis or 0, len(shape_of(x)))
    indices = _as_index_array(indices if _is_array(indices) else np.asarray(indices))
    return getitem(x, (slice(None),) * axis + (indices,))


def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """For each position the element of x that `indices` names along an axis; the other axes must agree or broadcast."""
    shape, given = shape_of(x), shape_of(indices)
    axis = normal_axis("take_along_axis", axis, len(shape))
    if len(shape) != len(given):
        raise ShapeError(requires("take_along_axis", "as many axes of indices as of x", f"{shape} and {given}"))
    return getitem(x, tuple([_as_index_array(indices) if a == axis else along(x, a) for a in range(len(shape))]))


def set_at(x: Value, index: Any, value: Value) -> Value:
    """x with `value` (broadcast) at an index. Where an index array names a place twice, the last one counts."""
    value, plan, target = _update(x, index, value, "set")
    if 0 in value.shape:
        return x
    if not plan.arrays:
        return _written(value, plan, x)
    k, rank = len(plan.arrays), len(plan.arrays[0].shape)
    owner = LastWriter(0, target.shape[:k]).bind(*plan.arrays)
    flat = reshape(value, (-1, *value.shape[rank:]))
    chosen = getitem(flat, where(greater_equal(owner, 0), owner, 0))
    written = reshape(greater_equal(owner, 0), (*target.shape[:k], *(1,) * (len(target.shape) - k)))
    return _written(_back_in_order(where(written, chosen, target), plan), plan, x)


def add_at(x: Value, index: Any, value: Value) -> Value:
    """x with `value` (broadcast) added at an index; a place named twice gets both."""
    value, plan, target = _update(x, index, value, "add")
    if not plan.arrays:
        return add(x, Embed(plan.basic, shape_of(x)).bind(value))
    added = _back_in_order(ScatterAdd(0, target.shape).bind(value, *plan.arrays), plan)
    return add(x, added if _takes_all(plan) else Embed(plan.basic, shape_of(x)).bind(added))


def _update(x: Value, index: Any, value: Value, name: str) -> tuple[Value, _Plan, Value]:
    """The value in the shape that the plan writes, and what it writes into: x with its indexed axes first."""
    from .arithmetic import astype, filled

    plan = _plan(x, index)
    shape = shape_of(getitem(x, index))
    if len(shape_of(value)) > len(shape):
        raise ShapeError(requires(f"at[...].{name}", f"a value that broadcasts to {shape}", f"shape {shape_of(value)}"))
    number = type(value) in (int, float, bool)
    value = broadcast_to(filled(value, x, ()) if number else astype(value, x.dtype), shape)
    if not plan.arrays:
        return value, plan, x
    rank = len(plan.arrays[0].shape)
    if plan.place and rank:
        value = moveaxis(value, tuple(range(plan.place, plan.place + rank)), tuple(range(rank)))
    target = permute_dims(Slice(plan.basic).bind(x), plan.order)
    _check_range(target, plan.arrays)
    return value, plan, target


def _takes_all(plan: _Plan) -> bool:
    return all(item == _ALL for item in plan.basic)


def _back_in_order(target: Value, plan: _Plan) -> Value:
    """What the basic part of the index reads, from the order in which its indexed axes come first."""
    return permute_dims(target, sorted(range(len(plan.order)), key=plan.order.__getitem__))


def _written(value: Value, plan: _Plan, x: Value) -> Value:
    """x with the whole of what the basic part of the index reads replaced."""
    if _takes_all(plan) and plan.arrays:
        return value
    mask = namespace(x).zeros(shape_of(x), bool)
    mask[_filled(plan.basic)] = True
    return where(mask, Embed(plan.basic, shape_of(x)).bind(value), x)


class At:
    """`x.at`, of which `x.at[index]` is an `Update`."""

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, index: Any) -> Update:
        return Update(self._x, index)


class Update:
    """`x.at[index]`, with the updates `set` and `add`, which give a new array."""

    def __init__(self, x: Any, index: Any) -> None:
        self._x, self._index = x, index

    def set(self, value: Any) -> Any:
        """x with `value` at the index."""
        return public(set_at)(self._x, self._index, value)

    def add(self, value: Any) -> Any:
        """x with `value` added at the index."""
        return public(add_at)(self._x, self._index, value)
