"""Linear algebra on stacks of matrices."""

from __future__ import annotations

import numpy as np

import metagrad as mg

from .table import Cases, definite, distinct, positive, real, regular

CASES = Cases()
row = CASES.row

for _name in ("matmul", "outer", "tensordot", "vecdot"):
    row(
        f"linalg.{_name}",
        *(
            (real(3), real(3))
            if _name in ("outer", "vecdot")
            else (real(2, 3, 2), real(3, 2, 4))
            if _name == "tensordot"
            else (real(2, 3), real(3, 4))
        ),
    )
row("linalg.matrix_transpose", real(2, 3))
row("linalg.matrix_power", regular(3, 3), both=lambda xp, x: xp.linalg.matrix_power(x, 5))
row("linalg.matrix_power", regular(2, 2), both=lambda xp, x: xp.linalg.matrix_power(x, 0), detail="zero")
row("linalg.matrix_power", regular(2, 3, 3), both=lambda xp, x: xp.linalg.matrix_power(x, -3), detail="negative")
row("linalg.diagonal", real(2, 3, 4), ref=lambda x: np.linalg.diagonal(x))
row("linalg.diagonal", real(3, 4), offset=1)
row("linalg.diagonal", real(3, 4), offset=-2)
row("linalg.trace", real(2, 3, 3))
row("linalg.trace", real(3, 4), offset=-1)
row("linalg.solve", regular(3, 3), real(3, 2))
row("linalg.solve", regular(3, 3), real(3), detail="vector")
row("linalg.solve", regular(2, 3, 3), real(3, 2), detail="broadcast b")
row("linalg.solve", regular(3, 3), real(2, 3, 2), detail="broadcast a")
for _lower in (True, False):
    row(
        "linalg.solve_triangular",
        regular(3, 3),
        real(3, 2),
        f=lambda a, b, k=_lower: mg.linalg.solve_triangular(a, b, lower=k),
        ref=lambda a, b, k=_lower: np.linalg.solve(np.tril(a) if k else np.triu(a), b),
        detail=f"lower={_lower}",
    )
row("linalg.inv", regular(2, 3, 3))
row("linalg.det", regular(1, 1), detail="1")
row("linalg.det", regular(2, 2), detail="2")
row("linalg.det", regular(2, 3, 3), detail="3, stack")
row("linalg.det", regular(5, 5), detail="5")
row("linalg.det", lambda rng: 0.4 * regular(9, 9)(rng), detail="9")
row("linalg.slogdet", regular(2, 3, 3), ref=lambda x: tuple(np.linalg.slogdet(x)))
row(
    "linalg.slogdet",
    lambda rng: regular(3, 3)(rng)[::-1].copy(),
    ref=lambda x: tuple(np.linalg.slogdet(x)),
    detail="negative",
)
row("linalg.cholesky", definite(2, 3, 3))
row(
    "linalg.cholesky",
    definite(3, 3),
    f=lambda x: mg.linalg.cholesky(x, upper=True),
    ref=lambda x: np.linalg.cholesky(x).T,
    detail="upper",
)
row(
    "linalg.eigh",
    definite(2, 3, 3),
    both=lambda xp, x: [p**k for p, k in zip(xp.linalg.eigh(x), (1, 2), strict=True)],
    detail="values and squared vectors",
)
row("linalg.eigvalsh", definite(4, 4))
row("linalg.vector_norm", real(2, 3))
row("linalg.vector_norm", real(2, 3), axis=-1, keepdims=True)
for _ord in (1, 3, 2.5, 0):
    row("linalg.vector_norm", real(2, 3), axis=0, ord=_ord)
for _ord in (np.inf, -np.inf):
    row("linalg.vector_norm", distinct(2, 3), axis=1, ord=_ord)
for _ord in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
    row("linalg.matrix_norm", positive(2, 3, 2), ord=_ord)
row("linalg.matrix_norm", distinct(2, 3), ord="nuc", keepdims=True, detail="wide")
row("linalg.SingularMatrixError", f=lambda: mg.zeros(1), ref=lambda: np.zeros(1), detail="a class")
