"""Layers as pure objects without arrays: `init(key, shape)` makes parameters, `apply(params, x)` uses them."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ..core import provenance
from ..core.devices import device_of
from ..core.primitive import Aval
from ..core.tensor import public
from ..errors import OptionError, ShapeError, requires
from ..ops.affine import affine
from ..ops.contraction import matmul
from ..ops.dropout import dropout_rate
from ..ops.elementwise import shape_of
from ..ops.windows import positive
from ..random import split
from ..transforms import make_graph, named_scope
from . import initializers
from .functions import dropout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .initializers import Initializer

Params = Any
"""A pytree of arrays."""


@runtime_checkable
class Layer(Protocol):
    """What `Sequential` takes, beside plain functions of an array.

    A random layer's `apply` takes `key=None`, too; without a key it is deterministic. A layer with an attribute
    `stateful` that is True takes `state=None` and `train=True`, and returns (output, state).
    """

    def init(self, key: Any, shape: tuple[int, ...]) -> Params:
        """Parameters for inputs of a shape."""

    def apply(self, params: Params, x: Any) -> Any:
        """The output."""


def own(name: str, params: Params, names: Sequence[str]) -> Params:
    """A layer's parameters; raises OptionError unless they are a dict that has these."""
    if isinstance(params, dict) and all(map(params.__contains__, names)):
        return params
    need = "parameters {" + ", ".join(map(repr, names)) + "} as `init` makes them"
    got = "{" + ", ".join(map(repr, params)) + "}" if isinstance(params, dict) else type(params).__name__
    raise OptionError(requires(name, need, got))


@public
def _affine(x: Any, kernel: Any, bias: Any) -> Any:
    if shape_of(x)[-1:] != kernel.shape[:1]:
        need = f"inputs of shape (..., {kernel.shape[0]}), the kernel's first axis,"
        raise ShapeError(requires("Dense", need, f"shape {shape_of(x)}"))
    return matmul(x, kernel) if bias is None else affine(x, kernel, bias)


class Dense:
    """x @ kernel + bias, over the last axis.

    Parameters: {"kernel": (inputs, features), "bias": (features,)}, of type `dtype`; no "bias" with `bias=False`.

    Raises OptionError unless `features` is a positive number.

    >>> import metagrad as mg
    >>> layer = mg.nn.Dense(3)
    >>> params = layer.init(mg.random.key(0), (2,))
    >>> layer.apply(params, mg.zeros((5, 2))).shape
    (5, 3)
    """

    def __init__(
        self,
        features: int,
        bias: bool = True,
        kernel_init: Initializer | None = None,
        bias_init: Initializer = initializers.zeros,
        dtype: Any = np.float32,
    ) -> None:
        self.features = positive("Dense", "features", features)
        self.bias = bias
        self.kernel_init = kernel_init or initializers.glorot_uniform()
        self.bias_init = bias_init
        self.dtype = dtype

    def init(self, key: Any, shape: tuple[int, ...]) -> Params:
        """Parameters for inputs of a shape, of which only the last axis counts: a batch axis may be there or not."""
        if not shape:
            raise ShapeError(requires("Dense", "inputs of shape (..., features)", f"shape {tuple(shape)}"))
        kernel_key, bias_key = split(key)
        params = {"kernel": self.kernel_init(kernel_key, (shape[-1], self.features), self.dtype)}
        if self.bias:
            params["bias"] = self.bias_init(bias_key, (self.features,), self.dtype)
        return params

    def apply(self, params: Params, x: Any) -> Any:
        """(..., inputs) to (..., features).

        Raises ShapeError where the last axis differs from the kernel's first, OptionError for another's parameters.
        """
        own("Dense", params, ("kernel", "bias") if self.bias else ("kernel",))
        return _affine(x, params["kernel"], params.get("bias"))

    __call__ = apply

    def __repr__(self) -> str:
        return f"Dense({self.features}{'' if self.bias else ', bias=False'})"


class Parameterless:
    """What layers without parameters share."""

    def init(self, key: Any, shape: tuple[int, ...]) -> Params:
        """No parameters: {}."""
        return {}


