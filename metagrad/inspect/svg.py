"""Views as SVG: boxes and equations coloured by derivative order, edges downwards, and a legend."""

from __future__ import annotations

import itertools
from difflib import get_close_matches
from html import escape
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, requires
from .derivative_orders import colour, key, tint
from .fold import Box, Stub, fold, view
from .layout import layered
from .notation import array_type, formula, left_side, many, where
from .program import Program, Step

if TYPE_CHECKING:
    from ..core.graph import Graph
    from .fold import Shown, View
    from .layout import Point

STYLE = """
svg.metagrad { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1b1f24; background: #fff }
svg.metagrad .plain { font-family: system-ui, sans-serif }
svg.metagrad .small { font-size: 10.5px; fill: #57606a }
svg.metagrad .title { font-weight: 600; font-family: system-ui, sans-serif }
svg.metagrad .edge { fill: none; stroke: #8c959f; stroke-width: 1.1 }
svg.metagrad .unused { opacity: 0.4 }
svg.metagrad .stub rect { fill: #f3f4f6; stroke: #c9ced4; stroke-dasharray: 3 2 }
svg.metagrad .frame { stroke-width: 1.3 }
svg.metagrad .only .frame { stroke: #1b1f24; stroke-width: 2.2 }
svg.metagrad .port { fill: #fff; stroke: #57606a }
svg.metagrad :is(.step, .box):is(:hover, :focus) .frame { stroke-width: 2.6 }
svg.metagrad [data-step], svg.metagrad [data-path] { cursor: pointer }
"""

_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" '
    'markerHeight="9" orient="auto"><path d="M0 1 L7 4 L0 7 z" fill="#8c959f"/></marker></defs>'
)
_LETTER, _SMALL, _PLAIN = 7.3, 6.4, 6.3
_LONGEST = 46
_NAMED = 8
_MARGIN = 16.0
_LINE, _NARROWEST = 18.0, 440.0
PORTS = "reads from, or feeds, what is not drawn beside it"
ONLY = "the other graph lacks it"


def svg(graph: Graph, within: str = "") -> str:
    """A picture of a graph, or of the part of it whose path is `within` ("gradient / inner step 2"), as SVG text.

    Equations are coloured by derivative order. A graph of more than about fifty equations is folded: by named scope, by
    the derivative that made a part, and where that is not enough by runs of equations; each box says how many it holds.
    `mg.inspect.html` gives a page on which boxes open.

    Raises DTypeError for what is no Graph, OptionError for a path that the graph does not have.

    >>> import metagrad as mg
    >>> picture = mg.inspect.svg(mg.make_graph(mg.grad(mg.sin))(0.5))
    >>> picture[:4], picture.count('class="step'), "c = cos(a)" in picture
    ('<svg', 3, True)
    """
    program = Program.of("svg", graph)
    root = fold(program)
    return draw(program, view(program, root, find("svg", root, within)))


def find(operation: str, root: Box, path: str) -> Box:
    """The box of a path, as pictures write it; raises OptionError, which names the nearest ones or the outermost."""
    boxes = {where(box.path): box for box in sorted(root.boxes(), key=lambda box: len(box.path))}
    if path not in boxes:
        paths = [p for p in boxes if p]
        near = get_close_matches(str(path), paths, _NAMED, cutoff=0.8) or paths[:_NAMED]
        listed = "; ".join(p for p in paths if p in near) or "it has none"
        if len(paths) > len(near):
            listed = f"{len(near)} of {len(paths):,}: {listed}"
        raise OptionError(requires(operation, f"a path of the graph ({listed})", repr(path)))
    return boxes[path]


def draw(program: Program, seen: View, *, styled: bool = True, only: frozenset[int] = frozenset()) -> str:
    """A view as SVG, with its style and legend or for a page that has them; the steps of `only` are marked."""
    labels = [_label(program, node, seen.box, only) for node in seen.nodes]
    sizes = [_size(label) for label in labels]
    shown = [k for k, node in enumerate(seen.nodes) if not isinstance(node, Stub) or any(k in e for e in seen.edges)]
    place = {k: i for i, k in enumerate(shown)}
    laid = layered([sizes[k] for k in shown], [(place[a], place[b]) for a, b in seen.edges])
    width = max(laid.size[0], _NARROWEST) + 2 * _MARGIN
    legend, top = _legend(seen, width - 2 * _MARGIN) if styled else ("", 0.0)
    height = laid.size[1] + 2 * _MARGIN + top
    shift = (width - laid.size[0]) / 2
    parts = []
    for (a, b), arrays in seen.edges.items():
        route = [(x + shift, y + top + _MARGIN) for x, y in laid.routes[place[a], place[b]]]
        ends = f'data-from="{a}" data-to="{b}"'
        parts.append(_edge(route, sizes[a][1] / 2, sizes[b][1] / 2, _carried(program, arrays), len(arrays), ends))
    for k, (x, y) in zip(shown, laid.centres, strict=True):
        size = sizes[k]
        corner = f"{x + shift - size[0] / 2:.1f} {y + top + _MARGIN - size[1] / 2:.1f}"
        drawn = _node(seen.nodes[k], labels[k], size, only) + _ports(program, seen, k, size)
        parts.append(f'<g data-node="{k}" transform="translate({corner})">{drawn}</g>')
    if not shown:
        parts.append(f'<text class="plain" x="{_MARGIN}" y="{top + 20}">no equations</text>')
        height += 24
    style = f"<style>{STYLE}</style>" if styled else ""
    title = f"{where(seen.box.path) or 'the graph'}: {many(len(seen.box.steps), 'equation')}"
    return (
        f'<svg class="metagrad" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">{style}{_HEAD}{legend}'
        f"{''.join(parts)}</svg>"
    )


