"""Maxima and means over windows of images."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import metagrad as mg
from metagrad.ops.pooling import WindowGather, WindowScatter

from .table import Cases, Make, distinct, real

CASES = Cases()
row = CASES.row


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
