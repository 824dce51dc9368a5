"""What a primitive is: one class with its forward, its derivatives, its batching and its shape.

Every operation is a primitive or a composition of primitives. An instance holds its static parameters (axes, shapes)
and is interned, so that equal parameters give the same object. `bind` runs it on values: plain arrays go to `forward`,
anything traced goes to the highest trace among the inputs, which comes back here one level down.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import DTypeError, MetagradError, MissingRuleError, OutOfMemoryError, requires
from .devices import device_of, namespace, out_of_memory
from .tensor import Tensor, boundary
from .trace import Tracer, Value

if TYPE_CHECKING:
    from collections.abc import Sequence


class Aval:
    """An array of which only the shape, the dtype and the device are known."""

    __slots__ = ("device", "dtype", "shape")

    def __init__(self, shape: tuple[int, ...], dtype: Any, device: str = "cpu") -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __eq__(self, other: object) -> bool:
        return type(other) is Aval and (self.shape, self.dtype, self.device) == (other.shape, other.dtype, other.device)

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.device))

    def __repr__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


class _Interned(type):
    """Calling the class twice with equal parameters gives one instance."""

    _instances: dict[tuple[Any, ...], Any]
    _MOST = 4096

    def __call__(cls, *parameters: Any) -> Any:
        if not cls.interned:  # type: ignore[attr-defined]
            return super().__call__(*parameters)
        try:
            return cls._instances[parameters]
        except KeyError:
            if len(cls._instances) >= cls._MOST:
                cls._instances.clear()
            instance = cls._instances[parameters] = super().__call__(*parameters)
            return instance


class Primitive(metaclass=_Interned):
    """The base of all primitives. Subclass it, give `forward` and the rules, and use the instance as a function.

    All rules take and return values and are written with differentiable operations, so that every order exists by
    construction. Parameters are hashable, and fields of a frozen dataclass.

    >>> import metagrad as mg
    >>> class Cube(mg.Primitive):
    ...     def forward(self, x): return x * x * x
    ...     def vjp(self, i, cotangent, output, x): return cotangent * 3 * x * x
    >>> mg.grad(mg.grad(Cube()))(2.0)
    Tensor(12., dtype=float64)
    """

    name: ClassVar[str] = "primitive"
    interned: ClassVar[bool] = True
    """False for parameters that must not be kept alive: programs, closures."""
    differentiable: bool = True
    """False: the output does not depend on the inputs smoothly (a comparison, an index); it leaves every derivative."""
    uses_inputs: ClassVar[bool] = True
    """False: the derivative rules read only the shapes and dtypes of the inputs, so their memory may go."""
    uses_output: ClassVar[bool] = True
    """False: the derivative rules do not read the output."""
    analytic: ClassVar[bool] = False
    """Whether `forward` is also right on complex numbers, products not conjugated: then a complex step measures it."""
    work: ClassVar[int] = 1
    """Floating-point operations for each element of the largest array that it reads or writes; 0 where it only moves
    numbers. A comparison or an elementary function counts as one."""
    view: ClassVar[bool] = False
    """Whether the output is the memory of the first input, seen in another shape."""
    joint: ClassVar[bool] = False
    """Whether the class overrides `vjp_all`; found out by itself."""
    linearize: Any = None
    """Where set: `linearize(*inputs) -> (output, rule)`, run in place of `bind` when a reverse trace records the
    primitive; `rule.vjp_all` is then used in place of its own."""

    def __init_subclass__(cls) -> None:
        cls._instances = {}
        cls.joint = cls.vjp_all is not Primitive.vjp_all
        if "name" not in cls.__dict__:
            cls.name = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")

    def __call__(self, *inputs: Any) -> Any:
        """Run it on Tensors, arrays, scalars or traced values; gives Tensors."""
        return boundary(self.bind, inputs)

    def bind(self, *inputs: Value) -> Any:
        """Run it on values. A list stands for the array that it makes, at every level."""
        top, level = None, 0
        for x in inputs:
            kind = type(x)
            if kind is np.ndarray:
                continue
            if isinstance(x, Tracer):
                trace = x.trace
                if trace.level > level:
                    top, level = trace, trace.level
            elif kind is list or kind is tuple:
                return self.bind(*[handed.asarray(x) if type(x) in (list, tuple) else x for x in inputs])
        if top is not None:
            return top.process(self, inputs)
        try:
            return self.forward(*inputs)
        except MetagradError:
            raise
        except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError):
            # The shape rule is where requirements are written down: let it say what was wrong.
            with suppress(MissingRuleError):
                self.abstract(*[abstractify(x, self.name) for x in inputs])
            if namespace(*inputs) is not np and any(type(x) is np.ndarray and not x.shape for x in inputs):
                return self.forward(*[x[()] if type(x) is np.ndarray and not x.shape else x for x in inputs])
            raise
        except MemoryError as error:
            raise self._out_of_memory(inputs, error) from error

    @property
    def params(self) -> dict[str, Any]:
        """The static parameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)} if is_dataclass(self) else {}

    def _no_forward(self, *inputs: Any) -> Any:
        raise self._missing("forward")

    forward: Any = _no_forward
    """`forward(*arrays)`: the output on plain arrays of any namespace. A method, or a function such as `np.exp`."""

    def abstract(self, *inputs: Any) -> Any:
        """The `Aval` of the output for those of the inputs (or Python scalars); raises where the inputs do not fit."""
        raise self._missing("abstract")

    def flops(self, output: Any, *inputs: Any) -> int:
        """How many floating-point operations it takes, for the Avals of its output and of its inputs (or scalars)."""
        outputs = output if type(output) is tuple else (output,)
        shapes = [x.shape for x in (*outputs, *inputs) if hasattr(x, "shape")]
        return self.work * max(map(math.prod, shapes))

    def vjp(self, i: int, cotangent: Value, output: Any, *inputs: Value) -> Value:
        """What `cotangent`, of the output, is for input `i`. None means zero."""
        raise self._missing("vjp")

    def vjp_all(self, needed: Sequence[bool], cotangent: Any, output: Any, *inputs: Value) -> list[Value]:
        """The cotangents of all needed inputs at once, None for the others; override where they share work."""
        return [self.vjp(i, cotangent, output, *inputs) if need else None for i, need in enumerate(needed)]

    def jvp(self, i: int, tangent: Value, output: Any, *inputs: Value) -> Value:
        """What `tangent`, of input `i`, adds to the output's tangent. None means zero."""
        raise self._missing("jvp")

    def jvp_all(self, tangents: list[Value], output: Any, *inputs: Value) -> Any:
        """The output's tangent for all tangents (None: zero) at once; override where they are not simply added."""
        total = None
        for i, tangent in enumerate(tangents):
            if tangent is not None:
                total = add_cotangents(total, as_value(self.jvp(i, tangent, output, *inputs)))
        return total

    def batch(self, batched: tuple[bool, ...], *inputs: Value) -> Any:
        """The outputs, axis 0 mapped, of inputs of which those that are `batched` are mapped over axis 0."""
        raise self._missing("batch")

    def _out_of_memory(self, inputs: tuple[Value, ...], error: MemoryError) -> OutOfMemoryError:
        """What it was for, how much, and what was free."""
        found = self.abstract(*[abstractify(x, self.name) for x in inputs])
        outputs = found if type(found) is tuple else (found,)
        size = sum(math.prod(o.shape) * o.dtype.itemsize for o in outputs)
        return out_of_memory(self.name, ", ".join(map(repr, outputs)), size, namespace(*outputs), error)

    def _missing(self, rule: str) -> MissingRuleError:
        need = f"a rule `{rule}` here"
        return MissingRuleError(
            f"{requires(self.name, need, 'a class without one')}: define {type(self).__name__}.{rule}"
        )

    def __repr__(self) -> str:
        hidden = {f.name for f in fields(self) if not f.repr} if is_dataclass(self) else ()
        inside = ", ".join(f"{k}={v}" for k, v in self.params.items() if k not in hidden)
        return f"{self.name}[{inside}]" if inside else self.name


