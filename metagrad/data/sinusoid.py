"""Sinusoid regression: each task is a sine wave of its own amplitude and phase.

y = A sin(x - phi) with A ~ U[0.1, 5], phi ~ U[0, pi], x ~ U[-5, 5] (Finn, Abbeel and Levine 2017, section 5.1).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays import placed
from ..core.tensor import Tensor
from .records import integer

Array = np.ndarray[Any, Any]

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, math.pi)
INPUTS = (-5.0, 5.0)


class Sinusoids(NamedTuple):
    """A batch of tasks: amplitudes and phases, both of shape (tasks,).

    >>> import numpy as np
    >>> tasks = Sinusoids.sample(np.random.default_rng(0), 25)
    >>> x, y = tasks.points(np.random.default_rng(1), 10)
    >>> x.shape, y.shape, y.dtype
    ((25, 10, 1), (25, 10, 1), dtype('float32'))
    """

    amplitude: Array
    phase: Array

    @classmethod
    def sample(cls, generator: np.random.Generator, tasks: int) -> Sinusoids:
        """So many tasks drawn from the distribution."""
        tasks = integer("Sinusoids", "tasks", tasks)
        return cls(generator.uniform(*AMPLITUDES, tasks), generator.uniform(*PHASES, tasks))

    def __call__(self, x: Array) -> Array:
        """The targets, float32, of inputs of shape (tasks, points, 1) or (points, 1)."""
        amplitude, phase = self.amplitude[:, None, None], self.phase[:, None, None]
        return np.asarray(amplitude * np.sin(x - phase), np.float32)

    def points(
        self, generator: np.random.Generator, count: int, inputs: tuple[float, float] = INPUTS
    ) -> tuple[Array, Array]:
        """Points (x, y) of each task, x ~ U[inputs]: two float32 arrays of shape (tasks, count, 1)."""
        count = integer("Sinusoids", "count", count)
        x = generator.uniform(*inputs, (len(self.amplitude), count, 1)).astype(np.float32)
        return x, self(x)

    def informed(self, x: Array) -> Array:
        """The oracle's inputs (x, A, phi): shape (tasks, points, 3), float32."""
        facts = np.stack([self.amplitude, self.phase], axis=-1).astype(np.float32)
        return np.concatenate([x, np.broadcast_to(facts[:, None, :], (*x.shape[:2], 2))], axis=-1)


def episodes(
    generator: np.random.Generator, tasks: int, shots: int, device: str | None = None
) -> tuple[Sinusoids, tuple[Any, Any]]:
    """Sampled tasks, and (support, query) for them: `shots` points (x, y) of each, and as many others.

    With a `device` the points are Tensors there, copied in one piece.
    """
    shots = integer("episodes", "shots", shots)
    batch = Sinusoids.sample(generator, tasks)
    points: Any = batch.points(generator, 2 * shots)
    if device is not None:
        points = map(Tensor, placed(np.stack(points), device))
    x, y = points
    return batch, ((x[:, :shots], y[:, :shots]), (x[:, shots:], y[:, shots:]))
