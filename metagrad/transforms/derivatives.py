"""Derivatives of functions of pytrees: reverse mode, forward mode, and what is made of the two."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.forward import ForwardTrace, ForwardTracer
from ..core.primitive import handed
from ..core.pytree import flatten, unflatten
from ..core.reverse import Node, ReverseTrace, pull_back
from ..core.tensor import Tensor, to_public, to_value
from ..errors import DTypeError, OptionError, ShapeError, requires
from ..ops.creation import eye
from ..ops.shape import reshape
from .batching import vmap
from .trees import as_inputs, as_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value


class _Record(NamedTuple):
    """A function's result, run under a reverse trace that has ended."""

    values: list[Value]
    nodes: list[Node | None]
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
        aux = None
        if has_aux:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise DTypeError(requires(transform, "a function that returns (output, aux)", repr(result)))
            result, aux = result
            leaves, aux_tree = flatten(aux)
            aux = unflatten(
                aux_tree, [to_public(trace.lower(to_value(x))[0]) if isinstance(x, Tensor) else x for x in leaves]
            )
        outputs, out_tree = as_outputs(transform, result)
    lowered = [trace.lower(x) for x in outputs]
    return _Record([v for v, _ in lowered], [n for _, n in lowered], out_tree, sources, aux)


def _aux(trace: ReverseTrace | ForwardTrace, aux: Any) -> Any:
    """The tensors of a function's second result without their trace; what is no tensor stays."""
    leaves, structure = flatten(aux)
    return unflatten(
        structure, [to_public(trace.lower(to_value(x))[0]) if isinstance(x, Tensor) else x for x in leaves]
    )


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
    return _value_and_grad("value_and_grad", f, argnums, has_aux)


def _chosen(name: str, argnums: Any) -> tuple[int, ...]:
    chosen = tuple(argnums) if isinstance(argnums, tuple | list) else (argnums,)
    if not all(isinstance(n, int) for n in chosen):
        raise OptionError(requires(name, "argnums that are a number or a tuple of them", repr(argnums)))
    return chosen


def _value_and_grad(name: str, f: Any, argnums: int | tuple[int, ...], has_aux: bool) -> Callable[..., Any]:
    chosen = _chosen(name, argnums)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = [n + len(args) if n < 0 else n for n in chosen]
        if any(not 0 <= n < len(args) for n in numbers):
            raise OptionError(requires(name, f"argnums among {len(args)} positional arguments", chosen))
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
        seeds = [(record.nodes[0], output.dtype.type(1))]
        del record  # the tape's only holder is now the walk, which frees it step by step
        with np.errstate(all="ignore"):
            gradients = unflatten(structure, _filled(pull_back(seeds, sources), values))
        value = to_public(output)
        picked = gradients[numbers[0]] if isinstance(argnums, int) else tuple(gradients[n] for n in numbers)
        return ((value, aux) if has_aux else value), picked

    return functools.wraps(f)(wrapped) if hasattr(f, "__name__") else wrapped


