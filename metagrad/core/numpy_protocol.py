"""What NumPy's own functions do with a Tensor.

NumPy asks the arguments of its functions first (NEP 13 for ufuncs, NEP 18 for the others). Functions that stand for an
operator of Python are handed over, because NumPy cannot tell `np.add(array, tensor)` from `array + tensor`. The others
see the array that a Tensor holds and give NumPy's results. A traced value has no array: it is refused, with the name of
the operation to use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .pytree import tree_map

_OPERATORS = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
    np.floor_divide: "floor_divide",
    np.remainder: "remainder",
    np.power: "pow",
    np.matmul: "matmul",
    np.bitwise_and: "bitwise_and",
    np.bitwise_or: "bitwise_or",
    np.bitwise_xor: "bitwise_xor",
    np.left_shift: "bitwise_left_shift",
    np.right_shift: "bitwise_right_shift",
    np.equal: "equal",
    np.not_equal: "not_equal",
    np.less: "less",
    np.less_equal: "less_equal",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
}

_ABOUT_SHAPES = (np.shape, np.ndim, np.size)

_OUR_NAMES = {
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "concatenate": "concat",
    "cumsum": "cumulative_sum",
    "dot": "matmul",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "norm": "vector_norm",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
}


class NumPyProtocol:
    """The two methods that NumPy asks, as a base of the class of tensors."""

    __slots__ = ()

    def concrete(self, operation: str, advice: str = "") -> Any:
        """The array; raises TraceError, with the advice, where there is none."""
        raise NotImplementedError

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        raise NotImplementedError

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options and ufunc in _OPERATORS:
            return getattr(self.__array_namespace__(), _OPERATORS[ufunc])(*inputs)
        inputs, options = _arrays(ufunc.__name__, (inputs, options))
        return getattr(ufunc, method)(*inputs, **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in _ABOUT_SHAPES:
            return function._implementation(*args, **kwargs)
        args, kwargs = _arrays(function.__name__, (args, kwargs))
        return function(*args, **kwargs)


def _arrays(function: str, arguments: Any) -> Any:
    """The arguments with NumPy's arrays in place of tensors; raises TraceError for a traced one."""

    def array(leaf: Any) -> Any:
        if not isinstance(leaf, NumPyProtocol):
            return leaf
        ours = _counterpart(leaf.__array_namespace__(), function)
        leaf.concrete(f"numpy.{function}", f"use {ours}")
        return np.asarray(leaf)

    return tree_map(array, arguments)


def _counterpart(namespace: Any, function: str) -> str:
    """What the user may write instead."""
    name = _OUR_NAMES.get(function, function)
    if hasattr(namespace, name):
        return f"mg.{name}"
    return f"mg.linalg.{name}" if hasattr(namespace.linalg, name) else "metagrad's operations"
