"""Graphs folded into boxes: a tree by paths, and views of it that are small enough to be read.

A view shows what is inside one box: steps, and boxes that stand for many. Of the outside it shows stubs: what the box
takes from, and what it gives to. Every edge stands for at least one array that one step makes and another reads.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..core.graph import Var
from .notation import count, many, where

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .program import Path, Program, Step

MOST = 40
"""Boxes and steps that one view shows, stubs aside."""

_FAN = 6
"""Edges that a stub may have; what more of the view reads or feeds it has a port instead."""
_RUN = 4
"""Equations between boxes from which on they are a box, too."""


@dataclass(eq=False)
class Box:
    """A part of a program. `children` are boxes and steps in the order of their first equation."""

    path: Path
    children: list[Box | Step] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    orders: Counter[int] = field(default_factory=Counter)

    @property
    def flops(self) -> int:
        return sum(step.flops for step in self.steps)

    def summary(self) -> str:
        """`order 1: 14 equations, 3.2 Mflop`."""
        orders = sorted(self.orders)
        said = f"order {orders[0]}" if len(orders) == 1 else "orders " + ", ".join(map(str, orders))
        flops = self.flops
        return f"{said}: {many(len(self.steps), 'equation')}" + (f", {count(flops, 'flop')}" if flops else "")

    @functools.cached_property
    def homes(self) -> dict[int, Path]:
        """For each step inside, the path of the innermost box that holds it."""
        return {step.number: box.path for box in self.boxes() for step in box.steps}

    def boxes(self) -> Iterator[Box]:
        """Itself and all boxes inside."""
        yield self
        for child in self.children:
            if isinstance(child, Box):
                yield from child.boxes()


def fold(program: Program, most: int = MOST) -> Box:
    """The tree of a program's boxes, by path; no box has more than `most` children.

    Where a path alone holds too many equations, runs of them become boxes.
    """
    root = Box(())
    known: dict[Path, Box] = {(): root}
    for step in program.steps:
        for depth in range(len(step.path) + 1):
            path = step.path[:depth]
            if path not in known:
                known[path] = Box(path)
                known[path[:-1]].children.append(known[path])
            known[path].steps.append(step)
            known[path].orders[step.order] += 1
        known[step.path].children.append(step)
    for box in known.values():
        box.children = _bounded(box.path, _runs(box, most), most)
    return root


def _runs(box: Box, most: int) -> list[Box | Step]:
    """The children of a large box, with several equations between two of its boxes made a box, too."""
    if len(box.steps) <= most or not any(isinstance(child, Box) for child in box.children):
        return box.children
    found: list[Box | Step] = []
    for boxes, group in itertools.groupby(box.children, lambda child: isinstance(child, Box)):
        children = list(group)
        found += children if boxes or len(children) < _RUN else [_run(box.path, children, most)]
    return found


def _bounded(path: Path, children: list[Box | Step], most: int) -> list[Box | Step]:
    """Children of which there are not too many: runs of them become boxes, which again have not too many."""
    if len(children) <= most:
        return children
    size = max(2, -(-2 * len(children) // most))  # half of the room: a view may open the box
    alike = [list(group) for _, group in itertools.groupby(children, _stem)]
    runs = [group[k : k + size] for group in alike for k in range(0, len(group), size)]
    if len(runs) > most:
        runs = [children[k : k + size] for k in range(0, len(children), size)]
    return [run[0] if len(run) == 1 else _run(path, run, most) for run in runs]


def _stem(child: Box | Step) -> str:
    """What numbered boxes have in common: `inner step ` of `inner step 3`. Steps are all alike."""
    return child.path[-1].rstrip("0123456789") if isinstance(child, Box) else ""


def _run(path: Path, children: list[Box | Step], most: int) -> Box:
    steps = sorted((s for c in children for s in (c.steps if isinstance(c, Box) else [c])), key=lambda s: s.number)
    own = (*path, _name(children, steps))
    return Box(own, _bounded(own, children, most), steps, Counter(s.order for s in steps))


def _name(children: list[Box | Step], steps: list[Step]) -> str:
    """`inner steps 1 to 4`, `relu 2 to dense 4`; by the numbers of equations where not all of it are boxes."""
    boxes = [child.path[-1] for child in children if isinstance(child, Box)]
    if len(boxes) < len(children):
        kinds = {s.primitive.name for s in steps}
        what = f"{kinds.pop()}, " if len(kinds) == 1 else ""
        return f"{what}equations {steps[0].number + 1} to {steps[-1].number + 1}"
    (stem, *others) = dict.fromkeys(map(_stem, children))
    if others or stem in boxes:
        return f"{boxes[0]} to {boxes[-1]}"
    words = re.sub(r"([A-Za-z]) $", r"\1s ", stem)
    return f"{words}{boxes[0].removeprefix(stem)} to {boxes[-1].removeprefix(stem)}"


INPUTS = "inputs"
OUTPUTS = "outputs"
CONSTANTS = "constants"
OUTSIDE = "what is around"


@dataclass(eq=False)
class Stub:
    """What lies outside of a view: another box, or the arrays that a program takes and gives."""

    title: str
    path: Path | None


Shown = Any
"""A Box, a Step or a Stub."""


@dataclass(eq=False)
class View:
    """What is drawn of a box: nodes in the order of time, and edges between their places, with the arrays they carry.

    `ports` are the edges to constants, and to stubs that have too many to be drawn.
    """

    box: Box
    nodes: list[Shown]
    edges: dict[tuple[int, int], list[Var]]
    ports: dict[tuple[int, int], list[Var]]


def view(program: Program, root: Box, box: Box, most: int = MOST) -> View:
    """What is inside a box, opened as far as `most` nodes allow, with stubs for what lies around it."""
    inside: list[Shown] = _opened(box, most)
    place: dict[int, int] = {}
    for k, node in enumerate(inside):
        place.update((step.number, k) for step in (node.steps if isinstance(node, Box) else [node]))
    nodes = list(inside)
    edges: dict[tuple[int, int], list[Var]] = {}
    stubs: dict[tuple[str, str], int] = {}

    def stub(side: str, title: str, path: Path | None) -> int:
        if (side, title) not in stubs:
            stubs[side, title] = len(nodes)
            nodes.append(Stub(title, path))
        return stubs[side, title]

    def link(a: int, b: int, x: Var) -> None:
        if a != b and x not in edges.setdefault((a, b), []):
            edges[a, b].append(x)

    given = set(program.inputs)
    results = {x for x in program.outputs if isinstance(x, Var)}
    for step in box.steps:
        here = place[step.number]
        for x in step.inputs:
            if not isinstance(x, Var) or x in program.numbers:
                continue
            maker = program.maker.get(x)
            if maker is None:
                link(stub("in", INPUTS if x in given else CONSTANTS, None), here, x)
            elif maker in place:
                link(place[maker], here, x)
            else:
                path = _beside(box.path, root.homes[maker])
                link(stub("in", f"from {where(path) or OUTSIDE}", path), here, x)
        for x in step.outputs:
            if x in results:
                link(here, stub("out", OUTPUTS, None), x)
            for user in step.users:
                if user not in place and x in program.steps[user].inputs:
                    path = _beside(box.path, root.homes[user])
                    link(here, stub("out", f"to {where(path) or OUTSIDE}", path), x)
    for x in program.outputs if box is root else ():  # a result that no step makes
        if isinstance(x, Var) and x not in program.maker:
            link(stub("in", INPUTS if x in given else CONSTANTS, None), stub("out", OUTPUTS, None), x)
    ports: dict[tuple[int, int], list[Var]] = {}
    for (_, title), k in stubs.items():
        ends = [e for e in edges if k in e]
        if title == CONSTANTS or len(ends) > _FAN:
            ports.update({e: edges.pop(e) for e in ends})
    return View(box, nodes, edges, ports)


def _opened(box: Box, most: int) -> list[Box | Step]:
    """The children, with boxes replaced by theirs: all where all equations fit, else those that hold most of it."""
    if len(box.steps) <= most:
        return list(box.steps)
    shown = list(box.children)
    while True:
        boxes = [c for c in shown if isinstance(c, Box)]
        largest = max(boxes, key=lambda c: len(c.steps), default=None)
        if largest is None or 3 * len(largest.steps) < len(box.steps) or len(shown) - 1 + len(largest.children) > most:
            return shown
        k = shown.index(largest)
        shown[k : k + 1] = largest.children


def _beside(path: Path, other: Path) -> Path:
    """The part of another path that names what lies beside a box: one name beyond what they share."""
    shared = 0
    while shared < min(len(path), len(other)) and path[shared] == other[shared]:
        shared += 1
    return other[: shared + 1]
