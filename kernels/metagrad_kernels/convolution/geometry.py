"""Which pixel of the image stands under which tap of the window, for each pixel of the result: as tables of indices."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Pair = tuple[int, int]

LARGE = 1 << 17
"""Entries of a table, 1 MB, from which only a few are kept: a window 7 x 7 on 224 x 224 pixels takes 20 MB."""


def kept(function: Callable[..., Any]) -> Callable[..., Any]:
    """Cache what a function makes for (geometry, size, window, ...): many small tables, a few large ones."""
    few, many = functools.lru_cache(8)(function), functools.lru_cache(256)(function)

    @functools.wraps(function)
    def cached(geometry: Geometry, size: Pair, window: Pair, *rest: Any) -> Any:
        large = size[0] * size[1] * window[0] * window[1] >= LARGE
        return (few if large else many)(geometry, size, window, *rest)

    return cached


class Geometry(NamedTuple):
    """How the window moves.

    Attributes:
        stride: pixels between windows, vertical and horizontal.
        padding: zeros around the image, ((top, bottom), (left, right)).
        dilation: pixels between the taps of a window.
    """

    stride: Pair = (1, 1)
    padding: tuple[Pair, Pair] = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)

    def output_size(self, size: Pair, window: Pair) -> Pair:
        """(oh, ow) for images of (h, w). Raises ValueError where not one window fits into the padded image."""
        return _output_size(self, size, window)


@functools.lru_cache(1024)
def _output_size(geometry: Geometry, size: Pair, window: Pair) -> Pair:
    padding = geometry.padding[0] + geometry.padding[1]
    if not all(isinstance(n, int | np.integer) for n in (*geometry.stride, *geometry.dilation, *window, *padding)):
        raise TypeError(f"[convolution] requires whole numbers in window and geometry but got {window}, {geometry}")
    if min(*geometry.stride, *geometry.dilation, *window) < 1:
        raise ValueError(f"[convolution] requires positive strides, dilations and windows but got {window}, {geometry}")
    if min(padding) < 0:
        raise ValueError(f"[convolution] requires padding of 0 or more but got {geometry.padding}")
    high, wide = (
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, window, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    )
    if high < 1 or wide < 1:
        got = (
            f"size {size} with padding {geometry.padding} under a window of {window} with dilation {geometry.dilation}"
        )
        raise ValueError(f"[convolution] requires an image at least as large as the window but got {got}")
    return high, wide


class Gathering(NamedTuple):
    """Which pixels of the operand each pixel of a result is made of. Pixels reached by the same taps are a phase.

    Attributes:
        phases: the numbers of pixels q and taps l of each phase, (phases, 2).
        pixels: their indices in the result, (q), phase after phase.
        taps: the taps that reach them, (l), phase after phase.
        sources: the pixel of the operand that each tap brings to each pixel, (l, q), flat, phase after phase; -1 for
            none.
    """

    phases: NDArray[Any]
    pixels: NDArray[Any]
    taps: NDArray[Any]
    sources: NDArray[Any]


@kept
def sources(geometry: Geometry, size: Pair, window: Pair) -> NDArray[Any]:
    """The pixel of the image under each tap at each output pixel, (oh * ow, kh * kw); -1 in the padding."""
    return _sources(geometry, size, window)


def _sources(geometry: Geometry, size: Pair, window: Pair) -> NDArray[Any]:
    out = geometry.output_size(size, window)
    rows, columns = (
        np.arange(o)[:, None] * s + np.arange(k) * d - p[0]
        for o, k, s, p, d in zip(out, window, geometry.stride, geometry.padding, geometry.dilation, strict=True)
    )
    inside = ((rows >= 0) & (rows < size[0]))[:, None, :, None] & ((columns >= 0) & (columns < size[1]))[:, None]
    pixels = rows[:, None, :, None] * size[1] + columns[:, None]
    return _table(np.where(inside, pixels, -1).reshape(out[0] * out[1], window[0] * window[1]))


@kept
def window_rows(geometry: Geometry, size: Pair, window: Pair) -> NDArray[Any]:
    """The pixel of the padded image at which each row of the window begins, (oh * ow, kh)."""
    high, wide = geometry.output_size(size, window)
    (left, right) = geometry.padding[1]
    rows = np.arange(high)[:, None] * geometry.stride[0] + np.arange(window[0]) * geometry.dilation[0]
    columns = np.arange(wide) * geometry.stride[1]
    return _table((rows[:, None] * (left + size[1] + right) + columns[:, None]).reshape(high * wide, window[0]))


def forward(geometry: Geometry, size: Pair, window: Pair) -> tuple[Gathering, ...]:
    """How the result gathers from the image, in two ways: with zeros from the border, and without."""
    table = _sources(geometry, size, window)
    return _gathering(table, np.zeros(len(table))), _gathering(table, _reach(table))


def forward_rows(geometry: Geometry, size: Pair, window: Pair) -> tuple[Gathering, ...]:
    """How it gathers rows of the window from the padded image."""
    table = window_rows(geometry, size, window)
    return (_gathering(table, np.zeros(len(table))),)


def backward(geometry: Geometry, size: Pair, window: Pair) -> tuple[Gathering, ...]:
    """How the gradient of the image gathers from that of the result, in two ways: by the taps that the stride leaves to
    a pixel, with zeros from the border, and by those that reach it."""
    table = _sources(geometry, size, window)
    inverse = np.full((size[0] * size[1], table.shape[1]), -1)
    q, tap = np.nonzero(table >= 0)
    inverse[table[q, tap], tap] = q
    vertical, horizontal = geometry.stride
    row, column = np.divmod(np.arange(len(inverse)), size[1])
    stride_phase = row % vertical * horizontal + column % horizontal
    return _gathering(inverse, stride_phase), _gathering(inverse, _reach(inverse))


def _reach(table: NDArray[Any]) -> NDArray[Any]:
    """A number for each pixel, the same for those that the same taps reach."""
    return np.unique(table >= 0, axis=0, return_inverse=True)[1].reshape(-1)


def _gathering(table: NDArray[Any], kind: NDArray[Any]) -> Gathering:
    """By a table of sources, (pixels, taps): pixels of one kind are a phase."""
    found = []
    for k in np.unique(kind):
        pixels = np.nonzero(kind == k)[0]
        taps = np.nonzero((table[pixels] >= 0).any(axis=0))[0]
        found.append(((len(pixels), len(taps)), pixels, taps, table[np.ix_(pixels, taps)].T.reshape(-1)))
    phases, *others = zip(*found, strict=True)
    return Gathering(_table(np.array(phases)), *(_table(np.concatenate(parts)) for parts in others))


def _table(indices: NDArray[Any]) -> NDArray[Any]:
    table = np.ascontiguousarray(indices, np.int64)  # int32 would halve it, and be 3% slower
    table.flags.writeable = False
    return table
