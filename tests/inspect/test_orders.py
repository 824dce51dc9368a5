"""Whether a computation is second order, what first-order MAML cuts of it, and how two graphs differ."""

from __future__ import annotations

import numpy as np
import optree
import pytest
from programs import TASK, conv_meta_step, loss, meta_gradient, product

import metagrad as mg
from metagrad import inspect, nn
from metagrad.errors import DTypeError, OptionError
from metagrad.inspect.program import Program
from metagrad.meta import adapt


def detached(w):
    return loss(w - 0.5 * mg.stop_gradient(mg.grad(loss)(w, TASK)), TASK)


CONSTANT_CURVATURE = mg.checkpoint(lambda c, x: mg.grad(mg.grad(product))(c) + x)


@pytest.mark.parametrize(
    "f",
    [
        meta_gradient(),
        mg.grad(mg.grad(product)),
        lambda x: mg.hvp(product, (x,), (x,)),
        lambda x: mg.hvp(product, (x,), (x,), mode="forward_over_reverse"),
        mg.grad(mg.grad(mg.checkpoint(product))),
        mg.grad(lambda x: mg.grad(lambda y: x * y * y)(x)),
    ],
)
def test_what_differentiates_a_derivative_is_second_order(f):
    assert inspect.order_report(f, 1.5).second_order
    inspect.assert_second_order(f, 1.5)


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (meta_gradient(first_order=True), "stop_gradient makes a constant of a derivative"),
        (mg.grad(detached), "stop_gradient makes a constant of a derivative"),
        (mg.grad(product), "no derivative of a derivative is taken, only first derivatives"),
        (mg.checkpoint(mg.grad(product)), "no derivative of a derivative is taken, only first derivatives"),
        (product, "no derivative of what depends on the arguments is taken"),
        (mg.grad(mg.grad(lambda x: x * x)), "a derivative of a derivative is taken, but it is constant"),
        (mg.make_graph(mg.grad(mg.grad(lambda x: x * x)))(0.5), "a derivative of a derivative is taken, but it is con"),
        (mg.grad(mg.grad(nn.relu)), "a derivative of a derivative is taken, but it is constant"),
        (mg.grad(mg.grad(lambda x: mg.maximum(x, 0.0) * 1.0)), "a derivative of a derivative is taken, but it is con"),
        (mg.grad(lambda x: mg.stop_gradient(mg.grad(product)(x))), "stop_gradient makes a constant of a derivative"),
        (mg.grad(mg.grad(lambda x: 3 * x)), "the derivative that is taken is constant"),
        (lambda x: x + mg.grad(mg.grad(product))(0.5), "no derivative of what depends on the arguments is taken"),
        (lambda x: (mg.grad(mg.grad(product))(x), x)[1] * 2, "the result does not depend on them"),
        (lambda x: x + CONSTANT_CURVATURE(np.asarray(0.5), x), "its second derivatives do not depend on the arguments"),
    ],
)
def test_what_does_not_is_not_and_the_report_says_why(f, why):
    report = inspect.order_report(f, 1.5)
    assert not report.second_order
    with pytest.raises(AssertionError, match=r"^not second order: ") as caught:
        inspect.assert_second_order(f, 1.5)
    assert str(caught.value) == str(report)
    assert why in str(report)


def test_the_line_that_detaches_is_named():
    line = detached.__code__.co_firstlineno + 1
    assert f"{__file__}:{line} in detached" in str(inspect.order_report(mg.grad(detached), 1.5))


@pytest.mark.parametrize("steps", [1, 3])
def test_what_first_order_maml_cuts_is_what_first_order_maml_lacks(steps):
    whole = inspect.order_report(meta_gradient(steps=steps), 1.5)
    first = inspect.order_report(meta_gradient(first_order=True, steps=steps), 1.5)
    assert without_stops(whole.first_order_cost) == without_stops(first.cost)


