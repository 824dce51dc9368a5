"""Pooling: maxima and means over windows that slide over images, and their transposes.

A window covers (kh, kw) cells and moves by `stride`; `padding` is ((top, bottom), (left, right)). An axis of n cells
has (n + before + after - k) // stride + 1 windows. Padding is smaller than the window, so that every window has a cell
of its image.

    max_pool            the largest cell of each window, and which it is
    window_gather       the cell of each window that an index names: linear in the images
    window_scatter      the transpose of that: adds a number for each window to the cell that its index names
    avg_pool            the sum over each window divided by kh kw: padding counts as zeros (torch's and flax's
                        `count_include_pad=True`)
    avg_pool_transpose  the transpose of that

An index counts the cells of its window row by row from 0, padding too, in the smallest unsigned type that holds
kh kw - 1. Of equal maxima the first counts; a NaN is larger than all, and of several the first counts. An index that
names no cell of the image reads zero and adds nowhere.

Contract, for all functions:
    images: (n, h, w, c), float32 or float64, any strides. Of windows: (n, oh, ow, c), alike.
    results: new C-contiguous arrays of the inputs' type; no input is written to or kept.
    `max_pool` and `window_gather` move numbers and so have one right answer, to the bit; the others add in an order of
    their own. The same input gives the same bits; several threads may call at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..dispatch import CPU, CUDA, FLOATS, NUMBA_CUDA, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[int, int]
PairOfPairs = tuple[Pair, Pair]

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA, NUMBA_CUDA)


def index_type(window: Pair) -> np.dtype[Any]:
    """The type of the indices into a window.

    >>> index_type((16, 16)), index_type((28, 28))
    (dtype('uint8'), dtype('uint16'))
    """
    return np.min_scalar_type(window[0] * window[1] - 1)


def max_pool(
    x: NDArray[Any], window: Pair, stride: Pair, padding: PairOfPairs, *, implementation: str | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The largest cells of the windows, and their indices, both (n, oh, ow, c).

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes that do not fit, windows, strides or paddings that there cannot be, or an implementation
            that does not exist.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(x, implementation)
    _check_images(x)
    size = _output_size(x.shape[1:3], window, stride, padding)
    values: NDArray[Any]
    values, indices = module.max_pool(x, size, window, stride, padding)
    return values, indices


def window_gather(
    x: NDArray[Any],
    indices: NDArray[Any],
    window: Pair,
    stride: Pair,
    padding: PairOfPairs,
    *,
    implementation: str | None = None,
) -> NDArray[Any]:
    """The cells (n, oh, ow, c) of images that indices of this shape name. Raises what `max_pool` raises."""
    module = OPERATION.choose(x, implementation)
    _check_images(x)
    size = _output_size(x.shape[1:3], window, stride, padding)
    _check_indices(indices, (len(x), *size, x.shape[3]), window)
    cells: NDArray[Any] = module.window_gather(x, indices, window, stride, padding)
    return cells


def window_scatter(
    g: NDArray[Any],
    indices: NDArray[Any],
    size: Pair,
    window: Pair,
    stride: Pair,
    padding: PairOfPairs,
    *,
    implementation: str | None = None,
) -> NDArray[Any]:
    """Images of size (h, w) = `size` into which g (n, oh, ow, c) is added at its indices.

    Raises what `max_pool` raises.
    """
    module = OPERATION.choose(g, implementation)
    _check_windows(g, _output_size(size, window, stride, padding))
    _check_indices(indices, g.shape, window)
    images: NDArray[Any] = module.window_scatter(g, indices, size, window, stride, padding)
    return images


def avg_pool(
    x: NDArray[Any], window: Pair, stride: Pair, padding: PairOfPairs, *, implementation: str | None = None
) -> NDArray[Any]:
    """The means (n, oh, ow, c) of the windows. Raises what `max_pool` raises."""
    module = OPERATION.choose(x, implementation)
    _check_images(x)
    means: NDArray[Any] = module.avg_pool(
        x, _output_size(x.shape[1:3], window, stride, padding), window, stride, padding
    )
    return means


def avg_pool_transpose(
    g: NDArray[Any],
    size: Pair,
    window: Pair,
    stride: Pair,
    padding: PairOfPairs,
    *,
    implementation: str | None = None,
) -> NDArray[Any]:
    """Images of size (h, w) = `size`: to each cell, g / (kh kw) of every window that covers it is added.

    Raises what `max_pool` raises.
    """
    module = OPERATION.choose(g, implementation)
    _check_windows(g, _output_size(size, window, stride, padding))
    images: NDArray[Any] = module.avg_pool_transpose(g, size, window, stride, padding)
    return images


def _output_size(size: Pair, window: Pair, stride: Pair, padding: PairOfPairs) -> Pair:
    if min(*window, *stride) < 1:
        raise ValueError(_message("positive windows and strides", f"window {window} and stride {stride}"))
    if any(not 0 <= n < k for k, ends in zip(window, padding, strict=True) for n in ends):
        raise ValueError(_message(f"padding from 0 that is smaller than the window {window}", f"{padding}"))
    rows, columns = (
        (n + before + after - k) // step + 1
        for n, (before, after), k, step in zip(size, padding, window, stride, strict=True)
    )
    if min(rows, columns) < 1:
        raise ValueError(_message(f"images that hold a window {window}", f"size {size} with padding {padding}"))
    return rows, columns


def _check_images(x: NDArray[Any]) -> None:
    if x.dtype not in FLOATS:
        raise TypeError(_message("arrays of float32 or float64", str(x.dtype)))
    if x.ndim != 4:
        raise ValueError(_message("arrays of shape (n, h, w, c)", f"shape {x.shape}"))


def _check_windows(g: NDArray[Any], size: Pair) -> None:
    _check_images(g)
    if g.shape[1:3] != size:
        raise ValueError(_message(f"{size} windows an image", f"shape {g.shape}"))


def _check_indices(indices: NDArray[Any], shape: tuple[int, ...], window: Pair) -> None:
    if indices.shape != shape:
        raise ValueError(_message(f"indices of shape {shape}", f"shape {indices.shape}"))
    if indices.dtype != index_type(window):
        raise TypeError(_message(f"indices of {index_type(window)} for a window {window}", str(indices.dtype)))


def _message(need: str, got: str) -> str:
    return f"[pooling] requires {need} but got {got}"
