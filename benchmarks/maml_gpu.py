"""The MAML meta-gradient of the Omniglot conv nets on a GPU: metagrad, PyTorch and JAX on the same numbers.

5-way 1-shot, 32 tasks, one inner step, (a) 1 query a class, (b) 15; the net of strides and the one of max-pooling; in
float32 and in TF32, which every library is told explicitly. metagrad runs as one CUDA graph and eagerly; PyTorch as one
CUDA graph, eagerly, and by torch.func; JAX as one jit of its vmap. The floor is that of the operations at the rate of a
large product on this GPU at that precision, or of the bytes that must be moved at the bandwidth of a copy. Then the
sinusoid's meta-gradient, one graph launch beside jax.jit.

    python benchmarks/maml_gpu.py [--repeats N] [--json FILE] [--only a b pool-a pool-b sinusoid]

`--device emulated` runs metagrad alone, on the emulated kernels and a toy size: that the script works, and no figure.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import Contender, PeerAbsent, Target, announce, build, check_equal, floor_of, measure, need, report, write
from conv_contenders import WAYS, Setting, compulsory_bytes, jax_peers, metagrad, operations, torch_peers
from maml_sinusoid import compulsory_bytes as sinusoid_bytes
from maml_sinusoid import jax_peer
from maml_sinusoid import metagrad as sinusoid
from maml_sinusoid import operations as sinusoid_operations

if TYPE_CHECKING:
    from collections.abc import Callable

SETTINGS = {
    "a": Setting(32, 1),
    "b": Setting(32, 15),
    "pool-a": Setting(32, 1, pool=True),
    "pool-b": Setting(32, 15, pool=True),
}
AT_MOST, SINUSOID_AT_MOST = 0.5, 1.2
"""Times the fastest peer."""
TOLERANCE = {False: 1e-3, True: 3e-2}
"""Of the whole gradient, relative; TF32 keeps 10 bits of each factor."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--repeats", type=int, default=15, help="interleaved samples of each contender")
    add("--json", type=Path, metavar="FILE", help="write the rows to this file, too")
    add("--only", nargs="+", choices=[*SETTINGS, "sinusoid"], default=[*SETTINGS, "sinusoid"], help="these alone")
    add("--precision", nargs="+", choices=["float32", "tf32"], default=["float32", "tf32"], help="these alone")
    add("--device", choices=["cuda", "emulated"], default="cuda", help="emulated: metagrad alone, at a toy size")
    return parser.parse_args()


def peers(setting: Setting) -> list[Callable[[], list[Contender]]]:
    """The makers of the other libraries' contenders, where there is a GPU for them."""
    if setting.device == "emulated":
        return []
    return [functools.partial(torch_peers, setting), functools.partial(jax_peers, setting)]


@functools.cache
def rates(device: str, tf32: bool) -> tuple[float, float]:
    """Operations a second of a product of 4096 x 4096 matrices, and bytes a second of a copy of 1 GB, as measured."""
    if device == "emulated":
        return 1e9, 1e9
    torch = need("torch")
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a = torch.randn(4096, 4096, device=device)
    source = torch.ones(1 << 28, device=device)
    target = torch.empty_like(source)
    return 2 * 4096**3 / _seconds(torch, lambda: a @ a), 8 * len(source) / _seconds(torch, lambda: target.copy_(source))


def _seconds(torch: Any, call: Callable[[], Any]) -> float:
    """The fastest of ten."""
    call()
    found = []
    for _ in range(10):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        found.append(begin.elapsed_time(end) / 1e3)
    return float(min(found))


def convolutional(name: str, setting: Setting, repeats: int) -> list[dict[str, Any]]:
    """The table of one setting."""
    import metagrad as mg

    with mg.precision("tf32" if setting.tf32 else "float32"):
        contenders = [c for made in build(functools.partial(metagrad, setting), *peers(setting)) for c in made]
        check_equal(contenders, TOLERANCE[setting.tf32])
        floor = floor_of(operations(setting), compulsory_bytes(setting), *rates(setting.device, setting.tf32))
        measure(contenders, repeats)
    rest = tuple(c.name for c in contenders if not c.name.startswith("metagrad"))
    net = "max-pool" if setting.pool else "stride"
    size = f"{setting.tasks} tasks, {WAYS}-way 1-shot, queries a class: {setting.queries}"
    title = f"({name}) MAML meta-gradient, Omniglot {net} net, {size}, {'TF32' if setting.tf32 else 'float32'}"
    return report(title, contenders, floor, {"meta-step": Target("metagrad, captured", rest, AT_MOST)})


def sinusoidal(device: str, repeats: int) -> list[dict[str, Any]]:
    """The table of the sinusoid's meta-gradient."""
    rows = []
    for steps in (1, 5):
        made = build(
            functools.partial(sinusoid, steps, device), *([functools.partial(_jax, steps)] * (device == "cuda"))
        )
        contenders = list(itertools.chain(*made))
        check_equal(contenders, 1e-4)
        floor = floor_of(sinusoid_operations(steps), sinusoid_bytes(), *rates(device, False))
        measure(contenders, repeats)
        target = {"meta-step": Target("metagrad, captured", ("jax.jit",), SINUSOID_AT_MOST)}
        rows += report(f"sinusoid MAML meta-gradient, 25 tasks, inner steps: {steps}", contenders, floor, target)
    return rows


def _jax(steps: int) -> list[Contender]:
    if need("jax").default_backend() != "gpu":
        raise PeerAbsent("this build of jax finds no GPU")
    return jax_peer(steps)


def main() -> None:
    options = parse()
    announce()
    emulated = options.device == "emulated"
    rows = []
    for name, tf32 in itertools.product(options.only, [p == "tf32" for p in options.precision]):
        if name == "sinusoid":
            continue
        setting = SETTINGS[name]._replace(device=options.device, tf32=tf32)
        setting = setting._replace(tasks=2, queries=1, filters=4) if emulated else setting
        rows += convolutional(name, setting, options.repeats)
    if "sinusoid" in options.only:
        rows += sinusoidal(options.device, options.repeats)
    if not emulated:
        rows = [{**row, "device": device_name()} for row in rows]
    write(options.json, rows)


def device_name() -> str:
    """What the driver calls the GPU."""
    return str(need("torch").cuda.get_device_name())


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
