"""Derivatives of functions of pytrees: reverse mode, forward mode, and what is made of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.devices import device_of, namespace
from ..core.forward import ForwardTrace, ForwardTracer
from ..core.primitive import handed
from ..core.provenance import explain, note_constant
from ..core.pytree import flatten, unflatten
from ..core.reverse import Node, ReverseTrace, Slot, pull_back
from ..core.tensor import Tensor, to_public, to_value
from ..errors import DeviceError, DTypeError, OptionError, ShapeError, requires
from ..ops.creation import eye_like
from ..ops.shape import reshape
from .batching import vmap
from .trees import as_function, as_inputs, as_outputs, named_like

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value


class _Record(NamedTuple):
    """A function's result, run under a reverse trace that has ended."""

    values: list[Value]
    nodes: list[Node | Slot | None]
    structure: Any
    sources: list[Node]
    aux: Any


def _record(
    transform: str, function: Callable[..., Any], values: list[Value], structure: Any, has_aux: bool
) -> _Record:
    trace = ReverseTrace(transform)
    inputs = [trace.source(value) for value in values]
    sources = [x.node for x in inputs]
    with trace.running():
        result = function(unflatten(structure, inputs))
        result, aux = _split(trace, result) if has_aux else (result, None)
        outputs, out_tree = as_outputs(transform, result)
    lowered = _lowered(trace, outputs)
    return _Record([v for v, _ in lowered], [n for _, n in lowered], out_tree, sources, aux)


def _lowered(trace: ReverseTrace | ForwardTrace, outputs: list[Value]) -> list[tuple[Value, Any]]:
    """The outputs without their trace, each with what that knows of its derivative: None where it is zero."""
    lowered = [trace.lower(x) for x in outputs]
    for value, known in lowered:
        if known is None:
            note_constant(value)
    return lowered


def _split(trace: ReverseTrace | ForwardTrace, result: Any) -> tuple[Any, Any]:
    """A function's two results, the tensors of the second without their trace; what is no tensor stays."""
    if not (isinstance(result, tuple) and len(result) == 2):
        raise DTypeError(requires(trace.transform, "a function that returns (output, aux)", repr(result)))
    leaves, structure = flatten(result[1])
    lowered = [to_public(trace.lower(to_value(x))[0]) if isinstance(x, Tensor) else x for x in leaves]
    return result[0], unflatten(structure, lowered)


def _filled(cotangents: list[Value], values: list[Value]) -> list[Any]:
    """For users: zeros where nothing arrived."""
    return [to_public(handed.zeros_like(v) if c is None else c) for c, v in zip(cotangents, values, strict=True)]


