"""The definition, in NumPy: for each tap of the window one product of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .geometry import Geometry, Pair


def convolution(
    x: NDArray[Any], w: NDArray[Any], geometry: Geometry, bias: NDArray[Any] | None = None, precision: str = "float32"
) -> NDArray[Any]:
    tasks, kh, kw, _, o = w.shape
    high, wide = geometry.output_size(x.shape[2:4], (kh, kw))
    padded = _padded(x, geometry)
    y = np.zeros((tasks, x.shape[1], high, wide, o), x.dtype)
    if bias is not None:
        y += bias[:, None, None, None]
    for a, b, here in _taps(geometry, (kh, kw), (high, wide)):
        y += np.einsum("tnijc,tco->tnijo", padded[here], w[:, a, b], optimize=True)
    return y


def input_gradient(
    g: NDArray[Any], w: NDArray[Any], geometry: Geometry, size: Pair, precision: str = "float32"
) -> NDArray[Any]:
    tasks, kh, kw, c, _ = w.shape
    padded = _padded(np.zeros((tasks, g.shape[1], *size, c), g.dtype), geometry)
    for a, b, here in _taps(geometry, (kh, kw), g.shape[2:4]):
        padded[here] += np.einsum("tnijo,tco->tnijc", g, w[:, a, b], optimize=True)
    (top, _), (left, _) = geometry.padding
    return np.ascontiguousarray(padded[:, :, top : top + size[0], left : left + size[1]])


def weight_gradient(
    x: NDArray[Any], g: NDArray[Any], geometry: Geometry, window: Pair, precision: str = "float32"
) -> NDArray[Any]:
    padded = _padded(x, geometry)
    w = np.zeros((x.shape[0], *window, x.shape[-1], g.shape[-1]), x.dtype)
    for a, b, here in _taps(geometry, window, g.shape[2:4]):
        w[:, a, b] = np.einsum("tnijc,tnijo->tco", padded[here], g, optimize=True)
    return w


def _padded(x: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    return np.pad(x, ((0, 0), (0, 0), *geometry.padding, (0, 0)))


def _taps(geometry: Geometry, window: Pair, out: Pair) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Each tap, and the pixels of the padded image that it meets."""
    (s, t), (d, e) = geometry.stride, geometry.dilation
    for a, b in np.ndindex(*window):
        rows = slice(a * d, a * d + (out[0] - 1) * s + 1, s)
        columns = slice(b * e, b * e + (out[1] - 1) * t + 1, t)
        yield a, b, (slice(None), slice(None), rows, columns)
