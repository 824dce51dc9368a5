"""Norms as layers; batch norm in the three ways in which the statistics of a batch are come by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, ShapeError, requires
from ..operations import asarray, mean, sqrt, square
from ..ops.dtypes import weak
from ..ops.elementwise import shape_of
from ..ops.normalization import positive_eps
from ..ops.windows import positive
from ..transforms import stop_gradient
from . import initializers
from .functions import batch_norm, group_norm, layer_norm
from .layers import own

if TYPE_CHECKING:
    from .layers import Params

MODES = ("transductive", "support", "running")


class _Norm:
    """A norm's learned scale and offset, one of each for a feature (the last axis)."""

    def __init__(self, scale: bool, offset: bool, eps: float, dtype: Any) -> None:
        self.scale, self.offset, self.dtype = scale, offset, dtype
        self.eps = positive_eps(type(self).__name__, eps)

    def _own(self, params: Params) -> tuple[Any, Any]:
        """The scale and the offset, each None where it is turned off."""
        names = [name for name, on in (("scale", self.scale), ("offset", self.offset)) if on]
        own(type(self).__name__, params, names)
        return params.get("scale"), params.get("offset")

    def init(self, key: Any, shape: tuple[int, ...]) -> Params:
        """Parameters for inputs of a shape, of which only the last axis counts: scale 1, offset 0."""
        if not shape:
            raise ShapeError(requires(type(self).__name__, "inputs of shape (..., features)", "shape ()"))
        params = {}
        if self.scale:
            params["scale"] = initializers.ones(key, (shape[-1],), self.dtype)
        if self.offset:
            params["offset"] = initializers.zeros(key, (shape[-1],), self.dtype)
        return params


class BatchNorm(_Norm):
    """Normalises each feature (the last axis) over all other axes of a batch: `nn.batch_norm`.

    Parameters: {"scale": (features,), "offset": (features,)}, without those that are turned off. `mode` says where mean
    and variance come from.

    - "transductive": from the batch at hand, at training and test alike, as in the experiments of MAML (Finn et al.
      2017). A test set then answers better together than one example alone.
    - "support": from the batch while `train`, which is kept as the state; with `train=False` from the state. So a
      query set is normalised by what its support set had, differentiably, and each example's answer is its own.
    - "running": as "support", but the state is an average over the batches so far, with `momentum` for the past, cut
      off from derivatives.

    The last two are stateful: `apply(params, x, state=state, train=...)` gives (output, state); the state is None at
    first, then {"mean": (features,), "variance": (features,)}.

    Raises OptionError for another mode, an eps that is not positive, and a momentum outside of [0, 1).

    >>> import metagrad as mg
    >>> layer = mg.nn.BatchNorm(mode="support")
    >>> params = layer.init(mg.random.key(0), (5, 2))
    >>> _, state = layer.apply(params, mg.asarray([[1.0, 0.0], [3.0, 4.0]]))
    >>> query, _ = layer.apply(params, mg.asarray([[2.0, 2.0]]), state=state, train=False)
    >>> query
    Tensor([[0., 0.]], dtype=float64)
    """

    def __init__(
        self,
        mode: str = "transductive",
        *,
        scale: bool = True,
        offset: bool = True,
        eps: float = 1e-5,
        momentum: float = 0.9,
        dtype: Any = np.float32,
    ) -> None:
        super().__init__(scale, offset, eps, dtype)
        if mode not in MODES:
            raise OptionError(requires("BatchNorm", f"a mode of {MODES}", repr(mode)))
        past = weak(momentum)
        if not isinstance(past, int | float) or not 0 <= past < 1:
            raise OptionError(requires("BatchNorm", "a momentum from 0 to below 1", repr(momentum)))
        self.mode = mode
        self.momentum = float(past)
        self.stateful = mode != "transductive"

    def apply(self, params: Params, x: Any, *, state: Any = None, train: bool = True) -> Any:
        """(..., features) to the same shape; for the stateful modes (output, state).

        Raises what `nn.batch_norm` raises; OptionError for another layer's parameters, and for a state that is missing
        with `train=False`, does not fit, or is given in a mode that has none.
        """
        x = x if hasattr(x, "shape") else asarray(x)
        axes = tuple(range(-len(x.shape), -1))
        scale, offset = self._own(params)
        if not self.stateful:
            if state is not None:
                raise OptionError(requires("BatchNorm", f"no state in the mode {self.mode!r}, which has none,", state))
            return batch_norm(x, scale, offset, axis=axes, eps=self.eps)
        if train:
            return batch_norm(x, scale, offset, axis=axes, eps=self.eps), self._next(state, x, axes)
        _check_state(state, x.shape[-1:], "with train=False ")
        y = (x - state["mean"]) / sqrt(state["variance"] + self.eps)
        y = y if scale is None else y * scale
        return (y if offset is None else y + offset), state

    def _next(self, state: Any, x: Any, axes: tuple[int, ...]) -> Any:
        average = mean(x, axis=axes)
        new = {"mean": average, "variance": mean(square(x - average), axis=axes)}
        if self.mode == "support":
            return new
        if state is None:
            return {name: stop_gradient(v) for name, v in new.items()}
        _check_state(state, x.shape[-1:])
        kept, m = state, self.momentum
        return {name: m * kept[name] + (1 - m) * stop_gradient(v) for name, v in new.items()}

    __call__ = apply

    def __repr__(self) -> str:
        return f"BatchNorm({self.mode!r}, scale={self.scale}, offset={self.offset}, eps={self.eps})"