class _Handed:
    """The few operations that the engine and the base classes need; `metagrad.ops` hands them in."""

    add: Any
    asarray: Any
    astype: Any
    broadcast_to: Any
    reshape: Any
    sum: Any
    zeros_like: Any


handed = _Handed()


def as_value(x: Any) -> Value:
    """What a rule returned, as a value: rules may be written with public operations, which give Tensors."""
    return x._value if type(x) is Tensor else x


def add_cotangents(a: Value, b: Value) -> Value:
    """The sum of two, where None is zero."""
    if a is None:
        return b
    return a if b is None else handed.add(a, b)


def abstractify(x: Value, operation: str = "array") -> Any:
    """The shape, dtype and device of a value; a Python scalar stays itself, because it is weakly typed.

    Raises DTypeError for what is no array.
    """
    kind = type(x)
    if kind is np.ndarray:
        return Aval(x.shape, x.dtype)
    if kind is float or kind is int or kind is bool or kind is Aval:
        return x
    if not hasattr(x, "dtype"):
        raise DTypeError(requires(operation, "arrays or numbers", not_an_array(x)))
    return Aval(tuple(x.shape), x.dtype, device_of(x))


def not_an_array(x: Any) -> str:
    """How an error names something that is no array."""
    kind = type(x).__name__
    if isinstance(x, list | tuple):
        return f"a {kind}; mg.asarray makes an array of it"
    return "None" if x is None else f"{kind} {x!r}"
