"""Loss functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.devices import namespace
from ..core.primitive import Aval, Primitive
from ..errors import DTypeError, IndexingError, OptionError, ShapeError, requires
from .activations import log_softmax, softmax
from .arithmetic import add, astype, filled, multiply, negative, subtract
from .dtypes import weak
from .elementwise import common_device, shape_of
from .predicates import equal
from .reductions import sum as sum_
from .shape import all_mapped, along, broadcast_to, expand_dims, reshape

if TYPE_CHECKING:
    from ..core.trace import Value

_NAME = "softmax_cross_entropy"


@dataclass(frozen=True, eq=False, repr=False)
class SumOfSquares(Primitive):
    """`scale` times the sum of x^2 over the last `rank` axes."""

    work = 2
    analytic = True
    uses_output = False
    rank: int
    scale: float

    def forward(self, x: Any) -> Any:
        kept = x.shape[: x.ndim - self.rank]
        flat = x.reshape(*kept, math.prod(x.shape[len(kept) :]))
        if type(x) is not np.ndarray and namespace(x) is not np:
            return np.sum(np.square(flat), axis=-1) * self.scale
        return np.vecdot(flat.conj(), flat) * self.scale  # vecdot conjugates once more

    def abstract(self, x: Any) -> Aval:
        return Aval(x.shape[: len(x.shape) - self.rank], x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        twice = multiply(cotangent, 2 * self.scale)
        lead = twice.shape
        return multiply(x, reshape(twice, (*lead, *(1,) * self.rank)) if lead else twice)

    def jvp(self, i: int, tangent: Value, output: Value, x: Value) -> Value:
        axes = tuple(range(-self.rank, 0))
        return multiply(sum_(multiply(x, tangent), axis=axes), 2 * self.scale)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return self.bind(x)


class SoftmaxCrossEntropy(Primitive):
    """sum(y) log(sum(exp(x))) - sum(y x) for logits x (..., c) and labels y, soft (..., c) or integer (...)."""

    work = 7
    uses_output = False

    def forward(self, logits: Any, labels: Any) -> Any:
        from metagrad_kernels import softmax_cross_entropy as kernel

        try:
            return kernel(logits, _as_array(labels))
        except IndexError as error:
            raise IndexingError(str(error)) from None

    def abstract(self, logits: Any, labels: Any) -> Aval:
        return Aval(logits.shape[:-1], _checked(logits, labels), common_device(_NAME, (logits, labels)))

    def vjp(self, i: int, cotangent: Value, output: Value, logits: Value, labels: Value) -> Value:
        if i == 0:
            return SoftmaxCrossEntropyGradient().bind(logits, labels, cotangent)
        return negative(multiply(expand_dims(cotangent, -1), log_softmax(logits))) if _soft(labels) else None

    def jvp(self, i: int, tangent: Value, output: Value, logits: Value, labels: Value) -> Value:
        if i == 0:
            ones = namespace(logits).ones(shape_of(logits)[:-1], _checked(logits, labels))
            return _over_classes(multiply(SoftmaxCrossEntropyGradient().bind(logits, labels, ones), tangent))
        return negative(_over_classes(multiply(tangent, log_softmax(logits)))) if _soft(labels) else None

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Value:
        return self.bind(*all_mapped(batched, inputs))


class SoftmaxCrossEntropyGradient(Primitive):
    """g (sum(y) softmax(x) - y): the gradient of the losses with respect to the logits, for cotangents g (...).

    The kernel is fused; the derivatives are those of this formula, composed of differentiable operations.
    """

    work = 7
    uses_output = False

    def forward(self, logits: Any, labels: Any, g: Any) -> Any:
        from metagrad_kernels import softmax_cross_entropy_gradient as kernel

        return kernel(logits, _as_array(labels), _as_array(g))

    def abstract(self, logits: Any, labels: Any, g: Any) -> Aval:
        return Aval(logits.shape, _checked(logits, labels), common_device(_NAME, (logits, labels, g)))

    def vjp(self, i: int, cotangent: Value, output: Value, logits: Value, labels: Value, g: Value) -> Value:
        if i == 0:  # the Jacobian with respect to the logits is symmetric
            return self.jvp(0, cotangent, output, logits, labels, g)
        if i == 1:
            if not _soft(labels):
                return None
            inner = _over_classes(multiply(cotangent, softmax(logits)), keepdims=True)
            return multiply(expand_dims(g, -1), subtract(inner, cotangent))
        return _over_classes(multiply(cotangent, _residual(logits, labels)))

    def jvp(self, i: int, tangent: Value, output: Value, logits: Value, labels: Value, g: Value) -> Value:
        if i == 0:
            p = softmax(logits)
            weighted = multiply(multiply(p, tangent), expand_dims(_weight(labels, g), -1))
            return subtract(weighted, multiply(p, _over_classes(weighted, keepdims=True)))
        if i == 1:
            if not _soft(labels):
                return None
            total = _over_classes(tangent, keepdims=True)
            return multiply(expand_dims(g, -1), subtract(multiply(total, softmax(logits)), tangent))
        return multiply(expand_dims(tangent, -1), _residual(logits, labels))

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Value:
        return self.bind(*all_mapped(batched, inputs))


def _soft(labels: Value) -> bool:
    return bool(labels.dtype.kind == "f")


def _over_classes(x: Value, keepdims: bool = False) -> Value:
    return sum_(x, axis=-1, keepdims=keepdims)


def _weight(labels: Value, g: Value) -> Value:
    """g sum(y)."""
    return multiply(g, _over_classes(labels)) if _soft(labels) else g


def _residual(logits: Value, labels: Value) -> Value:
    """sum(y) softmax(x) - y."""
    p = softmax(logits)
    if _soft(labels):
        return subtract(multiply(_over_classes(labels, keepdims=True), p), labels)
    one_hot = equal(expand_dims(labels, -1), along(logits, -1))
    return subtract(p, astype(one_hot, p.dtype))


def _checked(logits: Any, labels: Any) -> Any:
    """The dtype of the losses. Raises ShapeError and DTypeError where logits and labels do not fit."""
    shape, given = shape_of(logits), shape_of(labels)
    if logits.dtype.kind != "f":
        raise DTypeError(requires(_NAME, "floating-point logits", logits.dtype))
    if not shape or not shape[-1]:
        raise ShapeError(requires(_NAME, "logits of shape (..., classes) with at least one class", f"shape {shape}"))
    if labels.dtype.kind in "iu":
        if given != shape[:-1]:
            need = f"integer labels of shape {shape[:-1]}, one for each row of the logits {shape}"
            raise ShapeError(requires(_NAME, need, f"shape {given}"))
        return logits.dtype
    if labels.dtype.kind != "f":
        raise DTypeError(requires(_NAME, "integer or floating-point labels", labels.dtype))
    if given != shape:
        raise ShapeError(requires(_NAME, f"soft labels of the logits' shape {shape}", f"shape {given}"))
    return np.result_type(logits.dtype, labels.dtype)


def softmax_cross_entropy(logits: Any, labels: Any, /, *, label_smoothing: float = 0.0) -> Any:
    """-sum(y log(softmax(x))) over the last axis: a loss for each example, not averaged.

    `logits`: (..., classes). `labels`: integers (...) from 0 to classes - 1, or weights y (..., classes) in floating
    point, which are differentiable and need not sum to 1: the loss is sum(y) log(sum(exp(x))) - sum(y x).
    `label_smoothing` = a makes of the weights y, one-hot for integers, (1 - a) y + a / classes (Szegedy et al. 2016),
    as in PyTorch and optax.

    Raises ShapeError and DTypeError for labels that do not fit, IndexingError for a label that is no class, OptionError
    for a label_smoothing outside [0, 1].

    >>> import metagrad as mg
    >>> mg.nn.softmax_cross_entropy(mg.asarray([[0.0, 0.0], [0.0, 1000.0]]), mg.asarray([0, 0]))
    Tensor([6.93147181e-01, 1.00000000e+03], dtype=float64)
    """
    logits, labels = _as_array(logits), _as_array(labels)
    losses = SoftmaxCrossEntropy().bind(logits, labels)
    label_smoothing = weak(label_smoothing)
    if not isinstance(label_smoothing, int | float) or not 0 <= label_smoothing <= 1:
        raise OptionError(requires(_NAME, "label_smoothing from 0 to 1", repr(label_smoothing)))
    if not label_smoothing:
        return losses
    # The loss is linear in the weights: that of even ones is taken apart, and integer labels stay integers.
    even = filled(1 / logits.shape[-1], losses, logits.shape[-1:])
    spread = SoftmaxCrossEntropy().bind(logits, broadcast_to(even, logits.shape))
    return add(multiply(losses, 1.0 - label_smoothing), multiply(spread, float(label_smoothing)))


def mean_squared_error(prediction: Any, target: Any, /) -> Any:
    """The mean of (prediction - target)^2 over all elements.

    Raises ShapeError where the two shapes differ: broadcasting would hide a mistake.

    >>> import metagrad as mg
    >>> mg.nn.mean_squared_error(mg.asarray([1.0, 2.0]), mg.asarray([1.0, 5.0]))
    Tensor(4.5, dtype=float64)
    """
    prediction, target = _as_array(prediction), _as_array(target)
    shape = prediction.shape
    if shape != target.shape:
        raise ShapeError(requires("mean_squared_error", "shapes that agree", f"{shape} and {target.shape}"))
    if not (size := math.prod(shape)):
        raise ShapeError(requires("mean_squared_error", "at least one element", f"shape {shape}"))
    return SumOfSquares(len(shape), 1 / size).bind(subtract(prediction, target))


def _as_array(x: Any) -> Value:
    return np.asarray(x) if isinstance(x, np.generic | int | float | list | tuple) else x
