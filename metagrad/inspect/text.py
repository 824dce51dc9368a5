"""A graph as text, one line an equation."""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any

from .notation import array_type, formula, left_side, where
from .program import Program

if TYPE_CHECKING:
    from ..core.graph import Graph
    from .program import Step

_WIDEST = 60
"""Characters after which a formula no longer moves the column of types."""


def text(graph: Graph) -> str:
    """The graph as a page of mathematics: a line an equation, with its type, in the order in which they run.

    A heading says where the equations below it stand and of which derivative order they are: 0 what the function
    computes, 1 what a derivative of that made, and so on. `∂h` beside an equation says that it is part of the
    derivative of the one that made h; `unused` that the result does not depend on it.

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
    program = Program.of("text", graph)
    lines = [_listed("inputs", program, program.inputs)]
    if constants := [x for x in program.constants if x not in program.numbers]:
        lines.append(_listed("constants", program, constants))
    for heading, group in itertools.groupby(program.steps, _heading):
        steps = list(group)
        lines += ["", heading]
        sides = [f"{left_side(program, s)} = {formula(program, s)}" for s in steps]
        types = [", ".join(map(array_type, s.outputs)) for s in steps]
        width = max([len(s) for s in sides if len(s) <= _WIDEST], default=0)
        wide = max(map(len, types))
        for step, side, kind in zip(steps, sides, types, strict=True):
            lines.append(f"  {side:{width}}  {kind:{wide}}   {_notes(program, step)}".rstrip())
    outputs = ", ".join(map(program.name, program.outputs))
    return "\n".join([*lines, "", _wrapped(f"outputs    {outputs}")])


def _heading(step: Step) -> str:
    return f"{where(step.path)}, order {step.order}" if step.path else f"order {step.order}"


def _listed(what: str, program: Program, arrays: list[Any]) -> str:
    return _wrapped(f"{what:10} {', '.join(f'{program.name(x)}: {array_type(x)}' for x in arrays) or 'none'}")


def _wrapped(line: str) -> str:
    return textwrap.fill(line, 100, subsequent_indent=" " * 11, break_long_words=False)


def _notes(program: Program, step: Step) -> str:
    notes = [] if step.origin is None else [f"∂{left_side(program, program.steps[step.origin])}"]
    return "   ".join(notes if step.needed else [*notes, "unused"])
