"""Pictures of graphs: folding loses no equation, edges are dependences, layouts have no overlap."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from programs import conv_meta_step, meta_gradient, product

import metagrad as mg
from metagrad import inspect
from metagrad.core.graph import Var
from metagrad.errors import OptionError
from metagrad.inspect.fold import Box, Stub, fold, view
from metagrad.inspect.layout import GAP, layered
from metagrad.inspect.program import Program

SVG = "{http://www.w3.org/2000/svg}"


@st.composite
def programs(draw):
    """A traced program of random operations, scopes and derivatives."""
    lines = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["sin", "multiply", "add", "exp"]),
                st.integers(0, 30),
                st.integers(0, 30),
                st.sampled_from([(), ("a",), ("b",), ("a", "c"), ("b", "c", "d")]),
            ),
            min_size=1,
            max_size=25,
        )
    )

    def f(x):
        known = [x]
        for name, i, j, scope in lines:
            operands = [known[i % len(known)], known[j % len(known)]][: 1 if name in ("sin", "exp") else 2]
            run = getattr(mg, name)
            for part in reversed(scope):
                run = mg.named_scope(part)(run)
            known.append(run(*operands))
        return mg.sum(mg.stack(known))

    for _ in range(draw(st.integers(0, 2))):
        f = mg.grad(f)
    f = draw(st.sampled_from([f, mg.checkpoint(f)]))
    return Program.of("test", mg.make_graph(f)(0.5))


def steps_of(node):
    return node.steps if isinstance(node, Box) else [] if isinstance(node, Stub) else [node]


@settings(max_examples=40)
@given(programs(), st.integers(4, 12))
def test_folding_loses_no_equation_and_every_edge_is_a_dependence(program, most):
    root = fold(program, most)
    shown = [c.number for box in root.boxes() for c in box.children if not isinstance(c, Box)]
    assert sorted(shown) == list(range(len(program.steps)))
    for box in root.boxes():
        assert len(box.children) <= most
        seen = view(program, root, box, most)
        inside = [s.number for node in seen.nodes for s in steps_of(node)]
        assert sorted(inside) == sorted(s.number for s in box.steps)
        said = [sum(node.orders.values()) if isinstance(node, Box) else len(steps_of(node)) for node in seen.nodes]
        assert sum(said) == len(box.steps)
        stubs = [k for k, node in enumerate(seen.nodes) if isinstance(node, Stub)]
        assert all(sum(k in ends for ends in seen.edges) <= 6 for k in stubs)
        carried = set()
        for (a, b), arrays in {**seen.edges, **seen.ports}.items():
            tail, head = seen.nodes[a], seen.nodes[b]
            assert arrays
            for x in arrays:
                if not isinstance(tail, Stub):
                    assert any(x in s.outputs for s in steps_of(tail))
                if not isinstance(head, Stub):
                    assert any(x in s.inputs for s in steps_of(head))
                if not isinstance(tail, Stub) and not isinstance(head, Stub):
                    carried.add((a, b, x))
        place = {s.number: k for k, node in enumerate(seen.nodes) for s in steps_of(node)}
        real = {
            (place[program.maker[x]], place[s.number], x)
            for s in box.steps
            for x in s.inputs
            if isinstance(x, Var) and program.maker.get(x) in place and place[program.maker[x]] != place[s.number]
        }
        assert carried == real


@settings(max_examples=60)
@given(st.integers(1, 25), st.data())
def test_nodes_do_not_overlap_and_edges_run_downwards(n, data):
    pair = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] < e[1])
    edges = data.draw(st.lists(pair, unique=True, max_size=40)) if n > 1 else []
    sizes = [(40.0 + 10 * (k % 5), 30.0) for k in range(n)]
    found = layered(sizes, edges)
    for a, b in edges:
        assert found.centres[a][1] < found.centres[b][1]
        assert found.routes[a, b][0] == found.centres[a]
        assert found.routes[a, b][-1] == found.centres[b]
    for i in range(n):
        x, y = found.centres[i]
        assert x - sizes[i][0] / 2 + 1e-6 >= 0
        assert x + sizes[i][0] / 2 <= found.size[0] + 1e-6
        for j in range(i):
            if abs(found.centres[j][1] - y) < 30:
                assert abs(found.centres[j][0] - x) >= (sizes[i][0] + sizes[j][0]) / 2 + GAP - 1e-6


def test_a_cycle_is_laid_out_all_the_same():
    found = layered([(10.0, 10.0)] * 3, [(0, 1), (1, 2), (2, 0)])
    assert len({y for _, y in found.centres}) == 3
    assert found.routes[2, 0][0] == found.centres[2]


def test_a_small_graph_is_drawn_whole():
    picture = ET.fromstring(inspect.svg(mg.make_graph(mg.grad(mg.sin))(0.5)))
    steps = [g for g in picture.iter(f"{SVG}g") if "step" in g.get("class", "").split()]
    assert ["".join(t.text for t in g.iter(f"{SVG}text")) for g in steps] == [
        "b = sin(a)f64[]",
        "c = cos(a)f64[]",
        "e = 1 * cf64[]",
    ]
    assert ["unused" in g.get("class") for g in steps] == [True, False, False]
    strokes = [g.find(f"{SVG}rect").get("stroke") for g in steps]
    assert strokes == ["#0072B2", "#E69F00", "#E69F00"]
    ends = [
        (int(p.get("data-from")), int(p.get("data-to"))) for p in picture.iter(f"{SVG}path") if p.get("class") == "edge"
    ]
    titles = ["".join(g.itertext()) for g in picture.iter(f"{SVG}g") if g.get("data-node")]
    assert sorted(ends) == [(1, 2), (2, 4), (3, 0), (3, 1)]
    assert titles[3:] == ["inputs", "outputs"]
    legend = next(g for g in picture.iter(f"{SVG}g") if g.get("class") == "legend")
    assert [t.text for t in legend.iter(f"{SVG}text")] == ["order 0: 1 equation", "order 1: 2 equations"]


def test_dot_puts_a_scope_into_a_cluster_and_changes_nothing_else():
    layer = mg.named_scope("layer")(mg.sin)
    plain, scoped = (inspect.dot(mg.make_graph(f)(0.5)) for f in (product, lambda x: layer(x) * x))
    node = '  0 [label="b = sin(a)\\nf64[]", color="#0072B2"];\n'
    assert scoped == plain.replace(node, f'  subgraph cluster_0 {{ label="layer";\n  {node}  }}\n')
    assert scoped != plain


def test_the_conv_meta_step_is_drawn_in_seconds_and_folded_by_step():
    step, params = conv_meta_step()
    start = time.process_time()
    graph = mg.make_graph(step)(params)
    page = inspect.html(graph)
    assert time.process_time() - start < 10
    picture = ET.fromstring(inspect.svg(graph))
    titles = [g.get("data-path") for g in picture.iter(f"{SVG}g") if g.get("class") == "box"]
    steps = [f"inner step {k}" for k in range(1, 6)]
    assert titles == [*steps, "query loss", "gradient / query loss", *[f"gradient / {s}" for s in reversed(steps)]]
    assert "orders 1, 2: 138 equations" in inspect.svg(graph)
    inside = inspect.svg(graph, "gradient / inner step 2")
    assert "gradient / conv2d 3" in inside
    assert page.count('<template id="view') > 100


def test_a_page_draws_no_more_than_it_has_room_for(monkeypatch):
    def f(x):
        for _ in range(1000):
            x = mg.sin(x) * 1.01
        return x

    graph = mg.make_graph(mg.grad(f))(0.3)
    folded = inspect.svg(graph)
    assert folded.count("<g") < 300
    assert "2,000 equations" in folded
    whole = inspect.html(graph).count('<template id="view')
    monkeypatch.setattr("metagrad.inspect.page._MOST", 300)
    assert 1 < inspect.html(graph).count('<template id="view') < whole / 10


def test_a_path_that_the_graph_lacks_is_refused_and_near_ones_are_named():
    graph = mg.make_graph(meta_gradient())(1.5)
    with pytest.raises(
        OptionError, match=r"^\[svg\] requires a path of the graph \(.*inner step 1.*\) but got 'inner step 9'"
    ):
        inspect.svg(graph, "inner step 9")


def test_a_notebook_shows_the_page():
    shown = mg.make_graph(mg.grad(product))(0.3)._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')


def test_what_is_written_in_a_scope_cannot_break_the_page():
    def f(x):
        with mg.named_scope("</script><b>&\"'"):
            return mg.sin(x)

    graph = mg.make_graph(mg.grad(f))(0.5)
    ET.fromstring(inspect.svg(graph))
    page = inspect.html(graph, title="<i>")
    assert "</script><b>" not in page
    assert "<i>" not in page
