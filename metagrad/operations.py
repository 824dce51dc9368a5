"""The operations for users: those of `ops`, with the boundary around them.

Names are those of the Python array API standard where it has one.
"""

from __future__ import annotations

import math

import numpy as np

from .core.tensor import public
from .ops import arithmetic, contraction, creation, exponential, indexing, predicates, reductions, searching, shape
from .ops.dtypes import can_cast, finfo, iinfo, isdtype, result_type
from .ops.indexing import At

abs = public(arithmetic.abs)
add = public(arithmetic.add)
astype = public(arithmetic.astype)
bitwise_and = public(predicates.bitwise_and)
bitwise_invert = public(predicates.bitwise_invert)
bitwise_left_shift = public(predicates.bitwise_left_shift)
bitwise_or = public(predicates.bitwise_or)
bitwise_right_shift = public(predicates.bitwise_right_shift)
bitwise_xor = public(predicates.bitwise_xor)
ceil = public(predicates.ceil)
clip = public(arithmetic.clip)
copysign = public(arithmetic.copysign)
divide = public(arithmetic.divide)
equal = public(predicates.equal)
floor = public(predicates.floor)
floor_divide = public(predicates.floor_divide)
greater = public(predicates.greater)
greater_equal = public(predicates.greater_equal)
isfinite = public(predicates.isfinite)
isinf = public(predicates.isinf)
isnan = public(predicates.isnan)
less = public(predicates.less)
less_equal = public(predicates.less_equal)
logical_and = public(predicates.logical_and)
logical_not = public(predicates.logical_not)
logical_or = public(predicates.logical_or)
logical_xor = public(predicates.logical_xor)
maximum = public(arithmetic.maximum)
minimum = public(arithmetic.minimum)
multiply = public(arithmetic.multiply)
negative = public(arithmetic.negative)
nextafter = public(arithmetic.nextafter)
not_equal = public(predicates.not_equal)
positive = public(arithmetic.positive)
pow = public(arithmetic.pow)
reciprocal = public(arithmetic.reciprocal)
remainder = public(arithmetic.remainder)
round = public(predicates.round)
sign = public(predicates.sign)
signbit = public(predicates.signbit)
sqrt = public(arithmetic.sqrt)
square = public(arithmetic.square)
subtract = public(arithmetic.subtract)
trunc = public(predicates.trunc)
where = public(arithmetic.where)

acos = public(exponential.acos)
acosh = public(exponential.acosh)
asin = public(exponential.asin)
asinh = public(exponential.asinh)
atan = public(exponential.atan)
atan2 = public(exponential.atan2)
atanh = public(exponential.atanh)
cos = public(exponential.cos)
cosh = public(exponential.cosh)
exp = public(exponential.exp)
expm1 = public(exponential.expm1)
hypot = public(exponential.hypot)
log = public(exponential.log)
log10 = public(exponential.log10)
log1p = public(exponential.log1p)
log2 = public(exponential.log2)
logaddexp = public(exponential.logaddexp)
sin = public(exponential.sin)
sinh = public(exponential.sinh)
tan = public(exponential.tan)
tanh = public(exponential.tanh)

all = public(reductions.all)
any = public(reductions.any)
argmax = public(searching.argmax)
argmin = public(searching.argmin)
argsort = public(searching.argsort)
cumulative_sum = public(reductions.cumulative_sum)
diff = public(reductions.diff)
logsumexp = public(reductions.logsumexp)
max = public(reductions.max)
mean = public(reductions.mean)
min = public(reductions.min)
prod = public(reductions.prod)
sort = public(searching.sort)
std = public(reductions.std)
sum = public(reductions.sum)
var = public(reductions.var)

broadcast_arrays = public(shape.broadcast_arrays)
broadcast_to = public(shape.broadcast_to)
concat = public(shape.concat)
expand_dims = public(shape.expand_dims)
flip = public(shape.flip)
matrix_transpose = public(shape.matrix_transpose)
moveaxis = public(shape.moveaxis)
pad = public(shape.pad)
permute_dims = public(shape.permute_dims)
repeat = public(shape.repeat)
reshape = public(shape.reshape)
roll = public(shape.roll)
squeeze = public(shape.squeeze)
stack = public(shape.stack)
swapaxes = public(shape.swapaxes)
tile = public(shape.tile)
transpose = public(shape.transpose)
unstack = public(shape.unstack)

count_nonzero = public(searching.count_nonzero)
nonzero = public(searching.nonzero)
searchsorted = public(searching.searchsorted)
unique_all = public(searching.unique_all)
unique_counts = public(searching.unique_counts)
unique_inverse = public(searching.unique_inverse)
unique_values = public(searching.unique_values)

getitem = public(indexing.getitem)
take = public(indexing.take)
take_along_axis = public(indexing.take_along_axis)

einsum = public(contraction.einsum)
matmul = public(contraction.matmul)
outer = public(contraction.outer)
tensordot = public(contraction.tensordot)
vecdot = public(contraction.vecdot)

arange = public(creation.arange)
asarray = public(creation.asarray)
empty = public(creation.empty)
empty_like = public(creation.empty_like)
eye = public(creation.eye)
full = public(creation.full)
full_like = public(creation.full_like)
linspace = public(creation.linspace)
meshgrid = public(creation.meshgrid)
ones = public(creation.ones)
ones_like = public(creation.ones_like)
tril = public(creation.tril)
triu = public(creation.triu)
zeros = public(creation.zeros)
zeros_like = public(creation.zeros_like)

bool = np.bool_
float32 = np.float32
float64 = np.float64
int8 = np.int8
int16 = np.int16
int32 = np.int32
int64 = np.int64
uint8 = np.uint8
uint16 = np.uint16
uint32 = np.uint32
uint64 = np.uint64
e, inf, nan, pi, newaxis = math.e, math.inf, math.nan, math.pi, None

__all__ = [
    "At",
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "bool",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "ceil",
    "clip",
    "concat",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cumulative_sum",
    "diff",
    "divide",
    "e",
    "einsum",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "finfo",
    "flip",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "getitem",
    "greater",
    "greater_equal",
    "hypot",
    "iinfo",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "nan",
    "negative",
    "newaxis",
    "nextafter",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "permute_dims",
    "pi",
    "positive",
    "pow",
    "prod",
    "reciprocal",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "roll",
    "round",
    "searchsorted",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "transpose",
    "tril",
    "triu",
    "trunc",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
]
