"""A graph as one HTML page that needs no network: views that open on a click, and what is known of each equation."""

from __future__ import annotations

import json
import linecache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cost import Cost, cost_of
from .curve import memory_curve
from .fold import Box, fold, view
from .notation import array_type, count, formula, left_side, many, where
from .program import Program, Step
from .svg import STYLE, draw

if TYPE_CHECKING:
    from ..core.graph import Graph, Source

_HERE = Path(__file__).parent


def html(graph: Graph, title: str = "graph") -> str:
    """The graph as a page: write it to a file and open it in any browser.

    It begins with the whole graph, folded (see `mg.inspect.svg`). A click on a box opens it; a click on an equation
    shows its line of source, what it is the derivative of, and what uses it. Drag to pan, turn the wheel to zoom.

    Raises DTypeError for what is no Graph.

    >>> import metagrad as mg
    >>> page = mg.inspect.html(mg.make_graph(mg.grad(mg.sin))(0.5))
    >>> page[:15], "http://" in page.replace("http://www.w3.org", "")
    ('<!doctype html>', False)
    """
    program = Program.of("html", graph)
    root = fold(program)
    boxes = list(root.boxes())
    found = cost_of(program)
    data = {
        "paths": [where(box.path) for box in boxes],
        "parts": [list(box.path) for box in boxes],
        "homes": _homes(boxes, len(program.steps)),
        "steps": [_said(program, step) for step in program.steps],
    }
    views = "".join(
        f'<template id="view{k}">{draw(program, view(program, root, box), styled=False)}</template>'
        for k, box in enumerate(boxes)
    )
    return _page(title, _summary(found), _overview(found), views, data)


def notebook(graph: Graph) -> str:
    """The page in a frame, which is what a notebook shows for a Graph."""
    return frame(html(graph), 560)


def frame(page: str, height: int) -> str:
    """A page inside another one."""
    style = f"width:100%;height:{height}px;border:1px solid #d0d7de;border-radius:6px"
    return f'<iframe srcdoc="{escape(page)}" style="{style}" title="graph"></iframe>'


def _page(title: str, summary: str, overview: str, views: str, data: dict[str, Any]) -> str:
    style = (_HERE / "page.css").read_text("utf-8")
    script = (_HERE / "page.js").read_text("utf-8")
    body = (_HERE / "page.html").read_text("utf-8")
    known = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    for name, value in {
        "title": escape(title),
        "summary": escape(summary),
        "style": style + STYLE,
        "overview": overview,
        "views": views,
        "data": known,
        "script": script,
    }.items():
        body = body.replace(f"{{{{{name}}}}}", value)
    return body


def _summary(cost: Cost) -> str:
    total = cost.total
    memory = f"live memory at most {count(cost.peak, 'B')}"
    return f"{many(total.equations, 'equation')}, {count(total.flops, 'flop')}, {memory}"


def _overview(cost: Cost) -> str:
    return f"<h2>Live memory</h2>{memory_curve(cost)}<h2>Cost</h2><pre>{escape(str(cost))}</pre>"


def _homes(boxes: list[Box], steps: int) -> list[int]:
    """For each step the number of the innermost box that shows it."""
    homes = [0] * steps
    for k, box in enumerate(boxes):
        for child in box.children:
            if isinstance(child, Step):
                homes[child.number] = k
    return homes


def _said(program: Program, step: Step) -> dict[str, Any]:
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
    }
