"""A small graph drawn on axes of Matplotlib, for figures."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from .derivative_orders import colour, tint
from .first_order import cut_of
from .layout import layered
from .notation import formula, left_side, many
from .program import Program

if TYPE_CHECKING:
    from ..core.graph import Graph
    from .layout import Point

_SIZE, _LETTER, _HEIGHT, _CLOSER = 12.5, 7.6, 26.0, 0.72
"""Of text and boxes, and how much closer layers are than in other pictures."""


def plot(graph: Graph, axes: Any, cut: bool = False) -> None:
    """Draw the equations that a graph's result depends on, on axes of Matplotlib, top to bottom and coloured by order.

    `axes.legend()` names the orders. Every equation is drawn, so it serves for some dozens. `cut`: with those that
    first-order MAML leaves out (see `order_report`) dashed, on white.

    Raises DTypeError for what is no Graph.

    >>> import metagrad as mg
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> mg.inspect.plot(mg.make_graph(mg.grad(mg.sin))(0.5), axes)
    >>> axes.get_legend_handles_labels()[1]
    ['order 1: 2 equations']
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    program = Program.of("plot", graph).needed()
    steps = program.steps
    kept = {step.equation for step in (program.without(*cut_of(program)) if cut else program).steps}
    labels = [f"{left_side(program, s)} = {formula(program, s)}" for s in steps]
    laid = layered([(_LETTER * len(label) + 14, _HEIGHT) for label in labels], _edges(program))
    for (a, b), route in laid.routes.items():
        gone = not {steps[a].equation, steps[b].equation} <= kept
        points = list(map(_place, route))
        points[0] = (points[0][0], points[0][1] - _HEIGHT / 2)
        points[-1] = (points[-1][0], points[-1][1] + _HEIGHT / 2 + 1)
        corners, codes = [points[0]], [Path.MOVETO]
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            corners += [(x0, (y0 + y1) / 2), (x1, (y0 + y1) / 2), (x1, y1)]
            codes += [Path.CURVE4] * 3
        line: dict[str, Any] = {"color": "0.7" if gone else "0.45", "lw": 1.1, "ls": ":" if gone else "-", "zorder": 1}
        axes.add_patch(
            FancyArrowPatch(path=Path(corners, codes), arrowstyle="-|>,head_length=4,head_width=2.2", **line)
        )
    for step, label, centre in zip(steps, labels, map(_place, laid.centres), strict=True):
        gone = step.equation not in kept
        look: dict[str, Any] = {"fc": "white", "ls": "--"} if gone else {"fc": tint(step.order)}
        width = _LETTER * len(label) + 14
        corner, shape = (centre[0] - width / 2, centre[1] - _HEIGHT / 2), "round,pad=0,rounding_size=5"
        axes.add_patch(FancyBboxPatch(corner, width, _HEIGHT, shape, ec=colour(step.order), lw=1.4, zorder=2, **look))
        text = TextPath((0, 0), label, _SIZE, prop=FontProperties(family="monospace"))  # as large as its box, always
        middle = (centre[0] - text.get_extents().width / 2, centre[1] - _SIZE / 3)
        moved = text.transformed(Affine2D().translate(*middle))
        axes.add_patch(PathPatch(moved, fc="0.5" if gone else "0.1", lw=0, zorder=3))
    for order in sorted({step.order for step in steps}):
        said = f"order {order}: {many(sum(step.order == order for step in steps), 'equation')}"
        axes.plot([], [], "s", ms=9, color=colour(order), label=said)
    axes.set(xlim=(-8, laid.size[0] + 8), ylim=(-_CLOSER * laid.size[1] - 8, 8), aspect="equal", anchor="N")
    axes.axis("off")


def _edges(program: Program) -> list[tuple[int, int]]:
    return [(k, step.number) for step in program.steps for k in step.reads]


def _place(point: Point) -> Point:
    """From the layout, which counts downwards, to axes."""
    return point[0], -_CLOSER * point[1]
