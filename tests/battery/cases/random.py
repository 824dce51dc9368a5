"""Random numbers. What is drawn is tested elsewhere; here, that transforms leave it alone."""

from __future__ import annotations

from typing import Any

import numpy as np

import metagrad as mg
from metagrad.ops.random import OrthogonalFactor

from .table import Cases, Make, integers, real, regular

CASES = Cases()
row = CASES.row


def keys() -> Make:
    return lambda rng: rng.integers(0, 2**32, 2, dtype=np.uint32)


def _positive_qr(x: Any) -> Any:
    q, r = np.linalg.qr(x)
    return q * np.sign(np.diag(r))


row("random.bits", keys(), f=lambda k: mg.random.bits(k, (5,)))
row("random.fold_in", keys(), integers(0, 9), f=mg.random.fold_in)
row("random.normal", keys(), f=lambda k: mg.random.normal(k, (2, 3)))
row(
    "nn.dropout",
    real(3, 4),
    keys(),
    f=lambda x, k: mg.nn.dropout(x, 0.4, k),
    ref=lambda x, k: np.where(
        mg.random.bits(k, x.shape).numpy() / 2**32 >= 0.4, x / x.dtype.type(0.6), x.dtype.type(0)
    ),
)
row("nn.dropout", real(0, 4), keys(), f=lambda x, k: mg.nn.dropout(x, 0.4, k), ref=lambda x, k: x, detail="empty")
row("orthogonal_factor", regular(3, 3), f=OrthogonalFactor(), ref=_positive_qr, derivative="none")
