"""The function transforms. Each opens a trace, runs the function on values of that trace, and closes it."""

from __future__ import annotations

from .batching import vmap
from .checkpointing import checkpoint
from .custom import custom_vjp
from .derivatives import grad, hessian, hvp, jacfwd, jacrev, jvp, value_and_grad, vjp
from .graphs import make_graph, named_scope, stop_gradient

__all__ = [
    "checkpoint",
    "custom_vjp",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "make_graph",
    "named_scope",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
