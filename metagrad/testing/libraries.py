"""What a check needs of a library: its derivatives of scalar functions, nested. One class for each library.

A *scalar* is a function of the moving arguments, as the library's own arrays, to a scalar of the library. `gradient`
and `push` differentiate it once; what they return can be differentiated again.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.pytree import flatten
from ..core.tensor import Tensor
from ..errors import DTypeError, MissingRuleError, OptionError, TraceError, requires
from ..operations import asarray, concat, multiply, reshape
from ..operations import sum as sum_
from ..transforms import grad, hvp, jvp, make_graph
from .differences import WithinDomain, central_difference
from .estimates import EPS
from .numeric import extent, largest_value, moved, numeric_derivative, plain
from .scales import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .estimates import Estimate

Scalar = Any
"""A function of the moving arguments that returns a scalar."""

Direction = Any
"""An array for each moving argument, or a function of the moving arguments to the library's arrays."""


class Library:
    """The base: what holds for all of them. `modes` are those that a check takes unless it is told otherwise."""

    name = "metagrad"
    modes: tuple[str, ...] = ("reverse", "forward")
    products: tuple[str, ...] = ("reverse_over_reverse", "reverse_over_forward")
    """Its ways to a Hessian-vector product, those that a check takes unless it is told otherwise."""
    known_products: tuple[str, ...] = ("reverse_over_reverse", "reverse_over_forward")
    forward_nests = True
    """Whether forward mode runs in forward mode."""
    results = "an array or a tree of arrays"
    """What a function returns, in words."""
    weighs = True
    """Whether outputs can be weighed and summed with derivatives: otherwise there is one, a scalar."""

    def at(self, filled: Callable[..., Any], places: Sequence[int], leaves: int) -> Library:
        """The library for a function at a point: arguments of so many leaves, `filled` with those that move."""
        return self

    def running(self) -> AbstractContextManager[Any]:
        """What must be set while the library computes."""
        return nullcontext()

    def enter(self, x: Any) -> Any:
        """A NumPy array as the library's."""
        return asarray(x)

    def argument(self, x: Any) -> Any:
        """A NumPy array as the library's, to be an argument that moves."""
        return self.enter(x)

    def leave(self, x: Any) -> Any:
        """The library's array as NumPy's; raises DTypeError for what is no array."""
        return np.asarray(x)

    def is_array(self, x: Any) -> bool:
        """Whether the library differentiates this."""
        return isinstance(x, Tensor | np.ndarray | np.generic | float)

    def is_result(self, x: Any) -> bool:
        """Whether this can be what a function of arrays comes to: a plain number has lost them."""
        return self.is_array(x) and not isinstance(x, float | np.generic)

    def weighed(self, y: Any, weights: Any) -> Any:
        """The sum of an array's entries times weights."""
        return sum_(multiply(y, self.enter(weights)))

    def row(self, parts: Sequence[Any]) -> Any:
        """Arrays as one array of one axis."""
        return np.concatenate([np.ravel(self.leave(p)) for p in parts])

    def gradient(self, d: Scalar, x: Sequence[Any]) -> list[Any]:
        """The gradient of a scalar with respect to all arguments, by reverse mode."""
        return list(grad(d, argnums=tuple(range(len(x))))(*x))

    def push(self, d: Scalar, x: Sequence[Any], v: Sequence[Any]) -> Any:
        """The derivative of a scalar along v, by forward mode."""
        return jvp(d, tuple(x), tuple(v))[1]

    def along(self, mode: str, d: Scalar, v: Direction) -> Scalar:
        """The derivative of a scalar along v, again a scalar."""

        def at(x: Sequence[Any]) -> list[Any]:
            return list(v(x) if callable(v) else map(self.enter, v))

        if mode == "forward":
            return lambda *x: self.push(d, x, at(x))

        def reverse(*x: Any) -> Any:
            return sum(self.weighed(g, w) for g, w in zip(self.gradient(d, x), at(x), strict=True))

        return reverse

    def turning(self, point: Sequence[Any], v: Sequence[Any], turns: Sequence[Any]) -> Direction:
        """The direction v at the point, that turns as an argument moves from there."""
        if not self.weighs:
            return v
        rows = list(zip(v, turns, point, strict=True))
        return lambda x: [
            self.enter(w) + self.enter(turn) * (t - self.enter(at)) for t, (w, turn, at) in zip(x, rows, strict=True)
        ]

    def hessian_product(self, mode: str, d: Scalar, x: Sequence[Any], v: Sequence[Any]) -> list[Any]:
        """H v of a scalar."""
        return self.gradient(self.along(mode.removeprefix("reverse_over_"), d, v), x)

    def estimate(
        self, d: Scalar, point: Sequence[Any], direction: Sequence[Any], step: float = STEP, unit: float = EPS
    ) -> Estimate:
        """The numeric derivative of a function of arrays along a direction (None: this argument stays)."""
        g = self.on_the_line(d, point, direction)
        return central_difference(g, step=step, length=extent(point, direction), unit=unit)

    def largest(self, d: Scalar, point: Sequence[Any], v: Sequence[Any]) -> float:
        """The largest number on the way to the derivative of d along v, in any mode, where that can be seen."""
        return 0.0

    def on_the_line(self, d: Scalar, point: Sequence[Any], direction: Sequence[Any]) -> Callable[[float], Any]:
        """t -> d(x + t v), in NumPy."""

        def g(t: float) -> Any:
            with self.running():
                return np.asarray(self.leave(d(*map(self.argument, moved(point, direction, t)))), np.float64)

        return WithinDomain(g)


