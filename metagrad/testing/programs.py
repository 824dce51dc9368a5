"""Programs and nestings of transforms, as data: what property tests draw at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import linalg
from .. import operations as ops
from ..transforms import (
    checkpoint,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    make_graph,
    stop_gradient,
    vjp,
    vmap,
)

if TYPE_CHECKING:
    from collections.abc import Callable

N = 3
"""Programs compute on matrices of N rows and columns."""

_ORDER = np.array([2, 0, 0])
_TRIANGLE = np.tri(N, dtype=bool)

UNARY: dict[str, Callable[..., Any]] = {
    "sin": ops.sin,
    "tanh": ops.tanh,
    "bell": lambda x: ops.exp(-ops.square(x)),
    "log": lambda x: ops.log1p(ops.square(x)),
    "cube": lambda x: ops.tanh(x) ** 3,
    "transpose": ops.matrix_transpose,
    "flip": lambda x: x[::-1, 1:][:, ::-1] @ ops.asarray([[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]]),
    "gather": lambda x: x[_ORDER],
    "scatter": lambda x: x.at[_ORDER].add(ops.sin(x)),
    "set": lambda x: x.at[1].set(x[0] * x[2]),
    "pad": lambda x: ops.pad(x[1:, :2], ((1, 0), (0, 1))),
    "roll": lambda x: ops.roll(x, 1, axis=0) + x,
    "cumulative": lambda x: ops.cumulative_sum(x, axis=1) / N,
    "mean": lambda x: x - ops.mean(x, axis=0),
    "var": lambda x: x * ops.var(x, axis=1, keepdims=True),
    "norm": lambda x: x / (1.0 + linalg.vector_norm(x)),
    "softmax": lambda x: ops.exp(x - ops.logsumexp(x, axis=0, keepdims=True)),
    "logsumexp": lambda x: x - ops.logsumexp(x, axis=1, keepdims=True),
    "prod": lambda x: ops.prod(ops.tanh(x), axis=0, keepdims=True) + x,
    "where": lambda x: ops.where(_TRIANGLE, x, 0.5 * ops.sin(x)),
    "diagonal": lambda x: linalg.diagonal(x) * x,
    "inverse": lambda x: linalg.inv(3.0 * ops.eye(N) + ops.tanh(x)),
    "det": lambda x: linalg.det(ops.tanh(x)) + x,
    "concat": lambda x: ops.concat([ops.sin(x[1:]), x[:1]], axis=0),
    "checkpoint": checkpoint(lambda x: ops.sin(x) * ops.cos(x)),
    "inner gradient": grad(lambda x: ops.sum(ops.sin(x) * ops.tanh(x))),
    "mapped": vmap(lambda row: row * ops.sum(ops.sin(row)), in_axes=1, out_axes=1),
}
BINARY: dict[str, Callable[..., Any]] = {
    "add": ops.add,
    "subtract": ops.subtract,
    "multiply": lambda x, y: ops.tanh(x) * y,
    "divide": lambda x, y: x / (2.0 + ops.square(y)),
    "matmul": lambda x, y: ops.tanh(x) @ y,
    "einsum": lambda x, y: ops.einsum("ij,kj,k->ik", ops.sin(x), ops.tanh(y), x[0]),
    "solve": lambda x, y: linalg.solve(3.0 * ops.eye(N) + ops.tanh(x), y),
    "hypot": lambda x, y: ops.hypot(x, 1.0 + ops.square(y)),
    "atan2": lambda x, y: ops.atan2(x, 2.0 + ops.square(y)),
    "logaddexp": ops.logaddexp,
    "pow": lambda x, y: ops.pow(1.0 + ops.square(ops.tanh(x)), ops.tanh(y)),
    "outer": lambda x, y: linalg.outer(ops.tanh(x[0]), y[:, 1]),
}
PIECEWISE: dict[str, Callable[..., Any]] = {
    "abs": lambda x: ops.abs(x) * x,
    "relu": lambda x: ops.maximum(x, 0.0) + 0.5 * x,
    "max": lambda x: x * ops.max(x, axis=0, keepdims=True),
    "min": lambda x: ops.sin(ops.min(x, axis=1, keepdims=True)) + x,
    "sort": lambda x: ops.sort(x, axis=1) * x,
    "clip": lambda x: ops.clip(x, -0.5, 0.5) + ops.tanh(x),
    "maximum": lambda x: ops.maximum(x, ops.sin(x.T)),
}


@dataclass(frozen=True)
class Program:
    """A function of two N x N matrices to one. A step is a name and operands: how many values back each one was made.

    >>> Program((("sin", 0), ("matmul", 0, 2)))(ops.eye(3), ops.eye(3)).shape
    (3, 3)
    """

    steps: tuple[tuple[Any, ...], ...]

    def __call__(self, x: Any, y: Any) -> Any:
        values = [x, y]
        for name, *operands in self.steps:
            chosen = [values[-1 - (k % len(values))] for k in operands]
            values.append((UNARY | PIECEWISE | BINARY)[name](*chosen))
        return values[-1] + 0.1 * values[len(values) // 2]


def _slope(f: Any, x: Any) -> Any:
    return jvp(f, (x,), (ops.ones_like(x),))[1]


_X = np.polynomial.Polynomial([0.0, 1.0])

NESTINGS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "grad": (lambda f: grad(f), lambda p: p.deriv()),
    "jvp": (lambda f: lambda x: _slope(f, x), lambda p: p.deriv()),
    "vjp": (lambda f: lambda x: vjp(f, x)[1](ops.ones_like(x))[0], lambda p: p.deriv()),
    "jacrev": (lambda f: jacrev(f), lambda p: p.deriv()),
    "jacfwd": (lambda f: jacfwd(f), lambda p: p.deriv()),
    "hessian": (lambda f: hessian(f), lambda p: p.deriv(2)),
    "hvp": (lambda f: lambda x: hvp(f, (x,), (x,)), lambda p: _X * p.deriv(2)),
    "hvp forward": (lambda f: lambda x: hvp(f, (x,), (x,), mode="forward_over_reverse"), lambda p: _X * p.deriv(2)),
    "grad of a closure": (lambda f: lambda x: grad(lambda y: x * f(y))(x), lambda p: _X * p.deriv()),
    "jvp of a closure": (lambda f: lambda x: _slope(lambda y: x * f(y), x), lambda p: _X * p.deriv()),
    "grad at a scale": (lambda f: lambda x: grad(lambda s: f(s * x))(ops.asarray(1.0)), lambda p: _X * p.deriv()),
    "jvp at a scale": (lambda f: lambda x: _slope(lambda s: f(s * x), ops.asarray(1.0)), lambda p: _X * p.deriv()),
    "vmap": (lambda f: lambda x: vmap(f)(ops.stack([x, 2.0 * x]))[0], lambda p: p),
    "vmap of a closure": (
        lambda f: lambda x: ops.sum(vmap(lambda c: c * f(x))(ops.asarray([0.5, 1.0, -0.5]))),
        lambda p: p,
    ),
    "vmap of points": (
        lambda f: lambda x: ops.sum(vmap(lambda c: f(c * x), in_axes=0)(ops.asarray([1.0, -1.0]))),
        lambda p: p + p(-_X),
    ),
    "make_graph": (lambda f: lambda x: make_graph(f)(x)(x), lambda p: p),
    "checkpoint": (lambda f: checkpoint(f), lambda p: p),
    "checkpoint of a closure": (lambda f: lambda x: checkpoint(lambda y: x * f(y))(x), lambda p: _X * p),
    "stopped": (lambda f: lambda x: f(x) * stop_gradient(ops.asarray(2.0)), lambda p: 2 * p),
}
"""What a nesting does to a function of one number, and what it does to the coefficients of a polynomial."""


@dataclass(frozen=True)
class Nesting:
    """Transforms applied to a polynomial, the innermost first, whose result is known exactly.

    >>> nesting = Nesting(("grad", "hvp"), (0.0, 0.0, 0.0, 1.0))    # x^3, then 3 x^2, then x times 6
    >>> float(nesting(2.0)), float(nesting.exact(2.0))
    (12.0, 12.0)
    """

    names: tuple[str, ...]
    coefficients: tuple[float, ...] = (0.5, -1.0, 0.75, 0.3, -0.6, 0.2, 0.1)

    def __call__(self, x: float) -> Any:
        def f(x: Any) -> Any:
            total: Any = ops.asarray(0.0)
            for c in reversed(self.coefficients):
                total = total * x + c
            return total

        for name in self.names:
            f = NESTINGS[name][0](f)
        return f(ops.asarray(x))

    @property
    def exact(self) -> np.polynomial.Polynomial:
        """The polynomial that it comes to."""
        p = np.polynomial.Polynomial(list(self.coefficients))
        for name in self.names:
            p = NESTINGS[name][1](p)
        return p

    def tolerance(self, x: float) -> float:
        """How far rounding may take the result from `exact(x)`."""
        return 1e-11 * (1.0 + float(np.polynomial.Polynomial(np.abs(self.exact.coef))(abs(x))))
