"""How long it takes to trace and to draw a meta-step: 5 inner steps through the Omniglot net.

5-way 1-shot, 4 tasks of 28 x 28, 64 filters: `mg.make_graph` of the meta-loss and its gradient, then its picture, its
page and its costs. Each drawing reads the graph anew.

    python benchmarks/drawing.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import announce, arguments, write

if TYPE_CHECKING:
    from collections.abc import Callable

TITLE = "Tracing and drawing a meta-step of 5 inner steps through the Omniglot net"
WAYS, TASKS, STEPS = 5, 4, 5


def meta_step() -> tuple[Callable[[Any], Any], Any]:
    """The meta-loss with its gradient, and parameters."""
    import metagrad as mg

    net = mg.nn.omniglot_conv(WAYS)
    params = net.init(mg.random.key(0), (WAYS, 28, 28, 1))
    batch = np.zeros((TASKS, WAYS, 28, 28, 1), np.float32), np.tile(np.arange(WAYS), (TASKS, 1))

    def loss(params: Any, batch: Any) -> Any:
        x, y = batch
        return WAYS * mg.mean(mg.nn.softmax_cross_entropy(net(params, x), y))

    def meta_loss(params: Any) -> Any:
        adapted = mg.meta.all_but(params, "offset")
        return mg.meta.meta_loss(loss, params, (batch, batch), steps=STEPS, lr=0.4, adapted=adapted)

    return mg.value_and_grad(meta_loss), params


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=5)
    announce()
    import metagrad as mg

    step, params = meta_step()
    graph = mg.make_graph(step)(params)
    actions: dict[str, Callable[[], Any]] = {
        "to trace": lambda: mg.make_graph(step)(params),
        "to draw as SVG": lambda: mg.inspect.svg(graph),
        "to write the page": lambda: mg.inspect.html(graph),
        "to cost": lambda: mg.inspect.cost(graph),
    }
    claims: list[list[Any]] = []
    for name, action in actions.items():
        seconds = []
        for _ in range(options.repeats):
            start = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - start)
        claims.append([f"s {name}, median", statistics.median(seconds), None])
        print(f"{name:18} median {statistics.median(seconds):.2f} s")
    claims.append(["MB of page", len(mg.inspect.html(graph).encode()) / 1e6, None])
    claims.append(["thousand equations", len(graph.equations) / 1e3, None])
    write(options.json, [{"benchmark": TITLE, "claims": claims}])


if __name__ == "__main__":
    main()
