"""The one contraction, and the products that stand on it.

`Contract("tnk", "tkm", "tnm")` names the axes of two operands and of the result by letters, as einsum does. A letter in
all three is batched; one in both operands only is contracted; the others are free. The family is closed: the derivative
with respect to an operand contracts the cotangent with the other one, by the same letters.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metagrad_kernels.matmul import matmul as matmul_kernel

from ..core.primitive import Aval
from ..errors import OptionError, ShapeError, requires
from .arithmetic import multiply
from .bilinear import Bilinear, added
from .dtypes import weak
from .elementwise import common_device, shape_of
from .reductions import sum as sum_
from .shape import matrix_transpose, normal_axis, permute_dims, reshape, whole_numbers

if TYPE_CHECKING:
    from ..core.trace import Value

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class _Operand(NamedTuple):
    """How an operand becomes a stack of matrices: None where nothing is to be done."""

    order: tuple[int, ...] | None
    shape: tuple[int, ...] | None
    swap: bool


class _Plan(NamedTuple):
    """How a contraction of two shapes becomes one matrix product."""

    x: _Operand
    y: _Operand
    product: Any
    shape: tuple[int, ...] | None
    order: tuple[int, ...] | None
    sizes: tuple[int, ...]
    swapped: bool = False
    """Whether `x` is the second operand: so that the result lies as its axes are named."""


def _operand(letters: str, shape: tuple[int, ...], batch: str, first: str, second: str) -> _Operand:
    """Matrices first x second; stored the other way round where that is how the axes lie."""
    swap = bool(first and second) and letters.index(second[0]) < letters.index(first[0])
    rows, columns = (second, first) if swap else (first, second)
    order = tuple(letters.index(c) for c in batch + rows + columns)
    size = dict(zip(letters, shape, strict=True))
    wanted = (*(size[c] for c in batch), math.prod(size[c] for c in rows), math.prod(size[c] for c in columns))
    as_is = len(rows) == len(columns) == 1
    return _Operand(None if order == tuple(range(len(order))) else order, None if as_is else wanted, swap)


@functools.lru_cache(8192)
def _plan(a: str, b: str, out: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> _Plan:
    batch = "".join(c for c in out if c in a and c in b)
    inner = "".join(c for c in a if c in b and c not in out)
    x_free = "".join(c for c in out if c in a and c not in b)
    y_free = "".join(c for c in out if c in b and c not in a)
    if x_free and y_free and out.index(y_free[0]) < out.index(x_free[0]):
        return _plan(b, a, out, y_shape, x_shape)._replace(swapped=True)
    natural = batch + x_free + y_free
    size: dict[str, int] = {}
    for c, n in zip(a + b, x_shape + y_shape, strict=True):
        if size.setdefault(c, n) != n:
            raise ValueError
    order = tuple(natural.index(c) for c in out)
    # An inner size of 1 is an outer product: broadcasting beats a matrix product there.
    product = np.multiply if math.prod(size[c] for c in inner) == 1 else _product
    return _Plan(
        _operand(a, x_shape, batch, x_free, inner),
        _operand(b, y_shape, batch, inner, y_free),
        product,
        None if len(x_free) == len(y_free) == 1 else tuple(size[c] for c in natural),
        None if order == tuple(range(len(order))) else order,
        tuple(size[c] for c in out),
    )


def _product(x: Any, y: Any) -> Any:
    """The products of matrices (..., n, k) and (..., k, m). On a device by a kernel: a graph cannot capture CuPy's."""
    if type(x) is np.ndarray and type(y) is np.ndarray:
        return np.matmul(x, y)
    dtype = np.result_type(x.dtype, y.dtype)
    if dtype.char not in "fd" or type(x) is not type(y):
        return np.matmul(x, y)
    a, b = (v.astype(dtype, copy=False).reshape(math.prod(v.shape[:-2]), *v.shape[-2:]) for v in (x, y))
    return matmul_kernel(a, b).reshape(*x.shape[:-1], y.shape[-1])