def value_and_grad(
    f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that returns `(f(*args), gradients)`; with `has_aux`, `((output, aux), gradients)`.

    `f` returns a scalar. `argnums` says with respect to which arguments; with a tuple the gradients are a tuple. They
    have the structure, shapes and dtypes of those arguments; one that `f` does not depend on is zero.

    Raises DTypeError for leaves that are not floating point, ShapeError for an output that is not a scalar.

    >>> import metagrad as mg
    >>> mg.value_and_grad(lambda p: mg.sum(p["w"] ** 2))({"w": mg.asarray([1.0, 2.0])})
    (Tensor(5., dtype=float64), {'w': Tensor([2., 4.], dtype=float64)})
    """
    return named_like(f, _value_and_grad("value_and_grad", f, argnums, has_aux))


class _Chosen:
    """The arguments that a derivative is taken with respect to: `single` for one, not in a tuple."""

    def __init__(self, name: str, argnums: Any) -> None:
        self.name = name
        self.single = not isinstance(argnums, tuple | list)
        self.given = (argnums,) if self.single else tuple(argnums)
        for n in self.given:
            if isinstance(n, bool) or not isinstance(n, int | np.integer):
                raise OptionError(requires(name, "argnums that are a number or a tuple of them", repr(argnums)))

    def among(self, args: tuple[Any, ...]) -> list[int]:
        """Their places; raises OptionError where there is none, or one twice."""
        count = len(args)
        for n in self.given:
            if not -count <= n < count:
                raise OptionError(requires(self.name, f"argnums among {count} positional arguments", self.given))
        numbers = [int(n) % count for n in self.given]
        if not self.single and len(set(numbers)) != len(numbers):
            raise OptionError(requires(self.name, "argnums that differ", self.given))
        return numbers


def _value_and_grad(name: str, f: Any, argnums: int | tuple[int, ...], has_aux: bool) -> Callable[..., Any]:
    as_function(name, f)
    chosen = _Chosen(name, argnums)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = chosen.among(args)
        values, structure = as_inputs(name, {n: args[n] for n in numbers})

        def call(primals: dict[int, Any]) -> Any:
            return f(*[primals.get(n, arg) for n, arg in enumerate(args)], **kwargs)

        record = _record(name, call, values, structure, has_aux)
        if len(record.values) != 1 or record.values[0].shape != ():
            shapes = ", ".join(str(x.shape) for x in record.values)
            raise ShapeError(requires(name, "a function that returns one scalar, of shape ()", f"shape {shapes}"))
        output, aux, sources = record.values[0], record.aux, record.sources
        if output.dtype.kind != "f":
            raise DTypeError(requires(name, "a function that returns a floating-point scalar", output.dtype))
        xp = namespace(output)
        seeds = [(record.nodes[0], output.dtype.type(1) if xp is np else xp.ones((), output.dtype))]
        del record  # the tape's only holder is now the walk, which frees it step by step
        try:
            with np.errstate(all="ignore"):
                gradients = unflatten(structure, _filled(pull_back(seeds, sources), values))
        except Exception as error:
            explain(error, lambda: _value_and_grad(name, f, argnums, has_aux)(*args, **kwargs))
            raise
        value = to_public(output)
        picked = gradients[numbers[0]] if chosen.single else tuple(gradients[n] for n in numbers)
        return ((value, aux) if has_aux else value), picked

    return wrapped


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a function that returns a scalar; with `has_aux` the function that returns `(gradients, aux)`.

    Like `value_and_grad`, without the value. Nests to any order.

    Raises what `value_and_grad` raises.

    >>> import metagrad as mg
    >>> mg.grad(mg.grad(mg.sin))(0.5) + mg.sin(0.5)
    Tensor(0., dtype=float64)
    """
    both = _value_and_grad("grad", f, argnums, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return named_like(f, wrapped)


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """`(output, pullback)`: the pullback maps a cotangent like the output to a tuple of cotangents like the primals.

    The pullback may be called any number of times. With `has_aux`, `(output, pullback, aux)`.

    Raises DTypeError for primals that are not floating-point and for a function that returns no arrays. The pullback
    raises ShapeError for a cotangent of another structure or shape than the output.

    >>> import metagrad as mg
    >>> output, pullback = mg.vjp(lambda x: x ** 2, mg.asarray([1.0, 2.0]))
    >>> pullback(mg.asarray([1.0, 10.0]))
    (Tensor([ 2., 40.], dtype=float64),)
    """
    return _vjp("vjp", "cotangent", f, primals, has_aux)


def _vjp(name: str, what: str, f: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool = False) -> Any:
    """`vjp` for the transform `name`, which calls what is pulled back `what`."""
    as_function(name, f)
    values, structure = as_inputs(name, primals)
    record = _record(name, lambda args: f(*args), values, structure, has_aux)

    def pullback(cotangent: Any) -> Any:
        seeds = list(zip(record.nodes, _like(name, what, cotangent, record.values, record.structure), strict=True))
        try:
            with np.errstate(all="ignore"):
                return unflatten(structure, _filled(pull_back(seeds, record.sources), values))
        except Exception as error:
            explain(error, lambda: _vjp(name, what, f, primals, has_aux)[1](cotangent))
            raise

    output = unflatten(record.structure, [to_public(x) for x in record.values])
    return (output, pullback, record.aux) if has_aux else (output, pullback)


def _like(transform: str, what: str, tree: Any, values: list[Value], structure: Any) -> list[Value]:
    """Tangents or cotangents for values in a tree: of its structure and their shapes, cast to their dtypes."""
    leaves, given = flatten(tree)
    if given != structure:
        raise ShapeError(requires(transform, f"a {what} of structure {structure}", given))
    cast = []
    for leaf, value in zip(leaves, values, strict=True):
        found = namespace(value).full((), leaf) if type(leaf) in (float, int, bool) else to_value(leaf)
        if not hasattr(found, "dtype"):
            raise DTypeError(requires(transform, f"a {what} of arrays", f"{type(leaf).__name__} {leaf!r}"))
        if found.shape != value.shape:
            raise ShapeError(requires(transform, f"a {what} of shape {value.shape}", f"shape {found.shape}"))
        if (device := device_of(found)) != device_of(value):
            raise DeviceError(requires(transform, f"a {what} on {device_of(value)}", f"one on {device}"))
        cast.append(found if found.dtype == value.dtype else handed.astype(found, value.dtype))
    return cast


def jvp(f: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """`(output, tangent_out)`: the directional derivative of `f` at the tuple `primals` along `tangents`.

    Raises DTypeError for primals that are not floating-point and for a function that returns no arrays, ShapeError for
    tangents of another structure or shape than the primals.

    >>> import metagrad as mg
    >>> mg.jvp(mg.exp, (0.0,), (2.0,))
    (Tensor(1., dtype=float64), Tensor(2., dtype=float64))
    """
    return _jvp("jvp", f, _arguments(primals), _arguments(tangents), has_aux)


def _jvp(name: str, f: Callable[..., Any], primals: tuple[Any, ...], tangents: Any, has_aux: bool = False) -> Any:
    """`jvp` for the transform `name`."""
    as_function(name, f)
    values, structure = as_inputs(name, primals)
    moved = _like(name, "tangent", tangents, values, structure)
    trace = ForwardTrace(name)
    inputs = [ForwardTracer(trace, value, tangent) for value, tangent in zip(values, moved, strict=True)]
    with trace.running():
        result = f(*unflatten(structure, inputs))
        result, aux = _split(trace, result) if has_aux else (result, None)
        outputs, out_tree = as_outputs(name, result)
    lowered = _lowered(trace, outputs)
    output = unflatten(out_tree, [to_public(value) for value, _ in lowered])
    tangent_out = unflatten(out_tree, _filled([t for _, t in lowered], [v for v, _ in lowered]))
    return (output, tangent_out, aux) if has_aux else (output, tangent_out)


def _arguments(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, tuple | list) else (x,)


def hvp(f: Callable[..., Any], primals: Any, tangents: Any, mode: str = "reverse_over_reverse") -> Any:
    """The Hessian-vector product H v of a scalar function at `primals` along `tangents`, without building H.

    `mode="reverse_over_reverse"` differentiates the product of gradient and tangent once more, `"forward_over_reverse"`
    pushes the tangent through the gradient (Pearlmutter 1994). With one primal, the product has its structure; with
    several, it is a tuple.

    Raises what `value_and_grad` raises, ShapeError for tangents of another structure or shape than the primals,
    OptionError for another mode.

    >>> import metagrad as mg
    >>> mg.hvp(lambda x: mg.sum(x ** 3), (mg.asarray([1.0, 2.0]),), (mg.asarray([1.0, 1.0]),))
    Tensor([ 6., 12.], dtype=float64)
    """
    primals, tangents = _arguments(primals), _arguments(tangents)
    both = _value_and_grad("hvp", f, tuple(range(len(primals))), False)

    def gradient(*args: Any) -> Any:
        return both(*args)[1]

    if mode == "forward_over_reverse":
        products = _jvp("hvp", gradient, primals, tangents)[1]
    elif mode == "reverse_over_reverse":
        _, pullback = _vjp("hvp", "tangent", gradient, primals)  # H is symmetric: v H = H v
        products = pullback(tangents)
    else:
        raise OptionError(requires("hvp", "mode reverse_over_reverse or forward_over_reverse", repr(mode)))
    return products[0] if len(primals) == 1 else products


def _basis(value: Value) -> Value:
    n = int(np.prod(value.shape, dtype=np.int64))
    return reshape(eye_like(value, n), (n, *value.shape))


def _jacobian_arguments(f: Any, args: Any, kwargs: Any, chosen: _Chosen) -> Any:
    numbers = chosen.among(args)
    as_inputs(chosen.name, {n: args[n] for n in numbers})  # an error names the argument by its place

    def partial(*primals: Any) -> Any:
        full = list(args)
        for n, primal in zip(numbers, primals, strict=True):
            full[n] = primal
        return f(*full, **kwargs)

    return partial, tuple(args[n] for n in numbers)


def jacrev(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The Jacobian by reverse mode, a pullback for each output element: best for few outputs.

    The result has the structure of the output, with that of the input inside; leaves have shape output + input.

    Raises DTypeError for arguments that are not floating-point and for a function that returns no arrays, OptionError
    for argnums that the call does not have.

    >>> import metagrad as mg
    >>> mg.jacrev(lambda x: x ** 2)(mg.asarray([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]], dtype=float64)
    """
    as_function("jacrev", f)
    chosen = _Chosen("jacrev", argnums)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _jacobian_arguments(f, args, kwargs, chosen)
        output, pullback = _vjp("jacrev", "cotangent", partial, primals)
        outputs, out_tree = flatten(output)
        rows = []
        for k, leaf in enumerate(outputs):

            def row(cotangent: Any, k: int = k) -> Any:
                zeros = [to_public(handed.zeros_like(to_value(x))) for x in outputs]
                return pullback(unflatten(out_tree, [*zeros[:k], cotangent, *zeros[k + 1 :]]))

            columns, in_tree = flatten(vmap(row)(to_public(_basis(leaf))))
            shaped = [to_public(reshape(to_value(c), (*leaf.shape, *c.shape[1:]))) for c in columns]
            tree = unflatten(in_tree, shaped)
            rows.append(tree[0] if chosen.single else tree)
        return unflatten(out_tree, rows)

    return wrapped


def jacfwd(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The Jacobian by forward mode, a tangent for each input element: best for few inputs. Shaped like `jacrev`'s.

    Raises what `jacrev` raises.

    >>> import metagrad as mg
    >>> mg.jacfwd(lambda x: mg.sum(x ** 2))(mg.asarray([1.0, 2.0]))
    Tensor([2., 4.], dtype=float64)
    """
    as_function("jacfwd", f)
    chosen = _Chosen("jacfwd", argnums)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _jacobian_arguments(f, args, kwargs, chosen)
        values, in_tree = as_inputs("jacfwd", primals)
        public = unflatten(in_tree, [to_public(v) for v in values])
        columns = []
        out_tree: Any = None
        for k, value in enumerate(values):

            def column(tangent: Any, k: int = k) -> Any:
                zeros = [to_public(handed.zeros_like(v)) for v in values]
                return _jvp("jacfwd", partial, public, unflatten(in_tree, [*zeros[:k], tangent, *zeros[k + 1 :]]))[1]

            leaves, out_tree = flatten(vmap(column, out_axes=-1)(to_public(_basis(value))))
            columns.append([to_public(reshape(to_value(x), (*x.shape[:-1], *value.shape))) for x in leaves])
        rows = [unflatten(in_tree, list(row)) for row in zip(*columns, strict=True)]
        return unflatten(out_tree, [row[0] if chosen.single else row for row in rows])

    return wrapped


def hessian(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The matrix (or tree) of second derivatives, forward over reverse.

    Raises what `jacrev` raises.

    >>> import metagrad as mg
    >>> mg.hessian(lambda x: x[0] ** 2 * x[1])(mg.asarray([1.0, 2.0]))
    Tensor([[4., 2.],
            [2., 0.]], dtype=float64)
    """
    as_function("hessian", f)
    return jacfwd(jacrev(f, argnums), argnums)
