"""Convolutions and their transposes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import metagrad as mg

from .table import Cases, real

CASES = Cases()
row = CASES.row


def _conv2d(x: Any, w: Any, stride: Any = (1, 1), pads: Any = ((0, 0), (0, 0)), dilation: Any = (1, 1)) -> Any:
    """The sum that defines it, pixel by pixel; leading axes broadcast, `pads` as in np.pad."""
    x = np.pad(x, [(0, 0)] * (x.ndim - 3) + [*pads, (0, 0)])
    kh, kw = w.shape[-4:-2]
    high, wide = (
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[-3:-1], (kh, kw), stride, dilation, strict=True)
    )
    rows = []
    for i, j in np.ndindex(high, wide):
        taps = [
            (
                x[..., i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1], :, None] * w[..., a, b, :, :]
            ).sum(-2)
            for a, b in np.ndindex(kh, kw)
        ]
        rows.append(sum(taps))
    out = np.stack(rows, axis=-2)
    return out.reshape(*out.shape[:-2], high, wide, out.shape[-1])


def _conv2d_transpose(x: Any, w: Any, size: Any, **settings: Any) -> Any:
    """The matrix of the convolution, one unit image after the other, transposed."""
    unit = np.eye(math.prod((*size, w.shape[-2])), dtype=x.dtype).reshape(-1, *size, w.shape[-2])
    return np.einsum("uijo,...ijo->...u", _conv2d(unit, w, **settings), x).reshape(*x.shape[:-3], *size, w.shape[-2])


for _detail, _x, _w, _settings, _by_hand in (
    ("SAME", (2, 4, 5, 2), (3, 3, 2, 3), {}, {"pads": ((1, 1), (1, 1))}),
    ("VALID", (4, 4, 2), (2, 3, 2, 2), {"padding": "VALID"}, {}),
    ("stride 2", (2, 5, 4, 1), (3, 3, 1, 2), {"stride": 2}, {"stride": (2, 2), "pads": ((1, 1), (0, 1))}),
    ("even window", (3, 3, 1), (2, 2, 1, 2), {}, {"pads": ((0, 1), (0, 1))}),
    ("stride beyond the window", (5, 5, 2), (1, 2, 2, 1), {"stride": 3, "padding": "VALID"}, {"stride": (3, 3)}),
    (
        "explicit padding, dilation",
        (4, 3, 2),
        (2, 2, 2, 2),
        {"padding": ((1, 0), (0, 2)), "dilation": (2, 1)},
        {"pads": ((1, 0), (0, 2)), "dilation": (2, 1)},
    ),
    ("weights for each task", (2, 3, 3, 3, 1), (2, 1, 2, 2, 1, 2), {"padding": "VALID"}, {}),
    ("images for all tasks", (3, 3, 2), (2, 2, 2, 2, 1), {"padding": "VALID"}, {}),
    ("no images", (0, 3, 3, 1), (2, 2, 1, 2), {"padding": "VALID"}, {}),
):
    row(
        "nn.conv2d",
        real(*_x),
        real(*_w),
        f=lambda x, w, s=_settings: mg.nn.conv2d(x, w, **s),
        ref=lambda x, w, s=_by_hand: _conv2d(x, w, **s),
        detail=_detail,
    )
row(
    "nn.conv2d",
    real(2, 3, 4, 4),
    real(2, 2, 2, 6),
    f=lambda x, w: mg.nn.conv2d(x, w, groups=2, padding="VALID"),
    ref=lambda x, w: np.concatenate([_conv2d(x[..., :2], w[..., :3]), _conv2d(x[..., 2:], w[..., 3:])], -1),
    detail="groups",
)
row(
    "nn.conv2d",
    real(2, 3, 4, 4),
    real(2, 2, 2, 6),
    real(6),
    f=lambda x, w, b: mg.nn.conv2d(x, w, b, groups=2, padding="VALID"),
    ref=lambda x, w, b: np.concatenate([_conv2d(x[..., :2], w[..., :3]), _conv2d(x[..., 2:], w[..., 3:])], -1) + b,
    detail="groups, bias",
)
for _detail, _x, _w in (
    ("bias", (2, 3, 4, 2), (2, 2, 2, 3)),
    ("bias, weights for each task", (2, 2, 3, 3, 1), (2, 1, 2, 2, 1, 3)),
    ("bias, images for all tasks", (3, 3, 2), (2, 2, 2, 2, 3)),
):
    row(
        "nn.conv2d",
        real(*_x),
        real(*_w),
        real(3),
        f=lambda x, w, b: mg.nn.conv2d(x, w, b, padding="VALID"),
        ref=lambda x, w, b: _conv2d(x, w) + b,
        detail=_detail,
    )
for _detail, _x, _w, _size, _settings, _by_hand in (
    ("stride 2", (2, 2, 2, 3), (3, 3, 2, 3), (4, 4), {"stride": 2}, {"stride": (2, 2), "pads": ((0, 1), (0, 1))}),
    ("VALID", (2, 2, 1), (2, 3, 2, 1), (3, 4), {"padding": "VALID"}, {}),
    (
        "a size by name",
        (2, 2, 2),
        (1, 2, 1, 2),
        (4, 4),
        {"padding": "VALID", "stride": 2, "output_size": (4, 4)},
        {"stride": (2, 2)},
    ),
):
    row(
        "nn.conv2d_transpose",
        real(*_x),
        real(*_w),
        f=lambda x, w, s=_settings: mg.nn.conv2d_transpose(x, w, **s),
        ref=lambda x, w, n=_size, s=_by_hand: _conv2d_transpose(x, w, n, **s),
        detail=_detail,
    )
