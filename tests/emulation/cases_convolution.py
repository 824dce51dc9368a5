"""The convolution's kernels, and each of its tiles that small sizes are served by."""

import numpy as np

from metagrad_kernels.convolution import Geometry, convolution, input_gradient, weight_gradient
from metagrad_kernels.convolution.fused import normalized_convolution

_GEOMETRY = Geometry((2, 2), ((0, 1), (1, 1)))


def _cases(name, n, size, c, o):
    rng = np.random.default_rng(0)
    out = _GEOMETRY.output_size(size, (3, 3))
    x, w, g, bias, scale, offset = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in ((2, n, *size, c), (2, 3, 3, c, o), (2, n, *out, o), (2, o), (2, c), (2, c))
    )
    return [
        (f"convolution, {name}", convolution, (x, w, _GEOMETRY, bias)),
        (f"input_gradient, {name}", input_gradient, (g, w, _GEOMETRY, size)),
        (f"weight_gradient, {name}", weight_gradient, (x, g, _GEOMETRY, (3, 3))),
        (f"normalized_convolution, {name}", normalized_convolution, (x, w, _GEOMETRY, bias, scale, offset)),
    ]


def _on_tensor_cores(*arguments):
    return convolution(*arguments, precision="tf32")


CASES = [
    *_cases("vectors", 3, (8, 7), 8, 36),
    *_cases("one channel", 30, (9, 9), 1, 5),
    *_cases("many images", 17, (5, 5), 16, 16),
    ("convolution, tensor cores", _on_tensor_cores, _cases("", 3, (8, 7), 8, 36)[0][2]),
]
