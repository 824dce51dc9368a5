"""Data types: which there are, what they can hold, and what several become together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DTypeError, OptionError, requires

_KINDS = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def as_dtype(operation: str, dtype: Any) -> np.dtype[Any]:
    """The dtype that a user named; raises DTypeError for a name that is none, and for what is not real or boolean."""
    try:
        found: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None or found.kind not in "fiub":
        raise DTypeError(requires(operation, "a real or boolean dtype", repr(dtype) if found is None else found))
    return found


def optional_dtype(operation: str, dtype: Any) -> np.dtype[Any] | None:
    """`as_dtype`, with None for the operation's own."""
    return None if dtype is None else as_dtype(operation, dtype)


def finfo(x: Any, /) -> Any:
    """The limits of a floating-point dtype, or of an array's: bits, eps, max, min, smallest_normal.

    Raises DTypeError for another.

    >>> import metagrad as mg
    >>> mg.finfo(mg.float32).bits
    32
    """
    dtype = _dtype_of("finfo", x)
    if dtype.kind != "f":
        raise DTypeError(requires("finfo", "a floating-point dtype", dtype))
    return np.finfo(dtype)


def iinfo(x: Any, /) -> Any:
    """The limits of an integer dtype, or of an array's: bits, max, min. Raises DTypeError for another.

    >>> import metagrad as mg
    >>> mg.iinfo(mg.uint8).max
    255
    """
    dtype = _dtype_of("iinfo", x)
    if dtype.kind not in "iu":
        raise DTypeError(requires("iinfo", "an integer dtype", dtype))
    return np.iinfo(dtype)


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is another one, of a kind ("bool", "signed integer", "unsigned integer", "integral",
    "real floating", "complex floating", "numeric"), or one of a tuple of these. Raises OptionError for another kind.

    >>> import metagrad as mg
    >>> mg.isdtype(mg.float32, "real floating"), mg.isdtype(mg.float32, (mg.float64, "integral"))
    (True, False)
    """
    if isinstance(kind, tuple):
        return any(isdtype(dtype, one) for one in kind)
    found = as_dtype("isdtype", dtype)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise OptionError(requires("isdtype", f"a kind among {', '.join(_KINDS)}", repr(kind)))
        return found.kind in _KINDS[kind]
    return found == as_dtype("isdtype", kind)


def can_cast(from_: Any, to: Any, /) -> bool:
    """Whether a dtype, or an array's, fits into another without loss, by NumPy's rules for safe casts.

    >>> import metagrad as mg
    >>> mg.can_cast(mg.int32, mg.float64), mg.can_cast(mg.ones(2), mg.float32)
    (True, False)
    """
    return np.can_cast(_dtype_of("can_cast", from_), as_dtype("can_cast", to))


def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype that an operation on such arrays, dtypes and Python numbers has. Python numbers are weak.

    >>> import metagrad as mg
    >>> mg.result_type(mg.ones(2, dtype=mg.float32), 1.5), mg.result_type(mg.float32, mg.int64)
    (dtype('float32'), dtype('float64'))
    """
    if not arrays_and_dtypes:
        raise DTypeError(requires("result_type", "at least one array or dtype", "none"))
    weak = [x for x in arrays_and_dtypes if type(x) in (bool, int, float)]
    rest = [_dtype_of("result_type", x) for x in arrays_and_dtypes if type(x) not in (bool, int, float)]
    return np.result_type(*rest, *weak)


def _dtype_of(operation: str, x: Any) -> np.dtype[Any]:
    """The dtype of an array, or the one that a user named."""
    dtype = getattr(x, "dtype", None)
    return dtype if isinstance(dtype, np.dtype) else as_dtype(operation, x)


def weak(x: Any) -> Any:
    """A scalar of NumPy's as a Python number, which as a setting leaves the dtypes of arrays alone; others as they are.

    >>> weak(np.float32(0.5)), weak("SAME")
    (0.5, 'SAME')
    """
    return x.item() if isinstance(x, np.generic) else x
