"""The MAML meta-gradient of the Omniglot conv net: metagrad, PyTorch and JAX on the same numbers.

5-way 1-shot, four convolutions 3x3 of 64 filters with stride 2, batch norm by the batch at hand, float32, one inner
step of size 0.4 on the sum/K loss (5 times the mean cross-entropy); the offsets of the norms are not adapted. The work
is the mean over tasks of the query loss after adaptation, and its gradient with respect to all shared parameters: (a)
for 8 tasks with 1 query a class, (b) for 4 tasks with 15. Each library is written as its users would: the loop over
tasks (the gradient of one after the other, summed), the tasks batched by hand (PyTorch: as groups of one convolution
and as more channels of one batch norm), and by its own vmap. Then the peak of resident memory of each, in processes of
their own.

    python benchmarks/maml_conv.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from _common import (
    Contender,
    Target,
    announce,
    announce_threads,
    arguments,
    build,
    check_equal,
    floor_seconds,
    in_fresh_process,
    measure,
    peak_resident,
    report,
    write,
)
from conv_contenders import WAYS, Setting, compulsory_bytes, jax_peers, metagrad, operations, torch_peers

if TYPE_CHECKING:
    from collections.abc import Callable

    Library = Callable[["Setting"], list[Contender]]

SETTINGS = {"a": (Setting(8, 1), 0.7), "b": (Setting(4, 15), 0.75)}
"""And the target, in times of the fastest other library."""
TINY = Setting(1, 1, filters=2)  # every library has done all of its kinds of work once

# A loop holds one task at a time, and so less than what does all at once: like is compared with like.
AT_ONCE = ("torch eager, grouped", "torch eager, grouped, channels last", "torch.func, vmap", "jax.jit, vmap")
ONE_BY_ONE = ("torch eager, loop", "torch eager, loop, channels last", "jax.jit, loop unrolled", "jax.jit, lax.map")


LIBRARIES: list[Library] = [metagrad, torch_peers, jax_peers]


def peak_memory(library: Library, setting: Setting, name: str) -> int:
    """The peak of a contender's second call, over what was resident before the first one on these shapes.

    What it loads and compiles for any shapes is there before, and what it needs only while it compiles has gone.
    """

    def named(setting: Setting) -> Contender:
        return next(c for c in library(setting) if c.name == name)

    named(TINY).call()
    contender = named(setting)
    before, _ = peak_resident(contender.call)
    return peak_resident(contender.call)[1] - before


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=15)
    announce()
    announce_threads()
    rows = []
    for letter, (setting, at_most) in SETTINGS.items():
        print()
        libraries = dict(build(*(functools.partial(_with_contenders, library, setting) for library in LIBRARIES)))
        contenders = [contender for found in libraries.values() for contender in found]
        check_equal(contenders, tolerance=1e-3)
        floor = floor_seconds(operations(setting), compulsory_bytes(setting))
        measure(contenders, options.repeats)
        for library, found in libraries.items():
            for contender in found:
                contender.peak_bytes = in_fresh_process(peak_memory, library, setting, contender.name)
        targets = {
            "meta-step": Target("metagrad", (*AT_ONCE, *ONE_BY_ONE), at_most),
            "peak memory, tasks at once": Target("metagrad", AT_ONCE, 1.0, of="peak_bytes"),
            "peak memory, one by one": Target("metagrad, loop", ONE_BY_ONE, 1.0, of="peak_bytes"),
        }
        sizes = f"{setting.tasks} tasks, {WAYS}-way 1-shot, queries a class: {setting.queries}"
        rows += report(f"({letter}) MAML meta-gradient, Omniglot conv net, {sizes}", contenders, floor, targets)
    write(options.json, rows)


def _with_contenders(library: Library, setting: Setting) -> tuple[Library, list[Contender]]:
    return library, library(setting)


if __name__ == "__main__":
    main()
