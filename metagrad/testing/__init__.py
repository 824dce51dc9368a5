"""Derivatives checked, not trusted: numeric oracles that say how good they are, and checks that use them."""

from __future__ import annotations

from .checks import Report, check_gradients, taylor_slope
from .numeric import (
    Estimate,
    KinkError,
    NotAnalyticError,
    central_difference,
    complex_step,
    numeric_derivative,
    random_direction,
)

__all__ = [
    "Estimate",
    "KinkError",
    "NotAnalyticError",
    "Report",
    "central_difference",
    "check_gradients",
    "complex_step",
    "numeric_derivative",
    "random_direction",
    "taylor_slope",
]
