"""What the lessons share: how their pictures look, `--out FOLDER`, and a graph drawn by derivative order."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from metagrad.inspect.layout import layered
from metagrad.inspect.notation import formula, left_side
from metagrad.inspect.orders import first_order_cut
from metagrad.inspect.program import Program
from metagrad.inspect.svg import COLOURS, tint

if TYPE_CHECKING:
    from metagrad import Graph

sys.path.append(str(Path(__file__).parents[1]))
from _figures import STYLE as STYLE

BLUE, ORANGE, PINK, GREEN, RED, SKY = COLOURS
"""Told apart with any kind of colour vision; the first are those of derivative orders 0, 1 and 2."""

_SIZE, _LETTER, _HEIGHT, _CLOSER = 12.5, 7.6, 26.0, 0.72
"""Of a graph's text and boxes, and how much closer its layers are than in the pictures of `mg.inspect`."""


def _out() -> Path | None:
    """The folder of `--out`, read when a lesson begins, so that what is wrong with it is said before the work."""
    parser = argparse.ArgumentParser(description="A lesson; its text is in the file.")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="save the picture there; else it is only left open")
    notebook = "ipykernel" in sys.modules  # whose arguments are not ours
    out: Path | None = parser.parse_args([] if notebook else None).out
    return out


OUT = _out()


def save(figure: Any, name: str) -> None:
    """Write the figure to `name.png` in the folder of `--out`, where one is given. It stays open."""
    if OUT is not None:
        OUT.mkdir(parents=True, exist_ok=True)
        figure.savefig(OUT / f"{name}.png")


def draw_graph(axes: Any, graph: Graph, *, cut: bool = False) -> None:
    """The equations that a graph's result depends on, top to bottom, coloured by order.

    `cut`: with those that first-order MAML leaves out dashed and grey.
    """
    program = needed(graph)
    steps = program.steps
    kept = {step.equation for step in (program.without(*first_order_cut(program)) if cut else program).steps}
    labels = [f"{left_side(program, s)} = {formula(program, s)}" for s in steps]
    sizes = [(_LETTER * len(label) + 14, _HEIGHT) for label in labels]
    laid = layered(sizes, [(k, step.number) for step in steps for k in step.reads])
    for (a, b), route in laid.routes.items():
        x, y = zip(*[place(point) for point in route], strict=True)
        gone = not {steps[a].equation, steps[b].equation} <= kept
        axes.plot(x, y, color="0.7" if gone else "0.5", lw=1.2, ls=":" if gone else "-", zorder=1)
    for step, label, (w, h), centre in zip(steps, labels, sizes, map(place, laid.centres), strict=True):
        gone = step.equation not in kept
        look = {"fc": "white", "ls": "--"} if gone else {"fc": tint(step.order)}
        corner, shape = (centre[0] - w / 2, centre[1] - h / 2), "round,pad=0,rounding_size=5"
        axes.add_patch(FancyBboxPatch(corner, w, h, shape, ec=COLOURS[step.order], lw=1.4, zorder=2, **look))
        text = TextPath((0, 0), label, _SIZE, prop=FontProperties(family="monospace"))  # as large as its box, always
        middle = (centre[0] - text.get_extents().width / 2, centre[1] - _SIZE / 3)
        moved = text.transformed(Affine2D().translate(*middle))
        axes.add_patch(PathPatch(moved, fc="0.5" if gone else "0.1", lw=0, zorder=3))
    for order in sorted({step.order for step in steps}):
        count = sum(step.order == order for step in steps)
        axes.plot([], [], "s", ms=9, color=COLOURS[order], label=f"order {order}: {count} equations")
    axes.set(xlim=(-8, laid.size[0] + 8), ylim=(-_CLOSER * laid.size[1] - 8, 8), aspect="equal", anchor="N")
    axes.axis("off")


def place(point: tuple[float, float]) -> tuple[float, float]:
    """From the layout, which counts downwards, to axes."""
    return point[0], -_CLOSER * point[1]


def needed(graph: Graph) -> Program:
    """The graph without the equations that its result does not depend on."""
    program = Program.of("draw_graph", graph)
    return program.without({step.number for step in program.steps if not step.needed}, {})
