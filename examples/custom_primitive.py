"""A primitive of your own is one class, and is right at every order as soon as its rules are.

The class below adds f(x) = 1 / (1 + x^2) to the library. Its derivative rule is written with differentiable operations
and with the output, f itself, so the second derivative, and the third, need no further rule. `forward` is all that runs
in plain evaluation; `vjp` serves reverse mode, `jvp` forward mode, `batch` vmap, and `abstract` graphs.

    python examples/custom_primitive.py
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import metagrad as mg


class Lorentzian(mg.Primitive):
    """f(x) = 1 / (1 + x^2), elementwise; f'(x) = -2 x f(x)^2."""

    def forward(self, x: Any) -> Any:
        return 1 / (1 + x * x)

    def vjp(self, i: int, cotangent: Any, output: Any, x: Any) -> Any:
        return cotangent * -2 * x * output * output

    def jvp(self, i: int, tangent: Any, output: Any, x: Any) -> Any:
        return self.vjp(i, tangent, output, x)  # the Jacobian is diagonal: its own transpose

    def batch(self, batched: tuple[bool, ...], x: Any) -> Any:
        return self.bind(x)  # elementwise: a mapped axis is an axis like any other

    def abstract(self, x: Any) -> mg.Aval:
        return x


lorentzian = Lorentzian()


def exact(order: int, x: float) -> float:
    """The derivatives of f by formula: f is the imaginary part of -1 / (x + i), which is easy to differentiate."""
    return (-((-1) ** order) * math.factorial(order) / (x + 1j) ** (order + 1)).imag


def main() -> None:
    x, f = mg.asarray(0.7), lorentzian
    print("derivative of 1/(1+x^2) at 0.7, by metagrad and by formula")
    for order in range(4):
        found = float(f(x))
        assert math.isclose(found, exact(order, float(x)), rel_tol=1e-12)
        print(f"  order {order}: {found:+.12f} {exact(order, float(x)):+.12f}")
        f = mg.grad(f)

    third_forward = mg.jvp(mg.grad(mg.grad(lorentzian)), (x,), (1.0,))[1]
    print(f"third, forward over reverse over reverse: {float(third_forward):+.12f}")

    points = np.linspace(-1.0, 1.0, 5)
    third = mg.vmap(mg.grad(mg.grad(mg.grad(lorentzian))))(points)
    print("third at five points, by vmap:", np.asarray(third).round(6).tolist())

    graph = mg.make_graph(mg.grad(mg.grad(lorentzian)))(x)
    orders = [equation.order for equation in graph.equations]
    print(f"the graph of the second derivative: {len(orders)} equations, of orders {sorted(set(orders))}")
    assert math.isclose(float(graph(x)), exact(2, float(x)), rel_tol=1e-12)


if __name__ == "__main__":
    main()