def _label(program: Program, node: Shown, box: Box, only: frozenset[int]) -> tuple[str, str]:
    """Two lines."""
    if isinstance(node, Step):
        types = ", ".join(map(array_type, node.outputs))
        return _cut(f"{left_side(program, node)} = {formula(program, node)}"), _cut(types)
    if isinstance(node, Box):
        marked = sum(step.number in only for step in node.steps)
        return where(node.path[len(box.path) :]), node.summary() + (f"; {marked:,} only here" if marked else "")
    return node.title, ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _size(label: tuple[str, str]) -> Point:
    width = max(_LETTER * len(label[0]), _SMALL * len(label[1])) + 22
    return (round(width), 38.0 if label[1] else 24.0)


def _node(node: Shown, label: tuple[str, str], size: Point, only: frozenset[int]) -> str:
    w, h = size
    if isinstance(node, Step):
        own = colour(node.order)
        unused, said = ("", "") if node.needed else (" unused", ", unused")
        mark = " only" if node.number in only else ""
        return (
            f'<g class="step{unused}{mark}" data-step="{node.number}" tabindex="0">'
            f"<title>{escape(where(node.path) or 'top')}, order {node.order}{said}</title>"
            f'<rect class="frame" width="{w}" height="{h}" rx="4" fill="{tint(node.order)}" stroke="{own}"/>'
            f'<rect width="5" height="{h}" rx="2" fill="{own}"/>{_lines(label, "")}</g>'
        )
    if isinstance(node, Box):
        bar, at = "", 0.0
        for order, equations in sorted(node.orders.items()):
            share = w * equations / len(node.steps)
            bar += f'<rect x="{at:.1f}" y="{h - 4}" width="{share:.1f}" height="4" fill="{colour(order)}"/>'
            at += share
        own, ground = colour(max(node.orders)), tint(max(node.orders))
        path = escape(where(node.path))
        mark = " only" if only.issuperset(step.number for step in node.steps) else ""
        return (
            f'<g class="box{mark}" data-path="{path}" tabindex="0"><title>open {path}</title>'
            f'<rect x="3" y="-3" width="{w}" height="{h}" rx="4" fill="#fff" stroke="{own}" stroke-opacity="0.5"/>'
            f'<rect class="frame" width="{w}" height="{h}" rx="4" fill="{ground}" stroke="{own}"/>{bar}'
            f"{_lines(label, 'title')}</g>"
        )
    link = f' data-path="{escape(where(node.path))}" tabindex="0"' if node.path else ""
    return f'<g class="stub"{link}><rect width="{w}" height="{h}" rx="12"/>{_lines(label, "plain small")}</g>'


def _lines(label: tuple[str, str], kind: str) -> str:
    first = f'<text x="11" y="16" class="{kind}">{escape(label[0])}</text>'
    return first + (f'<text x="11" y="30" class="small">{escape(label[1])}</text>' if label[1] else "")


def _ports(program: Program, seen: View, k: int, size: Point) -> str:
    """Small circles for what a node reads of, and feeds, stubs that are not drawn."""
    parts = []
    for side, y, verb in ((1, 0.0, "reads "), (0, size[1], "feeds ")):
        said = []
        for e, arrays in seen.ports.items():
            if e[side] == k:
                stub = seen.nodes[e[1 - side]].title
                said.append(f"{'' if ' ' in stub else verb}{stub}: {_carried(program, arrays)}")
        if said:
            title = escape("; ".join(said))
            parts.append(f'<circle class="port" cx="{size[0] - 12}" cy="{y}" r="3.5"><title>{title}</title></circle>')
    return "".join(parts)


def _edge(route: list[Point], above: float, below: float, carried: str, arrays: int, ends: str) -> str:
    """A smooth line through the points, from the edge of one node to that of the other."""
    sign = 1 if route[-1][1] >= route[0][1] else -1
    points = [(route[0][0], route[0][1] + sign * above), *route[1:-1], (route[-1][0], route[-1][1] - sign * below)]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        half = (y1 - y0) / 2
        path += f"C{x0:.1f} {y0 + half:.1f} {x1:.1f} {y1 - half:.1f} {x1:.1f} {y1:.1f}"
    thick = f' style="stroke-width:{min(1.1 + 0.25 * (arrays - 1), 4):.2f}"' if arrays > 1 else ""
    return (
        f'<path class="edge" {ends} d="{path}" marker-end="url(#head)"{thick}><title>{escape(carried)}</title></path>'
    )


def _carried(program: Program, arrays: list[Any]) -> str:
    shown = ", ".join(f"{program.name(x)}: {array_type(x)}" for x in arrays[:6])
    return shown if len(arrays) <= 6 else f"{shown} and {len(arrays) - 6} more"


def _legend(seen: View, width: float) -> tuple[str, float]:
    """What the colours mean, and the small circles where there are any, in lines of a width; and where it ends."""
    entries = [
        (f'<rect width="12" height="12" rx="2" fill="{own}"/>', f"{said}: {many(equations, 'equation')}")
        for own, said, equations in key(dict(seen.box.orders))
    ]
    if seen.ports:
        entries.append(('<circle class="port" cx="6" cy="6" r="3.5"/>', PORTS))
    parts, x, y = [], 0.0, 0.0
    for mark, said in entries:
        long = 34 + _PLAIN * len(said)
        if x and x + long > width:
            x, y = 0.0, y + _LINE
        text = f'<text class="plain" x="17" y="10">{escape(said)}</text>'
        parts.append(f'<g transform="translate({_MARGIN + x:.0f} {12 + y:.0f})">{mark}{text}</g>')
        x += long
    return f'<g class="legend">{"".join(parts)}</g>', 12 + y + _LINE + 4
