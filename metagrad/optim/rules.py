"""The optimisers: a rule for one leaf each, written once, with operators, for plain arrays and traced ones alike."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from ..core.devices import device_of, namespace
from ..core.primitive import abstractify
from ..core.pytree import flatten, leaf_names, unflatten
from ..core.tensor import Tensor, to_public, to_value
from ..core.trace import Tracer, Value
from ..errors import DTypeError, OptionError, ShapeError, requires
from ..ops.arithmetic import astype, sqrt_or_zero, zeros_for
from ..ops.elementwise import common_device

Params = Any
State = dict[str, Any]
Rate = Any
"""A number, a scalar array, or a function of the step."""


class Optimizer(Protocol):
    """What every optimiser is."""

    def init(self, params: Params) -> State:
        """The state before the first step."""

    def update(self, grads: Params, state: State, params: Params) -> tuple[Params, State]:
        """The parameters and the state after a step. Raises ShapeError where the trees differ."""


class _Rule:
    """An optimiser with a rule for one leaf; `slots` names the trees it keeps."""

    name = "optimizer"
    slots: tuple[str, ...] = ()

    def __init__(self, lr: Rate) -> None:
        if not callable(lr) and not (isinstance(lr, Tensor | np.ndarray) and lr.shape == ()):
            lr = number(self.name, "lr", lr, 0)
        self.lr = lr

    def rates(self, lr: Value, step: Value) -> tuple[Value, ...]:
        """The factors of this step (counted from 1) that all leaves share."""
        return (lr,)

    def leaf(self, g: Value, p: Value, slots: list[Value], rates: tuple[Value, ...]) -> tuple[Value, ...]:
        """The new parameter, and the new slots, of one leaf."""
        raise NotImplementedError

    def init(self, params: Params) -> State:
        """Zeros like the parameters for each slot, and step 0."""
        leaves, structure = flatten(params)
        values = [_parameter(self.name, leaf, params, k) for k, leaf in enumerate(leaves)]
        state: State = {"step": Tensor(namespace(*values).zeros((), np.int64))}
        for slot in self.slots:
            state[slot] = unflatten(structure, [Tensor(zeros_for(v)) for v in values])
        return state

    def update(self, grads: Params, state: State, params: Params) -> tuple[Params, State]:
        """The parameters, of their old types, and the state after a step. Raises ShapeError where the trees differ."""
        leaves, structure = flatten(params)
        missing = {"step", *self.slots} - set(state)
        if missing:
            raise ShapeError(requires(self.name, f"a state with {sorted(missing)[0]}", f"one with {sorted(state)}"))
        columns = [leaves, leaves_like(self.name, "gradients", grads, structure)]
        columns += [leaves_like(self.name, f"a state {slot!r}", state[slot], structure) for slot in self.slots]
        step = to_value(state["step"])
        counted = not isinstance(step, Tracer) and device_of(step) == "cpu"  # else by operations, where it is
        step = int(step) if counted else step
        lr = to_value(self.lr(step if counted else to_public(step)) if callable(self.lr) else self.lr)
        with np.errstate(all="ignore"):
            rates = self.rates(lr, step + 1)
            found = []
            cast: dict[Any, tuple[Value, ...]] = {}
            for k, row in enumerate(zip(*columns, strict=True)):
                p, g, *slots = [x._value if type(x) is Tensor else to_value(x) for x in row]
                if g.shape != p.shape:
                    need = f"a gradient of shape {p.shape} at {leaf_names(params)[k]}"
                    raise ShapeError(requires(self.name, need, f"shape {g.shape}"))
                dtype = p.dtype
                if g.dtype != dtype:
                    g = astype(g, dtype)
                if dtype not in cast:
                    cast[dtype] = tuple([_weak(rate, dtype) for rate in rates])
                try:
                    found.append([to_public(x) for x in self.leaf(g, p, slots, cast[dtype])])
                except TypeError:
                    common_device(self.name, tuple([abstractify(x) for x in (p, g, *slots, *cast[dtype])]))
                    raise
        after: State = {"step": to_public(np.asarray(step + 1) if counted else step + 1)}
        for k, slot in enumerate(self.slots, 1):
            after[slot] = unflatten(structure, [row[k] for row in found])
        return unflatten(structure, [row[0] for row in found]), after


class SGD(_Rule):
    """Gradient descent: v = momentum v + g, p = p - lr v; with `nesterov`, p = p - lr (g + momentum v).

    `weight_decay` adds its multiple of p to g. Raises OptionError for a negative setting or nesterov without momentum.
    """

    name = "SGD"

    def __init__(self, lr: Rate, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0) -> None:
        super().__init__(lr)
        self.momentum = number(self.name, "momentum", momentum, 0)
        self.weight_decay = number(self.name, "weight_decay", weight_decay, 0)
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise OptionError(requires("SGD", "a momentum for nesterov", momentum))
        self.slots = ("velocity",) if momentum else ()

    def leaf(self, g: Value, p: Value, slots: list[Value], rates: tuple[Value, ...]) -> tuple[Value, ...]:
        (lr,) = rates
        if self.weight_decay:
            g = g + self.weight_decay * p
        if not slots:
            return (p - lr * g,)
        v = self.momentum * slots[0] + g
        return p - lr * (g + self.momentum * v if self.nesterov else v), v


class RMSProp(_Rule):
    """s = decay s + (1 - decay) g^2, p = p - lr g / (sqrt(s) + eps) (Hinton 2012).

    With `momentum`, v = momentum v + g / (sqrt(s) + eps) and p = p - lr v. `decay` is torch's `alpha`.

    Raises OptionError for a setting out of its range: `lr`, `eps` and `momentum` from 0, `decay` from 0 to below 1.
    """

    name = "RMSProp"

    def __init__(self, lr: Rate = 1e-2, decay: float = 0.99, eps: float = 1e-8, momentum: float = 0.0) -> None:
        super().__init__(lr)
        self.decay = number(self.name, "decay", decay, 0, 1)
        self.eps = number(self.name, "eps", eps, 0)
        self.momentum = number(self.name, "momentum", momentum, 0)
        self.slots = ("square_average", "velocity") if momentum else ("square_average",)

    def leaf(self, g: Value, p: Value, slots: list[Value], rates: tuple[Value, ...]) -> tuple[Value, ...]:
        (lr,) = rates
        s = self.decay * slots[0] + (1 - self.decay) * (g * g)
        direction = g / (_sqrt(s) + self.eps)
        if not self.momentum:
            return p - lr * direction, s
        v = self.momentum * slots[1] + direction
        return p - lr * v, s, v


class Adam(_Rule):
    """m = b1 m + (1 - b1) g, s = b2 s + (1 - b2) g^2, p = p - lr m' / (sqrt(s') + eps) (Kingma and Ba 2015),

    where m' = m / (1 - b1^t) and s' = s / (1 - b2^t) at step t from 1. `weight_decay` adds its multiple of p to g.

    Raises OptionError for a setting out of its range: `lr`, `eps` and `weight_decay` from 0, `betas` from 0 to below 1.
    """

    name = "Adam"
    slots = ("first_moment", "second_moment")

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr)
        self.betas = tuple(number(self.name, "betas", b, 0, 1) for b in betas)
        self.eps = number(self.name, "eps", eps, 0)
        self.weight_decay = number(self.name, "weight_decay", weight_decay, 0)

    def rates(self, lr: Value, step: Value) -> tuple[Value, ...]:
        b1, b2 = self.betas
        root = (1 - b2**step) ** 0.5
        # lr (m / c1) / (sqrt(s / c2) + eps) = (lr root / c1) m / (sqrt(s) + eps root), where root = sqrt(c2)
        return lr * root / (1 - b1**step), self.eps * root, lr

    def leaf(self, g: Value, p: Value, slots: list[Value], rates: tuple[Value, ...]) -> tuple[Value, ...]:
        rate, eps, _ = rates
        b1, b2 = self.betas
        if self.weight_decay:
            g = g + self.weight_decay * p
        m = b1 * slots[0] + (1 - b1) * g
        s = b2 * slots[1] + (1 - b2) * (g * g)
        return p - rate * (m / (_sqrt(s) + eps)), m, s


class AdamW(Adam):
    """Adam, and p shrinks by the factor 1 - lr weight_decay in each step instead (Loshchilov and Hutter 2019).

    Raises OptionError as `Adam` does.
    """

    name = "AdamW"

    def __init__(
        self,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(lr, betas, eps)
        self.decoupled_decay = number(self.name, "weight_decay", weight_decay, 0)

    def leaf(self, g: Value, p: Value, slots: list[Value], rates: tuple[Value, ...]) -> tuple[Value, ...]:
        return super().leaf(g, p * (1 - rates[2] * self.decoupled_decay), slots, rates)


def _sqrt(x: Value) -> Value:
    """The square root of a mean of squares, with derivative 0 at 0."""
    return sqrt_or_zero(x) if isinstance(x, Tracer) else np.sqrt(x)


def _weak(x: Value, dtype: Any) -> Value:
    """A factor that does not change the type of what it multiplies."""
    return x if type(x) in (float, int) else astype(x, dtype)


def leaves_like(name: str, what: str, tree: Any, structure: Any) -> list[Any]:
    """The leaves of a tree like the parameters; raises ShapeError where it is another."""
    leaves, given = flatten(tree)
    if given != structure:
        raise ShapeError(requires(name, f"{what} of the parameters' structure {structure}", given))
    return leaves


def _parameter(name: str, leaf: Any, params: Params, k: int) -> Value:
    value = to_value(leaf)
    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.kind != "f":
        got = f"{type(leaf).__name__} {leaf!r}" if dtype is None else str(dtype)
        raise DTypeError(requires(name, "floating-point arrays as parameters", f"{got} at {leaf_names(params)[k]}"))
    return value


def number(name: str, what: str, x: Any, low: float, high: float = np.inf) -> float:
    """A setting as a Python float (a traced one as it is); raises OptionError outside [low, high)."""
    if isinstance(x, Tracer):
        return x  # type: ignore[return-value]
    try:
        number = float(x)
    except (TypeError, ValueError):
        raise OptionError(requires(name, f"a number as {what}", repr(x))) from None
    if not low <= number < high:
        need = f"{what} of at least {low:g}" if high == np.inf else f"{what} in [{low:g}, {high:g})"
        raise OptionError(requires(name, need, x))
    return number
