"""Linear algebra on stacks of matrices (..., n, n), batched over leading axes."""

from __future__ import annotations

import math
from operator import index as as_index
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.devices import namespace
from ..core.primitive import Aval, Primitive
from ..errors import MetagradError, OptionError, ShapeError, requires
from .arithmetic import abs as abs_
from .arithmetic import add, divide, filled, multiply, negative, sqrt_or_zero, subtract, where
from .contraction import matmul, outer, tensordot, vecdot
from .creation import eye_like, tril, triu, zeros_like
from .elementwise import common_device, shape_of
from .predicates import less_equal, not_equal
from .reductions import any as any_
from .reductions import max as max_
from .reductions import min as min_
from .reductions import sum as sum_
from .reductions import vector_norm
from .shape import broadcast_to, expand_dims, matrix_transpose, reshape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.trace import Value


class SingularMatrixError(MetagradError, np.linalg.LinAlgError):
    """A matrix that has no inverse, or no Cholesky factor."""


def _square(name: str, x: Any) -> None:
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(requires(name, "square matrices (..., n, n)", f"shape {shape}"))


class MatrixFunction(Primitive):
    """A primitive over the last two axes; leading axes, and so a mapped one, are batches."""

    thirds: ClassVar[int]
    """A matrix n x n takes this times n^3 / 3 floating-point operations (Golub and Van Loan, Matrix Computations)."""

    def flops(self, output: Any, *inputs: Any) -> int:
        shape: tuple[int, ...] = inputs[0].shape
        return self.thirds * math.prod(shape) * shape[-1] // 3

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Any:
        return self.bind(*inputs)


class Solve(MatrixFunction):
    """A^-1 B for A (..., n, n) and B (..., n, k), with equal leading axes."""

    thirds = 2
    analytic = True

    def forward(self, a: Any, b: Any) -> Any:
        try:
            return np.linalg.solve(a, b)
        except np.linalg.LinAlgError:
            raise SingularMatrixError(requires("solve", "an invertible matrix", "a singular one")) from None

    def abstract(self, a: Any, b: Any) -> Aval:
        return Aval(b.shape, np.result_type(a.dtype, b.dtype), common_device("solve", (a, b)))

    def flops(self, output: Any, *inputs: Any) -> int:
        shape: tuple[int, ...] = inputs[1].shape
        return super().flops(output, *inputs) + 2 * shape[-2] * math.prod(shape)

    def vjp(self, i: int, cotangent: Value, output: Value, a: Value, b: Value) -> Value:
        adjoint = self.bind(matrix_transpose(a), cotangent)
        return adjoint if i else negative(matmul(adjoint, matrix_transpose(output)))

    def jvp(self, i: int, tangent: Value, output: Value, a: Value, b: Value) -> Value:
        return self.bind(a, tangent if i else negative(matmul(tangent, output)))

    def batch(self, batched: tuple[bool, ...], a: Value, b: Value) -> Value:
        size = (a if batched[0] else b).shape[0]
        full = [x if m else broadcast_to(x, (size, *x.shape)) for x, m in zip((a, b), batched, strict=True)]
        return self.bind(*full)


class Cholesky(MatrixFunction):
    """The lower L with L L^T = A, of symmetric positive definite A (Murray 2016, arXiv 1602.07527)."""

    thirds = 1
    uses_inputs = False

    def forward(self, a: Any) -> Any:
        try:
            lower = np.linalg.cholesky(a)
        except np.linalg.LinAlgError:
            raise SingularMatrixError(requires("cholesky", "a positive definite matrix", "one that is not")) from None
        return lower if namespace(a) is np or not lower.size else self._nan_where_wrong(lower, a)

    def _nan_where_wrong(self, lower: Any, a: Any) -> Any:
        """NaN in place of factors that cuSOLVER left half done, without a word, where A is not positive definite."""
        left = np.abs(np.matmul(lower, lower.swapaxes(-1, -2)) - a).max(axis=(-2, -1), keepdims=True)
        whole = left <= np.abs(a).max(axis=(-2, -1), keepdims=True) * math.sqrt(np.finfo(a.dtype).eps)
        return np.where(whole, lower, math.nan).astype(a.dtype, copy=False)

    def abstract(self, a: Any) -> Aval:
        return Aval(a.shape, a.dtype, a.device)

    def vjp(self, i: int, cotangent: Value, output: Value, a: Value) -> Value:
        lt = matrix_transpose(output)
        inner = _half_lower(matmul(lt, tril(cotangent)))
        right = matrix_transpose(solve(lt, matrix_transpose(solve(lt, inner))))  # L^-T inner L^-1, transposed twice
        return multiply(add(right, matrix_transpose(right)), 0.5)

    def jvp(self, i: int, tangent: Value, output: Value, a: Value) -> Value:
        half = solve(output, tangent)
        inner = matrix_transpose(solve(output, matrix_transpose(half)))
        return matmul(output, _half_lower(inner))


