"""Linear algebra for users: the array API's `linalg` extension, and triangular solves."""

from __future__ import annotations

from .core.tensor import public
from .ops import contraction, linalg, shape
from .ops.linalg import SingularMatrixError

cholesky = public(linalg.cholesky)
det = public(linalg.det)
diagonal = public(linalg.diagonal)
eigh = public(linalg.eigh)
eigvalsh = public(linalg.eigvalsh)
inv = public(linalg.inv)
matrix_norm = public(linalg.matrix_norm)
slogdet = public(linalg.slogdet)
solve = public(linalg.solve)
solve_triangular = public(linalg.solve_triangular)
trace = public(linalg.trace)
vector_norm = public(linalg.vector_norm)
matmul = public(contraction.matmul)
matrix_power = public(linalg.matrix_power)
matrix_transpose = public(shape.matrix_transpose)
outer = public(contraction.outer)
tensordot = public(contraction.tensordot)
vecdot = public(contraction.vecdot)

__all__ = [
    "SingularMatrixError",
    "cholesky",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "outer",
    "slogdet",
    "solve",
    "solve_triangular",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
