"""Reading and writing at places."""

from __future__ import annotations

from typing import Any

import numpy as np

from .table import Cases, integers, real

CASES = Cases()
row = CASES.row

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
for _name, _reference in (("set", _assigned), ("add", _added)):
    row(
        "At",
        real(4, 3),
        integers(0, 4, 2),
        real(2, 3),
        f=lambda x, i, v, name=_name: getattr(x.at[i], name)(v),
        ref=_reference,
        detail=f"{_name}, index argument",
    )
