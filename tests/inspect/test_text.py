"""Graphs as text: readable, exact, and true to the graph."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import pytest
from programs import conv_meta_step, meta_gradient, product

import metagrad as mg
from metagrad import inspect
from metagrad.errors import DTypeError
from metagrad.ops.contraction import Contract


def test_the_second_derivative_of_a_product_reads_like_a_page_of_mathematics():
    assert inspect.text(mg.make_graph(mg.grad(mg.grad(product)))(0.3)) == (
        """\
inputs     a: f64[]

order 0
  b = sin(a)  f64[]   unused
  c = b * a   f64[]   unused

gradient 1, order 1
  e = 1 * a   f64[]   ∂c
  f = 1 * b   f64[]   ∂c   unused
  g = cos(a)  f64[]   ∂b
  h = e * g   f64[]   ∂b   unused
  i = f + h   f64[]   ∂b   unused

gradient 2 / gradient 1, order 2
  k = 1 * g   f64[]   ∂h
  l = 1 * e   f64[]   ∂h
  m = sin(a)  f64[]   ∂g
  n = l * m   f64[]   ∂g
  o = -n      f64[]   ∂g
  p = k * 1   f64[]   ∂e
  q = o + p   f64[]   ∂e

gradient 2, order 1
  r = cos(a)  f64[]   ∂b
  t = 1 * r   f64[]   ∂b
  u = q + t   f64[]   ∂b

