"""Searching and sorting: the places of extremes, orders, places in sorted arrays, and counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.devices import namespace
from ..core.primitive import Aval, Primitive
from ..core.trace import Tracer
from ..errors import OptionError, ShapeError, requires
from .arithmetic import astype, subtract
from .elementwise import common_device, shape_of
from .indexing import take, take_along_axis
from .predicates import not_equal
from .reductions import StopGradient
from .reductions import sum as sum_
from .shape import all_mapped, flip, normal_axis, reshape, with_array

if TYPE_CHECKING:
    from ..core.trace import Value

_search: Any = np.searchsorted


@dataclass(frozen=True, eq=False, repr=False)
class ArgExtreme(Primitive):
    """The first place of the extreme along an axis."""

    differentiable = False
    axis: int

    def abstract(self, x: Any) -> Aval:
        if x.shape[self.axis] == 0:
            raise ShapeError(
                requires(self.name, "an axis with at least one element", f"shape {x.shape}, axis {self.axis}")
            )
        return Aval(x.shape[: self.axis] + x.shape[self.axis + 1 :], np.dtype(np.intp), x.device)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return type(self)(self.axis + 1).bind(x)


class ArgMax(ArgExtreme):
    name = "argmax"

    def forward(self, x: Any) -> Any:
        return np.argmax(x, axis=self.axis)


class ArgMin(ArgExtreme):
    name = "argmin"

    def forward(self, x: Any) -> Any:
        return np.argmin(x, axis=self.axis)


@dataclass(frozen=True, eq=False, repr=False)
class ArgSort(Primitive):
    """The stable order of the elements along an axis."""

    name = "argsort"
    differentiable = False
    axis: int

    def forward(self, x: Any) -> Any:
        return np.argsort(x, axis=self.axis, kind="stable")

    def abstract(self, x: Any) -> Aval:
        return Aval(x.shape, np.dtype(np.intp), x.device)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return ArgSort(self.axis + 1).bind(x)


@dataclass(frozen=True, eq=False, repr=False)
class SearchSorted(Primitive):
    """Where to insert the second input in the sorted last axis of the first; `batches` leading axes are shared."""

    name = "searchsorted"
    differentiable = False
    side: str
    batches: int

    def forward(self, x: Any, values: Any) -> Any:
        if not self.batches:
            found = _search(x, values, self.side)
            return np.asarray(found) if isinstance(found, np.generic) else found
        n = math.prod(x.shape[: self.batches])
        rows = zip(x.reshape(n, x.shape[-1]), values.reshape(n, *values.shape[self.batches :]), strict=True)
        found = [_search(row, some, self.side).astype(np.intp, copy=False) for row, some in rows]
        return np.stack(found).reshape(values.shape) if found else namespace(x).zeros(values.shape, np.intp)

    def abstract(self, x: Any, values: Any) -> Aval:
        return Aval(values.shape, np.dtype(np.intp), common_device("searchsorted", (x, values)))

    def batch(self, batched: tuple[bool, ...], x: Value, values: Value) -> Value:
        if not batched[0] and not self.batches:
            return self.bind(x, values)
        return SearchSorted(self.side, self.batches + 1).bind(*all_mapped(batched, (x, values)))


def _arg(primitive: Any, name: str, x: Value, axis: int | None, keepdims: bool) -> Value:
    if axis is None:
        found = primitive(0).bind(reshape(x, (-1,)))
        return reshape(found, (1,) * len(shape_of(x))) if keepdims else found
    axis = normal_axis(name, axis, len(shape_of(x)))
    found = primitive(axis).bind(x)
    return reshape(found, (*x.shape[:axis], 1, *x.shape[axis + 1 :])) if keepdims else found


def argmax(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the first largest element, along an axis or in the flattened array."""
    return _arg(ArgMax, "argmax", x, axis, keepdims)


