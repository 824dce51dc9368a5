"""A graph in the DOT language, for Graphviz and other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .derivative_orders import colour
from .fold import CONSTANTS, INPUTS, MOST, Box, Stub, view
from .fold import fold as folded
from .notation import array_type, formula, left_side, where
from .program import Program, Step
from .svg import find

if TYPE_CHECKING:
    from ..core.graph import Graph
    from .fold import Shown, View
    from .program import Path


def dot(graph: Graph, within: str = "", fold: bool = True) -> str:
    """A graph, or the part of it whose path is `within`, as DOT text: a node an equation, coloured by order.

    A large graph is folded as `mg.inspect.svg` does it. Without `fold` every equation is a node, in clusters by path:
    that is for other tools, as Graphviz takes minutes to lay out a thousand of them.

    Raises DTypeError for what is no Graph, OptionError for a path that the graph does not have.

    >>> import metagrad as mg
    >>> print(mg.inspect.dot(mg.make_graph(lambda x: mg.sin(x) * x)(0.5)))
    digraph metagrad {
      node [shape=box, fontname=monospace];
      "a" [label="a: f64[]", shape=ellipse];
      0 [label="b = sin(a)\\nf64[]", color="#0072B2"];
      1 [label="c = b * a\\nf64[]", color="#0072B2"];
      "outputs" [label="outputs", shape=ellipse];
      "a" -> 0;
      0 -> 1;
      "a" -> 1;
      1 -> "outputs";
    }
    """
    program = Program.of("dot", graph)
    root = folded(program)
    box = find("dot", root, within)
    seen = view(program, root, box, MOST if fold else max(MOST, len(box.steps)))
    edges = {**seen.edges, **seen.ports}
    given = dict.fromkeys(program.inputs if box is root else ())
    given |= dict.fromkeys(x for (a, _), arrays in edges.items() if _is_given(seen.nodes[a]) for x in arrays)
    labels = {x: _quoted(f"{program.name(x)}: {array_type(x)}") for x in given}
    # each by itself, where a picture has one node for all; a number alone would be the name of an equation
    named = {x: label if x in program.numbers else _quoted(program.name(x)) for x, label in labels.items()}
    lines = ["digraph metagrad {", "  node [shape=box, fontname=monospace];"]
    lines += dict.fromkeys(f"  {named[x]} [label={label}, shape=ellipse];" for x, label in labels.items())
    lines += _nodes(program, seen)
    for (a, b), arrays in edges.items():
        sources = [named[x] for x in arrays] if _is_given(seen.nodes[a]) else [_id(seen, a)]
        lines += [f"  {source} -> {_id(seen, b)};" for source in sources]
    return "\n".join([*lines, "}"])


def _nodes(program: Program, seen: View) -> list[str]:
    """The lines of the nodes, those of equations in clusters."""
    lines = []
    opened: Path = ()
    clusters = 0
    for k, node in enumerate(seen.nodes):
        path = _below(seen.box.path, node.path) if isinstance(node, Step) else ()
        while opened != path[: len(opened)]:
            lines.append(f"{'  ' * len(opened)}}}")
            opened = opened[:-1]
        while opened != path:
            opened = path[: len(opened) + 1]
            lines.append(f"{'  ' * len(opened)}subgraph cluster_{clusters} {{ label={_quoted(opened[-1])};")
            clusters += 1
        if not _is_given(node):
            lines.append(f"{'  ' * (len(opened) + 1)}{_id(seen, k)} [{_look(program, seen, node)}];")
    return lines


def _look(program: Program, seen: View, node: Shown) -> str:
    if isinstance(node, Step):
        types = ", ".join(map(array_type, node.outputs))
        label = _quoted(f"{left_side(program, node)} = {formula(program, node)}\n{types}")
        return f'label={label}, color="{colour(node.order)}"'
    if isinstance(node, Box):
        label = _quoted(f"{where(_below(seen.box.path, node.path))}\n{node.summary()}")
        return f'label={label}, color="{colour(max(node.orders))}", shape=box3d'
    return f"label={_quoted(node.title)}, shape=ellipse"


def _below(path: Path, other: Path) -> Path:
    """What another path has beyond what it shares with a box's: a run of equations is in no path of theirs."""
    shared = 0
    while shared < min(len(path), len(other)) and path[shared] == other[shared]:
        shared += 1
    return other[shared:]


def _is_given(node: Shown) -> bool:
    return isinstance(node, Stub) and node.title in (INPUTS, CONSTANTS)


def _id(seen: View, k: int) -> str:
    node = seen.nodes[k]
    if isinstance(node, Step):
        return str(node.number)
    return _quoted(f"box {k}" if isinstance(node, Box) else node.title)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
