"""Arrays made of sizes and numbers, and what dtypes say of themselves."""

from __future__ import annotations

import numpy as np

import metagrad as mg

from .table import Cases, integers, real

CASES = Cases()
row = CASES.row

for _name in ("zeros", "ones", "empty"):
    row(
        _name,
        f=lambda n=_name: getattr(mg, n)((2, 3), dtype=np.float32),
        ref=lambda n=_name: np.zeros((2, 3), np.float32) + np.float32(n == "ones"),
    )
    row(f"{_name}_like", real(2, 3), ref=lambda x, n=_name: np.zeros_like(x) + x.dtype.type(n == "ones"))
row("full", real(), both=lambda xp, v: xp.full((2, 3), v))
row("full_like", real(2, 3), real())
row("arange", f=lambda: (mg.arange(4), mg.arange(1.0, 3.0, 0.5)), ref=lambda: (np.arange(4), np.arange(1.0, 3.0, 0.5)))
row("linspace", f=lambda: mg.linspace(0.0, 1.0, 5), ref=lambda: np.linspace(0.0, 1.0, 5))
row("linspace", real(), real(2, 1), both=lambda xp, a, b: xp.linspace(a, b, 4), detail="ends")
row("linspace", real(), both=lambda xp, a: xp.linspace(a, a + 2, 5, endpoint=False), detail="open end")
row("linspace", real(2), both=lambda xp, a: xp.linspace(a, a, 1), detail="one point")
row("linspace", f=lambda: mg.linspace(-3, 4, 6, dtype=int), ref=lambda: np.linspace(-3, 4, 6, dtype=int), detail="int")
row(
    "finfo",
    real(2),
    f=lambda x: mg.asarray(mg.finfo(x).bits),
    ref=lambda x: np.asarray(np.finfo(x.dtype).bits),
    derivative="none",
    float32=False,
)
row("iinfo", integers(0, 2), f=lambda x: mg.asarray(mg.iinfo(x).max), ref=lambda x: np.asarray(np.iinfo(x.dtype).max))
row("isdtype", f=lambda: mg.asarray(mg.isdtype(mg.int32, "integral")), ref=lambda: np.asarray(True))
row(
    "result_type",
    real(2),
    f=lambda x: mg.zeros(2, dtype=mg.result_type(x, 1.5)),
    ref=lambda x: np.zeros(2, x.dtype),
    derivative="none",
)
row("can_cast", f=lambda: mg.asarray(mg.can_cast(mg.int32, mg.float64)), ref=lambda: np.asarray(True))
row("eye", f=lambda: mg.eye(2, 3, k=1), ref=lambda: np.eye(2, 3, k=1))
row("asarray", real(2, 3))
