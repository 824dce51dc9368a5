"""A convolution between two batch norms, in one pass over its images and its results.

    y = convolution(max(0, x scale + offset), w) + bias

and the mean and the variance of y over the images and pixels of each task and channel, which the next batch norm needs.
Images are normalized and rectified while they are read: what is convolved is never stored. In the padding it is 0.

Contract: as in `metagrad_kernels.convolution`, and
    scale, offset: (tasks, c), or both None: then the images are convolved as they are.
    mean, variance: (tasks, o); the variance of n numbers is their mean squared deviation. 0 where there are none.
    The variance is summed from deviations, never from squares, so that it is good where the mean is large.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from ..precision import chosen
from . import OPERATION, check_operands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .geometry import Geometry


def normalized_convolution(
    x: NDArray[Any],
    w: NDArray[Any],
    geometry: Geometry,
    bias: NDArray[Any] | None = None,
    scale: NDArray[Any] | None = None,
    offset: NDArray[Any] | None = None,
    *,
    precision: str | None = None,
    implementation: str | None = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(y, mean, variance). Raises as `convolution`, and ValueError for scale and offset that do not fit."""
    module = OPERATION.choose(x, implementation)
    check_operands(x, w, geometry, bias)
    wanted = (len(x), x.shape[-1])
    if (scale is None) != (offset is None) or any(
        v is not None and (v.shape != wanted or v.dtype != x.dtype) for v in (scale, offset)
    ):
        got = " and ".join("None" if v is None else f"{v.dtype} {v.shape}" for v in (scale, offset))
        raise ValueError(f"[convolution] requires two of {x.dtype} {wanted} as scale and offset but got {got}")
    run = getattr(module, "normalized_convolution", functools.partial(_composite, module))
    found: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] = run(
        x, w, geometry, bias, scale, offset, chosen("convolution", precision)
    )
    return found


def _composite(
    module: Any, x: Any, w: Any, geometry: Geometry, bias: Any, scale: Any, offset: Any, precision: str
) -> tuple[Any, Any, Any]:
    if scale is not None:
        x = np.maximum(x * scale[:, None, None, None] + offset[:, None, None, None], x.dtype.type(0))
    y = module.convolution(x, w, geometry, bias, precision)
    pixels = (1, 2, 3)
    if not y.size:
        return y, *np.zeros((2, len(y), y.shape[-1]), y.dtype)
    return y, y.mean(axis=pixels), y.var(axis=pixels)
