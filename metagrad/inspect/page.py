"""A graph as one HTML page that needs no network: views that open on a click, and what is known of each equation."""

from __future__ import annotations

import json
import linecache
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cost import Cost, cost_of
from .curve import memory_curve
from .derivative_orders import colour, key, meaning
from .fold import fold, view
from .notation import array_type, count, formula, left_side, many, where
from .program import Program, Step
from .svg import ONLY, PORTS, STYLE, draw, find

if TYPE_CHECKING:
    from ..core.graph import Graph
    from ..core.provenance import Source
    from .fold import Box, View

_HERE = Path(__file__).parent


def html(graph: Graph, title: str = "graph", within: str = "") -> str:
    """The graph, or the part of it whose path is `within`, as a page: write it to a file and open it in any browser.

    It begins with the whole, folded (see `mg.inspect.svg`). A click on a box opens it; a click on an equation shows its
    line of source, what it is the derivative of, and what uses it. Drag to pan, turn the wheel to zoom. A page draws
    some thousands of equations; the boxes of a larger graph that it has no room for say how to draw them.

    Raises DTypeError for what is no Graph, OptionError for a path that the graph does not have.

    >>> import metagrad as mg
    >>> page = mg.inspect.html(mg.make_graph(mg.grad(mg.sin))(0.5))
    >>> page[:15], "https:" in page
    ('<!doctype html>', False)
    """
    return page_of(Program.of("html", graph), title, within)


def page_of(program: Program, title: str, within: str = "", only: frozenset[int] = frozenset()) -> str:
    """The page of a program; `only`: the numbers of the steps that another one lacks."""
    root = fold(program)
    views = _views(program, root, find("html", root, within))
    homes: dict[int, int] = {}
    for k, seen in enumerate(views):
        homes.update((step.number, k) for step in seen.box.children if isinstance(step, Step))
        homes.update((node.number, k) for node in seen.nodes if isinstance(node, Step) and node.number not in homes)
    found = cost_of(program)
    data = {
        "paths": [where(seen.box.path) for seen in views],
        "trails": [_trail(seen.box.path) for seen in views],
        "homes": homes,
        "steps": {k: _said(program, program.steps[k], k in only) for k in sorted(homes)},
        "colours": {k: colour(k) for k in root.orders},
        "words": {k: meaning(k) for k in root.orders},
    }
    pictures = [draw(program, seen, styled=False, only=only) for seen in views]
    drawn = "".join(f'<template id="view{k}">{picture}</template>' for k, picture in enumerate(pictures))
    known = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return _page(
        {
            "title": escape(title),
            "summary": escape(_summary(found)),
            "key": _key(found, only),
            "overview": _overview(found, only),
            "views": drawn,
            "data": known,
        }
    )


_MOST = 6000
"""Boxes and equations that a page draws."""


def _views(program: Program, root: Box, start: Box) -> list[View]:
    """Views of a box and of those inside it, the outer ones first, as many as a page has room for."""
    found: list[View] = []
    drawn = 0
    for box in sorted(start.boxes(), key=lambda b: len(b.path)):
        seen = view(program, root, box)
        drawn += len(seen.nodes)
        if found and drawn > _MOST:
            break
        found.append(seen)
    return found


def notebook(graph: Graph) -> str:
    """The page in a frame, which is what a notebook shows for a Graph.

    Raises DTypeError for what is no Graph.
    """
    return frame(html(graph), 560)


def frame(page: str, height: int) -> str:
    """A page inside another one."""
    style = f"width:100%;height:{height}px;border:1px solid #d0d7de;border-radius:6px"
    return f'<iframe srcdoc="{escape(page)}" style="{style}" title="graph"></iframe>'


def _page(parts: dict[str, str]) -> str:
    style = (_HERE / "page.css").read_text("utf-8") + STYLE
    whole = {"style": style, **parts, "script": (_HERE / "page.js").read_text("utf-8")}
    return re.sub(r"\{\{(\w+)\}\}", lambda place: whole[place[1]], (_HERE / "page.html").read_text("utf-8"))


def _summary(cost: Cost) -> str:
    total = cost.total
    memory = f"live memory at most {count(cost.peak, 'B')}"
    return f"{many(total.equations, 'equation')}, {count(total.flops, 'flop')}, {memory}"


def _marks(cost: Cost, only: frozenset[int]) -> list[tuple[str, str, str]]:
    """What a mark looks like, what it is called in a word or two, and what it stands for."""
    counts = {order: tally.equations for order, tally in cost.by_order.items()}
    found = [
        (f'class="mark" style="background:{own}"', said.partition(",")[0], f"{said}: {many(n, 'equation')}")
        for own, said, n in key(counts)
    ]
    if only:
        found.append(('class="mark only"', "only here", f"{ONLY}: {many(len(only), 'equation')}"))
    return [*found, ('class="mark port"', "elsewhere", PORTS)]


def _key(cost: Cost, only: frozenset[int]) -> str:
    marks = _marks(cost, only)
    return "".join(f'<span title="{escape(said)}"><i {look}></i>{name}</span>' for look, name, said in marks)


def _overview(cost: Cost, only: frozenset[int]) -> str:
    listed = "".join(f"<li><span {look}></span>{escape(said)}</li>" for look, _, said in _marks(cost, only))
    how = "A click opens a box, and tells of an equation. Drag to move, turn the wheel to zoom."
    return (
        f'<h2>What is drawn</h2><ul>{listed}</ul><div class="said">{how}</div>'
        f"<h2>Live memory</h2>{memory_curve(cost)}<h2>Cost</h2><pre>{escape(str(cost))}</pre>"
    )


def _trail(path: tuple[str, ...]) -> list[tuple[str, str]]:
    """The names of a path, each with the path up to it."""
    return [(part, where(path[: depth + 1])) for depth, part in enumerate(path)]


def _said(program: Program, step: Step, only: bool) -> dict[str, Any]:
    """What the page tells of an equation."""
    source: Source | None = step.equation.source
    return {
        "left": left_side(program, step),
        "formula": formula(program, step),
        "types": ", ".join(map(array_type, step.outputs)),
        "order": step.order,
        "path": where(step.path),
        "source": str(source) if source else "",
        "code": linecache.getline(source.file, source.line).strip() if source else "",
        "origin": step.origin,
        "reads": step.reads,
        "users": step.users,
        "given": [program.name(x) for x in program.inputs if x in step.inputs],
        "result": any(x in program.outputs for x in step.outputs),
        "cost": f"{count(step.flops, 'flop')}, {count(step.bytes, 'B')} moved",
        "needed": step.needed,
        "only": ONLY if only else "",
    }
