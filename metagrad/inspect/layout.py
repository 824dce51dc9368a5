"""A layered drawing of a graph (Sugiyama, Tagawa and Toda 1981): who depends on whom runs downwards.

Layers are longest paths from the sources. Edges over several layers get a bend in each. The order within a layer comes
from a few sweeps of barycentres, the places from least squares under the condition that neighbours keep their distance.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

Point = tuple[float, float]

GAP = 24.0
"""Between neighbours in a layer."""
RISE = 40.0
"""Between layers."""
_SWEEPS = 6
_SHORT = 3
"""How much more an edge to the next layer counts, so that chains run straight."""
_BENDS = 20_000
"""Beyond so many bends in all, edges go straight."""


class Layout(NamedTuple):
    """`centres` of the nodes, the points that each edge passes from its tail to its head, and the size of it all.

    Where an edge passes a layer it has two points, so that it goes upright between the nodes there.
    """

    centres: list[Point]
    routes: dict[tuple[int, int], list[Point]]
    size: Point


def layered(sizes: list[Point], edges: list[tuple[int, int]]) -> Layout:
    """Places for nodes of (width, height) and edges between them. Cycles are allowed: an edge against the order of a
    first search is laid out as if it were turned round."""
    if not sizes:
        return Layout([], {}, (0.0, 0.0))
    n = len(sizes)
    forward = _acyclic(n, edges)
    rank = _ranks(n, forward)
    straight = sum(rank[b] - rank[a] - 1 for a, b in forward) > _BENDS
    widths = [w for w, _ in sizes]
    layers: list[list[int]] = [[] for _ in range(max(rank) + 1)]
    for k in range(n):
        layers[rank[k]].append(k)
    up: list[list[int]] = [[] for _ in range(n)]
    down: list[list[int]] = [[] for _ in range(n)]
    chains: dict[tuple[int, int], list[int]] = {}
    for a, b in forward:
        chain = [a]
        for level in range(rank[a] + 1, rank[b] if not straight else 0):
            chain.append(len(widths))
            layers[level].append(len(widths))
            widths.append(2.0)
            up.append([])
            down.append([])
        chain.append(b)
        chains[a, b] = chain
        for above, below in itertools.pairwise(chain):
            weight = _SHORT if len(chain) == 2 else 1
            down[above] += [below] * weight
            up[below] += [above] * weight
    _order(layers, up, down)
    x = _places(layers, widths, up, down)
    y, half, top = [0.0] * len(widths), [0.0] * len(widths), 0.0
    tall = [h for _, h in sizes] + [0.0] * (len(widths) - n)
    for layer in layers:
        height = max(tall[k] for k in layer)
        for k in layer:
            y[k], half[k] = top + height / 2, height / 2
        top += height + RISE
    left = min(x[k] - widths[k] / 2 for k in range(len(widths)))
    right = max(x[k] + widths[k] / 2 for k in range(len(widths)))
    centres = [(x[k] - left, y[k]) for k in range(n)]
    routes = {}
    for a, b in edges:
        down_again = (a, b) in chains
        route = [centres[a if down_again else b]]
        for k in (chains[a, b] if down_again else chains[b, a])[1:-1]:
            route += [(x[k] - left, y[k] - half[k]), (x[k] - left, y[k] + half[k])]
        route.append(centres[b if down_again else a])
        routes[a, b] = route if down_again else route[::-1]
    return Layout(centres, routes, (right - left, top - RISE))


def _acyclic(n: int, edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges, with those that close a cycle turned round, each once."""
    following: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        following[a].append(b)
    state, turned = [0] * n, set()
    for start in range(n):
        stack = [(start, iter(following[start]))] if not state[start] else []
        state[start] = state[start] or 1
        while stack:
            node, rest = stack[-1]
            for target in rest:
                if state[target] == 1:
                    turned.add((node, target))
                elif not state[target]:
                    state[target] = 1
                    stack.append((target, iter(following[target])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return list(dict.fromkeys((b, a) if (a, b) in turned else (a, b) for a, b in edges))


def _ranks(n: int, edges: list[tuple[int, int]]) -> list[int]:
    """The layer of each node: one below the lowest it depends on; a source stands just above its first user."""
    into: list[list[int]] = [[] for _ in range(n)]
    out: list[list[int]] = [[] for _ in range(n)]
    for a, b in edges:
        into[b].append(a)
        out[a].append(b)
    missing = [len(before) for before in into]
    ready = [k for k in range(n) if not missing[k]]
    rank = [0] * n
    for node in ready:
        for target in out[node]:
            rank[target] = rank[node] + 1  # they come by rising rank, so the last one counts
            missing[target] -= 1
            if not missing[target]:
                ready.append(target)
    for k in range(n):
        if not into[k] and out[k]:
            rank[k] = min(rank[b] for b in out[k]) - 1
    return rank


def _order(layers: list[list[int]], up: list[list[int]], down: list[list[int]]) -> None:
    """Sort each layer by the mean place of neighbours in the last one, downwards and upwards in turn."""
    place: dict[int, float] = {}
    for layer in layers:
        place.update((k, i - (len(layer) - 1) / 2) for i, k in enumerate(layer))
    for sweep in range(_SWEEPS):
        near = down if sweep % 2 else up
        for layer in reversed(layers) if sweep % 2 else layers:
            layer.sort(key=lambda k: sum(place[j] for j in near[k]) / len(near[k]) if near[k] else place[k])
            place.update((k, i - (len(layer) - 1) / 2) for i, k in enumerate(layer))


def _places(layers: list[list[int]], widths: list[float], up: list[list[int]], down: list[list[int]]) -> list[float]:
    """x of each node: as near to the mean of its neighbours as the others of its layer allow."""
    x = [0.0] * len(widths)
    for sweep in range(2 * _SWEEPS):
        near = down if sweep % 2 else up
        for layer in reversed(layers) if sweep % 2 else layers:
            wanted = [sum(x[j] for j in near[k]) / len(near[k]) if near[k] else x[k] for k in layer]
            for k, at in zip(layer, _spread(wanted, [widths[k] for k in layer]), strict=True):
                x[k] = at
    return x


def _spread(wanted: list[float], widths: list[float]) -> list[float]:
    """Places in this order and a gap apart whose squared distances from those wanted are least.

    Without the gaps it is a regression on rising numbers, which pooling neighbours that violate it solves.
    """
    offset, offsets = 0.0, []
    for k, width in enumerate(widths):
        offset += (widths[k - 1] + width) / 2 + GAP if k else 0.0
        offsets.append(offset)
    pools: list[tuple[float, int]] = []
    for target, shift in zip(wanted, offsets, strict=True):
        total, size = target - shift, 1
        while pools and pools[-1][0] * size > total * pools[-1][1]:
            before, count = pools.pop()
            total, size = total + before, size + count
        pools.append((total, size))
    level = [total / size for total, size in pools for _ in range(size)]
    return [a + b for a, b in zip(level, offsets, strict=True)]
