"""What moves elements and changes none."""

from __future__ import annotations

import numpy as np

import metagrad as mg

from .table import Cases, real

CASES = Cases()
row = CASES.row

row("reshape", real(2, 6), f=lambda x: mg.reshape(x, (3, -1)), ref=lambda x: x.reshape(3, -1))
row("reshape", real(), f=lambda x: mg.reshape(x, (1, 1)), ref=lambda x: x.reshape(1, 1), detail="scalar")
row("reshape", real(0, 3), f=lambda x: mg.reshape(x, (3, 0)), ref=lambda x: x.reshape(3, 0), detail="empty")
row("permute_dims", real(2, 3, 4), f=lambda x: mg.permute_dims(x, (2, 0, 1)), ref=lambda x: x.transpose(2, 0, 1))
row(
    "permute_dims",
    real(2, 3, 4),
    f=lambda x: mg.permute_dims(x, (-1, 1, 0)),
    ref=lambda x: x.transpose(-1, 1, 0),
    detail="negative",
)
row("matrix_transpose", real(2, 3, 4))
row("matrix_transpose", real(0, 3), detail="empty")
row("transpose", real(2, 3))
row("moveaxis", real(2, 3, 4), both=lambda xp, x: xp.moveaxis(x, 0, -1))
row("moveaxis", real(2, 3, 4), both=lambda xp, x: xp.moveaxis(x, (0, 2), (1, 0)), detail="two")
row("swapaxes", real(2, 3, 4), both=lambda xp, x: xp.swapaxes(x, 0, -1))
row("expand_dims", real(2, 3), axis=0)
row("expand_dims", real(2, 3), axis=-1)
row("expand_dims", real(2, 3), axis=(0, 2))
row("squeeze", real(1, 3, 1), axis=0)
row("squeeze", real(1, 3, 1), axis=(0, -1))
row("broadcast_to", real(2, 1), both=lambda xp, x: xp.broadcast_to(x, (3, 2, 4)))
row("broadcast_to", real(), both=lambda xp, x: xp.broadcast_to(x, (2,)), detail="scalar")
row("broadcast_to", real(1, 3), both=lambda xp, x: xp.broadcast_to(x, (0, 3)), detail="to empty")
row("broadcast_arrays", real(2, 1), real(3), ref=lambda x, y: list(np.broadcast_arrays(x, y)))
row("concat", real(2, 3), real(2, 1), both=lambda xp, x, y: xp.concat([x, y], axis=1), detail="axis 1")
row("concat", real(3), real(0), real(2), both=lambda xp, *a: xp.concat(a), detail="with empty")
row("concat", real(2, 2), real(3), both=lambda xp, x, y: xp.concat([x, y], axis=None), detail="flat")
row("stack", real(2, 3), real(2, 3), both=lambda xp, x, y: xp.stack([x, y]))
row("stack", real(2, 3), real(2, 3), both=lambda xp, x, y: xp.stack([x, y], axis=-1), detail="axis -1")
row("unstack", real(3, 2), ref=lambda x: tuple(x))
row("unstack", real(3, 2), f=lambda x: mg.unstack(x, axis=-1), ref=lambda x: tuple(x.T), detail="axis -1")
row("flip", real(2, 3))
row("flip", real(2, 3), axis=-1)
row("roll", real(5), both=lambda xp, x: xp.roll(x, 2))
row("roll", real(2, 3), both=lambda xp, x: xp.roll(x, -1), detail="flat")
row("roll", real(2, 3), both=lambda xp, x: xp.roll(x, (1, 5), axis=(0, -1)), detail="two")
row("roll", real(0, 3), both=lambda xp, x: xp.roll(x, 1, axis=0), detail="empty")
row("tile", real(2, 3), both=lambda xp, x: xp.tile(x, (2, 2)))
row("tile", real(3), both=lambda xp, x: xp.tile(x, (2, 1, 2)), detail="more axes")
row("tile", real(2, 3), both=lambda xp, x: xp.tile(x, 2), detail="fewer axes")
row("repeat", real(2, 3), both=lambda xp, x: xp.repeat(x, 2))
row("repeat", real(2, 3), both=lambda xp, x: xp.repeat(x, 3, axis=-1), detail="axis")
row(
    "repeat",
    real(2, 3),
    f=lambda x: mg.repeat(x, np.array([2, 0, 1]), axis=1),
    ref=lambda x: np.repeat(x, [2, 0, 1], axis=1),
    detail="counts",
)
row("pad", real(2, 3), both=lambda xp, x: xp.pad(x, ((1, 0), (2, 1))))
row("pad", real(2, 3), both=lambda xp, x: xp.pad(x, 1, constant_values=2.5), detail="value")
row("pad", real(0, 3), both=lambda xp, x: xp.pad(x, ((1, 1), (0, 0))), detail="empty")
row("tril", real(2, 3, 4))
row("tril", real(3, 3), k=-1)
row("triu", real(2, 3, 4))
row("triu", real(3, 3), k=1)
row("meshgrid", real(2), real(3), ref=lambda x, y: np.meshgrid(x, y))
row("meshgrid", real(2), real(3), both=lambda xp, x, y: xp.meshgrid(x, y, indexing="ij"), detail="ij")