def _check_state(state: Any, shape: tuple[int, ...], when: str = "") -> None:
    found: Any = None if state is None else type(state).__name__
    if isinstance(state, dict):
        found = {name: tuple(shape_of(v)) for name, v in state.items()}
    if found != {"mean": tuple(shape), "variance": tuple(shape)}:
        need = f"{when}the state that a batch with train=True gave, 'mean' and 'variance' of shape {tuple(shape)},"
        raise OptionError(requires("BatchNorm", need, found))


class LayerNorm(_Norm):
    """Normalises each example over its features (the last axis): `nn.layer_norm`.

    Parameters: {"scale": (features,), "offset": (features,)}, without those that are turned off.

    Raises OptionError for an eps that is not positive.
    """

    def __init__(self, *, scale: bool = True, offset: bool = True, eps: float = 1e-5, dtype: Any = np.float32) -> None:
        super().__init__(scale, offset, eps, dtype)

    def apply(self, params: Params, x: Any) -> Any:
        """(..., features) to the same shape. Raises what `nn.layer_norm` raises."""
        return layer_norm(x, *self._own(params), eps=self.eps)

    __call__ = apply

    def __repr__(self) -> str:
        return f"LayerNorm(scale={self.scale}, offset={self.offset}, eps={self.eps})"


class GroupNorm(_Norm):
    """Normalises each image over height, width and the channels of a group: `nn.group_norm`.

    Parameters: {"scale": (features,), "offset": (features,)}, without those that are turned off.

    Raises OptionError for an eps that is not positive, and for groups that are no positive number.

    >>> import metagrad as mg
    >>> layer = mg.nn.GroupNorm(2)
    >>> layer.apply(layer.init(mg.random.key(0), (3, 4, 4, 6)), mg.ones((3, 4, 4, 6))).shape
    (3, 4, 4, 6)
    """

    def __init__(
        self, groups: int, *, scale: bool = True, offset: bool = True, eps: float = 1e-5, dtype: Any = np.float32
    ) -> None:
        super().__init__(scale, offset, eps, dtype)
        self.groups = positive("GroupNorm", "groups", groups)

    def apply(self, params: Params, x: Any) -> Any:
        """(..., h, w, features) to the same shape. Raises what `nn.group_norm` raises."""
        return group_norm(x, self.groups, *self._own(params), eps=self.eps)

    __call__ = apply

    def __repr__(self) -> str:
        return f"GroupNorm({self.groups}, scale={self.scale}, offset={self.offset}, eps={self.eps})"
