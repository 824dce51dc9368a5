"""Derivatives checked, not trusted: numeric oracles that say how good they are, and checks that use them."""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from .checks import check_gradients
from .differences import central_difference, one_sided_slopes
from .estimates import (
    DomainError,
    Estimate,
    KinkError,
    NondeterministicError,
    NotAnalyticError,
    NotMeasuredError,
    random_direction,
)
from .functions import Function, jax_function, numpy_function, torch_function
from .numeric import complex_step, numeric_derivative
from .products import check_hvp
from .properties import check_second_order
from .report import Kink, Mismatch, Report, Verdict, Worst
from .subgradient import check_subgradient
from .taylor import TaylorReport, check_taylor, taylor_slope

if _TYPE_CHECKING:
    from . import strategies as strategies


def __getattr__(name: str) -> _Any:
    """The strategies need Hypothesis, which is imported with them, on first use."""
    if name == "strategies":
        return _importlib.import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DomainError",
    "Estimate",
    "Function",
    "Kink",
    "KinkError",
    "Mismatch",
    "NondeterministicError",
    "NotAnalyticError",
    "NotMeasuredError",
    "Report",
    "TaylorReport",
    "Verdict",
    "Worst",
    "central_difference",
    "check_gradients",
    "check_hvp",
    "check_second_order",
    "check_subgradient",
    "check_taylor",
    "complex_step",
    "jax_function",
    "numeric_derivative",
    "numpy_function",
    "one_sided_slopes",
    "random_direction",
    "taylor_slope",
    "torch_function",
]
