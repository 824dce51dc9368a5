"""What first-order MAML saves: one meta-gradient with the second derivatives and without, in time and in memory.

(a) the Omniglot net, 5-way 1-shot, 32 tasks, 1 inner step, 1 query a class; (b) the miniImageNet net at 84 x 84, 5-way
1-shot, 4 tasks, 5 inner steps, 15 queries a class: the paper's settings, float32. The paper says that first order is
about 33% faster (Finn, Abbeel and Levine 2017, section 5.2).

    python benchmarks/first_order.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from _common import (
    Contender,
    announce,
    announce_threads,
    arguments,
    floor_seconds,
    in_fresh_process,
    measure,
    peak_resident,
    report,
    write,
)

WAYS = 5
NAMES = {"MAML": False, "first-order MAML": True}


class Setting(NamedTuple):
    """The work: of the paper's experiments."""

    net: str
    tasks: int
    steps: int
    alpha: float
    queries: int
    channels: tuple[int, ...]
    sides: tuple[int, ...]
    """Of the images, and of each convolution's result."""

    @property
    def title(self) -> str:
        sizes = f"{self.tasks} tasks, {WAYS}-way 1-shot, inner steps: {self.steps}, queries a class: {self.queries}"
        return f"What first order saves, {self.net} net, {sizes}"


SETTINGS = [
    Setting("Omniglot", 32, 1, 0.4, 1, (1, 64, 64, 64, 64), (28, 14, 7, 4, 2)),
    Setting("miniImageNet", 4, 5, 0.01, 15, (3, 32, 32, 32, 32), (84, 84, 42, 21, 10)),
]


def contender(setting: Setting, name: str) -> Contender:
    import metagrad as mg

    build = {"Omniglot": mg.nn.omniglot_conv, "miniImageNet": mg.nn.mini_imagenet_conv}[setting.net]
    net = build(WAYS)
    side, colours = setting.sides[0], setting.channels[0]
    params = net.init(mg.random.key(0), (WAYS, side, side, colours))
    rng = np.random.default_rng(0)

    def batch(each: int) -> Any:
        images = rng.random((setting.tasks, WAYS * each, side, side, colours), dtype=np.float32)
        return mg.asarray(images), mg.asarray(np.tile(np.arange(WAYS), (setting.tasks, each)))

    tasks = batch(1), batch(setting.queries)

    def loss(params: Any, batch: Any) -> Any:
        x, y = batch
        return WAYS * mg.mean(mg.nn.softmax_cross_entropy(net(params, x), y))

    def meta_loss(params: Any) -> Any:
        return mg.meta.meta_loss(
            loss,
            params,
            tasks,
            steps=setting.steps,
            lr=setting.alpha,
            first_order=NAMES[name],
            adapted=mg.meta.all_but(params, "offset"),
        )

    step = mg.value_and_grad(meta_loss)
    return Contender(name, lambda: step(params), lambda result: [result[0]])


def operations(setting: Setting, first_order: bool) -> float:
    """Multiplications and additions of the convolutions, taps on the padding counted.

    A product forward comes with two in its backward, or one in the first layer, whose input is data. Through these
    three (two) an inner step's own backward takes six (two) more.
    """
    each = [9 * setting.sides[k + 1] ** 2 * setting.channels[k] * setting.channels[k + 1] for k in range(4)]
    support = (2, 3) if first_order else (4, 9)
    images = setting.tasks * WAYS
    passes = [setting.steps * support[k > 0] + setting.queries * (2, 3)[k > 0] for k in range(4)]
    return 2.0 * images * sum(n * p for n, p in zip(each, passes, strict=True))


def peak_memory(setting: Setting, name: str) -> int:
    """The most that the second call takes over what was in memory before the first."""
    call = contender(setting, name).call
    before, _ = peak_resident(call)
    return peak_resident(call)[1] - before


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=9)
    announce()
    announce_threads()
    rows = []
    for setting in SETTINGS:
        contenders = [contender(setting, name) for name in NAMES]
        floor = floor_seconds(operations(setting, first_order=False), 0.0)
        measure(contenders, options.repeats)
        for c in contenders:
            c.peak_bytes = in_fresh_process(functools.partial(peak_memory, setting, c.name))
        rows += report(setting.title, contenders, floor)
        maml, first_order = contenders
        share = operations(setting, first_order=True) / operations(setting, first_order=False)
        claims = [
            ["of MAML's time; the paper has about 0.67", first_order.median / maml.median, None],
            ["of its peak memory", (first_order.peak_bytes or 0) / (maml.peak_bytes or 1), None],
            ["of the operations in its convolutions", share, None],
        ]
        for what, value, _ in claims:
            print(f"first order takes {value:.2f} {what}")
        rows.append({"benchmark": setting.title, "claims": claims})
    write(options.json, rows)


if __name__ == "__main__":
    main()