def _matrices(x: Any, how: _Operand) -> Any:
    order, shape, swap = how
    if order is not None:
        x = x.transpose(order)
    if shape is not None:
        x = x.reshape(shape)
    return x.swapaxes(-1, -2) if swap else x


@dataclass(frozen=True, eq=False, repr=False)
class Contract(Bilinear):
    """sum over the letters that are not in `out` of x[a] y[b]; each letter of an operand is in the other or in
    `out`."""

    a: str
    b: str
    out: str

    def forward(self, x: Any, y: Any, start: Any = None) -> Any:
        how_x, how_y, product, shape, order, _, swapped = _plan(self.a, self.b, self.out, x.shape, y.shape)
        if swapped:
            x, y = y, x
        output = product(_matrices(x, how_x), _matrices(y, how_y))
        if shape is not None:
            output = output.reshape(shape)
        if order is not None:
            output = output.transpose(order)
        return output if start is None else added(output, start)

    def abstract(self, x: Any, y: Any) -> Aval:
        try:
            sizes = _plan(self.a, self.b, self.out, x.shape, y.shape).sizes
        except ValueError:
            need = f"sizes that agree in {self.a},{self.b}->{self.out}"
            raise ShapeError(requires("contract", need, f"{x.shape} and {y.shape}")) from None
        dtype = x.dtype if x.dtype == y.dtype else np.result_type(x.dtype, y.dtype)
        return Aval(sizes, dtype, common_device("contract", (x, y)))

    def flops(self, output: Any, *inputs: Any) -> int:
        sizes: dict[str, int] = {}
        for letters, x in zip((self.a, self.b), inputs, strict=True):
            sizes.update(zip(letters, x.shape, strict=True))
        return 2 * math.prod(sizes.values())

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value, y: Value) -> Value:
        return self.transposes[0].bind(cotangent, y) if i == 0 else self.transposes[1].bind(x, cotangent)

    @functools.cached_property
    def transposes(self) -> tuple[Contract, Contract]:
        """The contractions that give the cotangents of the two operands."""
        return Contract(self.out, self.b, self.a), Contract(self.a, self.out, self.b)

    @property
    def of_second(self) -> Contract:
        return self.transposes[1]

    def batched(self, which: tuple[bool, ...]) -> Contract:
        return _batched(self, which)


@functools.lru_cache(4096)
def _batched(contract: Contract, batched: tuple[bool, ...]) -> Contract:
    new = next(c for c in LETTERS if c not in contract.a and c not in contract.b)
    a = new + contract.a if batched[0] else contract.a
    b = new + contract.b if batched[1] else contract.b
    return Contract(a, b, new + contract.out)


def contract(x: Value, y: Value, a: str, b: str, out: str) -> Value:
    """Any product of two operands by letters; what only one of them has and `out` does not is summed first."""
    for letters, other in ((a, b), (b, a)):
        lonely = [k for k, c in enumerate(letters) if c not in other and c not in out]
        if lonely:
            kept = "".join(c for c in letters if c in other or c in out)
            if letters is a:
                x, a = sum_(x, axis=tuple(lonely)), kept
            else:
                y, b = sum_(y, axis=tuple(lonely)), kept
    return Contract(a, b, out).bind(x, y)


def _check_floor(name: str, x: Value, y: Value) -> None:
    for v in (x, y):
        if not shape_of(v):
            raise ShapeError(requires(name, "arrays with at least one axis", f"shapes {shape_of(x)} and {shape_of(y)}"))


def matmul(x: Any, y: Any, /) -> Any:
    """The matrix product (..., n, k) (..., k, m) -> (..., n, m); leading axes broadcast, vectors are (k,).

    Raises ShapeError where the inner sizes differ.
    """
    _check_floor("matmul", x, y)
    letters = _matmul_letters(len(x.shape), len(y.shape), x.shape[:-2], y.shape[:-2])
    inner_y = y.shape[0] if len(y.shape) == 1 else y.shape[-2]
    if x.shape[-1] != inner_y or letters is None:
        raise ShapeError(requires("matmul", "(..., n, k) and (..., k, m)", f"{x.shape} and {y.shape}"))
    a, b, out, x_shape, y_shape = letters
    if x_shape is not None:
        x = reshape(x, (*x_shape, *x.shape[-2:]))
    if y_shape is not None:
        y = reshape(y, (*y_shape, *y.shape[-2:]))
    return Contract(a, b, out).bind(x, y)


