"""Two graphs side by side: what one has that the other lacks, and what that costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ..errors import OptionError, requires
from .cost import Cost, Tally, cost_of, table
from .notation import array_type, count
from .page import frame, page_of
from .program import Program
from .readable import Readable

if TYPE_CHECKING:
    from ..core.graph import Graph

_MOST = 16
_NONE = Tally()


@dataclass
class Comparison(Readable):
    """What `compare` found; shown as a table; `html()` is a page.

    Attributes:
        names: of the two graphs.
        graphs: themselves.
        costs: of each.
        operations: how many equations each has of (order, operation), where the two differ, the largest difference
            first.
    """

    names: tuple[str, str]
    graphs: tuple[Graph, Graph]
    costs: tuple[Cost, Cost]
    operations: dict[tuple[int, str], tuple[int, int]]

    def __repr__(self) -> str:
        a, b = self.costs
        totals, orders = (a.total, b.total), sorted({*a.by_order, *b.by_order})
        rows = [["", *self.names, "difference"], _exact("equations", *[t.equations for t in totals])]
        rows += [_exact(f"  order {k}", *[c.by_order.get(k, _NONE).equations for c in self.costs]) for k in orders]
        rows.append(_row("flop", *[t.flops for t in totals]))
        rows += [_row(f"  order {k}", *[c.by_order.get(k, _NONE).flops for c in self.costs]) for k in orders]
        rows += [
            _row("bytes moved", *[t.bytes for t in totals]),
            _row("live memory, bytes", a.peak, b.peak),
            _exact("longest chain", a.chain, b.chain),
            _row("dearest chain, flop", a.chain_flops, b.chain_flops),
        ]
        text = table(rows)
        if not self.operations:
            return f"{text}\n\nthe same operations of the same orders"
        rows = [["equations that differ", *self.names, "difference"]]
        shown = list(self.operations.items())[:_MOST]
        rows += [_exact(f"order {order}  {name}", *pair) for (order, name), pair in shown]
        text += f"\n\n{table(rows)}"
        rest = len(self.operations) - len(shown)
        return f"{text}\nand {rest} more kinds" if rest else text

    def html(self) -> str:
        """The table over the pages of the two graphs, in one page that needs no network. What one graph has and the
        other lacks is framed in black: equations of an order, an operation, a scope and types that the other has not,
        or not as many of."""
        programs = [Program.of("compare", graph) for graph in self.graphs]
        own = _only(*programs)
        pages = "".join(
            f"<section><h2>{escape(name)}</h2>{frame(page_of(program, name, only=only), 800)}</section>"
            for name, program, only in zip(self.names, programs, own, strict=True)
        )
        title = escape(" and ".join(self.names))
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
            f"</head><body><h1>{title}</h1><pre>{escape(str(self))}</pre><main>{pages}</main></body></html>"
        )


_STYLE = """
:root { color-scheme: light dark }
body { font: 14px/1.45 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 16px }
@media (prefers-color-scheme: dark) { body { color: #e6e8eb; background: #191919 } }
h1 { font-size: 18px }
h2 { font-size: 15px }
pre { font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-x: auto }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(560px, 100%), 1fr)); gap: 16px }
"""


def compare(a: Graph, b: Graph, names: tuple[str, str] = ("first", "second")) -> Comparison:
    """What graph `a` has that `b` lacks and the other way round, by order and operation, and what each costs.

    MAML beside first-order MAML, checkpointed beside not, reverse over reverse beside forward over reverse.

    Raises DTypeError for what is no Graph, OptionError unless there are two names.

    >>> import metagrad as mg
    >>> from metagrad import meta
    >>> def loss(w, batch): return (w - batch) ** 2
    >>> def graph(first_order):
    ...     def after(w): return loss(meta.adapt(loss, w, 1.0, steps=1, lr=0.1, first_order=first_order), 2.0)
    ...     return mg.make_graph(mg.grad(after))(0.5)
    >>> found = mg.inspect.compare(graph(False), graph(True), ("MAML", "first-order MAML"))
    >>> found.operations[2, "multiply"]
    (2, 0)
    """
    if not isinstance(names, tuple | list) or len(names) != 2:
        raise OptionError(requires("compare", "two names", repr(names)))
    programs = (Program.of("compare", a), Program.of("compare", b))
    first, second = (Counter((s.order, s.primitive.name) for s in p.steps) for p in programs)
    differing = {key: (first[key], second[key]) for key in {**first, **second} if first[key] != second[key]}
    ranked = sorted(differing.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[0]))
    return Comparison((names[0], names[1]), (a, b), (cost_of(programs[0]), cost_of(programs[1])), dict(ranked))


def _only(a: Program, b: Program) -> tuple[frozenset[int], frozenset[int]]:
    """The steps of each that the other lacks: of what it has fewer of, the last."""
    kinds = [[(s.order, s.primitive, s.equation.scope, *map(array_type, s.outputs)) for s in p.steps] for p in (a, b)]
    found = []
    for own, other in (kinds, kinds[::-1]):
        left = Counter(other)
        lacking = []
        for number, kind in enumerate(own):
            left[kind] -= 1
            if left[kind] < 0:
                lacking.append(number)
        found.append(frozenset(lacking))
    return found[0], found[1]


def _row(name: str, a: int, b: int) -> list[str]:
    """Two numbers and what the second has more."""
    return [name, count(a), count(b), "" if a == b else f"{'+' if b > a else '-'}{count(abs(b - a))}"]


def _exact(name: str, a: int, b: int) -> list[str]:
    return [name, f"{a:,}", f"{b:,}", "" if a == b else f"{b - a:+,}"]