def _half_lower(x: Value) -> Value:
    """The lower triangle with half of the diagonal."""
    n = x.shape[-1]
    weights = namespace(x).tri(n, k=-1, dtype=x.dtype) + eye_like(x, n) * 0.5
    return multiply(x, weights)


class SlogDet(MatrixFunction):
    """The sign and the logarithm of the absolute value of the determinant."""

    thirds = 2
    name = "slogdet"

    def forward(self, a: Any) -> Any:
        return tuple(np.linalg.slogdet(a))

    def abstract(self, a: Any) -> Any:
        out = Aval(a.shape[:-2], a.dtype, a.device)
        return out, out

    def vjp_all(self, needed: Sequence[bool], cotangent: Any, output: Any, a: Value) -> list[Value]:
        g = cotangent[1]
        return [None if g is None else multiply(expand_dims(g, (-2, -1)), matrix_transpose(inv(a)))]

    def jvp_all(self, tangents: list[Value], output: Any, a: Value) -> Any:
        return None, sum_(multiply(matrix_transpose(inv(a)), tangents[0]), axis=(-2, -1))


class Eigh(MatrixFunction):
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix (Giles 2008, section 3.1)."""

    thirds = 27
    uses_inputs = False

    def forward(self, a: Any) -> Any:
        return tuple(np.linalg.eigh(a))

    def abstract(self, a: Any) -> Any:
        return Aval(a.shape[:-1], a.dtype, a.device), Aval(a.shape, a.dtype, a.device)

    def _gaps(self, w: Value) -> Value:
        """1 / (w_j - w_i), 0 on the diagonal; NaN where they are equal to rounding.

        What a function makes of such a pair goes by its second derivatives across w_i and w_j, and a rule is given its
        first: 0 would be right for some functions and silently wrong for others.
        """
        gap = subtract(expand_dims(w, -2), expand_dims(w, -1))
        rounding = multiply(16 * float(np.finfo(w.dtype).eps), sum_(abs_(w), axis=-1, keepdims=True))
        same = less_equal(abs_(gap), expand_dims(rounding, -1))
        inverse = where(same, math.nan, divide(1, where(same, 1, gap)))
        return where(namespace(w).eye(w.shape[-1], dtype=np.bool_), 0, inverse)

    def vjp_all(self, needed: Sequence[bool], cotangent: Any, output: Any, a: Value) -> list[Value]:
        w, v = output
        gw, gv = cotangent
        vt = matrix_transpose(v)
        inner = zeros_like(v) if gv is None else multiply(self._gaps(w), matmul(vt, gv))
        if gw is not None:
            inner = add(inner, multiply(expand_dims(gw, -1), eye_like(w, w.shape[-1])))
        found = matmul(matmul(v, inner), vt)
        return [multiply(add(found, matrix_transpose(found)), 0.5)]

    def jvp_all(self, tangents: list[Value], output: Any, a: Value) -> Any:
        w, v = output
        inner = matmul(matmul(matrix_transpose(v), tangents[0]), v)
        return diagonal(inner), matmul(v, multiply(self._gaps(w), inner))


def _symmetric(x: Value) -> Value:
    return multiply(add(x, matrix_transpose(x)), 0.5)


def solve(a: Any, b: Any, /) -> Any:
    """x with a x = b, for a (..., n, n) and b (..., n, k) or a vector (n,).

    Raises SingularMatrixError; on a GPU, where nobody looks, a singular matrix gives infinities or NaN.
    """
    _square("solve", a)
    shape = shape_of(b)
    vector = len(shape) == 1
    if not shape or shape[-1 if vector else -2] != a.shape[-1]:
        raise ShapeError(requires("solve", "(..., n, n) and (..., n, k) or (n,)", f"{a.shape} and {shape}"))
    matrix = reshape(b, (-1, 1)) if vector else b
    lead = np.broadcast_shapes(a.shape[:-2], matrix.shape[:-2])
    found = Solve().bind(broadcast_to(a, (*lead, *a.shape[-2:])), broadcast_to(matrix, (*lead, *matrix.shape[-2:])))
    return reshape(found, found.shape[:-1]) if vector else found


def solve_triangular(a: Any, b: Any, /, *, lower: bool = True) -> Any:
    """x with T x = b, where T is the lower (or upper) triangle of a; the other triangle is not read."""
    return solve(tril(a) if lower else triu(a), b)


def inv(x: Any, /) -> Any:
    """The inverse of square matrices. Raises SingularMatrixError."""
    _square("inv", x)
    return solve(x, broadcast_to(eye_like(x, x.shape[-1]), x.shape))


def matrix_power(x: Any, n: int, /) -> Any:
    """Square matrices (..., m, m) multiplied n times with themselves; for n < 0, their inverses -n times.

    Raises ShapeError for other shapes, OptionError for a fractional exponent, SingularMatrixError where there is no
    inverse.

    >>> import metagrad as mg
    >>> mg.linalg.matrix_power(mg.asarray([[2.0, 0.0], [0.0, 4.0]]), -2)
    Tensor([[0.25  , 0.    ],
            [0.    , 0.0625]], dtype=float64)
    """
    _square("matrix_power", x)
    try:
        left = as_index(n)
    except TypeError:
        raise OptionError(requires("matrix_power", "an exponent that is a whole number", repr(n))) from None
    if left < 0:
        x, left = inv(x), -left
    result: Any = None
    while left:
        if left & 1:
            result = x if result is None else matmul(result, x)
        x, left = (matmul(x, x) if left > 1 else x), left >> 1
    return broadcast_to(eye_like(x, x.shape[-1]), x.shape) if result is None else result


def cholesky(x: Any, /, *, upper: bool = False) -> Any:
    """The lower (or upper) Cholesky factor of the symmetric part of x.

    Raises SingularMatrixError where that is not positive definite; on a GPU, where nobody looks, it is NaN.
    """
    _square("cholesky", x)
    found = Cholesky().bind(_symmetric(x))
    return matrix_transpose(found) if upper else found


def slogdet(x: Any, /) -> Any:
    """(sign, log |det|); the derivative needs an invertible matrix."""
    _square("slogdet", x)
    return SlogDet().bind(x)


def det(x: Any, /) -> Any:
    """The determinant.

    Up to 8 x 8 without a division (Bird 2011, "A simple division-free algorithm for computing determinants"):
    derivatives of every order are exact for singular matrices, too. Larger ones go by `slogdet` and need to be
    invertible.
    """
    _square("det", x)
    n = x.shape[-1]
    if n == 0:
        return filled(1, x, x.shape[:-2])
    if n > 8:
        from .exponential import exp

        sign, log_size = slogdet(x)
        return multiply(sign, exp(log_size))
    f = x
    for _ in range(n - 1):
        trailing = subtract(sum_(diagonal(f), axis=-1, keepdims=True), _running(diagonal(f)))
        upper = subtract(triu(f, k=1), multiply(expand_dims(trailing, -1), eye_like(x, n)))
        f = matmul(upper, x)
    from .indexing import getitem

    corner = getitem(f, (Ellipsis, 0, 0))
    return corner if n % 2 else negative(corner)


def _running(x: Value) -> Value:
    from .reductions import cumulative_sum

    return cumulative_sum(x, axis=-1)


def eigh(x: Any, /) -> Any:
    """(eigenvalues w, eigenvectors V) of the symmetric part of x, ascending; vectors are columns.

    dw_i = (V^T dX V)_ii and dV = V (F * V^T dX V) with F_ij = 1 / (w_j - w_i) for i != j (Giles 2008, "An extended
    collection of matrix derivative results", 3.1).

    Eigenvalues that differ by no more than rounding, 16 eps sum |w|, have F_ij = NaN: derivatives of the vectors, and
    those of order 2 and above of the eigenvalues, are NaN there instead of silently wrong. First derivatives of a
    smooth function of the eigenvalues are right everywhere. Just outside, at a gap g, a derivative of order k has a
    relative error of about eps / g^(k - 1). `matrix_power`, `trace`, `det`, `slogdet` and `inv` are right at every
    order where they say the same thing.

    >>> import metagrad as mg
    >>> x = 2 * mg.eye(2)
    >>> mg.grad(lambda x: mg.sum(mg.linalg.eigvalsh(x) ** 3))(x)
    Tensor([[12.,  0.],
            [ 0., 12.]], dtype=float64)
    >>> across = mg.asarray([[0.0, 1.0], [1.0, 0.0]])
    >>> mg.hvp(lambda x: mg.sum(mg.linalg.eigvalsh(x) ** 3), x, across)
    Tensor([[nan, nan],
            [nan, nan]], dtype=float64)
    >>> mg.hvp(lambda x: mg.linalg.trace(mg.linalg.matrix_power(x, 3)), x, across)
    Tensor([[ 0., 12.],
            [12.,  0.]], dtype=float64)
    """
    _square("eigh", x)
    return Eigh().bind(_symmetric(x))


def eigvalsh(x: Any, /) -> Any:
    """The eigenvalues of the symmetric part of x, ascending.

    Where some are equal, derivatives of order 2 and above are NaN; see `eigh`.
    """
    return eigh(x)[0]


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of the last two axes, `offset` above the main one."""
    from .indexing import getitem

    if len(shape_of(x)) < 2:
        raise ShapeError(requires("diagonal", "at least two axes", f"shape {shape_of(x)}"))
    rows, columns = x.shape[-2:]
    start_row, start_column = (-offset, 0) if offset < 0 else (0, offset)
    n = max(0, min(rows - start_row, columns - start_column))
    steps = namespace(x).arange(n)
    return getitem(x, (Ellipsis, steps + start_row, steps + start_column))


def trace(x: Any, /, *, offset: int = 0) -> Any:
    """The sum of the diagonal of the last two axes."""
    return sum_(diagonal(x, offset=offset), axis=-1)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """A norm of the matrices in the last two axes: "fro", "nuc", 1, -1, 2, -2, inf, -inf.

    "nuc", 2 and -2 go by `eigvalsh`: where singular values are equal, derivatives of order 2 and above are NaN,
    but at zeros 0.
    """
    if len(shape_of(x)) < 2:
        raise ShapeError(requires("matrix_norm", "at least two axes", f"shape {shape_of(x)}"))
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (1, -1, math.inf, -math.inf):
        sums = sum_(abs_(x), axis=-2 if ord in (1, -1) else -1)
        found = (max_ if ord > 0 else min_)(sums, axis=-1)
    elif ord in ("nuc", 2, -2):
        singular = _singular_values(x)
        found = sum_(singular, axis=-1) if ord == "nuc" else (max_ if ord > 0 else min_)(singular, axis=-1)
    else:
        raise OptionError(requires("matrix_norm", "ord 'fro', 'nuc', 1, -1, 2, -2, inf or -inf", repr(ord)))
    return expand_dims(found, (-2, -1)) if keepdims else found


def _singular_values(x: Value) -> Value:
    wide = x.shape[-2] < x.shape[-1]
    gram = matmul(x, matrix_transpose(x)) if wide else matmul(matrix_transpose(x), x)
    some = any_(not_equal(gram, 0), axis=(-2, -1), keepdims=True)
    n = gram.shape[-1]
    steps = namespace(gram).arange(1, n + 1, dtype=gram.dtype)
    apart = eye_like(gram, n) * steps  # in place of zeros, whose eigenvalues are equal
    return where(reshape(some, some.shape[:-1]), sqrt_or_zero(eigvalsh(where(some, gram, apart))), 0)


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
