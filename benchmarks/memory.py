"""Memory: flat over thousands of meta-steps without the garbage collector, and what `checkpoint` saves and costs.

    python benchmarks/memory.py [--steps N] [--json FILE]

Two measurements. The first takes 5,000 MAML meta-gradients (25 tasks, 10+10 points, one inner step) with the collector
off and samples the resident memory of the process: reference cycles or a cache without bound would show as growth. The
second is the meta-gradient of the same tasks through an unrolled loop of 50 inner steps, plain and with `checkpoint`
around every five of them, and compares time and peak memory (of NumPy's arrays and Python's objects, by tracemalloc).
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import announce, resident, write
from maml_sinusoid import ALPHA, metagrad, problem

import metagrad as mg

if TYPE_CHECKING:
    from collections.abc import Callable

INNER_STEPS, SEGMENT = 50, 5
REPEATS = 9


def flat_memory(steps: int) -> dict[str, Any]:
    """Growth of resident memory over the second half of the steps, when every cache is full: at most 1 MB."""
    (contender,) = metagrad(steps=1)
    samples = []
    gc.collect()
    gc.disable()
    try:
        for step in range(1, steps + 1):
            contender.call()
            if step % max(1, steps // 20) == 0:
                samples.append(resident())
    finally:
        gc.enable()
    unreachable = gc.collect()
    growth = max(samples[len(samples) // 2 :]) - samples[len(samples) // 2 - 1]
    print(f"resident memory in MB along {steps} meta-steps with the collector off:")
    print("  " + " ".join(f"{sample / 1e6:.1f}" for sample in samples))
    met = growth <= 1e6
    print(f"growth over the second half: {growth / 1e6:.2f} MB, target at most 1: {'met' if met else 'MISSED'}")
    print(f"objects in cycles that the collector finds afterwards: {unreachable}")
    claims = [["MB of growth over the second half", growth / 1e6, 1.0]]
    return {"benchmark": f"memory along {steps} meta-steps, collector off", "claims": claims, "met": met}


def checkpointed_loop() -> dict[str, Any]:
    """The gradient through 50 inner steps, with what happens inside of a segment kept or computed again."""
    shared, support, query = problem()
    params = [(mg.asarray(w), mg.asarray(b)) for w, b in shared]

    def mse(p: Any, batch: Any) -> Any:
        x, y = batch
        (w1, b1), (w2, b2), (w3, b3) = p
        return mg.nn.mean_squared_error(mg.nn.relu(mg.nn.relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3, y)

    def segment(p: Any, support: Any) -> Any:
        return mg.meta.adapt(mse, p, support, steps=SEGMENT, lr=ALPHA)

    def meta_gradient(segment: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        def task_loss(p: Any, support: Any, query: Any) -> Any:
            for _ in range(INNER_STEPS // SEGMENT):
                p = segment(p, support)
            return mse(p, query)

        return mg.grad(lambda p: mg.mean(mg.vmap(task_loss, in_axes=(None, 0, 0))(p, support, query)))

    plain, checkpointed = meta_gradient(segment), meta_gradient(mg.checkpoint(segment))
    for (w, b), (w_, b_) in zip(plain(params), checkpointed(params), strict=True):
        np.testing.assert_allclose(np.asarray(w_), np.asarray(w), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(np.asarray(b_), np.asarray(b), rtol=1e-4, atol=1e-6)
    peaks = [peak_memory(lambda f=f: f(params)) for f in (plain, checkpointed)]
    seconds: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for times, f in zip(seconds, (plain, checkpointed), strict=True):
            start = time.perf_counter()
            f(params)
            times.append(time.perf_counter() - start)
    medians = [statistics.median(times) for times in seconds]
    memory, slower = peaks[1] / peaks[0], medians[1] / medians[0]
    met = memory <= 0.25 and slower <= 1.6
    print(f"\ngradient through {INNER_STEPS} inner steps, in segments of {SEGMENT}:")
    for name, peak, median in zip(("plain", "checkpoint"), peaks, medians, strict=True):
        print(f"  {name:10}  peak {peak / 1e6:6.2f} MB  median {median * 1e3:7.2f} ms")
    print(f"  ratio       {memory:.2f} (target at most 0.25)  {slower:.2f} (at most 1.6): {'met' if met else 'MISSED'}")
    title = f"checkpoint around every {SEGMENT} of {INNER_STEPS} inner steps"
    claims = [["of the plain loop's peak memory", memory, 0.25], ["of its time", slower, 1.6]]
    return {"benchmark": title, "claims": claims, "met": met, "peak_bytes": peaks, "seconds": medians}


def peak_memory(call: Callable[[], Any]) -> int:
    """The most that a call holds at a time beyond what was there before."""
    call()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5000, help="meta-steps of the first measurement, at least 20")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file, too")
    options = parser.parse_args()
    if options.steps < 20:
        parser.error(f"[--steps] requires at least 20 but got {options.steps}")
    announce()
    rows = [flat_memory(options.steps), checkpointed_loop()]
    write(options.json, rows)
    sys.exit(0 if all(row["met"] for row in rows) else 1)


if __name__ == "__main__":
    main()
