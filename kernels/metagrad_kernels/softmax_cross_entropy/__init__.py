"""Softmax cross-entropy, one loss for each row of logits, and its gradient.

With z = logits - max(logits) and y the labels, one-hot where they are integers,

    loss      = sum(y) * log(sum(exp(z))) - sum(y * z)
    gradient  = g * (sum(y) * softmax(z) - y)

which holds for labels that do not sum to one, too. A logit may be -inf: its class has probability 0, and with label 0
adds nothing to the loss. A row that has no finite logit, a +inf or a NaN gives NaN.

Contract, for both functions:
    logits: (..., c) with c >= 1, float32 or float64, any strides.
    g: (...), the cotangent of the losses; any real type, any strides (a broadcast one costs little).
    labels: (...) of any integer type, each in [0, c); or (..., c) of float32 or float64, which promote with the logits.
        A label outside of [0, c) raises on the CPU. On a device, where nobody waits for the answer, its loss and the
        gradient of its row are NaN.
    results: new C-contiguous arrays of the promoted type; no input is written to or kept.
    The same input gives the same bits, whatever runs beside it; several threads may call at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..dispatch import CPU, CUDA, FLOATS, NUMBA_CUDA, REFERENCE, Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPERATION = Operation(__name__, CPU, REFERENCE, CUDA, NUMBA_CUDA)


def softmax_cross_entropy(
    logits: NDArray[Any], labels: NDArray[Any], *, implementation: str | None = None
) -> NDArray[Any]:
    """The losses, shape (...).

    Raises:
        TypeError: types other than the contract's.
        ValueError: shapes that do not fit, no class at all, or an implementation that does not exist.
        IndexError: an integer label outside [0, c), on the CPU.
        KernelUnavailable: the implementation asked for cannot run here.
    """
    module = OPERATION.choose(logits, implementation)
    _check(logits, labels)
    losses: NDArray[Any] = module.softmax_cross_entropy(logits, labels)
    return losses


def softmax_cross_entropy_gradient(
    logits: NDArray[Any], labels: NDArray[Any], g: NDArray[Any], *, implementation: str | None = None
) -> NDArray[Any]:
    """The gradient of sum(g * losses) with respect to the logits, shape (..., c). Raises what the losses raise."""
    module = OPERATION.choose(logits, implementation)
    _check(logits, labels)
    if g.shape != logits.shape[:-1]:
        raise ValueError(_message(f"a cotangent of shape {logits.shape[:-1]}", f"shape {g.shape}"))
    gradient: NDArray[Any] = module.softmax_cross_entropy_gradient(logits, labels, g)
    return gradient


def label_out_of_range(labels: NDArray[Any], classes: int) -> IndexError:
    """What an implementation raises when it meets a label outside [0, classes)."""
    labels = np.atleast_1d(labels)
    label = labels[(labels < 0) | (labels >= classes)][0]
    return IndexError(_message(f"integer labels from 0 to {classes - 1}", str(label)))


def _check(logits: NDArray[Any], labels: NDArray[Any]) -> None:
    """Types and shapes; the range of integer labels is found by the implementation, which reads them anyway."""
    if logits.dtype not in FLOATS:
        raise TypeError(_message("logits of float32 or float64", str(logits.dtype)))
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(_message("logits of shape (..., classes) with at least one class", f"shape {logits.shape}"))
    if labels.dtype.kind in "iu":
        if labels.shape != logits.shape[:-1]:
            need = f"integer labels of shape {logits.shape[:-1]}, one for each row of logits"
            raise ValueError(_message(need, f"shape {labels.shape}"))
    elif labels.dtype in FLOATS:
        if labels.shape != logits.shape:
            raise ValueError(_message(f"soft labels of the logits' shape {logits.shape}", f"shape {labels.shape}"))
    else:
        raise TypeError(_message("labels of an integer type, float32 or float64", str(labels.dtype)))


def _message(need: str, got: str) -> str:
    return f"[softmax_cross_entropy] requires {need} but got {got}"
