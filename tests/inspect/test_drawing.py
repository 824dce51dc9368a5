"""Pictures of graphs: folding loses no equation, edges are dependences, layouts have no overlap."""

from __future__ import annotations

import itertools
import re
import time
import xml.etree.ElementTree as ET

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from programs import conv_meta_step, meta_gradient, product

import metagrad as mg
from metagrad import inspect
from metagrad.core.graph import Var
from metagrad.errors import DTypeError, OptionError
from metagrad.inspect.derivative_orders import COLOURS
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
        others = [y for _, y in found.centres if y not in (found.centres[a][1], found.centres[b][1])]
        for (x0, y0), (x1, y1) in itertools.pairwise(found.routes[a, b]):
            assert x0 == x1 or all(y1 <= y - 15 + 1e-6 or y0 >= y + 15 - 1e-6 for y in others)  # upright beside nodes
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
    assert [t.text for t in legend.iter(f"{SVG}text")] == [
        "order 0, the function itself: 1 equation",
        "order 1, made by a derivative: 2 equations",
    ]


def test_dot_puts_a_scope_into_a_cluster_and_changes_nothing_else():
    layer = mg.named_scope("layer")(mg.sin)
    plain, scoped = (inspect.dot(mg.make_graph(f)(0.5)) for f in (product, lambda x: layer(x) * x))
    node = '  0 [label="b = sin(a)\\nf64[]", color="#0072B2"];\n'
    assert scoped == plain.replace(node, f'  subgraph cluster_0 {{ label="layer";\n  {node}  }}\n')
    assert scoped != plain


def test_dot_folds_as_the_picture_does_and_can_be_whole():
    graph = mg.make_graph(meta_gradient(steps=5))(1.5)
    folded, whole = inspect.dot(graph), inspect.dot(graph, fold=False)
    boxes = re.findall(r'label="(.*?)\\n.*shape=box3d', folded)
    picture = ET.fromstring(inspect.svg(graph))
    assert boxes == [g.get("data-path") for g in picture.iter(f"{SVG}g") if g.get("class") == "box"]
    assert "gradient / inner step 2" in boxes
    assert len(re.findall(r"^ +\d+ \[", whole, re.MULTILINE)) == len(graph.equations)
    assert "box3d" not in whole
    inside = inspect.dot(graph, "inner step 2")
    assert len(re.findall(r"^ +\d+ \[", inside, re.MULTILINE)) == sum(
        s.path[0] == "inner step 2" for s in Program.of("test", graph).steps if s.path
    )
    assert '"from inner step 1" ->' in inside
    with pytest.raises(OptionError, match=r"^\[dot\] requires a path"):
        inspect.dot(graph, "inner step 9")


def test_many_inner_steps_are_folded_by_their_numbers():
    graph = mg.make_graph(meta_gradient(steps=50))(1.5)
    picture = ET.fromstring(inspect.svg(graph))
    titles = [g.get("data-path") for g in picture.iter(f"{SVG}g") if g.get("class") == "box"]
    assert titles[0] == "inner steps 1 to 3"
    assert any(title.startswith("gradient / inner steps 50 to ") for title in titles)
    assert 'data-path="inner steps 1 to 3 / ' not in inspect.svg(graph, "inner steps 1 to 3")


def test_every_order_has_a_colour_of_its_own_or_shares_one_that_says_so():
    def f(x):
        return mg.sin(x) * x

    for _ in range(10):
        f = mg.grad(f)
    picture = ET.fromstring(inspect.svg(mg.make_graph(f)(0.5)))
    legend = next(g for g in picture.iter(f"{SVG}g") if g.get("class") == "legend")
    entries = [entry for entry in legend if entry.find(f"{SVG}rect") is not None]
    colours = [entry.find(f"{SVG}rect").get("fill") for entry in entries]
    assert len(set(colours)) == len(colours) == 9
    assert entries[-1].find(f"{SVG}text").text.startswith("order 8 and more, up to 10: ")
    width = float(picture.get("width"))
    for entry in legend:
        left = float(entry.get("transform").removeprefix("translate(").split()[0])
        assert left + 17 + 6 * len(entry.find(f"{SVG}text").text) < width


def test_leaves_of_arguments_are_named_in_formulas():
    graph = mg.make_graph(lambda net, x: x @ net["layers"][0])({"layers": [mg.ones((3, 2))]}, mg.ones((4, 3)))
    assert "c = b @ net['layers'][0]" in inspect.text(graph)
    assert "c = b @ net['layers'][0]" in inspect.dot(graph)
    assert "inputs     net['layers'][0]: f64[3, 2], b: f64[4, 3]" in inspect.text(graph)