@functools.lru_cache(4096)
def _matmul_letters(m: int, n: int, x_lead: tuple[int, ...], y_lead: tuple[int, ...]) -> Any:
    """The letters of a matmul, and the leading shapes to be given to the operands."""
    if m == 1 or n == 1:
        lead = LETTERS[: max(m, n, 2) - 2]
        a = "z" if m == 1 else lead + "yz"
        b = "z" if n == 1 else lead + "zx"
        return a, b, lead * (m > 1 or n > 1) + "y" * (m > 1) + "x" * (n > 1), None, None
    letters = broadcast_letters(x_lead, y_lead)
    if letters is None:
        return None
    a, b, out, x_shape, y_shape = letters
    return a + "yz", b + "zx", out + "yx", x_shape, y_shape


def broadcast_letters(x_lead: tuple[int, ...], y_lead: tuple[int, ...]) -> Any:
    """Letters for leading axes that broadcast: of both operands and of the result, and the leading shapes to be given
    to the operands (None: as they are); None where the axes do not fit.

    An axis of size 1 that the other operand stretches is dropped, and comes back free.
    """
    rank = max(len(x_lead), len(y_lead))
    letters = LETTERS[:rank]
    xs, ys = (1,) * (rank - len(x_lead)) + x_lead, (1,) * (rank - len(y_lead)) + y_lead
    if any(i != j and 1 not in (i, j) for i, j in zip(xs, ys, strict=True)):
        return None
    a = "".join(c for c, i, j in zip(letters, xs, ys, strict=True) if i != 1 or (j == 1 and len(x_lead) == rank))
    b = "".join(c for c, i, j in zip(letters, xs, ys, strict=True) if j != 1 or (i == 1 and len(y_lead) == rank))
    x_shape = tuple(n for c, n in zip(letters, xs, strict=True) if c in a)
    y_shape = tuple(n for c, n in zip(letters, ys, strict=True) if c in b)
    return a, b, letters, None if x_shape == x_lead else x_shape, None if y_shape == y_lead else y_shape


def vecdot(x: Any, y: Any, /, *, axis: int = -1) -> Any:
    """The sum over one axis of the product, with the other axes broadcast."""
    _check_floor("vecdot", x, y)
    k = normal_axis("vecdot", axis, len(x.shape)), normal_axis("vecdot", axis, len(y.shape))
    if x.shape[k[0]] != y.shape[k[1]]:
        raise ShapeError(requires("vecdot", f"equal sizes along axis {axis}", f"{x.shape} and {y.shape}"))
    return sum_(multiply(x, y), axis=axis)


def tensordot(x: Any, y: Any, /, *, axes: Any = 2) -> Any:
    """The contraction of the last `axes` axes of x with the first of y, or of two named lists of axes."""
    m, n = len(shape_of(x)), len(shape_of(y))
    axes = weak(axes)
    if isinstance(axes, tuple | list) and len(axes) == 2:
        named = [whole_numbers("tensordot", k, "axes that are whole numbers") for k in axes]
        left, right = ([normal_axis("tensordot", k, rank) for k in ks] for ks, rank in zip(named, (m, n), strict=True))
    elif isinstance(axes, int) and 0 <= axes <= min(m, n):
        left, right = list(range(m - axes, m)), list(range(axes))
    else:
        need = f"a number of axes from 0 to {min(m, n)}, or two lists of axes"
        raise ShapeError(requires("tensordot", need, repr(axes)))
    if len(left) != len(right) or any(x.shape[i] != y.shape[j] for i, j in zip(left, right, strict=True)):
        raise ShapeError(
            requires("tensordot", "contracted axes of equal sizes", f"{x.shape} and {y.shape}, axes {axes}")
        )
    a = LETTERS[:m]
    b = "".join(a[left[right.index(k)]] if k in right else LETTERS[m + k] for k in range(n))
    out = "".join(c for k, c in enumerate(a) if k not in left) + "".join(c for k, c in enumerate(b) if k not in right)
    return Contract(a, b, out).bind(x, y)


