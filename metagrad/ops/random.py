"""Random numbers by counter: each is a function of a key and of its place, and of nothing else.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): ten rounds that
turn a counter of four words and a key of two into four random words. Word 3 of the counter says what the words are for,
so that the streams of `bits`, `split` and `fold_in` never meet. Everything is integer arithmetic, and from there to
normal numbers +, -, *, / and sqrt, which IEEE rounds in one way: the same key gives the same bits on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import index as as_index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import module
from ..core.devices import device_of, namespace
from ..core.primitive import Aval, Primitive
from ..errors import DTypeError, OptionError, ShapeError, requires
from .arithmetic import add, astype, clip, multiply, remainder, subtract
from .dtypes import as_dtype, weak
from .elementwise import common_device, shape_of
from .exponential import log
from .indexing import getitem, take
from .inverse_normal import inverse_normal_cdf
from .predicates import bitwise_left_shift, bitwise_or, bitwise_right_shift, less
from .searching import argmax, argsort
from .shape import as_shape, moveaxis, normal_axis, reshape, whole_numbers

if TYPE_CHECKING:
    from ..core.trace import Value

_WORD = np.dtype(np.uint32)
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_BITS, _SPLIT, _FOLD = 0, 1, 2  # word 3 of the counter


def philox(key: Any, even: Any, odd: Any) -> tuple[Any, Any]:
    """Philox4x32-10: words (0, 2) and (1, 3) of the output for those of the counter, each uint32 (..., 2, n).

    `key` is uint32 (..., 2, 1). Plain arrays of any namespace.
    """
    multipliers, weyl = _column(_MULTIPLIERS, np.uint64, key), _column(_WEYL, _WORD, key)
    for _ in range(10):
        product = even.astype(np.uint64) * multipliers
        low, high = product.astype(_WORD), (product >> 32).astype(_WORD)
        even, odd = high[..., ::-1, :] ^ odd ^ key, low[..., ::-1, :]
        key = key + weyl
    return even, odd


def _column(pair: tuple[int, int], dtype: Any, like: Any) -> Any:
    """Two constants, (2, 1), written where an array lives."""
    column = namespace(like).full((2, 1), pair[0], dtype)
    column[1] = pair[1]
    return column


def _words(key: Any, even: Any, purpose: int) -> Any:
    """Four random words (..., n, 4) for each of n counters whose words 0 and 2 are `even`."""
    odd = np.zeros_like(even)
    odd[..., 1, :] = purpose
    even, odd = philox(key[..., None], even, odd)
    return np.stack([even[..., 0, :], odd[..., 0, :], even[..., 1, :], odd[..., 1, :]], axis=-1)


@dataclass(frozen=True, eq=False, repr=False)
class RandomBits(Primitive):
    """`count` random words (..., count) for each key (..., 2)."""

    work = 0
    differentiable = False
    count: int
    purpose: int

    def forward(self, key: Any) -> Any:
        blocks = -(-self.count // 4)
        xp = namespace(key)
        even = xp.zeros((2, blocks), _WORD)
        even[0] = xp.arange(blocks, dtype=_WORD)
        words = _words(key, np.broadcast_to(even, (*key.shape[:-1], 2, blocks)), self.purpose)
        return words.reshape(*key.shape[:-1], 4 * blocks)[..., : self.count]

    def abstract(self, key: Any) -> Aval:
        _check_key("random", key)
        return Aval((*key.shape[:-1], self.count), _WORD, key.device)

    def batch(self, batched: tuple[bool, ...], key: Value) -> Value:
        return self.bind(key)


class FoldIn(Primitive):
    """A key (..., 2) for a key (..., 2) and a number (...)."""

    work = 0
    differentiable = False

    def forward(self, key: Any, data: Any) -> Any:
        number = (namespace(key).asarray(data) if device_of(data) == "cpu" else data).astype(np.uint64)
        even = np.stack([number & 0xFFFFFFFF, number >> 32], axis=-1).astype(_WORD)[..., None]
        shape = np.broadcast_shapes(key.shape, even.shape[:-1])
        return _words(np.broadcast_to(key, shape), np.broadcast_to(even, (*shape, 1)), _FOLD)[..., 0, :2]

    def abstract(self, key: Any, data: Any) -> Aval:
        _check_key("fold_in", key)
        _check_integer(data)
        shape = np.broadcast_shapes(key.shape[:-1], shape_of(data))
        return Aval((*shape, 2), _WORD, common_device("fold_in", (key, data)))

    def batch(self, batched: tuple[bool, ...], key: Value, data: Value) -> Value:
        rank = max(len(key.shape) - 1 - batched[0], len(shape_of(data)) - batched[1])
        if batched[0]:
            key = reshape(key, (key.shape[0], *(1,) * (rank + 2 - len(key.shape)), *key.shape[1:]))
        if batched[1]:
            data = reshape(data, (data.shape[0], *(1,) * (rank + 1 - len(data.shape)), *data.shape[1:]))
        return self.bind(key, data)


class OrthogonalFactor(Primitive):
    """Q of the factorisation x = Q R with a positive diagonal of R, for x (..., n, m), n >= m."""

    differentiable = False

    def flops(self, output: Any, *inputs: Any) -> int:
        """By Householder's reflections, and as much again for Q (Golub and Van Loan, Matrix Computations)."""
        shape: tuple[int, ...] = output.shape
        n, m = shape[-2:]
        return math.prod(shape[:-2]) * 4 * m * m * (3 * n - m) // 3

    def forward(self, x: Any) -> Any:
        q, r = np.linalg.qr(x)
        return q * np.where(np.diagonal(r, 0, -2, -1) < 0, -1, 1).astype(x.dtype)[..., None, :]

    def abstract(self, x: Any) -> Aval:
        return Aval(x.shape, x.dtype, x.device)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return self.bind(x)


