"""Wrong derivatives, each written once over what all three libraries have, and made into operations of each.

`torch_operation` gives an `autograd.Function`, `jax_operation` a `custom_vjp`, `metagrad_operation` a `custom_vjp`; for
a rule that is wrong in forward mode alone, a `jvp` of the first, a `custom_jvp`, and a primitive.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Example = Any
Backward = Any
"""(namespace, cotangent, output, *inputs) -> a cotangent for each input."""


@dataclass(frozen=True)
class Operation:
    """An operation with its right derivative. `tangent` is `(namespace, output, inputs, tangents) -> tangent`."""

    forward: Callable[..., Any]
    backward: Backward
    example: Callable[[np.random.Generator], tuple[Any, ...]]
    tangent: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Planted:
    """An operation with a wrong rule: of reverse mode, or of forward mode where `tangent` is given."""

    name: str
    operation: Operation
    backward: Backward | None = None
    tangent: Callable[..., Any] | None = None

    @property
    def right(self) -> Planted:
        """The same, not wrong."""
        tangent = None if self.tangent is None else self.operation.tangent
        return Planted(self.name, self.operation, self.operation.backward, tangent)


def real(*shape: int) -> Any:
    """Of either sign, away from zero and from one."""
    return lambda rng: rng.choice([-1.0, 1.0], shape) * rng.choice([0.6, 1.5], shape) * rng.uniform(0.8, 1.2, shape)


def positive(*shape: int) -> Any:
    return lambda rng: rng.uniform(0.5, 2.0, shape)


def some(*makers: Any) -> Any:
    return lambda rng: tuple(make(rng) for make in makers)


def one_hot(n: int, k: int, size: float) -> Any:
    row = np.zeros(n)
    row[k] = size
    return row


def _mean(xp: Any, x: Any) -> Any:
    return xp.sum(x) / x.shape[0]


def _deviation(xp: Any, x: Any) -> Any:
    return xp.sqrt(_mean(xp, (x - _mean(xp, x)) ** 2))


def _standardize(xp: Any, x: Any) -> Any:
    return (x - _mean(xp, x)) / _deviation(xp, x)


def _standardize_back(xp: Any, g: Any, x: Any, deviation: Any) -> Any:
    y = (x - _mean(xp, x)) / deviation
    return (g - _mean(xp, g) - y * _mean(xp, g * y)) / deviation


def _softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x)
    return e / xp.sum(e)


REPEATED = np.array([2, 0, 2, 1, 2])
PICKS = np.eye(4)[REPEATED]  # row k picks the element REPEATED[k]
LAST_PICKS = PICKS * np.array([0.0, 1.0, 0.0, 1.0, 1.0])[:, None]  # of those that pick one element, the last

SINE = Operation(lambda xp, x: xp.sin(x), lambda xp, g, y, x: (g * xp.cos(x),), some(real(5)))
MANY = Operation(SINE.forward, SINE.backward, some(real(1000)))
DECAY = Operation(lambda xp, x: xp.exp(-x), lambda xp, g, y, x: (-g * y,), some(real(5)))
SQUARE = Operation(lambda xp, x: x * x, lambda xp, g, y, x: (2.0 * g * x,), some(real(5)))
PRODUCT = Operation(
    lambda xp, x, w: x * w,
    lambda xp, g, y, x, w: (g * w, g * x),
    some(real(4), real(4)),
    lambda xp, y, at, v: v[0] * at[1] + at[0] * v[1],
)
QUOTIENT = Operation(lambda xp, x, w: x / w, lambda xp, g, y, x, w: (g / w, -g * x / w**2), some(real(4), positive(4)))
MATMUL = Operation(lambda xp, a, b: a @ b, lambda xp, g, y, a, b: (g @ b.T, a.T @ g), some(real(3, 3), real(3, 3)))
BIAS = Operation(
    lambda xp, x, b: xp.sin(x + b), lambda xp, g, y, x, b: _bias(xp, g, x, b, 0), some(real(4, 4), real(4))
)
STANDARDIZE = Operation(
    _standardize, lambda xp, g, y, x: (_standardize_back(xp, g, x, _deviation(xp, x)),), some(real(6))
)
SOFTMAX = Operation(_softmax, lambda xp, g, y, x: (y * (g - xp.sum(g * y)),), some(real(5)))
LOGSUMEXP = Operation(
    lambda xp, x: xp.log(xp.sum(xp.exp(x))), lambda xp, g, y, x: (g * _softmax(xp, x),), some(real(5))
)
CLIP = Operation(
    lambda xp, x: xp.where(x < -1.0, -1.0 + 0.0 * x, xp.where(x > 1.0, 1.0 + 0.0 * x, x)),
    lambda xp, g, y, x: (xp.where((x > -1.0) & (x < 1.0), g, 0.0 * g),),
    some(real(12)),
)
LEAKY = Operation(
    lambda xp, x: xp.where(x > 0.0, x, 0.1 * x), lambda xp, g, y, x: (xp.where(x > 0.0, g, 0.1 * g),), some(real(8))
)
CUBE_BELOW = Operation(  # smooth, and only one side has a second derivative
    lambda xp, x: xp.where(x > 0.0, x**3, 0.0 * x),
    lambda xp, g, y, x: (xp.where(x > 0.0, 3.0 * g * x**2, 0.0 * g),),
    some(real(8)),
)
GATHER = Operation(
    lambda xp, x: xp.constant(PICKS) @ xp.sin(x),
    lambda xp, g, y, x: ((xp.constant(PICKS.T) @ g) * xp.cos(x),),
    some(real(4)),
)
CUMULATIVE = Operation(
    lambda xp, x: xp.constant(np.tri(6)) @ xp.sin(x),
    lambda xp, g, y, x: ((xp.constant(np.tri(6).T) @ g) * xp.cos(x),),
    some(real(6)),
)


def _bias(xp: Any, g: Any, x: Any, b: Any, axis: int) -> Any:
    inner = g * xp.cos(x + b)
    return inner, xp.sum(inner, axis)


CATALOGUE = [
    Planted("a sign", DECAY, lambda xp, g, y, x: (g * y,)),
    Planted("a factor 1.01", SINE, lambda xp, g, y, x: (1.01 * g * xp.cos(x),)),
    Planted("a factor 1.0001", SINE, lambda xp, g, y, x: (1.0001 * g * xp.cos(x),)),
    Planted("a factor 1 + 1e-7", SINE, lambda xp, g, y, x: ((1 + 1e-7) * g * xp.cos(x),)),
    Planted("an additive 1e-6", SINE, lambda xp, g, y, x: (g * (xp.cos(x) + 1e-6),)),
    Planted("a factor 2 forgotten", SQUARE, lambda xp, g, y, x: (g * x,)),
    Planted("a divisor not squared", QUOTIENT, lambda xp, g, y, x, w: (g / w, -g * x / w)),
    Planted("a transposed operand", MATMUL, lambda xp, g, y, a, b: (g @ b, a.T @ g)),
    Planted("operands the other way round", MATMUL, lambda xp, g, y, a, b: (g @ b.T, g @ a.T)),
    Planted("a sum over the wrong axis", BIAS, lambda xp, g, y, x, b: _bias(xp, g, x, b, 1)),
    Planted("a broadcast not summed but averaged", BIAS, lambda xp, g, y, x, b: _averaged(xp, g, x, b)),
    Planted("a statistic taken for a constant", STANDARDIZE, lambda xp, g, y, x: (_careless(xp, g, x),)),
    Planted(
        "a statistic constant in the second order",
        STANDARDIZE,
        lambda xp, g, y, x: (_standardize_back(xp, g, x, xp.stop(_deviation(xp, x))),),
    ),
    Planted("a softmax without its sum", SOFTMAX, lambda xp, g, y, x: (y * g,)),
    Planted("a saved softmax taken for a constant", LOGSUMEXP, lambda xp, g, y, x: (g * xp.stop(_softmax(xp, x)),)),
    Planted("a second-order term dropped", SINE, lambda xp, g, y, x: (g * xp.stop(xp.cos(x)),)),
    Planted("a second-order term of the wrong sign", SINE, lambda xp, g, y, x: (_turned(xp, g, xp.cos(x)),)),
    Planted("a mixed second-order term dropped", PRODUCT, lambda xp, g, y, x, w: (g * xp.stop(w), g * x)),
    Planted("a cotangent taken for a constant", SINE, lambda xp, g, y, x: (xp.stop(g) * xp.cos(x),)),
    Planted("one element of a thousand, by 1%", MANY, lambda xp, g, y, x: (_one_off(xp, g * xp.cos(x), 0.01),)),
    Planted("one element of a thousand, by 1e-5", MANY, lambda xp, g, y, x: (_one_off(xp, g * xp.cos(x), 1e-5),)),
    Planted(
        "one element of a thousand, in the second order",
        MANY,
        lambda xp, g, y, x: (g * xp.cos(x) + xp.constant(one_hot(1000, 617, 0.01)) * (g * _nothing(xp, xp.cos(x))),),
    ),
    Planted("an edge of clip forgotten", CLIP, lambda xp, g, y, x: (xp.where(x < 1.0, g, 0.0 * g),)),
    Planted("the other side of a kink", LEAKY, lambda xp, g, y, x: (xp.where(x > 0.0, 0.1 * g, g),)),
    Planted("a mask dropped in the second order", CUBE_BELOW, lambda xp, g, y, x: (_unmasked(xp, g, x),)),
    Planted("a scatter that writes and does not add", GATHER, lambda xp, g, y, x: (_written(xp, g, x),)),
    Planted("a cumulative sum off by one", CUMULATIVE, lambda xp, g, y, x: (_off_by_one(xp, g, x),)),
    Planted("float32 inside", SINE, lambda xp, g, y, x: (g * xp.single(xp.cos(x)),)),
    Planted("float32 inside, a thousand elements", MANY, lambda xp, g, y, x: (g * xp.single(xp.cos(x)),)),
    Planted("a term missing in the JVP alone", PRODUCT, tangent=lambda xp, y, at, v: v[0] * at[1]),
    Planted(
        "a tangent taken for a constant", PRODUCT, tangent=lambda xp, y, at, v: xp.stop(v[0]) * at[1] + at[0] * v[1]
    ),
]


def _averaged(xp: Any, g: Any, x: Any, b: Any) -> Any:
    inner, summed = _bias(xp, g, x, b, 0)
    return inner, summed / x.shape[0]


def _careless(xp: Any, g: Any, x: Any) -> Any:
    return (g - _mean(xp, g)) / _deviation(xp, x)


def _nothing(xp: Any, x: Any) -> Any:
    """Zero, with the derivative of x."""
    return x - xp.stop(x)


def _turned(xp: Any, g: Any, x: Any) -> Any:
    """g x, with minus the derivative for x."""
    return g * (2.0 * xp.stop(x) - x)


def _one_off(xp: Any, right: Any, size: float) -> Any:
    return right * xp.constant(1.0 + one_hot(1000, 617, size))


def _unmasked(xp: Any, g: Any, x: Any) -> Any:
    return xp.where(x > 0.0, 3.0 * g * x**2, g * _nothing(xp, x))


def _written(xp: Any, g: Any, x: Any) -> Any:
    return (xp.constant(LAST_PICKS.T) @ g) * xp.cos(x)


def _off_by_one(xp: Any, g: Any, x: Any) -> Any:
    return (xp.constant(np.tri(6, k=-1).T) @ g) * xp.cos(x)


def metagrad_space() -> Any:
    import metagrad as mg

    return SimpleNamespace(
        sin=mg.sin, cos=mg.cos, exp=mg.exp, log=mg.log, sqrt=mg.sqrt, tanh=mg.tanh, where=mg.where, abs=mg.abs,
        sum=lambda x, axis=None: mg.sum(x, axis=axis),
        max=lambda x, axis: mg.max(x, axis=axis),
        stop=mg.stop_gradient,
        single=lambda x: mg.astype(mg.astype(x, mg.float32), mg.float64),
        constant=mg.asarray,
    )  # fmt: skip


def torch_space() -> Any:
    import torch

    return SimpleNamespace(
        sin=torch.sin, cos=torch.cos, exp=torch.exp, log=torch.log, sqrt=torch.sqrt, tanh=torch.tanh,
        where=torch.where, abs=torch.abs,
        sum=lambda x, axis=None: torch.sum(x) if axis is None else torch.sum(x, axis),
        max=torch.amax,
        stop=lambda x: x.detach(),
        single=lambda x: x.float().double(),
        constant=torch.tensor,
    )  # fmt: skip


def jax_space() -> Any:
    import jax
    import jax.numpy as jnp

    return SimpleNamespace(
        sin=jnp.sin, cos=jnp.cos, exp=jnp.exp, log=jnp.log, sqrt=jnp.sqrt, tanh=jnp.tanh, where=jnp.where,
        abs=jnp.abs, sum=jnp.sum, max=jnp.max,
        stop=jax.lax.stop_gradient,
        single=lambda x: x.astype(jnp.float32).astype(jnp.float64),
        constant=jnp.asarray,
    )  # fmt: skip


def metagrad_operation(planted: Planted) -> Callable[..., Any]:
    import metagrad as mg

    xp, operation = metagrad_space(), planted.operation
    if planted.tangent is not None:
        return _primitive(planted)

    @mg.custom_vjp
    def f(*x: Any) -> Any:
        return operation.forward(xp, *x)

    def forward(*x: Any) -> Any:
        y = operation.forward(xp, *x)
        return y, (y, *x)

    f.defvjp(forward, lambda saved, g: tuple(planted.backward(xp, g, *saved)))
    return f


def _primitive(planted: Planted) -> Callable[..., Any]:
    import metagrad as mg

    xp, operation = metagrad_space(), planted.operation

    class Wrong(mg.Primitive):
        def forward(self, *x: Any) -> Any:
            return operation.forward(np, *x)

        def abstract(self, *x: Any) -> Any:
            return x[0]

        def vjp(self, i: int, cotangent: Any, output: Any, *x: Any) -> Any:
            return operation.backward(xp, cotangent, output, *x)[i]

        def jvp_all(self, tangents: Any, output: Any, *x: Any) -> Any:
            filled = [mg.zeros_like(a) if t is None else t for t, a in zip(tangents, x, strict=True)]
            return planted.tangent(xp, output, x, filled)

    return Wrong()


def torch_operation(planted: Planted) -> Callable[..., Any]:
    import torch

    xp, operation = torch_space(), planted.operation
    backward_rule = planted.backward or operation.backward

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *x: Any) -> Any:
            y = operation.forward(xp, *x)
            ctx.save_for_backward(y, *x)
            ctx.save_for_forward(y, *x)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return tuple(backward_rule(xp, g, *ctx.saved_tensors))

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            y, *x = ctx.saved_tensors
            filled = [torch.zeros_like(a) if t is None else t for t, a in zip(tangents, x, strict=True)]
            return planted.tangent(xp, y, x, filled)

    return Wrong.apply


def jax_operation(planted: Planted) -> Callable[..., Any]:
    import jax

    xp, operation = jax_space(), planted.operation

    def plain(*x: Any) -> Any:
        return operation.forward(xp, *x)

    if planted.tangent is not None:
        pushed = jax.custom_jvp(plain)
        pushed.defjvp(lambda x, v: (plain(*x), planted.tangent(xp, plain(*x), x, v)))
        return pushed
    f = jax.custom_vjp(plain)

    def forward(*x: Any) -> Any:
        y = plain(*x)
        return y, (y, *x)

    f.defvjp(forward, lambda saved, g: tuple(planted.backward(xp, g, *saved)))
    return f
