"""The definition, in NumPy, as it is written in the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import label_out_of_range

if TYPE_CHECKING:
    from numpy.typing import NDArray


def softmax_cross_entropy(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    x, y = _promoted(logits, labels)
    with np.errstate(invalid="ignore"):  # infinity minus infinity is NaN, as the contract says
        z = x - x.max(axis=-1, keepdims=True)
        picked = np.where(y == 0, 0, y * z).sum(axis=-1)
        return np.asarray(y.sum(axis=-1) * np.log(np.exp(z).sum(axis=-1)) - picked)


def softmax_cross_entropy_gradient(logits: NDArray[Any], labels: NDArray[Any], g: NDArray[Any]) -> NDArray[Any]:
    x, y = _promoted(logits, labels)
    with np.errstate(invalid="ignore"):
        p = np.exp(x - x.max(axis=-1, keepdims=True))
        p /= p.sum(axis=-1, keepdims=True)
        gradient = g[..., np.newaxis] * (y.sum(axis=-1, keepdims=True) * p - y)
    return np.asarray(gradient, x.dtype)


def _promoted(logits: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Logits and labels as weights of the classes, both (..., c) and of the promoted type."""
    if labels.dtype.kind == "f":
        dtype = np.result_type(logits, labels)
        return logits.astype(dtype), labels.astype(dtype)
    classes = logits.shape[-1]
    if not np.all((labels >= 0) & (labels < classes)):
        raise label_out_of_range(labels, classes)
    return logits, (labels[..., np.newaxis] == np.arange(classes)).astype(logits.dtype)
