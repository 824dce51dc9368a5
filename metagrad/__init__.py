"""metagrad: gradients of gradients, from scratch.

>>> import metagrad as mg
>>> mg.grad(mg.grad(lambda x: x ** 3))(2.0)
Tensor(12., dtype=float64)
"""

from __future__ import annotations

import importlib as _importlib
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from metagrad_kernels.precision import precision

from . import errors, linalg, nn, optim, random
from .arrays import adopt as _adopt
from .arrays import from_dlpack, to_device
from .arrays import keep_freed_memory as _keep_freed_memory
from .core import graph as _graph
from .core import tensor as _tensor
from .core.debugging import debug_nans
from .core.graph import Equation, Graph
from .core.primitive import Aval, Primitive
from .core.tensor import Tensor
from .operations import *  # noqa: F403
from .operations import __all__ as _operations
from .serialization import load, save
from .transforms import (
    checkpoint,
    custom_vjp,
    grad,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    make_graph,
    named_scope,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

if _TYPE_CHECKING:
    from . import cuda, data, inspect, meta, rl, testing

__version__ = "0.1.0"

_tensor.operators = _sys.modules[__name__]
_tensor.adopt = _adopt
_graph.viewer = lambda: __getattr__("inspect")
_keep_freed_memory()


def __getattr__(name: str) -> _Any:
    """What stands above the engine is imported on first use, so that `import metagrad` stays fast."""
    if name in ("cuda", "data", "inspect", "meta", "rl", "testing"):
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [  # noqa: PLE0604
    "Aval",
    "Equation",
    "Graph",
    "Primitive",
    "Tensor",
    "checkpoint",
    "cuda",
    "custom_vjp",
    "data",
    "debug_nans",
    "errors",
    "from_dlpack",
    "grad",
    "hessian",
    "hvp",
    "inspect",
    "jacfwd",
    "jacrev",
    "jvp",
    "linalg",
    "load",
    "make_graph",
    "meta",
    "named_scope",
    "nn",
    "optim",
    "precision",
    "random",
    "rl",
    "save",
    "stop_gradient",
    "testing",
    "to_device",
    "value_and_grad",
    "vjp",
    "vmap",
    *_operations,
]
