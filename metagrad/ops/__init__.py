"""The primitives, by family. Functions here take and return values; `metagrad` exports them for users."""

from __future__ import annotations

from ..core.primitive import handed
from . import arithmetic, contraction, creation, exponential, indexing, linalg, reductions, shape

handed.add = arithmetic.add
handed.zeros_like = creation.zeros_like
handed.astype = arithmetic.astype

__all__ = ["arithmetic", "contraction", "creation", "exponential", "indexing", "linalg", "reductions", "shape"]