outputs    u"""
    )


def test_a_gradient_stands_where_it_was_taken():
    lines = inspect.text(mg.make_graph(meta_gradient())(1.5)).splitlines()
    headings = [line for line in lines if line.endswith(("order 0", "order 1", "order 2"))]
    inner = "inner step 1 / gradient, order 1"
    assert headings.index("inner step 1, order 0") < headings.index(inner)
    assert headings.index(inner) < headings.index("inner step 2, order 0")
    assert headings.index("inner step 2 / gradient, order 1") < headings.index("gradient, order 1")
    outer = ["gradient / inner step 2 / gradient, order 2", "gradient / inner step 1 / gradient, order 2"]
    assert headings.index(outer[0]) < headings.index(outer[1])


def test_forward_mode_stands_beside_what_it_differentiates():
    def product_of_hessian(x):
        return mg.hvp(product, (x,), (x,), mode="forward_over_reverse")

    text = inspect.text(mg.make_graph(product_of_hessian)(0.3))
    for heading in ("order 0", "tangent, order 1", "gradient, order 1", "tangent / gradient, order 2"):
        assert f"\n{heading}\n" in text


def test_layers_and_the_query_loss_are_named_in_the_graph():
    step, params = conv_meta_step(steps=1)
    scopes = {e.scope for e in mg.make_graph(step)(params).equations}
    assert ("inner step 1", "conv2d 0") in scopes
    assert ("inner step 1", "batch_norm 1") in scopes
    assert ("query loss", "dense 13") in scopes


def test_products_are_written_as_products():
    def text(f, *shapes):
        return inspect.text(mg.make_graph(f)(*map(np.ones, shapes)))

    assert "c = a @ b " in text(mg.matmul, (4, 3), (3, 2))
    assert "c = a @ b " in text(mg.matmul, (7, 4, 3), (7, 3, 2))
    assert "c = a @ b " in text(mg.matmul, (4, 3), (3,))
    assert "c = a @ b " in text(mg.matmul, (3,), (3, 2))
    assert "c = a @ b " in text(mg.matmul, (3,), (3,))
    both = text(mg.grad(lambda x, w: mg.sum(x @ w), argnums=(0, 1)), (4, 3), (3, 2))
    assert " @ bᵀ " in both
    assert " = aᵀ @ " in both
    assert "c = einsum(abc,abc->c; a, b)" in text(lambda x, y: mg.einsum("abc,abc->c", x, y), (4, 3, 2), (4, 3, 2))
    assert "b = sum(a; axes 0)" in text(lambda x: mg.sum(x, axis=0), (4, 3))
    assert "b = a[1:, ::2]" in text(lambda x: x[1:, ::2], (4, 3))
    assert "max_pool(a; window 2 stride 2)" in text(lambda x: mg.nn.max_pool2d(x, 2), (1, 4, 4, 1))
    assert "c = convolution(a, b; stride 2)" in text(
        lambda x, w: mg.nn.conv2d(x, w, stride=2), (1, 8, 8, 3), (3, 3, 3, 4)
    )


@pytest.mark.parametrize("a", ["ik", "ki", "k"])
@pytest.mark.parametrize("b", ["kj", "jk", "k"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_product_means_what_is_written(a, b, turned):
    out = (a + b).replace("k", "")[:: -1 if turned else 1]
    size = {"i": 2, "j": 4, "k": 3}
    rng = np.random.default_rng(0)
    x, y = (rng.random([size[c] for c in letters]) for letters in (a, b))
    graph = mg.make_graph(lambda x, y: Contract(a, b, out)(x, y))(x, y)
    (line,) = [line for line in inspect.text(graph).splitlines() if line.startswith("  c = ")]
    written = line.removeprefix("  c = ").split("  ")[0]
    if not written.startswith("einsum"):
        value = eval(written.replace("ᵀ", ".T"), {"a": x, "b": y})
        np.testing.assert_allclose(value, np.einsum(f"{a},{b}->{out}", x, y), rtol=1e-12)
    assert written.startswith("einsum") == (len(a) != len(b) and "k" not in (a[-1] if len(b) == 1 else b[0]))


def test_a_primitive_of_the_users_is_written_by_its_name():
    class Slice(mg.Primitive):
        def forward(self, x):
            return x + 1

        def abstract(self, x):
            return x

    assert "b = slice(a)" in inspect.text(mg.make_graph(Slice())(0.5))


def test_what_a_checkpoint_runs_is_laid_open():
    graph = mg.make_graph(mg.grad(mg.checkpoint(product)))(0.3)
    found = inspect.text(graph)
    assert "gradient / checkpoint" in found
    assert found.count("sin(a)") == 2  # once forwards, once again
    plain = inspect.text(mg.make_graph(mg.grad(product))(0.3))
    assert plain.count("sin(a)") == 1


def test_no_equation_takes_the_letter_that_an_argument_is_called_by():
    def f(b, p, x):
        for _ in range(5):
            x = mg.sin(x) * b["w"]
        return mg.sum(x * p[0])

    graph = mg.make_graph(mg.grad(f))({"w": mg.ones(3)}, [mg.ones(3)], mg.ones(3))
    cut = inspect.first_order_cut(graph)
    for look, made in (
        (inspect.text, r"^  (\w+) = "),
        (inspect.svg, r">(\w+) = "),
        (inspect.dot, r'label="(\w+) = '),
        (inspect.html, r'"left":"(\w+)"'),
    ):
        for shown in (look(graph), look(cut)):
            names = set(re.findall(made, shown, re.MULTILINE))
            assert {"c", "q"} & names
            assert not {"b", "p"} & names
            assert "b[" in shown
    assert {str(e).split(" = ")[0] for e in graph.equations}.isdisjoint("bp")


def test_a_prompt_shows_all_of_what_can_be_read_and_the_parts_of_what_cannot():
    def f(x, n):
        for _ in range(n):
            x = mg.sin(x)
        return x

    read, large = (mg.make_graph(lambda x, n=n: f(x, n))(0.5) for n in (200, 201))
    assert repr(read) == str(read) == inspect.text(read)
    assert repr(large) == str(large) != inspect.text(large)
    assert "201 equations, folded here; mg.inspect.text(graph) writes them all" in repr(large)
    assert "gt = sin(gs)" in inspect.text(large)


def test_what_a_prompt_folds_is_counted_by_part_and_by_order():
    step, params = conv_meta_step(filters=2)
    graph = mg.make_graph(step)(params)
    found = repr(graph)
    given, parts, results, total = found.split("\n\n")
    for k in range(1, 6):
        assert re.search(rf"^  inner step {k} +orders 0, 1: \d+ equations, ", parts, re.MULTILINE)
        assert re.search(rf"^  gradient / inner step {k} +orders 1, 2: \d+ equations, ", parts, re.MULTILINE)
    counted = [re.search(r": ([\d,]+) equation", line) for line in parts.splitlines()]
    n = sum(int(c[1].replace(",", "")) if c else 1 for c in counted)
    assert total.startswith(f"{n:,} equations, folded here")
    orders = re.findall(r"order \d, .*: ([\d,]+) equation", total)
    assert sum(int(c.replace(",", "")) for c in orders) == n == inspect.cost(graph).total.equations
    assert given in inspect.text(graph)
    assert results in inspect.text(graph)


def test_a_prompt_lists_no_more_arrays_than_can_be_read():
    graph = mg.make_graph(lambda xs: [mg.sin(x) * 2.0 for x in xs])([1.0] * 150)
    assert "xs[19]: f64[], and 130 more\n" in repr(graph)
    assert len(repr(graph).splitlines()) < 60
    assert "xs[149]: f64[]\n" in inspect.text(graph)


def test_what_is_found_out_is_shown_as_text_at_a_prompt_and_in_a_notebook():
    graph = mg.make_graph(product)(0.3)
    for found, said in (
        (inspect.cost(graph), "live memory  at most 24 B"),
        (inspect.compare(graph, graph, ("<a>", "b")), "dearest chain, flop"),
        (inspect.order_report(mg.grad(mg.grad(product)), 0.3), "second order: the result depends on "),
    ):
        assert said in repr(found)
        assert repr(found) == str(found)
        assert found._repr_html_() == f"<pre>{escape(str(found))}</pre>"
    assert inspect.cost(graph) == inspect.cost(mg.make_graph(product)(0.3))
    assert "&lt;a&gt;" in inspect.compare(graph, graph, ("<a>", "b"))._repr_html_()


def test_a_graph_without_equations_is_said_to_have_none():
    assert inspect.text(mg.make_graph(lambda x: x)(0.3)) == "inputs     a: f64[]\n\noutputs    a"


@pytest.mark.parametrize("look", [inspect.text, inspect.svg, inspect.html, inspect.dot, inspect.cost])
def test_what_is_no_graph_is_refused(look):
    with pytest.raises(DTypeError, match=rf"^\[{look.__name__}\] requires a Graph, as mg.make_graph\(f\)\(\*args\)"):
        look(product)


def test_a_graph_that_another_one_traces_keeps_its_scopes_orders_and_lines():
    graph = mg.make_graph(meta_gradient())(1.5)
    again = mg.make_graph(graph)(1.5)
    for old, new in zip(graph.equations, again.equations, strict=True):
        assert (old.order, old.scope, old.source) == (new.order, new.scope, new.source)
    assert inspect.text(again) == inspect.text(graph)
    with mg.named_scope("around"):
        around = mg.make_graph(graph)(1.5)
    assert {e.scope[0] for e in around.equations} == {"around"}
