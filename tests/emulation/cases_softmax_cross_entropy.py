"""The kernels of softmax cross-entropy: several rows a warp, a warp a row, a block a row; labels of both kinds."""

import numpy as np

from metagrad_kernels import softmax_cross_entropy, softmax_cross_entropy_gradient

_RNG = np.random.default_rng(0)


def _cases(rows, classes):
    logits = _RNG.standard_normal((rows, classes)).astype(np.float32)
    g = _RNG.standard_normal(rows).astype(np.float32)
    for kind, labels in (
        ("integer", _RNG.integers(0, classes, rows)),
        ("soft", _RNG.uniform(0, 1, (rows, classes)).astype(np.float32)),
    ):
        yield f"losses-{kind}-{classes}", softmax_cross_entropy, (logits, labels)
        yield f"gradient-{kind}-{classes}", softmax_cross_entropy_gradient, (logits, labels, g)


CASES = [*_cases(37, 5), *_cases(6, 70), *_cases(2, 2500)]
