"""The kernels that sum over rows, in one strip and in several, and what goes with them."""

import numpy as np

from metagrad_kernels import erf
from metagrad_kernels.normalization import pullback, pullback_gradients, standardize
from metagrad_kernels.reduction import sum_rows
from metagrad_kernels.row_addition import add_row

_RNG = np.random.default_rng(0)


def _problem(*shape):
    return [_RNG.standard_normal(shape).astype(np.float32) for _ in range(3)]


CASES = [
    case
    for y, g, c in (_problem(2, 20, 12), _problem(1, 700, 5), _problem(3, 64, 1))
    for s in (g[:, 0] ** 2,)
    for case in (
        (f"standardize {y.shape}", standardize, (y, 1e-3)),
        (f"pullback {y.shape}", pullback, (y, s, g)),
        (f"pullback_gradients {y.shape}", pullback_gradients, (y, s, g, c)),
        (f"sum_rows {y.shape}", sum_rows, (y,)),
        (f"add_row {y.shape}", add_row, (y, s)),
        (f"erf {y.shape}", erf, (y,)),
    )
]