def outer(x: Any, y: Any, /) -> Any:
    """The products of all pairs of two vectors."""
    if len(shape_of(x)) != 1 or len(shape_of(y)) != 1:
        raise ShapeError(requires("outer", "two vectors", f"shapes {shape_of(x)} and {shape_of(y)}"))
    return multiply(reshape(x, (-1, 1)), reshape(y, (1, -1)))


def einsum(subscripts: str, /, *operands: Any) -> Any:
    """The Einstein sum; opt_einsum finds the order of contractions, each of which is a `Contract`.

    >>> import metagrad as mg
    >>> mg.einsum("ij,jk,k->i", mg.ones((2, 3)), mg.ones((3, 4)), mg.ones(4))
    Tensor([12., 12.], dtype=float64)
    """
    import opt_einsum

    if not isinstance(subscripts, str):
        raise OptionError(requires("einsum", "subscripts in a string", repr(subscripts)))
    shapes = [tuple(shape_of(x)) for x in operands]
    try:
        inputs, output, _ = opt_einsum.parser.parse_einsum_input((subscripts, *shapes), shapes=True)
    except (ValueError, TypeError) as error:
        got = f"{subscripts!r} with shapes {shapes} ({error})"
        raise ShapeError(requires("einsum", "subscripts that fit the operands", got)) from None
    terms = inputs.split(",")
    if any(len(t) != len(s) for t, s in zip(terms, shapes, strict=False)) or len(terms) != len(shapes):
        raise ShapeError(requires("einsum", "a letter for each axis", f"{subscripts!r} with shapes {shapes}"))
    sizes: dict[str, int] = {}
    for letter, n in zip("".join(terms), itertools.chain.from_iterable(shapes), strict=True):
        if sizes.setdefault(letter, n) != n:
            raise ShapeError(requires("einsum", f"one size for {letter!r}", f"{subscripts!r} with shapes {shapes}"))
    values = []
    for k, (term, x) in enumerate(zip(terms, operands, strict=True)):
        terms[k], reduced = _unrepeated(term, x)
        values.append(reduced)
    while len(values) > 1:
        plan = opt_einsum.contract_path(
            ",".join(terms) + "->" + output, *[tuple(v.shape) for v in values], shapes=True, optimize="dp"
        )[0]
        pair = sorted(plan[0])[:2] if len(plan[0]) > 1 else [0, 1]
        y, b = values.pop(pair[1]), terms.pop(pair[1])
        x, a = values.pop(pair[0]), terms.pop(pair[0])
        wanted = set("".join(terms)) | set(output)
        out = output if not terms else "".join(c for c in dict.fromkeys(a + b) if c in wanted)
        values.append(contract(x, y, a, b, out))
        terms.append(out)
    return _single(values[0], terms[0], output)


def _unrepeated(term: str, x: Value) -> tuple[str, Value]:
    """A letter that stands twice in a term is a diagonal."""
    from .linalg import diagonal

    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            i = term.index(letter)
            j = term.index(letter, i + 1)
            order = [k for k in range(len(term)) if k not in (i, j)] + [i, j]
            x = diagonal(permute_dims(x, order))
            term = "".join(term[k] for k in order[:-2]) + letter
    return term, x


def _single(x: Value, term: str, output: str) -> Value:
    gone = tuple(k for k, c in enumerate(term) if c not in output)
    if gone:
        x, term = sum_(x, axis=gone), "".join(c for c in term if c in output)
    return permute_dims(x, [term.index(c) for c in output])


__all__ = [
    "Contract",
    "contract",
    "einsum",
    "matmul",
    "matrix_transpose",
    "outer",
    "tensordot",
    "vecdot",
]