def argmin(x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
    """The index of the first smallest element, along an axis or in the flattened array."""
    return _arg(ArgMin, "argmin", x, axis, keepdims)


def argsort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The indices that sort x along an axis. Always stable."""
    axis = normal_axis("argsort", axis, len(shape_of(x)))
    if not descending:
        return ArgSort(axis).bind(x)
    # Stable in descending order: sort the reversed array, reverse, and count indices from the other end.
    reversed_order = flip(ArgSort(axis).bind(flip(x, axis=axis)), axis=axis)
    return subtract(x.shape[axis] - 1, reversed_order)


def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """x in order along an axis. Always stable; the derivative follows the elements."""
    return take_along_axis(x, argsort(x, axis=axis, descending=descending), axis=axis)


def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where to insert the elements of x2 so that x1, sorted or in the order of `sorter`, stays sorted.

    `side` says whether before or after equal elements: "left" or "right". The result, of the shape of x2, leaves every
    derivative. Raises ShapeError unless x1 has one axis, OptionError for another side.

    >>> import metagrad as mg
    >>> mg.searchsorted(mg.asarray([1.0, 2.0, 4.0]), mg.asarray([2.0, 3.0]))
    Tensor([1, 2], dtype=int64)
    """
    if side not in ("left", "right"):
        raise OptionError(requires("searchsorted", "side 'left' or 'right'", repr(side)))
    if len(shape_of(x1)) != 1:
        raise ShapeError(requires("searchsorted", "a one-dimensional array to search in", f"shape {shape_of(x1)}"))
    return SearchSorted(side, 0).bind(x1 if sorter is None else take(x1, sorter), with_array(x2))


def count_nonzero(x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements are not 0, over an axis, several, or all.

    >>> import metagrad as mg
    >>> mg.count_nonzero(mg.asarray([[1.0, 0.0], [2.0, 3.0]]), axis=0)
    Tensor([2, 1], dtype=int64)
    """
    return sum_(astype(not_equal(x, 0), np.int64), axis=axis, keepdims=keepdims)


def nonzero(x: Any, /) -> tuple[Any, ...]:
    """For each axis, where the elements that are not 0 stand, in row-major order; they leave every derivative.

    Raises TraceError under vmap and make_graph, where how many there are is not known, ShapeError for a number.

    >>> import metagrad as mg
    >>> mg.nonzero(mg.asarray([[1.0, 0.0], [2.0, 3.0]]))
    (Tensor([0, 1, 1], dtype=int64), Tensor([0, 0, 1], dtype=int64))
    """
    if not shape_of(x):
        raise ShapeError(requires("nonzero", "at least one axis", "shape ()"))
    return tuple(np.nonzero(_known("nonzero", not_equal(x, 0))))


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: Any
    inverse_indices: Any


def unique_all(x: Any, /) -> UniqueAll:
    """The different elements of x, ascending: their `values`, the `indices` where each stands first in x flattened, the
    `inverse_indices` with values[inverse_indices] = x, and their `counts`. Each NaN is one of its own.

    They leave every derivative. Raises TraceError under vmap and make_graph, where how many there are is not known.

    >>> import metagrad as mg
    >>> mg.unique_all(mg.asarray([5, 3, 5])).inverse_indices
    Tensor([1, 0, 1], dtype=int64)
    """
    return _unique("unique_all", x)


def unique_counts(x: Any, /) -> UniqueCounts:
    """`values` and `counts` of `unique_all`."""
    found = _unique("unique_counts", x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Any, /) -> UniqueInverse:
    """`values` and `inverse_indices` of `unique_all`.

    >>> import metagrad as mg
    >>> values, labels = mg.unique_inverse(mg.asarray([[7, 2], [2, 9]]))
    >>> labels
    Tensor([[1, 0],
            [0, 2]], dtype=int64)
    """
    found = _unique("unique_inverse", x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Any, /) -> Any:
    """`values` of `unique_all`."""
    return _unique("unique_values", x).values


def _unique(operation: str, x: Any) -> UniqueAll:
    known = with_array(_known(operation, StopGradient().bind(x)))
    values, indices, inverse, counts = np.unique(known, True, True, True, equal_nan=False)
    return UniqueAll(values, indices, inverse.reshape(known.shape), counts)


def _known(operation: str, x: Value) -> Any:
    """An array whose values are known; raises TraceError for a traced one."""
    return x.concrete(operation, "how many there are would be a shape: use mg.where") if isinstance(x, Tracer) else x