def grad(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a function that returns a scalar; with `has_aux` the function that returns `(gradients, aux)`.

    Like `value_and_grad`, without the value. Nests to any order.

    >>> import metagrad as mg
    >>> mg.grad(mg.grad(mg.sin))(0.5) + mg.sin(0.5)
    Tensor(0., dtype=float64)
    """
    both = _value_and_grad("grad", f, argnums, has_aux)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return functools.wraps(f)(wrapped) if hasattr(f, "__name__") else wrapped


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """`(output, pullback)`: the pullback maps a cotangent like the output to a tuple of cotangents like the primals.

    The pullback may be called any number of times. With `has_aux`, `(output, pullback, aux)`.

    >>> import metagrad as mg
    >>> output, pullback = mg.vjp(lambda x: x ** 2, mg.asarray([1.0, 2.0]))
    >>> pullback(mg.asarray([1.0, 10.0]))
    (Tensor([ 2., 40.], dtype=float64),)
    """
    values, structure = as_inputs("vjp", primals)
    record = _record("vjp", lambda args: f(*args), values, structure, has_aux)

    def pullback(cotangent: Any) -> Any:
        leaves, given = flatten(cotangent)
        if given != record.structure:
            raise ShapeError(requires("vjp", f"a cotangent of structure {record.structure}", given))
        seeds = []
        for node, value, leaf in zip(record.nodes, record.values, leaves, strict=True):
            seeds.append((node, _like("vjp", "cotangent", leaf, value)))
        with np.errstate(all="ignore"):
            return unflatten(structure, _filled(pull_back(seeds, record.sources), values))

    output = unflatten(record.structure, [to_public(x) for x in record.values])
    return (output, pullback, record.aux) if has_aux else (output, pullback)


def _like(transform: str, what: str, leaf: Any, value: Value) -> Value:
    """A tangent or cotangent for `value`: of its shape, cast to its dtype."""
    found = np.asarray(leaf) if type(leaf) in (float, int, bool) else to_value(leaf)
    shape = getattr(found, "shape", None)
    if shape != value.shape:
        raise ShapeError(requires(transform, f"a {what} of shape {value.shape}", f"shape {shape}"))
    return found if found.dtype == value.dtype else handed.astype(found, value.dtype)


def jvp(f: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False) -> Any:
    """`(output, tangent_out)`: the directional derivative of `f` at the tuple `primals` along `tangents`.

    >>> import metagrad as mg
    >>> mg.jvp(mg.exp, (0.0,), (2.0,))
    (Tensor(1., dtype=float64), Tensor(2., dtype=float64))
    """
    primals, tangents = _arguments(primals), _arguments(tangents)
    values, structure = as_inputs("jvp", primals)
    leaves, given = flatten(tangents)
    if given != structure:
        raise ShapeError(requires("jvp", f"tangents of the primals' structure {structure}", given))
    trace = ForwardTrace("jvp")
    pairs = zip(values, leaves, strict=True)
    inputs = [ForwardTracer(trace, value, _like("jvp", "tangent", leaf, value)) for value, leaf in pairs]
    with trace.running():
        result = f(*unflatten(structure, inputs))
        aux = None
        if has_aux:
            result, aux = result
            found, aux_tree = flatten(aux)
            aux = unflatten(
                aux_tree, [to_public(trace.lower(to_value(x))[0]) if isinstance(x, Tensor) else x for x in found]
            )
        outputs, out_tree = as_outputs("jvp", result)
    lowered = [trace.lower(x) for x in outputs]
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

    >>> import metagrad as mg
    >>> mg.hvp(lambda x: mg.sum(x ** 3), (mg.asarray([1.0, 2.0]),), (mg.asarray([1.0, 1.0]),))
    Tensor([ 6., 12.], dtype=float64)
    """
    primals, tangents = _arguments(primals), _arguments(tangents)
    gradient = grad(f, argnums=tuple(range(len(primals))))
    if mode == "forward_over_reverse":
        products = jvp(gradient, primals, tangents)[1]
    elif mode == "reverse_over_reverse":
        _, pullback = vjp(gradient, *primals)  # H is symmetric: v H = H v
        products = pullback(tangents)
    else:
        raise OptionError(requires("hvp", "mode reverse_over_reverse or forward_over_reverse", repr(mode)))
    return products[0] if len(primals) == 1 else products


def _basis(value: Value) -> Value:
    n = int(np.prod(value.shape, dtype=np.int64))
    return reshape(eye(n, dtype=value.dtype), (n, *value.shape))


def _jacobian_arguments(f: Any, args: Any, kwargs: Any, argnums: Any, name: str) -> Any:
    chosen = _chosen(name, argnums)
    if any(not -len(args) <= n < len(args) for n in chosen):
        raise OptionError(requires(name, f"argnums among {len(args)} positional arguments", chosen))
    chosen = tuple(n % len(args) for n in chosen)

    def partial(*primals: Any) -> Any:
        full = list(args)
        for n, primal in zip(chosen, primals, strict=True):
            full[n] = primal
        return f(*full, **kwargs)

    return partial, tuple(args[n] for n in chosen)


def jacrev(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The Jacobian by reverse mode, a pullback for each output element: best for few outputs.

    The result has the structure of the output, with that of the input inside; leaves have shape output + input.

    >>> import metagrad as mg
    >>> mg.jacrev(lambda x: x ** 2)(mg.asarray([1.0, 2.0]))
    Tensor([[2., 0.],
            [0., 4.]], dtype=float64)
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _jacobian_arguments(f, args, kwargs, argnums, "jacrev")
        output, pullback = vjp(partial, *primals)
        outputs, out_tree = flatten(output)
        rows = []
        for k, leaf in enumerate(outputs):

            def row(cotangent: Any, k: int = k) -> Any:
                zeros = [to_public(handed.zeros_like(to_value(x))) for x in outputs]
                return pullback(unflatten(out_tree, [*zeros[:k], cotangent, *zeros[k + 1 :]]))

            columns, in_tree = flatten(vmap(row)(to_public(_basis(leaf))))
            shaped = [to_public(reshape(to_value(c), (*leaf.shape, *c.shape[1:]))) for c in columns]
            tree = unflatten(in_tree, shaped)
            rows.append(tree[0] if isinstance(argnums, int) else tree)
        return unflatten(out_tree, rows)

    return wrapped


def jacfwd(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The Jacobian by forward mode, a tangent for each input element: best for few inputs. Shaped like `jacrev`'s.

    >>> import metagrad as mg
    >>> mg.jacfwd(lambda x: mg.sum(x ** 2))(mg.asarray([1.0, 2.0]))
    Tensor([2., 4.], dtype=float64)
    """

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _jacobian_arguments(f, args, kwargs, argnums, "jacfwd")
        values, in_tree = as_inputs("jacfwd", primals)
        public = unflatten(in_tree, [to_public(v) for v in values])
        columns = []
        out_tree: Any = None
        for k, value in enumerate(values):

            def column(tangent: Any, k: int = k) -> Any:
                zeros = [to_public(handed.zeros_like(v)) for v in values]
                return jvp(partial, public, unflatten(in_tree, [*zeros[:k], tangent, *zeros[k + 1 :]]))[1]

            leaves, out_tree = flatten(vmap(column, out_axes=-1)(to_public(_basis(value))))
            columns.append([to_public(reshape(to_value(x), (*x.shape[:-1], *value.shape))) for x in leaves])
        rows = [unflatten(in_tree, list(row)) for row in zip(*columns, strict=True)]
        return unflatten(out_tree, [row[0] if isinstance(argnums, int) else row for row in rows])

    return wrapped


def hessian(f: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The matrix (or tree) of second derivatives, forward over reverse.

    >>> import metagrad as mg
    >>> mg.hessian(lambda x: x[0] ** 2 * x[1])(mg.asarray([1.0, 2.0]))
    Tensor([[4., 2.],
            [2., 0.]], dtype=float64)
    """
    return jacfwd(jacrev(f, argnums), argnums)