def test_the_same_holds_of_the_conv_meta_step():
    whole = inspect.order_report(*conv_meta_step(steps=2))
    first = inspect.order_report(*conv_meta_step(first_order=True, steps=2))
    assert without_stops(whole.first_order_cost) == without_stops(first.cost)
    assert whole.first_order_cost.total.flops == first.cost.total.flops < 0.5 * whole.cost.total.flops
    gone = whole.cost.total.equations - whole.first_order_cost.total.equations
    assert sum(whole.cut.values()) == sum(whole.cut_operations.values()) == gone
    assert set(whole.cut) == {"inner step 1", "inner step 2"}
    assert f"{gone} equations of {whole.cost.total.equations}" in str(whole)


@pytest.mark.parametrize("wrap", [lambda f: f, mg.checkpoint])
def test_what_is_left_of_the_cut_is_the_first_order_meta_gradient(wrap):
    def meta(first_order):
        def after(w):
            return wrap(lambda v: loss(adapt(loss, v, TASK, steps=2, lr=0.5, first_order=first_order), TASK))(w)

        return mg.grad(after)

    left = inspect.first_order_cut(mg.make_graph(meta(False))(1.5))
    for w in (1.5, -0.3):
        np.testing.assert_allclose(left(w), meta(True)(w), rtol=1e-14)
    assert inspect.text(left)
    assert max(s.order for s in Program.of("test", left).steps) == 1
    assert not inspect.order_report(left, 1.5).second_order
    names = [x.name for e in left.equations for x in e.outputs]
    assert len(set(names)) == len(names)


def test_the_cut_of_the_conv_meta_step_runs_and_keeps_its_places():
    step, params = conv_meta_step(steps=2, filters=2)
    graph = mg.make_graph(step)(params)
    left = inspect.first_order_cut(graph)
    expected = conv_meta_step(steps=2, filters=2, first_order=True)[0](params)
    for found, wanted in zip(*map(optree.tree_leaves, (left(params), expected)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    paths = {s.path[:1] for s in Program.of("test", left).steps}
    assert paths >= {("inner step 1",), ("inner step 2",), ("query loss",), ("gradient",)}


def test_where_nothing_is_left_there_are_zeros():
    left = inspect.first_order_cut(mg.make_graph(mg.hessian(lambda x: mg.sum(mg.sin(x))))(np.ones(2)))
    np.testing.assert_array_equal(left(np.ones(2)), np.zeros((2, 2)))


def without_stops(cost):
    return {name: (t.equations, t.flops, t.bytes) for name, t in cost.by_operation.items() if name != "stop_gradient"}


def test_a_function_that_returns_no_tensor_is_refused():
    with pytest.raises(DTypeError, match="requires a function that returns"):
        inspect.order_report(lambda x: None, 1.0)
    with pytest.raises(DTypeError, match="requires a function that returns arrays but got str"):
        inspect.order_report(lambda x: "three", 1.0)


def test_two_graphs_are_compared_by_order_and_operation():
    graphs = [mg.make_graph(meta_gradient(first_order))(1.5) for first_order in (False, True)]
    found = inspect.compare(*graphs, names=("MAML", "first-order MAML"))
    for (order, name), pair in found.operations.items():
        assert pair == tuple(sum(e.order == order and e.primitive.name == name for e in g.equations) for g in graphs)
        assert pair[0] != pair[1]
    assert all(pair[1] == 0 for (order, _), pair in found.operations.items() if order == 2)
    text = str(found)
    assert "MAML  first-order MAML  difference" in text
    assert "order 0  stop_gradient" in text
    assert "the same operations" in str(inspect.compare(graphs[0], graphs[0]))
    page = found.html()
    assert page.count("<iframe srcdoc=") == 2
    assert "<h2>first-order MAML</h2>" in page


def test_a_comparison_needs_two_graphs_and_two_names():
    graph = mg.make_graph(mg.sin)(1.0)
    with pytest.raises(DTypeError, match=r"^\[compare\] requires a Graph"):
        inspect.compare(graph, np.ones(3))
    with pytest.raises(OptionError, match=r"^\[compare\] requires two names but got 'MAML'"):
        inspect.compare(graph, graph, names="MAML")
