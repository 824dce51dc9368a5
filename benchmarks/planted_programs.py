"""Random programs that are right, each over the operations that all three libraries have, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

N = 3
REPEATED = np.array([2, 0, 0])

ONE = {
    "sin": lambda xp, x: xp.sin(x),
    "tanh": lambda xp, x: xp.tanh(x),
    "bell": lambda xp, x: xp.exp(-x * x),
    "log": lambda xp, x: xp.log(1.0 + x * x),
    "root": lambda xp, x: xp.sqrt(1.0 + x * x),
    "cube": lambda xp, x: xp.tanh(x) ** 3,
    "transpose": lambda xp, x: x.T,
    "center": lambda xp, x: x - xp.sum(x, 0) / N,
    "softmax": lambda xp, x: xp.exp(xp.tanh(x)) / xp.sum(xp.exp(xp.tanh(x))),
    "gather": lambda xp, x: x[REPEATED],
    "divide": lambda xp, x: x / (2.0 + x.T * x.T),
    "relu": lambda xp, x: xp.where(x > 0.0, x, 0.0 * x) + 0.5 * x,
    "abs": lambda xp, x: xp.abs(x) * x,
    "clip": lambda xp, x: xp.where(x > 0.5, 0.5 + 0.1 * x, x),
    "max": lambda xp, x: x * xp.max(x, 0),
}
TWO = {
    "add": lambda xp, x, y: x + y,
    "multiply": lambda xp, x, y: xp.tanh(x) * y,
    "matmul": lambda xp, x, y: xp.tanh(x) @ y,
    "divide": lambda xp, x, y: x / (2.0 + y * y),
    "distance": lambda xp, x, y: xp.sqrt(0.1 + (x - y) ** 2),
}


@dataclass(frozen=True)
class Program:
    """Steps that each read what came before, by number."""

    steps: tuple[tuple[Any, ...], ...]
    point: tuple[Any, Any]

    @staticmethod
    def of(seed: int) -> Program:
        rng = np.random.default_rng([7, seed])
        steps: list[tuple[Any, ...]] = []
        for _ in range(rng.integers(2, 6)):
            table, operands = (ONE, 1) if rng.random() < 0.7 else (TWO, 2)
            steps.append((str(rng.choice(sorted(table))), *map(int, rng.integers(0, 9, operands))))
        x, y = rng.choice([-1.0, 1.0], (2, N, N)) * rng.uniform(0.3, 0.9, (2, N, N))
        return Program(tuple(steps), (x, y))

    def bound(self, xp: Any) -> Any:
        """The function of two matrices, in a library."""

        def f(x: Any, y: Any) -> Any:
            values = [x, y]
            for name, *operands in self.steps:
                chosen = [values[-1 - (k % len(values))] for k in operands]
                values.append((ONE if len(operands) == 1 else TWO)[name](xp, *chosen))
            return values[-1] + 0.1 * xp.sin(x) * y

        return f
