"""The primitives, by family. Functions here take and return values; `metagrad` exports them for users."""

from __future__ import annotations

from ..core.primitive import handed
from . import (
    activations,
    arithmetic,
    contraction,
    creation,
    dropout,
    dtypes,
    exponential,
    indexing,
    linalg,
    losses,
    pooling,
    predicates,
    random,
    reductions,
    searching,
    shape,
)

handed.add = arithmetic.add
handed.asarray = creation.asarray
handed.broadcast_to = shape.broadcast_to
handed.reshape = shape.reshape
handed.sum = reductions.sum
handed.zeros_like = creation.zeros_like
handed.astype = arithmetic.astype

__all__ = [
    "activations",
    "arithmetic",
    "contraction",
    "creation",
    "dropout",
    "dtypes",
    "exponential",
    "indexing",
    "linalg",
    "losses",
    "pooling",
    "predicates",
    "random",
    "reductions",
    "searching",
    "shape",
]