class Metagrad(Library):
    """This library, with the complex step for an oracle."""

    products = ("reverse_over_reverse", "forward_over_reverse", "reverse_over_forward")
    known_products = products

    def row(self, parts: Sequence[Any]) -> Any:
        return concat([reshape(p, (-1,)) for p in parts])

    def leave(self, x: Any) -> Any:
        if not self.is_array(x):
            raise DTypeError(requires("check", "a function that returns arrays", f"{type(x).__name__} {x!r}"))
        return plain(asarray(x))

    def hessian_product(self, mode: str, d: Scalar, x: Sequence[Any], v: Sequence[Any]) -> list[Any]:
        if mode == "reverse_over_forward":
            return super().hessian_product(mode, d, x, v)
        found = hvp(d, tuple(x), tuple(map(self.enter, v)), mode=mode)
        return [found] if len(x) == 1 else list(found)

    def estimate(
        self, d: Scalar, point: Sequence[Any], direction: Sequence[Any], step: float = STEP, unit: float = EPS
    ) -> Estimate:
        return numeric_derivative(d, point, direction, step=step, unit=unit)

    def largest(self, d: Scalar, point: Sequence[Any], v: Sequence[Any]) -> float:
        found = [0.0]
        for mode in self.modes:
            with suppress(TraceError, MissingRuleError):
                found.append(largest_value(make_graph(self.along(mode, d, v))(*point), point))
        return max(found)


