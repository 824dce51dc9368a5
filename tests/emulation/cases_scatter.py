"""The scatter's kernels."""

import numpy as np

from metagrad_kernels.scatter import gather, last_writer, scatter_add

_RNG = np.random.default_rng(0)
_X, _INDEX = _RNG.standard_normal((300, 5)).astype(np.float32), _RNG.integers(0, 40, 300)
_LONG, _FEW = _RNG.standard_normal((2500, 3)).astype(np.float32), _RNG.integers(0, 5, 2500)

CASES = [
    ("scatter_add", scatter_add, (_X, _INDEX, 41)),
    ("scatter_add in strips", scatter_add, (_LONG, _FEW, 5)),
    ("last_writer", last_writer, (_INDEX, 41)),
    ("gather", gather, (_X, _INDEX)),
]
