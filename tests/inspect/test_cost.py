"""What a graph costs: against counts by hand, plain simulations and memory that was measured."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from programs import conv_meta_step, meta_gradient, product

import metagrad as mg
from metagrad import inspect, nn


def flops(f, *shapes, dtype=np.float64):
    return inspect.cost(mg.make_graph(f)(*[np.ones(s, dtype) for s in shapes])).total.flops


def test_products_cost_a_multiplication_and_an_addition_for_each_term():
    assert flops(mg.matmul, (4, 3), (3, 5)) == 2 * 4 * 3 * 5
    assert flops(mg.matmul, (7, 4, 3), (3, 5)) == 2 * 7 * 4 * 3 * 5
    assert flops(mg.vmap(mg.matmul), (7, 4, 3), (7, 3, 5)) == 2 * 7 * 4 * 3 * 5
    gradient = mg.grad(lambda x, w: mg.sum(x @ w), argnums=(0, 1))
    found = inspect.cost(mg.make_graph(gradient)(np.ones((4, 3)), np.ones((3, 5))))
    assert found.by_operation["contract"].flops == 3 * 2 * 4 * 3 * 5


def test_a_convolution_and_its_two_gradients_cost_the_same():
    n, size, channels, filters = 2, 8, 3, 5
    expected = 2 * n * 4 * 4 * 3 * 3 * channels * filters  # stride 2 leaves 4 x 4 places

    def conv(x, w):
        return nn.conv2d(x, w, stride=2)

    shapes = ((n, size, size, channels), (3, 3, channels, filters))
    assert flops(conv, *shapes) == expected
    gradients = mg.grad(lambda x, w: mg.sum(conv(x, w)), argnums=(0, 1))
    by = inspect.cost(mg.make_graph(gradients)(*map(np.ones, shapes))).by_operation
    names = ("convolution", "convolution_input_gradient", "convolution_weight_gradient")
    assert [by[name].flops for name in names] == [expected] * 3
    tasks = inspect.cost(mg.make_graph(mg.vmap(conv))(np.ones((6, *shapes[0])), np.ones((6, *shapes[1]))))
    assert tasks.total.flops == 6 * expected


@pytest.mark.parametrize(
    ("f", "shapes", "expected"),
    [
        (mg.exp, [(3, 4)], 12),
        (mg.add, [(3, 1), (4,)], 12),
        (lambda x: mg.sum(x, axis=0), [(3, 4)], 12),
        (lambda x: mg.permute_dims(mg.reshape(x, (4, 3)), (1, 0)), [(3, 4)], 0),
        (lambda x: x[1:], [(3, 4)], 0),
        (lambda x, w, b: nn.Dense(5).apply({"kernel": w, "bias": b}, x), [(4, 3), (3, 5), (5,)], 2 * 4 * 3 * 5 + 4 * 5),
        (lambda x: nn.max_pool2d(x, 2), [(1, 4, 4, 3)], 4 * 2 * 2 * 3),
        (lambda x: x * 2, [(0, 3)], 0),
        (lambda x: x * 2, [()], 1),
        (mg.linalg.solve, [(3, 3), (3, 2)], 2 * 27 // 3 + 2 * 9 * 2),
    ],
)
def test_operations_cost_what_a_hand_counts(f, shapes, expected):
    graph = mg.make_graph(f)(*[np.eye(*s) if len(s) == 2 else np.ones(s) for s in shapes])
    assert inspect.cost(graph).total.flops == expected


def simulated_peak(graph):
    """Bytes held at most, by asking at each equation which buffers are still wanted: slow and plain."""
    owner = {}
    for e in graph.equations:
        for var in e.outputs:
            shares = e.primitive.name in ("reshape", "permute_dims", "broadcast_to", "slice", "stop_gradient")
            owner[var] = owner.get(e.inputs[0], e.inputs[0]) if shares else var
    given = [*graph.inputs, *(var for var, _ in graph.constants)]
    peak = 0
    for now in range(len(graph.equations)):
        made = {owner[v] for e in graph.equations[: now + 1] for v in e.outputs}
        wanted = {owner.get(x, x) for x in graph.outputs}
        wanted |= {
            owner.get(x, x) for e in graph.equations[now:] for x in (*e.inputs, *e.outputs) if hasattr(x, "shape")
        }
        held = (made & wanted) | {owner.get(x, x) for x in given}
        peak = max(peak, sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in held))
    return peak


@pytest.mark.parametrize("f", [mg.grad(mg.grad(product)), meta_gradient(), meta_gradient(first_order=True)])
def test_peak_memory_is_that_of_a_plain_simulation(f):
    graph = mg.make_graph(f)(0.3)
    assert inspect.cost(graph).peak == simulated_peak(graph)


def test_peak_memory_of_the_conv_meta_step_is_that_of_a_plain_simulation():
    step, params = conv_meta_step(filters=2, steps=1)
    graph = mg.make_graph(step)(params)
    assert inspect.cost(graph).peak == simulated_peak(graph)


def test_a_view_takes_no_memory_and_holds_what_it_looks_at():
    def f(x):
        first = mg.exp(x)[:1]
        return mg.sum(mg.sin(x)) + first

    # x and exp(x); the view; sin(x); its sum; sin(x) is gone, but exp(x) is held by its view.
    assert inspect.cost(mg.make_graph(f)(np.ones(1000))).live == [16000, 16000, 24000, 24008, 16016]
    spread = mg.make_graph(lambda x: mg.broadcast_to(mg.sum(x), (1000,)) * x)(np.ones(1000))
    assert inspect.cost(spread).peak == 16008


def test_peak_memory_is_that_which_running_the_graph_takes():
    def f(x):
        y = mg.exp(mg.sin(x))
        return mg.sum(mg.reshape(y, (-1, 2)) * 3.0) + mg.sum(mg.cos(y) * y)

    x = mg.ones(200_000)
    graph = mg.make_graph(mg.grad(mg.grad(lambda s: f(s * x))))(0.5)
    graph(0.5)
    tracemalloc.start()
    graph(0.5)
    measured = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    modelled = inspect.cost(graph).peak - sum(np.asarray(value).nbytes for _, value in graph.constants)
    assert measured == pytest.approx(modelled, rel=0.02)


def test_a_checkpoint_takes_less_memory_and_computes_again():
    def f(x, wrap):
        for _ in range(4):
            x = wrap(lambda v: mg.exp(mg.sin(mg.cos(mg.tanh(v)))))(x)
        return mg.sum(x)

    x = np.ones(1000)
    plain, saved = (
        inspect.cost(mg.make_graph(mg.grad(lambda v, w=w: f(v, w)))(x)) for w in (lambda g: g, mg.checkpoint)
    )
    assert saved.peak < plain.peak
    assert saved.by_order[0].flops > plain.by_order[0].flops
    assert saved.by_order[1].equations >= plain.by_order[1].equations


def test_orders_operations_and_scopes_each_add_up_to_the_whole():
    step, params = conv_meta_step(steps=3)
    found = inspect.cost(mg.make_graph(step)(params))
    scopes = [tally for by in found.by_scope.values() for tally in by.values()]
    for parts in (found.by_order.values(), found.by_operation.values(), scopes):
        for attribute in ("equations", "flops", "bytes"):
            assert sum(getattr(t, attribute) for t in parts) == getattr(found.total, attribute)
    assert set(found.by_scope) == {*[f"inner step {k}" for k in (1, 2, 3)], "query loss", "outside of scopes"}
    assert found.by_scope["inner step 2"] == found.by_scope["inner step 3"]


def test_the_longest_chain_is_found():
    found = inspect.cost(mg.make_graph(lambda x: mg.exp(mg.exp(x)) + mg.sum(mg.sin(x)))(np.ones(5)))
    assert (found.chain, found.chain_flops) == (3, 15)


def test_the_table_says_what_was_counted():
    text = str(inspect.cost(mg.make_graph(mg.grad(mg.grad(product)))(0.3)))
    assert "order 2           7     7" in text
    assert "live memory  at most 72 B, at equation 7 of 17" in text
    assert "longest chain  6 equations; the dearest 6 flop" in text


def test_a_graph_without_equations_costs_nothing():
    cost = inspect.cost(mg.make_graph(lambda x: x)(np.ones(3)))
    assert str(cost).endswith("no equations: nothing runs")
    assert "peak" not in cost.svg()


def test_the_curve_marks_its_peak():
    cost = inspect.cost(mg.make_graph(mg.grad(mg.grad(product)))(0.3))
    picture = cost.svg()
    assert picture.startswith("<svg")
    assert f"peak {cost.peak} B at equation {cost.peak_at + 1}" in picture
