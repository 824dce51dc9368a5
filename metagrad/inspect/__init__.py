"""The graph of a computation, read: as text, as a picture by derivative order, by cost, and beside another one."""

from __future__ import annotations

from .cost import Cost, Tally, cost
from .dot import dot
from .svg import svg
from .text import text

__all__ = ["Cost", "Tally", "cost", "dot", "svg", "text"]
