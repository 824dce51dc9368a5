"""The pooling kernels, with windows that overlap."""

import numpy as np

from metagrad_kernels import avg_pool, avg_pool_transpose, max_pool, window_gather, window_scatter

_RNG = np.random.default_rng(0)
_SIZE, _GEOMETRY = (7, 9), ((3, 2), (2, 1), ((1, 0), (0, 1)))
_X = _RNG.standard_normal((2, *_SIZE, 8)).astype(np.float32)
_G = _RNG.standard_normal((2, 3, 9, 8)).astype(np.float32)
_INDICES = _RNG.integers(0, 6, _G.shape).astype(np.uint8)

CASES = [
    ("max_pool", max_pool, (_X, *_GEOMETRY)),
    ("window_gather", window_gather, (_X, _INDICES, *_GEOMETRY)),
    ("window_scatter", window_scatter, (_G, _INDICES, _SIZE, *_GEOMETRY)),
    ("avg_pool", avg_pool, (_X, *_GEOMETRY)),
    ("avg_pool_transpose", avg_pool_transpose, (_G, _SIZE, *_GEOMETRY)),
]