class Dropout(Parameterless):
    """`nn.dropout` at a rate: with a key it drops, without one it is the identity, which is what evaluation needs.

    Raises OptionError for a rate outside of [0, 1).

    >>> import metagrad as mg
    >>> layer = mg.nn.Dropout(0.5)
    >>> x = mg.ones(8)
    >>> float(mg.sum(layer({}, x))), sorted(set(layer({}, x, key=mg.random.key(0)).tolist()))
    (8.0, [0.0, 2.0])
    """

    def __init__(self, rate: float) -> None:
        self.rate = dropout_rate("Dropout", rate)

    def apply(self, params: Params, x: Any, *, key: Any = None) -> Any:
        """x, or with a key x with elements dropped. Raises DTypeError for what is no key."""
        return dropout(x, self.rate, key, deterministic=key is None)

    __call__ = apply

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class Sequential:
    """Layers one after the other; plain functions of an array (`nn.relu`, a lambda) are layers without parameters.

    Parameters: a tuple with those of each layer, {} for a function. A layer whose `apply` takes `key=` is random: the
    key that `apply` is given is split, and each of these layers gets one of its own. If a layer is `stateful` (see
    `BatchNorm`), so is the net: `apply` takes the `state` of all layers, a tuple, and returns (output, state).
    Layer k is traced in a named scope with its name and number, such as "dense 0".

    Raises OptionError for what is neither a layer nor a function.

    >>> import metagrad as mg
    >>> net = mg.nn.Sequential(mg.nn.Dense(40), mg.nn.relu, mg.nn.Dense(1))
    >>> params = net.init(mg.random.key(0), (1,))
    >>> net.apply(params, mg.zeros((10, 1))).shape
    (10, 1)
    """

    def __init__(self, *layers: Layer | Callable[[Any], Any]) -> None:
        for layer in layers:
            if not isinstance(layer, Layer) and not callable(layer):
                raise OptionError(requires("Sequential", "layers and functions", repr(layer)))
        self.layers = layers
        self._scopes = [f"{_scope_name(layer)} {k}" for k, layer in enumerate(layers)]
        self._random = [
            isinstance(layer, Layer) and "key" in inspect.signature(layer.apply).parameters for layer in layers
        ]
        self._stateful = [bool(getattr(layer, "stateful", False)) for layer in layers]
        self.stateful = any(self._stateful)

    def init(self, key: Any, shape: tuple[int, ...]) -> Params:
        """Parameters for inputs of the shape that `apply` will get, a batch axis included where a layer depends on it.

        The shapes between the layers are found by tracing each on a symbolic array.
        """
        params = []
        aval = Aval(tuple(shape), np.dtype(np.float32), device_of(key))
        for k, (layer, layer_key) in enumerate(zip(self.layers, split(key, len(self.layers)), strict=True)):
            params.append(layer.init(layer_key, aval.shape) if isinstance(layer, Layer) else {})
            if k + 1 < len(self.layers):
                (output,) = make_graph(lambda x, k=k: self._run(k, params[k], x, {})[0])(aval).outputs
                aval = output
        return tuple(params)

    def _check(self, what: str, given: Any) -> None:
        got = len(given) if isinstance(given, tuple | list) else type(given).__name__
        if got != len(self.layers):
            raise ShapeError(requires("Sequential", f"a tuple with {what} for {len(self.layers)} layers", got))

    def _run(self, k: int, params: Params, x: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        """The output of layer k, and its new state: {} for most."""
        if not provenance.noting:  # nobody reads scopes
            return self._output(k, params, x, options)
        with named_scope(self._scopes[k]):
            return self._output(k, params, x, options)

    def _output(self, k: int, params: Params, x: Any, options: dict[str, Any]) -> tuple[Any, Any]:
        layer: Any = self.layers[k]
        output = layer.apply(params, x, **options) if hasattr(layer, "apply") else layer(x)
        return output if self._stateful[k] else (output, {})

    def apply(self, params: Params, x: Any, *, key: Any = None, state: Any = None, train: bool = True) -> Any:
        """The output of the last layer; for a stateful net (output, state). Raises ShapeError unless there are
        parameters, and states if any, for each layer.

        Without a key, random layers get none either: `Dropout` is then the identity. `train` says to stateful layers
        whether x is a batch to take statistics of.
        """
        self._check("parameters", params)
        if state is not None:
            self._check("states", state)
        keys = iter(()) if key is None else iter(split(key, sum(self._random)))
        states = []
        for k, own in enumerate(params):
            options: dict[str, Any] = {"key": next(keys, None)} if self._random[k] else {}
            if self._stateful[k]:
                options.update(state=state and state[k], train=train)
            x, after = self._run(k, own, x, options)
            states.append(after)
        return (x, tuple(states)) if self.stateful else x

    __call__ = apply

    def __repr__(self) -> str:
        return f"Sequential({', '.join(getattr(layer, '__name__', repr(layer)) for layer in self.layers)})"


def _scope_name(layer: Any) -> str:
    """What a graph calls a layer: `Conv2D` is conv2d, `BatchNorm` batch_norm, a function by its own name."""
    name = layer.__name__ if hasattr(layer, "__name__") else type(layer).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("<>")
