"""What metagrad uses of CuPy, by its own names: all that the emulation's arrays know.

A function stands with the names of its arguments. A test compares all of it with CuPy where that is installed.
"""

from __future__ import annotations

_UFUNCS = """
    absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or bitwise_xor ceil
    copysign cos cosh divide equal exp expm1 floor floor_divide frexp greater greater_equal hypot invert isfinite isinf
    isnan left_shift less less_equal log log10 log1p log2 logaddexp logical_and logical_not logical_or logical_xor
    maximum minimum multiply negative nextafter not_equal power remainder right_shift rint sign signbit sin sinh sqrt
    square subtract tan tanh trunc
"""
UFUNCS = frozenset(_UFUNCS.split())
UFUNC_OPTIONS = frozenset({"out", "casting", "dtype"})

FUNCTIONS = {
    name: tuple(arguments.split())
    for name, arguments in {
        "all": "a axis out keepdims",
        "any": "a axis out keepdims",
        "arange": "start stop step dtype",
        "argmax": "a axis dtype out keepdims",
        "argmin": "a axis dtype out keepdims",
        "argsort": "a axis kind",
        "argwhere": "a",
        "array": "obj dtype copy order subok ndmin blocking",
        "asarray": "a dtype order copy blocking",
        "ascontiguousarray": "a dtype",
        "asnumpy": "a stream order out blocking",
        "broadcast_to": "array shape",
        "concatenate": "tup axis out dtype casting",
        "cumsum": "a axis dtype out",
        "diag": "v k",
        "diagonal": "a offset axis1 axis2",
        "empty": "shape dtype order",
        "empty_like": "prototype dtype order subok shape",
        "eye": "N M k dtype order",
        "flip": "a axis",
        "full": "shape fill_value dtype order",
        "full_like": "a fill_value dtype order subok shape",
        "linalg.cholesky": "a",
        "linalg.eigh": "a UPLO",
        "linalg.qr": "a mode",
        "linalg.slogdet": "a",
        "linalg.solve": "a b",
        "linspace": "start stop num endpoint retstep dtype axis",
        "max": "a axis out keepdims",
        "min": "a axis out keepdims",
        "moveaxis": "a source destination",
        "ndim": "a",
        "nonzero": "a",
        "ones": "shape dtype order",
        "ones_like": "a dtype order subok shape",
        "repeat": "a repeats axis",
        "reshape": "a newshape order copy",
        "searchsorted": "a v side sorter",
        "shape": "a",
        "stack": "tup axis out dtype casting",
        "sum": "a axis dtype out keepdims",
        "swapaxes": "a axis1 axis2",
        "take": "a indices axis out",
        "tile": "A reps",
        "transpose": "a axes",
        "tri": "N M k dtype",
        "tril": "m k",
        "unique": "ar return_index return_inverse return_counts axis equal_nan",
        "where": "condition x y",
        "zeros": "shape dtype order",
        "zeros_like": "a dtype order subok shape",
    }.items()
}
SIGNATURELESS = frozenset({"matmul", "result_type", "shares_memory"})
"""Functions that take any number of arguments, or do not say which."""

METHODS = frozenset(
    {
        "all",
        "any",
        "astype",
        "copy",
        "max",
        "min",
        "ravel",
        "reshape",
        "squeeze",
        "sum",
        "swapaxes",
        "transpose",
        "view",
    }
)
ATTRIBUTES = frozenset({"imag", "real"})

READS_THE_DEVICE = frozenset({"argwhere", "asnumpy", "nonzero", "unique"})
"""Functions whose result has a shape that only the device knows: they wait for it."""