class Torch(Library):
    """PyTorch: `torch.autograd` backwards, its dual numbers forwards, which do not nest."""

    name = "torch"
    results = "a tensor or a tree of tensors"
    modes = ("reverse",)
    products = ("reverse_over_reverse",)
    forward_nests = False

    def __init__(self) -> None:
        import torch

        self.torch = torch

    def enter(self, x: Any) -> Any:
        return x if isinstance(x, self.torch.Tensor) else self.torch.tensor(np.asarray(x))

    def argument(self, x: Any) -> Any:
        return self.enter(x).requires_grad_()  # the function may differentiate inside itself

    def leave(self, x: Any) -> Any:
        if not isinstance(x, self.torch.Tensor):
            return np.asarray(x)
        try:
            return np.asarray(x.detach().numpy())
        except TypeError as error:
            need = "dense tensors, of float64 where they are differentiated, in the CPU's memory"
            got = f"{x.dtype} in layout {x.layout} on {x.device}"
            raise DTypeError(requires("torch_function", need, got)) from error

    def is_array(self, x: Any) -> bool:
        return isinstance(x, self.torch.Tensor | np.ndarray | np.generic | float)

    def is_result(self, x: Any) -> bool:
        return isinstance(x, self.torch.Tensor)

    def weighed(self, y: Any, weights: Any) -> Any:
        return (y * self.enter(weights)).sum()

    def gradient(self, d: Scalar, x: Sequence[Any]) -> list[Any]:
        x = [t if t.requires_grad else t.detach().requires_grad_() for t in x]
        value = d(*x)
        if not value.requires_grad:  # it forgot where it came from: the derivative that PyTorch gives is zero
            return [self.torch.zeros_like(t) for t in x]
        found = self.torch.autograd.grad(value, x, create_graph=True, allow_unused=True)
        return [self.torch.zeros_like(t) if g is None else g for g, t in zip(found, x, strict=True)]

    def push(self, d: Scalar, x: Sequence[Any], v: Sequence[Any]) -> Any:
        forward = self.torch.autograd.forward_ad
        x = [t if t.requires_grad else t.detach().requires_grad_() for t in x]
        with forward.dual_level(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its first use compiles by what PyTorch deprecates
            value = d(*[forward.make_dual(t, w) for t, w in zip(x, v, strict=True)])
            tangent = forward.unpack_dual(value).tangent
        return self.torch.zeros_like(value) if tangent is None else tangent


class Jax(Library):
    """JAX, in float64 whatever its setting."""

    name = "jax"

    def __init__(self) -> None:
        import jax

        self.jax = jax

    def running(self) -> AbstractContextManager[Any]:
        return self.jax.enable_x64(True)  # type: ignore[no-any-return]

    def enter(self, x: Any) -> Any:
        return self.jax.numpy.asarray(x)

    def row(self, parts: Sequence[Any]) -> Any:
        return self.jax.numpy.concatenate([p.ravel() for p in parts])

    def is_array(self, x: Any) -> bool:
        if isinstance(x, self.jax.Array):  # a key is one, too, and is data
            return not self.jax.numpy.issubdtype(x.dtype, self.jax.dtypes.extended)
        return isinstance(x, np.ndarray | np.generic | float)

    def is_result(self, x: Any) -> bool:
        return isinstance(x, self.jax.Array)

    def weighed(self, y: Any, weights: Any) -> Any:
        return (y * self.enter(weights)).sum()

    def gradient(self, d: Scalar, x: Sequence[Any]) -> list[Any]:
        return list(self.jax.grad(d, argnums=tuple(range(len(x))))(*x))

    def push(self, d: Scalar, x: Sequence[Any], v: Sequence[Any]) -> Any:
        try:
            return self.jax.jvp(d, tuple(x), tuple(v))[1]
        except (TypeError, NotImplementedError) as error:  # the second, of custom_lin, within reverse mode
            if not any(name in str(error) for name in ("custom_vjp", "custom_lin")):
                raise
            need = "reverse mode, or a function that jax.jvp takes (one by jax.custom_vjp has reverse mode alone)"
            raise MissingRuleError(requires("jax_function", need, str(error).partition("\n")[0])) from error


class Given(Library):
    """Plain numbers, whose derivatives are functions that somebody gave."""

    name = "numpy"
    modes = ("reverse",)
    products = ("reverse_over_reverse",)
    known_products = products
    weighs = False
    filled: Callable[..., Any]
    places: Sequence[int]
    leaves: int

    def __init__(self, f: Scalar, gradient: Callable[..., Any], product: Callable[..., Any] | None) -> None:
        self.f, self.given, self.product = f, gradient, product

    def at(self, filled: Callable[..., Any], places: Sequence[int], leaves: int) -> Library:
        there = copy(self)
        there.filled, there.places, there.leaves = filled, places, leaves
        return there

    def enter(self, x: Any) -> Any:
        return np.array(x)  # its own, which it may change

    def is_result(self, x: Any) -> bool:
        return self.is_array(x)

    def weighed(self, y: Any, weights: Any) -> Any:
        return np.sum(np.asarray(y) * weights)

    def gradient(self, d: Scalar, x: Sequence[Any]) -> list[Any]:
        derivative = getattr(d, "derivative", lambda args: self.given(*args))
        if derivative is None:
            if self.product is None:
                need = "hvp=, a function (args, tangents) -> H v, for order 2"
                raise OptionError(requires("numpy_function", need, "none"))
            raise OptionError(requires("numpy_function", "an order of at most 2: it has no derivatives of hvp", 3))
        found = flatten(derivative(self.filled(x)))[0]
        if len(found) == self.leaves:  # for data too
            found = [found[k] for k in self.places]
        if [np.shape(g) for g in found] != [np.shape(t) for t in x]:
            need = f"derivatives of shapes {', '.join(str(np.shape(t)) for t in x)}, those of the arguments,"
            raise DTypeError(requires("numpy_function", need, ", ".join(str(np.shape(g)) for g in found) or "none"))
        kinds = [np.asarray(g).dtype for g in found]
        if few := [kind for kind in kinds if kind.kind == "f" and kind != np.float64]:
            raise DTypeError(requires("numpy_function", "derivatives in float64, to be measured well,", few[0]))
        return found

    def push(self, d: Scalar, x: Sequence[Any], v: Sequence[Any]) -> Any:
        raise OptionError(requires("numpy_function", "mode reverse: it has a gradient alone", "forward"))

    def along(self, mode: str, d: Scalar, v: Direction) -> Scalar:
        if mode == "forward":
            return self.push(d, (), v)
        along = super().along(mode, d, v)

        def scalar(*x: Any) -> Any:
            return along(*x)

        product = None if hasattr(d, "derivative") else self.product
        tangents = self.filled(v, [None] * self.leaves)
        scalar.derivative = None if product is None else lambda args: product(args, tangents)  # type: ignore[attr-defined]
        return scalar