def _check_key(name: str, key: Any) -> None:
    if shape_of(key)[-1:] != (2,) or getattr(key, "dtype", None) != _WORD:
        got = f"{getattr(key, 'dtype', type(key).__name__)} of shape {shape_of(key)}"
        raise DTypeError(requires(name, "a key: two uint32 from mg.random.key or split", got))


def _check_integer(data: Any) -> None:
    if getattr(data, "dtype", np.dtype(type(data))).kind not in "iu":
        raise DTypeError(requires("fold_in", "an integer", getattr(data, "dtype", repr(data))))


def _checked(name: str, key: Any) -> None:
    """One key, to the function that the user wrote."""
    _check_key(name, key)
    if len(shape_of(key)) != 1:
        raise ShapeError(requires(name, "one key, of shape (2,); map over several with vmap", f"shape {shape_of(key)}"))


def key(seed: int, /, *, device: str | None = None) -> Any:
    """A key for a seed from 0 to 2^64 - 1: uint32 of shape (2,). Different seeds give different keys.

    What is drawn with it is where it is: the same numbers on every device.

    Raises OptionError for another seed.

    >>> import metagrad as mg
    >>> mg.random.key(0)
    Tensor([0, 0], dtype=uint32)
    """
    try:
        number = as_index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**64:
        raise OptionError(requires("key", "an integer seed from 0 to 2**64 - 1", seed))
    made = module(device).full((2,), number & 0xFFFFFFFF, _WORD)
    made[1] = number >> 32
    return made


def split(key: Any, n: int = 2, /) -> Any:
    """`n` new keys of shape (n, 2), independent of each other and of what the old key draws.

    >>> import metagrad as mg
    >>> first, second = mg.random.split(mg.random.key(0))
    """
    _checked("split", key)
    (n,) = as_shape("split", (n,))
    words = RandomBits(4 * n, _SPLIT).bind(key)
    return getitem(reshape(words, (n, 4)), (slice(None), slice(0, 2)))


def fold_in(key: Any, data: Any, /) -> Any:
    """The key for a number, from 0 to 2^64 - 1, under a key: the step of a loop, the index of a task.

    Equals none of what `split` gives. `data` may be traced. Raises DTypeError unless it is an integer.
    """
    _checked("fold_in", key)
    _check_integer(data)
    return FoldIn().bind(key, data)


def bits(key: Any, shape: Any = (), dtype: Any = np.uint32) -> Any:
    """Uniformly random bits, as uint32 or uint64. Raises DTypeError for another type."""
    _checked("bits", key)
    shape, wanted = as_shape("random", shape), as_dtype("bits", dtype)
    count = math.prod(shape)
    if wanted == _WORD:
        return reshape(RandomBits(count, _BITS).bind(key), shape)
    if wanted != np.uint64:
        raise DTypeError(requires("bits", "dtype uint32 or uint64", wanted))
    words = astype(reshape(RandomBits(2 * count, _BITS).bind(key), (count, 2)), np.uint64)
    high, low = getitem(words, (slice(None), 0)), getitem(words, (slice(None), 1))
    return reshape(bitwise_or(bitwise_left_shift(high, np.uint64(32)), low), shape)


def _floating(name: str, dtype: Any) -> Any:
    wanted = as_dtype(name, dtype)
    if wanted not in (np.float32, np.float64):
        raise DTypeError(requires(name, "dtype float32 or float64", wanted))
    return wanted


