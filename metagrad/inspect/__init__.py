"""The graph of a computation, read: as text, as a picture by derivative order, by cost, and beside another one."""

from __future__ import annotations

from .comparison import Comparison, compare
from .cost import Cost, Tally, cost
from .dot import dot
from .first_order import first_order_cut
from .notation import line as line
from .orders import OrderReport, assert_second_order, order_report
from .page import html, notebook
from .plot import plot
from .svg import svg
from .text import brief as brief
from .text import text

__all__ = [
    "Comparison",
    "Cost",
    "OrderReport",
    "Tally",
    "assert_second_order",
    "compare",
    "cost",
    "dot",
    "first_order_cut",
    "html",
    "notebook",
    "order_report",
    "plot",
    "svg",
    "text",
]
