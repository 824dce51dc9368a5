"""The convolution as a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, ShapeError, requires
from ..ops.windows import padding_pairs, pair, positive
from ..random import split
from . import initializers
from .functions import conv2d
from .layers import own

if TYPE_CHECKING:
    from .initializers import Initializer
    from .layers import Params


class Conv2D:
    """`nn.conv2d` with `features` output channels, plus a bias.

    Parameters: {"kernel": (kh, kw, c / groups, features), "bias": (features,)}, of type `dtype`; no "bias" with
    `bias=False`. The other settings are those of `nn.conv2d`.

    Raises OptionError for settings that `nn.conv2d` does not have, and for groups that do not divide `features`.

    >>> import metagrad as mg
    >>> layer = mg.nn.Conv2D(64, 3, stride=2)
    >>> params = layer.init(mg.random.key(0), (5, 28, 28, 1))
    >>> layer.apply(params, mg.zeros((5, 28, 28, 1))).shape
    (5, 14, 14, 64)
    """

    def __init__(
        self,
        features: int,
        window: Any,
        *,
        stride: Any = 1,
        padding: Any = "SAME",
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        kernel_init: Initializer | None = None,
        bias_init: Initializer = initializers.zeros,
        dtype: Any = np.float32,
    ) -> None:
        self.features = positive("Conv2D", "features", features)
        self.window = pair("Conv2D", "window", window)
        moves = pair("Conv2D", "stride", stride), pair("Conv2D", "dilation", dilation)
        padding_pairs("Conv2D", padding, (1, 1), self.window, *moves)  # refuses what is no padding
        groups = positive("Conv2D", "groups", groups)
        if self.features % groups:
            raise OptionError(requires("Conv2D", f"groups that divide the {self.features} features", f"{groups}"))
        self.settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self.bias = bias
        self.kernel_init = kernel_init or initializers.glorot_uniform()
        self.bias_init = bias_init
        self.dtype = dtype

    def init(self, key: Any, shape: tuple[int, ...]) -> Params:
        """Parameters for images of a shape (..., h, w, c), of which only c counts."""
        groups = self.settings["groups"]
        if len(shape) < 3 or shape[-1] % groups:
            channels = f"channels in {groups} groups" if groups > 1 else "channels"
            raise ShapeError(requires("Conv2D", f"images of shape (..., h, w, {channels})", f"shape {tuple(shape)}"))
        kernel_key, bias_key = split(key)
        params = {
            "kernel": self.kernel_init(kernel_key, (*self.window, shape[-1] // groups, self.features), self.dtype)
        }
        if self.bias:
            params["bias"] = self.bias_init(bias_key, (self.features,), self.dtype)
        return params

    def apply(self, params: Params, x: Any) -> Any:
        """(..., h, w, c) to (..., oh, ow, features).

        Raises what `nn.conv2d` raises, OptionError for another layer's parameters.
        """
        own("Conv2D", params, ("kernel", "bias") if self.bias else ("kernel",))
        return conv2d(x, params["kernel"], params.get("bias"), **self.settings)

    __call__ = apply

    def __repr__(self) -> str:
        return f"Conv2D({self.features}, {self.window}{''.join(f', {k}={v!r}' for k, v in self.settings.items())})"
