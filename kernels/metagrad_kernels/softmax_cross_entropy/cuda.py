"""CUDA C++: a team of threads a row, as many as a row of few classes needs, a warp, or a block where there are many."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import Source, namespace, type_name

KERNELS = ("losses", "soft_losses", "gradient", "soft_gradient")
SOURCE = Source(__file__, "softmax_cross_entropy.cu", {f"{k}<{t}>": 48 for k in KERNELS for t in ("float", "double")})
WARP, THREADS = 32, 128
MANY, THREADS_FOR_MANY = 1024, 512
"""Above so many classes, a row has a block of so many threads."""


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    x, targets, soft = rows(logits, labels)
    losses = namespace(logits).empty(x.shape[:1], x.dtype)
    _launch("soft_losses" if soft else "losses", x, targets, losses)
    return losses.reshape(logits.shape[:-1])


def softmax_cross_entropy_gradient(logits: Any, labels: Any, g: Any) -> Any:
    xp = namespace(logits)
    x, targets, soft = rows(logits, labels)
    gradient = xp.empty(x.shape, x.dtype)
    _launch("soft_gradient" if soft else "gradient", x, targets, xp.ascontiguousarray(g, x.dtype), gradient)
    return gradient.reshape(logits.shape)


def rows(logits: Any, labels: Any) -> tuple[Any, Any, bool]:
    """Contiguous logits (n, c), labels of the type that the kernels take, and whether they are soft."""
    xp, soft = namespace(logits), labels.dtype.kind == "f"
    dtype = np.result_type(logits.dtype, labels.dtype) if soft else logits.dtype
    x = xp.ascontiguousarray(logits, dtype).reshape(-1, logits.shape[-1])
    # An unsigned label above 2**63 turns negative, and so stays out of range.
    targets = xp.ascontiguousarray(labels, dtype if soft else np.int64)
    return x, targets.reshape(x.shape if soft else -1), soft


def _launch(kernel: str, *arrays: Any) -> None:
    n, classes = arrays[0].shape
    if classes > MANY:
        team, teams = THREADS_FOR_MANY, 1
    else:
        team = min(WARP, 1 << (classes - 1).bit_length())
        teams = THREADS // team
    if n:
        entry = f"{kernel}<{type_name(arrays[0].dtype)}>"
        SOURCE.launch(entry, (-(-n // teams),), (team, teams), *arrays, np.int64(n), np.int64(classes))
