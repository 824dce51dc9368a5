"""Every operation, in every way it can be used: one promise a test, run over the table of cases."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest
from cases import CASES
from tolerances import LOOSEST, NUMERIC, close

import metagrad as mg
from metagrad.core.pytree import flatten
from metagrad.testing import NotAnalyticError, check_gradients, complex_step, random_direction

WITH_ARGS = [case for case in CASES if case.args]
DIFFERENTIABLE = [case for case in WITH_ARGS if case.moving and case.derivative != "none"]


def over(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


def leaves(tree):
    return [np.asarray(x) for x in flatten(tree)[0]]


def loss(f):
    """A curved scalar of every floating-point output, weighed so that no two entries count the same."""

    def scalar(*args):
        total = 0.0
        for k, y in enumerate(flatten(f(*args))[0]):
            if y.dtype.kind == "f":
                weights = random_direction(np.random.default_rng(k), y.shape).astype(y.dtype)
                total = total + mg.sum((y + 0.5 * mg.sin(y)) * weights)
        return total

    return scalar


def gradient(case, args, f=None):
    return leaves(mg.grad(loss(f or case.f), argnums=tuple(case.moving))(*args))


def of_moving(case, args):
    """The case as a function of its floating-point arguments, with the others of these."""

    def f(*moved):
        full = list(args)
        for k, x in zip(case.moving, moved, strict=True):
            full[k] = x
        return case.f(*full)

    return f


def assert_same(got, expected, order=0, dtype=np.float64):
    got, expected = leaves(got), leaves(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        close(a, b, dtype, order)


@over(WITH_ARGS)
def test_its_graph_can_be_read_and_views_say_so(case):
    graph = mg.make_graph(case.f)(*case.example())
    cost, text = mg.inspect.cost(graph), mg.inspect.text(graph)
    assert all(type(tally.flops) is int and tally.flops >= 0 for tally in cost.by_operation.values())
    assert all(f"  {equation.outputs[0].name}" in text for equation in graph.equations if not held(equation))
    known = {var: np.asarray(value) for var, value in graph.constants}
    known.update(zip(graph.inputs, map(np.array, leaves(case.example())), strict=True))
    with np.errstate(all="ignore"):
        for equation in graph.equations:
            inputs = [known.get(x, x) if isinstance(x, mg.Aval) else x for x in equation.inputs]
            output = equation.primitive.bind(*inputs)
            outputs = output if type(output) is tuple else (output,)
            known.update(zip(equation.outputs, outputs, strict=True))
            if not equation.primitive.view and not held(equation):
                assert not any(np.shares_memory(o, x) for o in outputs for x in inputs)


def held(equation):
    """Whether it holds a program, of which each equation is read by itself."""
    return hasattr(equation.primitive, "subgraph")


@over(CASES)
def test_forward_is_numpy(case):
    args = case.example()
    with np.errstate(all="ignore"):
        expected = leaves(case.reference(*args))
    got = leaves(case.f(*map(mg.asarray, args)))
    assert [x.dtype for x in got] == [x.dtype for x in expected]
    assert_same(got, expected)


@over([case for case in DIFFERENTIABLE if case.derivative == "smooth"])
def test_derivatives_of_three_orders_are_numeric_in_every_combination_of_modes(case):
    report = check_gradients(case.f, [*map(mg.asarray, case.example())], order=3, rtol=NUMERIC)
    assert report.checks == (2 + 4 + 8) * len(case.moving)
    assert report.redrawn == 0
    assert report.loosest <= LOOSEST


@over([case for case in WITH_ARGS if case.derivative == "none"])
def test_an_operation_without_derivative_leaves_every_derivative(case):
    args = tuple(map(mg.asarray, case.example()))

    def f(*inputs):
        return mg.sum(mg.astype(case.f(*inputs), mg.float64))

    numbers = tuple(range(len(args)))
    for g, x in zip(mg.grad(f, argnums=numbers)(*args), args, strict=True):
        np.testing.assert_array_equal(g, np.zeros(x.shape))
    assert float(mg.jvp(f, args, tuple(mg.ones_like(x) for x in args))[1]) == 0.0


def mappings(case):
    """Which arguments are mapped: every choice of them, and all over their last axis."""
    n = len(case.args)
    return [axes for axes in itertools.product((0, None), repeat=n) if any(a == 0 for a in axes)] + [(-1,) * n]


@over(WITH_ARGS)
def test_vmap_is_the_loop(case):
    draws = [case.example(draw) for draw in range(3)]
    for axes in mappings(case):
        mapped = [
            np.stack([d[k] for d in draws], a) if a is not None else mg.asarray(draws[0][k]) for k, a in enumerate(axes)
        ]
        each = [[d[k] if a is not None else draws[0][k] for k, a in enumerate(axes)] for d in draws]
        loop = [leaves(case.f(*map(mg.asarray, args))) for args in each]
        assert_same(mg.vmap(case.f, in_axes=axes)(*mapped), [np.stack(parts) for parts in zip(*loop, strict=True)])


def double_loop(case, pick):
    """Its results for the arguments that are picked for each of 2 rows and 3 columns."""
    loop = [[leaves(case.f(*map(mg.asarray, pick(row, column)))) for column in range(3)] for row in range(2)]
    return [np.stack([np.stack([found[leaf] for found in line]) for line in loop]) for leaf in range(len(loop[0][0]))]


@over(WITH_ARGS)
def test_vmap_of_vmap_is_the_double_loop(case):
    draws = [[case.example(3 * i + j) for j in range(3)] for i in range(2)]
    first = np.stack([[draw[0] for draw in line] for line in draws])
    rest = [np.stack([line[0][k] for line in draws]) for k in range(1, len(case.args))]
    expected = double_loop(case, lambda row, column: [first[row, column], *(x[row] for x in rest)])
    inner = mg.vmap(case.f, in_axes=(0, *(None,) * len(rest)))
    assert_same(mg.vmap(inner)(first, *rest), expected)
    last = mg.vmap(case.f, in_axes=(-1, *(None,) * len(rest)), out_axes=-1)
    swapped = mg.vmap(last, out_axes=-1)(np.moveaxis(first, 1, -1), *rest)
    assert_same(swapped, [np.moveaxis(x, (0, 1), (-1, -2)) for x in expected])


@over([case for case in WITH_ARGS if len(case.args) > 1])
def test_arguments_that_are_mapped_at_different_levels_are_the_double_loop(case):
    draws = [case.example(draw) for draw in range(3)]
    n = len(case.args)
    for k in range(n):
        args = [np.stack([d[j] for d in (draws[:2] if j == k else draws)]) for j in range(n)]
        inner = mg.vmap(case.f, in_axes=tuple(None if j == k else 0 for j in range(n)))
        got = mg.vmap(inner, in_axes=tuple(0 if j == k else None for j in range(n)))(*args)

        def pick(row, column, k=k, args=args):
            return [x[row if j == k else column] for j, x in enumerate(args)]

        assert_same(got, double_loop(case, pick))


@over([case for case in WITH_ARGS if len(case.args) > 1])
def test_one_argument_that_a_second_vmap_maps_too_is_the_double_loop(case):
    draws = [case.example(draw) for draw in range(6)]
    n = len(case.args)
    for k in range(n):
        args = [np.stack([d[j] for d in draws[:3]]) for j in range(n)]
        args[k] = np.stack([args[k], [d[k] for d in draws[3:]]])
        got = mg.vmap(mg.vmap(case.f), in_axes=tuple(0 if j == k else None for j in range(n)))(*args)

        def pick(row, column, k=k, args=args):
            return [x[row, column] if j == k else x[column] for j, x in enumerate(args)]

        assert_same(got, double_loop(case, pick))


@over(DIFFERENTIABLE)
def test_vmap_of_the_gradient_is_the_loop(case):
    draws = [case.example(draw) for draw in range(2)]
    mapped = [np.stack(parts) for parts in zip(*draws, strict=True)]
    loop = [gradient(case, args) for args in draws]
    got = mg.vmap(mg.grad(loss(case.f), argnums=tuple(case.moving)))(*mapped)
    assert_same(got, [np.stack(parts) for parts in zip(*loop, strict=True)], order=1)


@over(WITH_ARGS)
def test_the_graph_is_eager(case):
    traced_with, run_with = case.example(), case.example(1)
    graph = mg.make_graph(case.f)(*traced_with)
    for args in (traced_with, run_with):
        expected = leaves(case.f(*map(mg.asarray, args)))
        got = leaves(graph(*args))
        assert_same(got, expected)
        assert [x.dtype for x in got] == [x.dtype for x in expected]
    avals = [(var.shape, var.dtype) for var in graph.outputs]
    assert avals == [(x.shape, x.dtype) for x in got]


@over(DIFFERENTIABLE)
def test_the_gradients_graph_is_eager(case):
    args = case.example()
    graph = mg.make_graph(mg.grad(loss(case.f), argnums=tuple(case.moving)))(*args)
    assert_same(graph(*args), gradient(case, args), order=1)


@over([case for case in WITH_ARGS if case.float32 and case.moving])
def test_float32_stays_float32(case):
    args = case.example()
    single = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in map(np.asarray, args)]
    with np.errstate(all="ignore"):
        expected = leaves(case.reference(*single))
    got = leaves(case.f(*map(mg.asarray, single)))
    assert [x.dtype for x in got] == [x.dtype for x in expected]
    assert_same(
        got,
        [x.astype(y.dtype) for x, y in zip(leaves(case.f(*map(mg.asarray, args))), got, strict=True)],
        dtype=np.float32,
    )
    if case.derivative == "none":
        return
    found = gradient(case, single)
    assert {x.dtype for x in found} == {np.dtype(np.float32)}
    assert_same(found, gradient(case, args), order=1, dtype=np.float32)
    inputs = tuple(mg.asarray(single[k]) for k in case.moving)
    scalar = loss(of_moving(case, single))
    for mode in ("reverse_over_reverse", "forward_over_reverse"):
        if case.operation == "custom_vjp" and mode == "forward_over_reverse":
            continue
        assert {x.dtype for x in leaves(mg.hvp(scalar, inputs, inputs, mode=mode))} == {np.dtype(np.float32)}


@over([case for case in DIFFERENTIABLE if len(case.moving) > 1])
def test_mixed_dtypes_promote_and_gradients_have_their_inputs_dtype(case):
    wide = case.example()
    first = case.moving[0]
    wide[first] = np.asarray(wide[first]).astype(np.float32).astype(np.float64)
    mixed = [np.asarray(x).astype(np.float32) if k == first else x for k, x in enumerate(wide)]
    expected, got = leaves(case.f(*map(mg.asarray, wide))), leaves(case.f(*map(mg.asarray, mixed)))
    assert [x.dtype for x in got] == [x.dtype for x in leaves(case.reference(*mixed))]
    assert_same([x.astype(y.dtype) for x, y in zip(got, expected, strict=True)], expected, dtype=np.float32)
    found = gradient(case, mixed)
    assert [g.dtype for g in found] == [np.asarray(mixed[k]).dtype for k in case.moving]
    assert_same(found, gradient(case, wide), order=1, dtype=np.float32)
    if case.operation != "custom_vjp":
        x, *others = [mg.asarray(mixed[k]) for k in case.moving]
        f = of_moving(case, mixed)
        for g, primals in ((f, [x, *others]), (lambda x: f(x, *others), [x])):
            outputs, tangents = mg.jvp(g, primals, list(map(mg.ones_like, primals)))
            assert [t.dtype for t in leaves(tangents)] == [y.dtype for y in leaves(outputs)]


@over([case for case in DIFFERENTIABLE if len(case.moving) > 1 and case.derivative == "smooth"])
def test_a_tangent_of_one_argument_is_that_of_all_with_zeros_for_the_others(case):
    args = case.example()
    f, inputs = of_moving(case, args), [mg.asarray(args[k]) for k in case.moving]
    for k, x in enumerate(inputs):
        tangent = mg.asarray(random_direction(np.random.default_rng(k), x.shape))
        alone = mg.jvp(lambda x, k=k: f(*inputs[:k], x, *inputs[k + 1 :]), (x,), (tangent,))
        tangents = [tangent if j == k else mg.zeros_like(y) for j, y in enumerate(inputs)]
        assert_same(alone, mg.jvp(f, inputs, tangents), order=1)


@over([case for case in DIFFERENTIABLE if case.derivative == "smooth"])
def test_a_complex_step_through_analytic_operations_is_the_tangent(case):
    args = case.example()
    f, point = loss(of_moving(case, args)), [np.asarray(args[k]) for k in case.moving]
    direction = [random_direction(np.random.default_rng(k), x.shape) for k, x in enumerate(point)]
    try:
        found = complex_step(f, point, direction)
    except NotAnalyticError:
        return  # said to be none, and not measured so
    _, tangent = mg.jvp(f, [mg.asarray(x) for x in point], [mg.asarray(v) for v in direction])
    close(np.asarray(found.value), np.asarray(tangent), order=1)


@over(WITH_ARGS)
def test_strided_inputs_give_the_same(case):
    args = [np.asarray(x) for x in case.example()]
    spread = [np.repeat(x.T[::-1], 2, axis=0) if x.ndim else x for x in args]

    def strided(*bases):
        views = [mg.permute_dims(b[::-2], range(b.ndim)[::-1]) if b.ndim else b for b in map(mg.asarray, bases)]
        return case.f(*views)

    assert_same(strided(*spread), case.f(*map(mg.asarray, args)))
    columns = [np.asfortranarray(x) if x.ndim else x for x in args]
    assert_same(case.f(*map(mg.asarray, columns)), case.f(*map(mg.asarray, args)))
    if case in DIFFERENTIABLE:
        got = gradient(case, spread, strided)
        assert_same([g[::-2].T if g.ndim else g for g in got], gradient(case, args), order=1)
        assert all(not g[::2].any() for g in got if g.ndim)


@over(WITH_ARGS)
def test_inputs_are_left_unchanged(case):
    args = case.example()
    before = [np.array(x) for x in args]
    tensors = [mg.asarray(x) for x in args]
    case.f(*tensors)
    if case in DIFFERENTIABLE:
        gradient(case, tensors)
        gradient(case, args)
    for x, t, old in zip(args, tensors, before, strict=True):
        np.testing.assert_array_equal(x, old)
        np.testing.assert_array_equal(t, old)


def test_a_cast_hands_derivatives_through_in_the_input_dtype():
    x = mg.asarray([1.5, -2.0])
    g = mg.grad(lambda x: mg.sum(mg.astype(x, mg.float32) ** 2))(x)
    assert g.dtype == np.float64
    np.testing.assert_array_equal(g, [3.0, -4.0])
    _, tangent = mg.jvp(lambda x: mg.astype(x, mg.float32) ** 2, (x,), (mg.ones(2),))
    assert tangent.dtype == np.float32
    np.testing.assert_array_equal(mg.hessian(lambda x: mg.sum(mg.astype(x, mg.float32) ** 2))(x), 2 * np.eye(2))


def test_a_functions_own_derivative_is_right_to_third_order():
    (case,) = [case for case in CASES if case.operation == "custom_vjp"]
    report = check_gradients(case.f, [*map(mg.asarray, case.example())], order=3, modes=("reverse",))
    assert report.checks == 3 * 2


def public_operations():
    from metagrad import linalg, operations
    from metagrad.nn import functions

    for home, prefix in ((operations, ""), (linalg, "linalg."), (functions, "nn.")):
        for name in getattr(home, "__all__", None) or [n for n in vars(home) if n in mg.nn.__all__]:
            thing = getattr(home, name)
            if callable(thing) and not (inspect.isclass(thing) and issubclass(thing, np.generic)):
                yield prefix + name


def primitives(cls=mg.Primitive):
    """All concrete primitives of the library that exist once it is imported."""
    for sub in cls.__subclasses__():
        if sub.__subclasses__():
            yield from primitives(sub)
        elif sub.__module__.split(".")[0] == "metagrad":
            yield sub


def test_every_public_operation_has_a_case():
    assert set(public_operations()) - {case.operation for case in CASES} == set()


def primitives_of(f, args):
    return {type(equation.primitive) for equation in mg.make_graph(f)(*args).equations}


def test_every_primitive_has_a_case():
    covered = set()
    for case in WITH_ARGS:
        covered |= primitives_of(case.f, case.example())
        if case in DIFFERENTIABLE:
            covered |= primitives_of(mg.grad(loss(case.f), argnums=tuple(case.moving)), case.example())
    missing = {cls.__name__ for cls in primitives() if cls not in covered}
    assert not missing, f"primitives without a case in tests/battery/cases: {sorted(missing)}"
