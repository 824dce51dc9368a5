"""The nonlinearities of neural networks.

At a kink: relu'(0) = 0; leaky_relu and elu have the slope of their left side there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import metagrad_kernels.relu as relu_kernels

from ..core.primitive import Aval, Primitive
from .arithmetic import add, multiply, negative, square, subtract, where
from .dtypes import weak
from .elementwise import Elementwise, UnaryByInput, UnaryByOutput, common_device, shape_of
from .exponential import exp, expm1, logaddexp, tanh
from .predicates import greater
from .reductions import sum as sum_
from .shape import normal_axis

if TYPE_CHECKING:
    from ..core.trace import Value


class Relu(UnaryByOutput):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return relu_kernels.relu(x) if _kernel_takes(x) else np.maximum(x, 0)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return Masked().bind(output, d)


class Masked(Elementwise):
    """d where y > 0, else 0: the derivative of relu. Linear in d; in y it is constant wherever it is smooth."""

    uses_output = False

    def forward(self, y: Any, d: Any) -> Any:
        if type(y) is type(d) and _kernel_takes(y) and y.shape == d.shape and y.dtype == d.dtype:
            return relu_kernels.masked(y, d)
        return np.where(np.greater(y, 0), d, np.zeros_like(d))

    def times(self, i: int, d: Value, output: Value, y: Value, _: Value) -> Value:
        return None if i == 0 else self.bind(y, d)


def _kernel_takes(x: Any) -> bool:
    """Whether it is an array, and no NumPy scalar, of a type that the kernels know."""
    return (type(x) is np.ndarray or not isinstance(x, np.generic | float | int)) and x.dtype.char in "fd"


class Sigmoid(UnaryByOutput):
    """1 / (1 + exp(-x)), without overflow and with a full relative precision on both sides."""

    def forward(self, x: Any) -> Any:
        small = np.exp(-np.abs(x))
        return np.where(x < 0, small, np.ones_like(small)) / (1 + small)

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, multiply(output, subtract(1, output)))


class Erf(UnaryByInput):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""

    def forward(self, x: Any) -> Any:
        from metagrad_kernels import erf as kernel

        number = np.asarray(x) if isinstance(x, np.generic | int | float) else x
        return kernel(number if number.dtype.kind == "f" else number.astype(np.float64))

    def abstract(self, *inputs: Any) -> Aval:
        (x,) = inputs
        dtype = x.dtype if isinstance(x, Aval) and x.dtype.kind == "f" else np.dtype(np.float64)
        return Aval(shape_of(x), dtype, common_device(self.name, inputs))

    def times(self, i: int, d: Value, output: Value, *inputs: Value) -> Value:
        return multiply(d, multiply(exp(negative(square(inputs[0]))), 2 / math.sqrt(math.pi)))


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Primitive):
    """exp(x) / sum(exp(x)) along an axis, counted from the end. Its Jacobian, diag(s) - s s^T, is symmetric."""

    work = 5
    analytic = True
    uses_inputs = False
    axis: int

    def forward(self, x: Any) -> Any:
        e = np.exp(x - np.max(x, axis=self.axis, keepdims=True))
        return e / np.sum(e, axis=self.axis, keepdims=True)

    def abstract(self, x: Any) -> Aval:
        return Aval(x.shape, x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        weighted = multiply(output, cotangent)
        return subtract(weighted, multiply(output, sum_(weighted, axis=self.axis, keepdims=True)))

    def jvp(self, i: int, tangent: Value, output: Value, x: Value) -> Value:
        return self.vjp(i, tangent, output, x)

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return self.bind(x)


@dataclass(frozen=True, eq=False, repr=False)
class LogSoftmax(Primitive):
    """x - log(sum(exp(x))) along an axis, counted from the end."""

    work = 5
    analytic = True
    uses_inputs = False
    axis: int

    def forward(self, x: Any) -> Any:
        z = x - np.max(x, axis=self.axis, keepdims=True)
        return z - np.log(np.sum(np.exp(z), axis=self.axis, keepdims=True))

    def abstract(self, x: Any) -> Aval:
        return Aval(x.shape, x.dtype, x.device)

    def vjp(self, i: int, cotangent: Value, output: Value, x: Value) -> Value:
        return subtract(cotangent, multiply(exp(output), sum_(cotangent, axis=self.axis, keepdims=True)))

    def jvp(self, i: int, tangent: Value, output: Value, x: Value) -> Value:
        return subtract(tangent, sum_(multiply(exp(output), tangent), axis=self.axis, keepdims=True))

    def batch(self, batched: tuple[bool, ...], x: Value) -> Value:
        return self.bind(x)


def relu(x: Any, /) -> Any:
    """max(x, 0), elementwise; the derivative at 0 is 0.

    >>> import metagrad as mg
    >>> mg.nn.relu(mg.asarray([-1.0, 0.0, 2.0]))
    Tensor([0., 0., 2.], dtype=float64)
    """
    return Relu().bind(x)


def leaky_relu(x: Any, /, negative_slope: float = 0.01) -> Any:
    """x where positive, else `negative_slope` x; the derivative at 0 is the left one, `negative_slope`.

    >>> import metagrad as mg
    >>> mg.grad(mg.nn.leaky_relu)(0.0)
    Tensor(0.01, dtype=float64)
    """
    return where(greater(x, 0), x, multiply(x, weak(negative_slope)))


def elu(x: Any, /, alpha: float = 1.0) -> Any:
    """x where positive, else `alpha` (exp(x) - 1) (Clevert et al. 2016); the derivative at 0 is the left one, `alpha`.

    >>> import metagrad as mg
    >>> mg.nn.elu(mg.asarray([-1000.0, 0.0, 2.0]))
    Tensor([-1.,  0.,  2.], dtype=float64)
    """
    above = greater(x, 0)
    return where(above, x, multiply(expm1(where(above, 0, x)), weak(alpha)))


def gelu(x: Any, /, approximate: bool = False) -> Any:
    """x Phi(x), with the normal distribution function Phi (Hendrycks and Gimpel 2016).

    With `approximate`, Phi(x) is (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, as in the paper and in GPT-2.

    >>> import metagrad as mg
    >>> mg.grad(mg.nn.gelu)(0.0)
    Tensor(0.5, dtype=float64)
    """
    if approximate:
        cubic = multiply(multiply(x, add(multiply(square(x), 0.044715), 1)), math.sqrt(2 / math.pi))
        return multiply(multiply(x, 0.5), add(tanh(cubic), 1))
    return multiply(multiply(x, 0.5), add(Erf().bind(multiply(x, math.sqrt(0.5))), 1))


def silu(x: Any, /) -> Any:
    """x sigmoid(x), also called swish.

    >>> import metagrad as mg
    >>> mg.grad(mg.nn.silu)(0.0)
    Tensor(0.5, dtype=float64)
    """
    return multiply(x, sigmoid(x))


def sigmoid(x: Any, /) -> Any:
    """1 / (1 + exp(-x)), without overflow.

    >>> import metagrad as mg
    >>> mg.nn.sigmoid(mg.asarray([-1000.0, 0.0, 1000.0]))
    Tensor([0. , 0.5, 1. ], dtype=float64)
    """
    return Sigmoid().bind(x)


def softplus(x: Any, /) -> Any:
    """log(1 + exp(x)), without overflow.

    >>> import metagrad as mg
    >>> mg.nn.softplus(mg.asarray([-1000.0, 1000.0]))
    Tensor([   0., 1000.], dtype=float64)
    """
    return logaddexp(x, 0)


def softmax(x: Any, /, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along an axis, without overflow. Raises ShapeError for an axis that x does not have.

    >>> import metagrad as mg
    >>> mg.nn.softmax(mg.asarray([0.0, 1000.0, 1000.0]))
    Tensor([0. , 0.5, 0.5], dtype=float64)
    """
    return Softmax(_from_the_end("softmax", x, axis)).bind(x)


def log_softmax(x: Any, /, axis: int = -1) -> Any:
    """log(softmax(x)) along an axis, without overflow. Raises ShapeError for an axis that x does not have.

    >>> import metagrad as mg
    >>> mg.nn.log_softmax(mg.asarray([0.0, 1000.0]))
    Tensor([-1000.,     0.], dtype=float64)
    """
    return LogSoftmax(_from_the_end("log_softmax", x, axis)).bind(x)


def _from_the_end(name: str, x: Value, axis: int) -> int:
    """The axis as a negative number, which stays right when leading axes are added."""
    rank = len(shape_of(x))
    return normal_axis(name, axis, rank) - rank
