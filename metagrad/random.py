"""Random numbers from explicit keys, the same under vmap, checkpoint and make_graph, and on every device.

A key draws the same numbers whenever it is used: `split` it, or `fold_in` a number, for others. For sampling data on
the host, outside of transforms, a `numpy.random.Generator` does as well.

>>> import metagrad as mg
>>> weights, noise = mg.random.split(mg.random.key(0))
>>> mg.random.normal(weights, (3,)).shape
(3,)
"""

from __future__ import annotations

from .core.tensor import public
from .ops import random as _ops

bernoulli = public(_ops.bernoulli)
bits = public(_ops.bits)
categorical = public(_ops.categorical)
fold_in = public(_ops.fold_in)
key = public(_ops.key)
normal = public(_ops.normal)
permutation = public(_ops.permutation)
randint = public(_ops.randint)
split = public(_ops.split)
truncated_normal = public(_ops.truncated_normal)
uniform = public(_ops.uniform)

__all__ = [
    "bernoulli",
    "bits",
    "categorical",
    "fold_in",
    "key",
    "normal",
    "permutation",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
]
