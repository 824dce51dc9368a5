"""Views as SVG: boxes and equations coloured by derivative order, edges downwards, and a legend."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ..errors import OptionError, requires
from .cost import ORDERS
from .fold import Box, Stub, fold, view
from .layout import layered
from .notation import array_type, formula, left_side, many, where
from .program import Program, Step

if TYPE_CHECKING:
    from ..core.graph import Graph
    from .fold import Shown, View
    from .layout import Point

COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
"""By order; of Okabe and Ito 2008, told apart with any kind of colour vision. Beyond the last they begin again."""

STYLE = """
svg.metagrad { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1b1f24; background: #fff }
svg.metagrad .plain { font-family: system-ui, sans-serif }
svg.metagrad .small { font-size: 10.5px; fill: #57606a }
svg.metagrad .title { font-weight: 600; font-family: system-ui, sans-serif }
svg.metagrad .edge { fill: none; stroke: #8c959f; stroke-width: 1.1 }
svg.metagrad .unused { opacity: 0.4 }
svg.metagrad .stub rect { fill: #f3f4f6; stroke: #c9ced4; stroke-dasharray: 3 2 }
svg.metagrad .step > rect, svg.metagrad .box > rect.frame { fill: #fff; stroke-width: 1.3 }
svg.metagrad [data-step], svg.metagrad [data-path] { cursor: pointer }
"""

_LETTER, _SMALL = 7.3, 6.4
_LONGEST = 46
_MARGIN = 16.0
_LEGEND = 34.0


def colour(order: int) -> str:
    return COLOURS[order % len(COLOURS)]


def svg(graph: Graph, within: tuple[str, ...] = ()) -> str:
    """A picture of a graph, or of the part of it whose path is `within`, as SVG text.

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
    return draw(program, view(program, root, find("svg", root, tuple(within))))


def find(operation: str, root: Box, path: tuple[str, ...]) -> Box:
    """The box of a path; raises OptionError."""
    boxes = {box.path: box for box in root.boxes()}
    if path not in boxes:
        near = [where(p) for p in boxes if p[: len(path) - 1] == path[:-1] and p]
        raise OptionError(requires(operation, f"a path of the graph ({'; '.join(near[:8]) or 'it has none'})", repr(path)))
    return boxes[path]


def draw(program: Program, seen: View, *, styled: bool = True) -> str:
    """A view as SVG, with its style or for a page that has it."""
    labels = [_label(program, node, seen.box) for node in seen.nodes]
    sizes = [_size(label) for label in labels]
    laid = layered(sizes, list(seen.edges))
    legend = _legend(program, seen.box)
    width = max(laid.size[0], 150.0 * len(seen.box.orders) + 40) + 2 * _MARGIN
    height = laid.size[1] + 2 * _MARGIN + _LEGEND
    shift = (width - laid.size[0]) / 2
    parts = []
    for (a, b), arrays in seen.edges.items():
        route = [(x + shift, y + _LEGEND + _MARGIN) for x, y in laid.routes[a, b]]
        parts.append(_edge(route, sizes[a][1] / 2, sizes[b][1] / 2, _carried(program, arrays), len(arrays)))
    for node, label, size, (x, y) in zip(seen.nodes, labels, sizes, laid.centres, strict=True):
        corner = (x + shift - size[0] / 2, y + _LEGEND + _MARGIN - size[1] / 2)
        parts.append(_node(program, node, label, size, corner))
    if not seen.nodes:
        parts.append(f'<text class="plain" x="{_MARGIN}" y="{_LEGEND + 20}">no equations</text>')
        height += 24
    style = f"<style>{STYLE}</style>" if styled else ""
    title = f"{where(seen.box.path) or 'the graph'}: {many(len(seen.box.steps), 'equation')}"
    return (
        f'<svg class="metagrad" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">{style}'
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 1 L7 4 L0 7 z" fill="#8c959f"/></marker></defs>{legend}{"".join(parts)}</svg>'
    )


def _label(program: Program, node: Shown, box: Box) -> tuple[str, str]:
    """Two lines."""
    if isinstance(node, Step):
        types = ", ".join(map(array_type, node.outputs))
        return _cut(f"{left_side(program, node)} = {formula(program, node)}"), _cut(types)
    if isinstance(node, Box):
        return where(node.path[len(box.path) :]), node.summary()
    return node.title, ""


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _size(label: tuple[str, str]) -> Point:
    width = max(_LETTER * len(label[0]), _SMALL * len(label[1])) + 22
    return (round(width), 38.0 if label[1] else 24.0)


def _node(program: Program, node: Shown, label: tuple[str, str], size: Point, corner: Point) -> str:
    (w, h), (x, y) = size, corner
    lines = f'<text x="11" y="16" {{}}>{escape(label[0])}</text>'
    lines += f'<text x="11" y="31" class="small">{escape(label[1])}</text>' if label[1] else ""
    if isinstance(node, Step):
        own = colour(node.order)
        said = f"order {node.order}" + ("" if node.needed else ", unused")
        return (
            f'<g class="step{"" if node.needed else " unused"}" data-step="{node.number}" tabindex="0" '
            f'transform="translate({x:.1f} {y:.1f})"><title>{escape(where(node.path) or "top")}, {said}</title>'
            f'<rect width="{w}" height="{h}" rx="4" stroke="{own}"/>'
            f'<rect width="5" height="{h}" rx="2" fill="{own}"/>{lines.format("")}</g>'
        )
    if isinstance(node, Box):
        bar, at = "", 0.0
        for order, many_of in sorted(node.orders.items()):
            share = w * many_of / len(node.steps)
            bar += f'<rect x="{at:.1f}" y="{h - 4}" width="{share:.1f}" height="4" fill="{colour(order)}"/>'
            at += share
        main = colour(max(node.orders))
        return (
            f'<g class="box" data-path="{escape("/".join(node.path))}" tabindex="0" '
            f'transform="translate({x:.1f} {y:.1f})"><title>{escape(where(node.path))}: open</title>'
            f'<rect x="3" y="-3" width="{w}" height="{h}" rx="4" fill="#fff" stroke="#d0d7de"/>'
            f'<rect class="frame" width="{w}" height="{h}" rx="4" stroke="{main}"/>{bar}'
            f'{lines.format("class=" + chr(34) + "title" + chr(34))}</g>'
        )
    link = f' data-path="{escape("/".join(node.path))}" tabindex="0"' if node.path else ""
    return (
        f'<g class="stub"{link} transform="translate({x:.1f} {y:.1f})">'
        f'<rect width="{w}" height="{h}" rx="12"/>{lines.format("class=" + chr(34) + "plain small" + chr(34))}</g>'
    )


def _edge(route: list[Point], above: float, below: float, carried: str, arrays: int) -> str:
    """A smooth line through the points, from the edge of one node to that of the other."""
    sign = 1 if route[-1][1] >= route[0][1] else -1
    points = [(route[0][0], route[0][1] + sign * above), *route[1:-1], (route[-1][0], route[-1][1] - sign * below)]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        half = (y1 - y0) / 2
        path += f"C{x0:.1f} {y0 + half:.1f} {x1:.1f} {y1 - half:.1f} {x1:.1f} {y1:.1f}"
    thick = f' style="stroke-width:{min(1.1 + 0.25 * (arrays - 1), 4):.2f}"' if arrays > 1 else ""
    return f'<path class="edge" d="{path}" marker-end="url(#head)"{thick}><title>{escape(carried)}</title></path>'


def _carried(program: Program, arrays: list[Any]) -> str:
    shown = ", ".join(f"{program.name(x)}: {array_type(x)}" for x in arrays[:6])
    return shown if len(arrays) <= 6 else f"{shown} and {len(arrays) - 6} more"


def _legend(program: Program, box: Box) -> str:
    parts, x = [], _MARGIN
    for order, number in sorted(box.orders.items()):
        said = f"order {order}: {many(number, 'equation')}"
        meant = ORDERS[min(order, len(ORDERS) - 1)] if order < len(ORDERS) else f"derivative taken {order} times"
        parts.append(
            f'<g transform="translate({x:.0f} 12)"><title>{meant}</title><rect width="12" height="12" rx="2" '
            f'fill="{colour(order)}"/><text class="plain" x="17" y="10">{said}</text></g>'
        )
        x += 30 + 6.6 * len(said)
    return f'<g class="legend">{"".join(parts)}</g>'