def uniform(key: Any, shape: Any = (), dtype: Any = np.float64, minval: Any = 0.0, maxval: Any = 1.0) -> Any:
    """Numbers evenly distributed over [minval, maxval), on a grid of 2^-24 (float32) or 2^-53 (float64) of its width.

    The bounds may be arrays that broadcast to the shape; they are differentiable.

    >>> import metagrad as mg
    >>> mg.random.uniform(mg.random.key(0), (2,), mg.float32).shape
    (2,)
    """
    wanted = _floating("uniform", dtype)
    if wanted == np.float32:
        unit = multiply(astype(bitwise_right_shift(bits(key, shape), np.uint32(8)), wanted), 2.0**-24)
    else:
        unit = multiply(astype(bitwise_right_shift(bits(key, shape, np.uint64), np.uint64(11)), wanted), 2.0**-53)
    if isinstance(minval, int | float) and isinstance(maxval, int | float):
        return unit if (minval, maxval) == (0, 1) else add(multiply(unit, float(maxval - minval)), float(minval))
    return add(multiply(unit, astype(subtract(maxval, minval), wanted)), astype(minval, wanted))


def _open_unit(key: Value, shape: Any, wanted: Any) -> Value:
    """Float64 numbers in the open interval (0, 1), symmetric about 0.5: from 32 bits for float32, else from 52."""
    if wanted == np.float32:
        return multiply(add(astype(bits(key, shape), np.float64), 0.5), 2.0**-32)
    integers = bitwise_right_shift(bits(key, shape, np.uint64), np.uint64(12))
    return multiply(add(astype(integers, np.float64), 0.5), 2.0**-52)


def normal(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Numbers of the normal distribution with mean 0 and variance 1, by the inverse of its distribution function.

    >>> import metagrad as mg
    >>> mg.random.normal(mg.random.key(0), (2,)).shape
    (2,)
    """
    wanted = _floating("normal", dtype)
    return astype(inverse_normal_cdf(_open_unit(key, shape, wanted)), wanted)


def truncated_normal(key: Any, lower: float, upper: float, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Numbers of the normal distribution with mean 0 and variance 1, given that they lie in [lower, upper].

    The bounds are numbers. Raises OptionError unless lower < upper.
    """
    wanted = _floating("truncated_normal", dtype)
    lower, upper = float(lower), float(upper)
    if not lower < upper:
        raise OptionError(requires("truncated_normal", "lower < upper", f"{lower} and {upper}"))
    if lower > 0:  # in the left tail, probabilities are exact
        return subtract(0, truncated_normal(key, -upper, -lower, shape, dtype))
    low, high = (math.erfc(-x / math.sqrt(2)) / 2 for x in (lower, upper))
    p = add(multiply(_open_unit(key, shape, wanted), high - low), low)
    return astype(clip(inverse_normal_cdf(p), lower, upper), wanted)


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """Booleans that are true with probability p, which broadcasts to the shape (by default its own)."""
    return less(uniform(key, shape_of(p) if shape is None else shape), p)


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Any:
    """Indices along `axis`, drawn with probabilities softmax(logits); by the Gumbel-max trick.

    `shape` is that of the result; by default the logits' without the axis, and what these broadcast to otherwise.
    """
    rank = len(shape_of(logits))
    logits = moveaxis(logits, normal_axis("categorical", axis, rank), rank - 1)
    full = (*(shape_of(logits)[:-1] if shape is None else as_shape("categorical", shape)), shape_of(logits)[-1])
    gumbel = subtract(0, log(subtract(0, log(_open_unit(key, full, np.float64)))))
    return argmax(add(logits, gumbel), axis=-1)


def permutation(key: Any, x: Any, /, *, axis: int = 0) -> Any:
    """The numbers from 0 to x - 1 in random order, for an integer x; for an array, its slices along `axis`."""
    x = weak(x)
    n = x if isinstance(x, int) else shape_of(x)[normal_axis("permutation", axis, len(shape_of(x)))]
    order = argsort(bits(key, (n,), np.uint64))
    return order if isinstance(x, int) else take(x, order, axis=axis)


def randint(key: Any, shape: Any, minval: int, maxval: int, dtype: Any = np.int64) -> Any:
    """Integers evenly distributed over [minval, maxval): 64 random bits, taken modulo the width.

    Raises OptionError unless minval < maxval and both fit the dtype.
    """
    wanted = as_dtype("randint", dtype)
    low, high = whole_numbers("randint", (minval, maxval), "minval and maxval that are whole numbers")
    if wanted.kind not in "iu":
        raise DTypeError(requires("randint", "an integer dtype", wanted))
    limits = np.iinfo(wanted)
    if not limits.min <= low < high <= limits.max + 1:
        raise OptionError(requires("randint", f"minval < maxval within {wanted}", f"{low} and {high}"))
    drawn = bits(key, shape, np.uint64)
    if high - low < 2**64:
        drawn = remainder(drawn, np.uint64(high - low))
    return astype(add(drawn, np.uint64(low % 2**64)), wanted)  # modulo 2^64, and so right for negative bounds
