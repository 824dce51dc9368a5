"""Optimisers as pure functions of their state, differentiable through: `init(params) -> state` and
`update(grads, state, params) -> (params, state)`.

Formulas and defaults are those of torch.optim. A state is a dict of arrays: "step", and trees like the parameters. A
learning rate is a number, a scalar array (which may be traced, to be learned itself) or a schedule: a function of the
step, which counts from 0.

>>> import metagrad as mg
>>> params = {"w": mg.asarray([1.0, 2.0])}
>>> optimizer = mg.optim.SGD(lr=0.5)
>>> params, state = optimizer.update({"w": mg.asarray([1.0, 0.0])}, optimizer.init(params), params)
>>> params
{'w': Tensor([0.5, 2. ], dtype=float64)}
"""

from __future__ import annotations

from .averaging import Averaged
from .clipping import chain, clip_by_global_norm, clip_by_norm, clip_by_value
from .rules import SGD, Adam, AdamW, Optimizer, RMSProp
from .schedules import constant, cosine_decay, exponential_decay, linear_warmup, piecewise_constant

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Averaged",
    "Optimizer",
    "RMSProp",
    "chain",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "constant",
    "cosine_decay",
    "exponential_decay",
    "linear_warmup",
    "piecewise_constant",
]