def test_a_plot_has_a_box_for_each_equation_that_counts_and_dashes_what_first_order_maml_cuts():
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    report = inspect.order_report(meta_gradient(steps=1), 1.5)
    for cut in (False, True):
        axes = Figure().subplots()
        inspect.plot(mg.make_graph(meta_gradient(steps=1))(1.5), axes, cut)
        boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
        assert len(boxes) == sum(report.orders.values())
        dashed = sum(box.get_linestyle() in ("--", "dashed") for box in boxes)
        assert dashed == (sum(report.cut.values()) if cut else 0)
        arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
        assert len(arrows) >= len(boxes) - 1
    with pytest.raises(DTypeError, match=r"^\[plot\] requires a Graph"):
        inspect.plot(product, axes)


def test_a_style_has_the_colours_of_the_orders():
    import matplotlib.pyplot as plt

    with plt.style.context("metagrad.figures"):
        cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert tuple(cycle) == COLOURS[: len(cycle)]


def test_a_stroke_in_a_name_is_no_step_of_a_path():
    def f(x):
        with mg.named_scope("a / b"):
            x = mg.sin(x)
        with mg.named_scope("a"), mg.named_scope("b"):
            return mg.cos(x)

    graph = mg.make_graph(f)(0.5)
    assert "cos" in inspect.svg(graph, "a / b")
    assert "sin" in inspect.svg(graph, "a \N{DIVISION SLASH} b")


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
    assert "orders 1, 2: 118 equations" in inspect.svg(graph)
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


def test_of_many_paths_the_nearest_or_the_outermost_are_named_and_all_counted():
    step, params = conv_meta_step(filters=2)
    graph = mg.make_graph(step)(params)
    paths = len(list(fold(Program.of("test", graph)).boxes())) - 1
    steps = [f"inner step {k}" for k in range(1, 6)]
    for wrong, number, named in (
        ("inner step 9", 5, steps),
        ("gradient / inner step 9", 8, [f"gradient / {s}" for s in reversed(steps)]),
        ("head", 8, [*steps, "query loss", "gradient"]),
    ):
        found = f"a path of the graph ({number} of {paths}: {'; '.join(named)}"
        with pytest.raises(OptionError, match=re.escape(found)):
            inspect.html(graph, within=wrong)


def test_a_result_that_no_equation_makes_is_drawn_from_what_it_is():
    def dot(f):
        return inspect.dot(mg.make_graph(f)(0.5)).splitlines()[2:-1]

    given, outputs = '  "a" [label="a: f64[]", shape=ellipse];', '  "outputs" [label="outputs", shape=ellipse];'
    assert dot(lambda x: x) == [given, outputs, '  "a" -> "outputs";']
    number = '  "3: f64[]" [label="3: f64[]", shape=ellipse];'
    assert dot(lambda x: 3.0) == [given, number, outputs, '  "3: f64[]" -> "outputs";']
    ones = '  "b" [label="b: f64[2]", shape=ellipse];'
    assert dot(lambda x: mg.ones(2)) == [given, ones, outputs, '  "b" -> "outputs";']
    assert {'  0 -> "outputs";', '  "a" -> "outputs";', '  "a" -> 0;'} < set(dot(lambda x: (mg.sin(x), x)))
    picture = ET.fromstring(inspect.svg(mg.make_graph(lambda x: x)(0.5)))
    nodes = ["".join(g.itertext()) for g in picture.iter(f"{SVG}g") if g.get("data-node")]
    assert nodes == ["inputs", "outputs"]
    assert sum(p.get("class") == "edge" for p in picture.iter(f"{SVG}path")) == 1
    assert "no equations" in inspect.svg(mg.make_graph(lambda x: 3.0)(0.5))


def test_a_notebook_shows_the_page():
    shown = mg.make_graph(mg.grad(product))(0.3)._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')


def test_what_is_written_in_a_scope_cannot_break_the_page():
    def f(x):
        with mg.named_scope("</script><b>&\"'"):
            return mg.sin(x)

    graph = mg.make_graph(mg.grad(f))(0.5)
    ET.fromstring(inspect.svg(graph))
    page = inspect.html(graph, title="<i>{{data}}")
    assert page.count("application/json") == 1
    assert "{{data}}" in page
    assert "</script><b>" not in page
    assert "<i>" not in page
