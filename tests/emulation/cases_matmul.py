"""Products of matrices: tiles of both sides, in one strip of k and in several, and on tensor cores."""

import functools

import numpy as np

from metagrad_kernels.matmul import matmul

_RNG = np.random.default_rng(0)


def _problem(a, n, k, m):
    return tuple(_RNG.standard_normal(shape).astype(np.float32) for shape in ((a, n, k), (a, k, m)))


CASES = [
    (f"matmul {precision} {sizes}", functools.partial(matmul, precision=precision), _problem(*sizes))
    for precision in ("float32", "tf32")
    for sizes in ((2, 40, 50, 33), (1, 5, 600, 70), (270, 2, 20, 3))
]
