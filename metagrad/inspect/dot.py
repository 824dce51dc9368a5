"""A graph in the DOT language, for Graphviz and other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.graph import Var
from .notation import array_type, formula, left_side
from .program import Program
from .svg import colour

if TYPE_CHECKING:
    from ..core.graph import Graph


def dot(graph: Graph) -> str:
    """The whole graph as DOT text: a node an equation, coloured by order, clusters by path.

    Raises DTypeError for what is no Graph.

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
    lines = ["digraph metagrad {", "  node [shape=box, fontname=monospace];"]
    given = [*program.inputs, *(x for x in program.constants if x not in program.numbers)]
    lines += [f'  "{program.name(x)}" [label="{program.name(x)}: {array_type(x)}", shape=ellipse];' for x in given]
    open_path: tuple[str, ...] = ()
    clusters = 0
    for step in program.steps:
        while open_path != step.path[: len(open_path)]:
            lines.append(f"{'  ' * len(open_path)}}}")
            open_path = open_path[:-1]
        while open_path != step.path:
            open_path = step.path[: len(open_path) + 1]
            lines.append(f'{"  " * len(open_path)}subgraph cluster_{clusters} {{ label="{_quoted(open_path[-1])}";')
            clusters += 1
        label = _quoted(f"{left_side(program, step)} = {formula(program, step)}")
        types = ", ".join(map(array_type, step.outputs))
        indent = "  " * (len(open_path) + 1)
        lines.append(f'{indent}{step.number} [label="{label}\\n{types}", color="{colour(step.order)}"];')
    lines += ["  " * k + "}" for k in range(len(open_path), 0, -1)]
    lines.append('  "outputs" [label="outputs", shape=ellipse];')
    for step in program.steps:
        for x in dict.fromkeys(x for x in step.inputs if isinstance(x, Var) and x not in program.numbers):
            lines.append(f"  {_source(program, x)} -> {step.number};")
    for x in dict.fromkeys(x for x in program.outputs if isinstance(x, Var) and x not in program.numbers):
        lines.append(f'  {_source(program, x)} -> "outputs";')
    return "\n".join([*lines, "}"])


def _source(program: Program, x: Var) -> str:
    return str(program.maker[x]) if x in program.maker else f'"{program.name(x)}"'


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
