"""The definitions, in NumPy: windows as an axis for the maximum, and one strided view for each place of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import index_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from . import Pair, PairOfPairs


def max_pool(
    x: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs
) -> tuple[NDArray[Any], NDArray[Any]]:
    cells = _windows(_padded(x, padding), window, stride)
    inside = _windows(_padded(np.ones_like(x, bool), padding), window, stride)
    largest = np.max(cells, axis=-1, keepdims=True, where=inside, initial=-np.inf)
    hit = inside & ((cells == largest) | np.isnan(cells))
    indices = hit.argmax(axis=-1, keepdims=True)
    values = np.take_along_axis(cells, indices, axis=-1)
    return values[..., 0], indices[..., 0].astype(index_type(window))


def window_gather(
    x: NDArray[Any], indices: NDArray[Any], window: Pair, stride: Pair, padding: PairOfPairs
) -> NDArray[Any]:
    padded = _padded(x, padding)
    cells = np.zeros_like(x, shape=indices.shape)
    for place, at in _places(indices.shape[1:3], window, stride):
        cells = np.where(indices == place, padded[at], cells)
    return cells


def window_scatter(
    g: NDArray[Any], indices: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs
) -> NDArray[Any]:
    padded = _padded(np.zeros_like(g, shape=(len(g), *size, g.shape[3])), padding)
    for place, at in _places(g.shape[1:3], window, stride):
        padded[at] += np.where(indices == place, g, 0)
    return _cropped(padded, size, padding)


def avg_pool(x: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> NDArray[Any]:
    return np.asarray(_windows(_padded(x, padding), window, stride).mean(axis=-1))


def avg_pool_transpose(g: NDArray[Any], size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> NDArray[Any]:
    padded = _padded(np.zeros_like(g, shape=(len(g), *size, g.shape[3])), padding)
    for _, at in _places(g.shape[1:3], window, stride):
        padded[at] += g / (window[0] * window[1])
    return _cropped(padded, size, padding)


def _padded(x: NDArray[Any], padding: PairOfPairs) -> NDArray[Any]:
    return np.pad(x, ((0, 0), *padding, (0, 0)))


def _cropped(padded: NDArray[Any], size: Pair, padding: PairOfPairs) -> NDArray[Any]:
    (top, _), (left, _) = padding
    return np.ascontiguousarray(padded[:, top : top + size[0], left : left + size[1]])


def _windows(padded: NDArray[Any], window: Pair, stride: Pair) -> NDArray[Any]:
    """(n, oh, ow, c, kh kw)."""
    every = sliding_window_view(padded, window, axis=(1, 2))
    chosen = every[:, :: stride[0], :: stride[1]]
    return chosen.reshape(*chosen.shape[:4], window[0] * window[1])


def _places(size: Pair, window: Pair, stride: Pair) -> Iterator[tuple[int, Any]]:
    """For each place of a window, an index into padded images that reads it in all windows."""
    for place in range(window[0] * window[1]):
        row, column = divmod(place, window[1])
        rows = slice(row, row + stride[0] * size[0], stride[0])
        columns = slice(column, column + stride[1] * size[1], stride[1])
        yield place, (slice(None), rows, columns)
