"""What a graph costs: operations, bytes, live memory along time, and the longest chain that no parallelism shortens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.graph import Var
from .notation import count, many
from .program import Program, nbytes
from .readable import Readable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ..core.graph import Graph
    from .program import Step


@dataclass
class Tally:
    """A part of a graph: how many equations, how many floating-point operations, how many bytes read and written."""

    equations: int = 0
    flops: int = 0
    bytes: int = 0

    def add(self, step: Step) -> None:
        self.equations += 1
        self.flops += step.flops
        self.bytes += step.bytes


@dataclass
class Cost(Readable):
    """What running a graph takes, equation after equation, shown as a table.

    Attributes:
        total: of all equations.
        by_order: by derivative order.
        by_operation: by the primitive's name, the dearest first.
        by_scope: by the outermost named scope, and within it by order. A derivative counts where its origin stands, so
            "inner step 1" holds its share of the outer backward pass, too.
        live: bytes held while each equation runs, its outputs among them: inputs, constants, and every array between
            the equation that makes it and the last that reads it. A view holds the array that it looks at.
        peak: the largest of these, `peak_at` the number of its equation.
        chain: equations on the longest path of dependence; `chain_flops` floating-point operations on the dearest one.
    """

    total: Tally = field(default_factory=Tally)
    by_order: dict[int, Tally] = field(default_factory=dict)
    by_operation: dict[str, Tally] = field(default_factory=dict)
    by_scope: dict[str, dict[int, Tally]] = field(default_factory=dict)
    live: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    chain: int = 0
    chain_flops: int = 0

    @property
    def peak(self) -> int:
        return max(self.live, default=0)

    @property
    def peak_at(self) -> int:
        return self.live.index(self.peak) if self.live else 0

    def __repr__(self) -> str:
        rows = [["", "equations", "flop", "moved"]]
        rows += [[f"order {k}", *_cells(tally)] for k, tally in self.by_order.items()]
        rows += [["total", *_cells(self.total)], []]
        operations = list(self.by_operation.items())
        rows += [[name, *_cells(tally)] for name, tally in operations[:_MOST]]
        if rest := [tally for _, tally in operations[_MOST:]]:
            other = Tally(sum(t.equations for t in rest), sum(t.flops for t in rest), sum(t.bytes for t in rest))
            rows.append([many(len(rest), "other operation"), *_cells(other)])
        text = table(rows)
        if len(self.by_scope) > 1:
            orders = list(self.by_order)
            rows = [["flop", *[f"order {k}" for k in orders]]]
            for name, tallies in self.by_scope.items():
                rows.append([name, *[count(tallies[k].flops) if k in tallies else "" for k in orders]])
            text += "\n\n" + table(rows)
        if not self.total.equations:
            return f"{text}\n\nno equations: nothing runs"
        return (
            f"{text}\n\n"
            f"live memory  at most {count(self.peak, 'B')}, at equation {self.peak_at + 1} of {self.total.equations}\n"
            f"longest chain  {many(self.chain, 'equation')}; the dearest {count(self.chain_flops, 'flop')}"
        )

    def svg(self) -> str:
        """The live memory along time, over the orders of the equations, as an SVG picture."""
        from .curve import memory_curve

        return memory_curve(self)


_MOST = 10


def cost(graph: Graph) -> Cost:
    """What running a graph takes. Each primitive says its own floating-point operations (`Primitive.flops`); an
    elementary function or a comparison counts as one, data movement as none.

    Raises DTypeError for what is no Graph.

    >>> import metagrad as mg
    >>> found = mg.inspect.cost(mg.make_graph(lambda x, w: mg.tanh(x @ w))(mg.ones((4, 3)), mg.ones((3, 2))))
    >>> found.total.flops == 2 * 4 * 3 * 2 + 4 * 2
    True
    >>> found.peak == 8 * (4 * 3 + 3 * 2 + 4 * 2 + 4 * 2)
    True
    """
    return cost_of(Program.of("cost", graph))


def cost_of(program: Program) -> Cost:
    steps = program.steps
    found = Cost(live=_live(program), orders=[s.order for s in steps])
    for step in steps:
        found.total.add(step)
    found.by_order = dict(sorted(_tallies(steps, lambda s: s.order).items()))
    by_operation = _tallies(steps, lambda s: s.primitive.name)
    found.by_operation = dict(sorted(by_operation.items(), key=lambda item: (-item[1].flops, -item[1].bytes)))
    for scope in dict.fromkeys(map(outermost, steps)):
        found.by_scope[scope] = _tallies([s for s in steps if outermost(s) == scope], lambda s: s.order)
    chain: list[int] = []
    dearest: list[int] = []
    for step in steps:
        chain.append(1 + max([chain[k] for k in step.reads], default=0))
        dearest.append(step.flops + max([dearest[k] for k in step.reads], default=0))
    found.chain, found.chain_flops = max(chain, default=0), max(dearest, default=0)
    return found


def outermost(step: Step) -> str:
    """The outermost named scope of what a step computes or differentiates."""
    return next(iter(step.equation.scope), "outside of scopes")


def _tallies(steps: list[Step], key: Callable[[Step], Hashable]) -> dict[Any, Tally]:
    found: dict[Any, Tally] = {}
    for step in steps:
        found.setdefault(key(step), Tally()).add(step)
    return found


def _live(program: Program) -> list[int]:
    """Bytes held while each step runs."""
    buffer: dict[Var, Var] = {}
    for step in program.steps:
        for var in step.outputs:
            source = step.inputs[0] if step.primitive.view else var
            buffer[var] = buffer.get(source, source) if isinstance(source, Var) else var
    kept = {buffer.get(x, x) for x in (*program.inputs, *program.constants, *program.outputs) if isinstance(x, Var)}
    last: dict[Var, int] = {}
    for step in program.steps:
        last.update((buffer.get(x, x), step.number) for x in (*step.inputs, *step.outputs) if isinstance(x, Var))
    held = {buffer.get(x, x) for x in (*program.inputs, *program.constants)}
    now = sum(map(nbytes, held))
    curve = []
    for step in program.steps:
        made = {buffer[x] for x in step.outputs} - held
        held |= made
        now += sum(map(nbytes, made))
        curve.append(now)
        gone = {b for x in (*step.inputs, *step.outputs) if isinstance(x, Var) and (b := buffer.get(x, x)) in held}
        gone = {b for b in gone if last[b] == step.number and b not in kept}
        held -= gone
        now -= sum(map(nbytes, gone))
    return curve


def _cells(tally: Tally) -> list[str]:
    return [f"{tally.equations:,}", count(tally.flops), count(tally.bytes, "B")]


def table(rows: list[list[str]]) -> str:
    """Columns in line: the first to the left, numbers to the right."""
    widths = [max(len(row[k]) for row in rows if len(row) > k) for k in range(max(map(len, rows)))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(w) if k == 0 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
