"""A graph as text, one line an equation."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING

from .derivative_orders import meaning
from .fold import Box, Stub, fold, view
from .notation import array_type, formula, left_side, many, where
from .program import Program

if TYPE_CHECKING:
    from ..core.graph import Graph
    from .program import Step

_WIDEST = 60
"""Characters after which a formula no longer moves the column of types."""
_READ = 200
"""Equations that one reads at a prompt."""
_LISTED = 20
"""Arrays that are listed there."""


def text(graph: Graph) -> str:
    """The graph as a page of mathematics: a line an equation, with its type, in the order in which they run.

    A heading says where the equations below it stand and of which derivative order they are: 0 what the function
    computes, 1 what a derivative of that made, and so on. `∂h` beside an equation says that it is part of the
    derivative of the one that made h; `unused` that the result does not depend on it. A prompt shows a graph like this,
    too; one of more than 200 equations by its parts, each with its orders and how many equations it has.

    Raises DTypeError for what is no Graph.

    >>> import metagrad as mg
    >>> print(mg.inspect.text(mg.make_graph(mg.grad(mg.sin))(0.5)))
    inputs     a: f64[]
    <BLANKLINE>
    order 0
      b = sin(a)  f64[]   unused
    <BLANKLINE>
    gradient, order 1
      c = cos(a)  f64[]   ∂b
      e = 1 * c   f64[]   ∂b
    <BLANKLINE>
    outputs    e
    """
    return _whole(Program.of("text", graph))


def brief(graph: Graph) -> str:
    """What a prompt shows of a graph: the whole, or where that is too much to be read, boxes as pictures have them."""
    program = Program.of("text", graph)
    if len(program.steps) <= _READ:
        return _whole(program)
    root = fold(program)
    nodes = [node for node in view(program, root, root).nodes if not isinstance(node, Stub)]
    titles = [where(n.path) if isinstance(n, Box) else _equation(program, n) for n in nodes]
    said = [n.summary() if isinstance(n, Box) else f"order {n.order}: {_types(n)}" for n in nodes]
    lines = [*_given(program, _LISTED), "", *_columns(titles, said), "", _results(program, _LISTED), ""]
    lines.append(f"{many(len(program.steps), 'equation')}, folded here; mg.inspect.text(graph) writes them all")
    lines += [f"  order {k}, {meaning(k)}: {many(n, 'equation')}" for k, n in sorted(root.orders.items())]
    return "\n".join(lines)


def _whole(program: Program) -> str:
    lines = _given(program)
    for heading, group in itertools.groupby(program.steps, _heading):
        steps = list(group)
        lines += ["", heading]
        types = [_types(s) for s in steps]
        wide = max(map(len, types))
        notes = [f"{kind:{wide}}   {_notes(program, step)}" for step, kind in zip(steps, types, strict=True)]
        lines += _columns([_equation(program, s) for s in steps], notes)
    return "\n".join([*lines, "", _results(program)])


def _equation(program: Program, step: Step) -> str:
    return f"{left_side(program, step)} = {formula(program, step)}"


def _types(step: Step) -> str:
    return ", ".join(map(array_type, step.outputs))


def _columns(left: list[str], right: list[str]) -> list[str]:
    width = max([len(s) for s in left if len(s) <= _WIDEST], default=0)
    return [f"  {a:{width}}  {b}".rstrip() for a, b in zip(left, right, strict=True)]


def _heading(step: Step) -> str:
    return f"{where(step.path)}, order {step.order}" if step.path else f"order {step.order}"


def _given(program: Program, most: int | None = None) -> list[str]:
    """The lines of inputs and constants, or of so many of each."""
    given = {"inputs": program.inputs, "constants": [x for x in program.constants if x not in program.numbers]}
    return [
        _listed(what, [f"{program.name(x)}: {array_type(x)}" for x in arrays], most)
        for what, arrays in given.items()
        if arrays or what == "inputs"
    ]


def _results(program: Program, most: int | None = None) -> str:
    return _listed("outputs", [program.name(x) for x in program.outputs], most)


def _listed(what: str, arrays: list[str], most: int | None) -> str:
    rest = [f"and {len(arrays[most:]):,} more"] if most and arrays[most:] else []
    line = f"{what:10} {', '.join([*arrays[:most], *rest]) or 'none'}"
    return textwrap.fill(line, 100, subsequent_indent=" " * 11, break_long_words=False)


def _notes(program: Program, step: Step) -> str:
    notes = [] if step.origin is None else [f"∂{left_side(program, program.steps[step.origin])}"]
    return "   ".join(notes if step.needed else [*notes, "unused"])
