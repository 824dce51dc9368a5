"""What the benchmarks share: peers that may be absent, checks, interleaved timing, and the floor of the machine."""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

SAMPLE_SECONDS = 0.02  # a sample repeats its call until it lasts this long, so that the clock does not matter

REST_SECONDS = 0.05  # before it, until the idle threads of the library that ran before have stopped spinning


class PeerAbsent(Exception):
    """A library to compare with that is not installed; the message says so."""


def need(module: str) -> Any:
    """Import a peer; raises PeerAbsent with the reason."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PeerAbsent(f"{module} is not installed ({error})") from error


@dataclass
class Contender:
    """A name and a call that does the whole work and returns float arrays to be compared: a list, in a fixed order.

    `read` turns what the call returns into NumPy arrays; it is not timed. `rounds` is the share of the repeats it takes
    part in: slow ones need fewer.
    """

    name: str
    call: Callable[[], Any]
    read: Callable[[Any], list[Any]]
    rounds: float = 1.0
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def arguments(description: str, repeats: int = 30) -> argparse.Namespace:
    """The options that all benchmarks have: --repeats and --json."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=repeats, help="interleaved samples of each contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file, too")
    return parser.parse_args()


def build(*makers: Callable[[], T]) -> list[T]:
    """What each library's maker returns, where that library is installed; says which are skipped and why."""
    made = []
    for maker in makers:
        try:
            made.append(maker())
        except PeerAbsent as reason:
            print(f"skipped: {reason}")
    return made


def check_equal(contenders: list[Contender], tolerance: float) -> None:
    """Every contender's result against the first's: |a - b| <= tolerance |b| in the Euclidean norm, else the end."""
    results = [np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in c.read(c.call())]) for c in contenders]
    for contender, result in zip(contenders, results, strict=True):
        error = float(np.linalg.norm(result - results[0]) / np.linalg.norm(results[0]))
        if not error <= tolerance:
            sys.exit(f"{contender.name} disagrees with {contenders[0].name}: relative error {error:.1e}")
    print(f"all {len(contenders)} results agree to {tolerance:g}")


def measure(contenders: list[Contender], repeats: int) -> None:
    """Fill in `seconds`: in each round all contenders take one sample, so that a slow phase of the machine hits all."""
    loops = {}
    for contender in contenders:
        contender.call()
        start = time.perf_counter()
        contender.call()
        loops[contender.name] = max(1, math.ceil(SAMPLE_SECONDS / (time.perf_counter() - start)))
    for round_ in range(repeats):
        for contender in contenders:
            if math.ceil((round_ + 1) * contender.rounds) == math.ceil(round_ * contender.rounds):
                continue
            gc.collect()
            time.sleep(REST_SECONDS)
            contender.call()
            number = range(loops[contender.name])
            start = time.perf_counter()
            for _ in number:
                contender.call()
            contender.seconds.append((time.perf_counter() - start) / len(number))


def report(
    title: str, contenders: list[Contender], floor: float, targets: dict[str, tuple[str, str, float]] | None = None
) -> list[dict[str, Any]]:
    """Print one table, with times as multiples of the first contender's, and give its rows.

    `targets` maps a name to (contender, peer, ratio): the most that contender's time may be of that peer's.
    """
    ours = contenders[0].median
    width = max(len(c.name) for c in contenders)
    print(f"\n{title}\n{'':{width}}  {'median':>10}  {'fastest':>10}  {'/ first':>8}  {'/ floor':>8}")
    rows = []
    for c in contenders:
        print(
            f"{c.name:{width}}  {c.median * 1e6:7.1f} us  {min(c.seconds) * 1e6:7.1f} us"
            f"  {c.median / ours:8.2f}  {c.median / floor:8.1f}"
        )
        rows.append(
            {
                "benchmark": title,
                "contender": c.name,
                "median_s": c.median,
                "fastest_s": min(c.seconds),
                "samples": len(c.seconds),
                "relative_to_first": c.median / ours,
                "floor_s": floor,
            }
        )
    print(f"{'floor':{width}}  {floor * 1e6:7.1f} us")
    medians = {c.name: c.median for c in contenders}
    for name, (contender, peer, most) in (targets or {}).items():
        if contender in medians and peer in medians:
            ratio = medians[contender] / medians[peer]
            print(f"{name}: {ratio:.2f} x {peer}, target at most {most}: {'met' if ratio <= most else 'MISSED'}")
            rows.append({"benchmark": title, "target": name, "peer": peer, "ratio": ratio, "at_most": most})
    return rows


def write(path: Path | None, rows: list[dict[str, Any]]) -> None:
    """The rows as JSON, each with where it comes from."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([{**row, **provenance()} for row in rows], indent=1) + "\n", "utf-8")


def provenance() -> dict[str, Any]:
    """The command, the commit (with + where the tree differs from it), the machine and the versions."""
    return {
        "command": " ".join(["python", *sys.orig_argv[1:]]),
        "commit": _git("describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "python": platform.python_version(),
        "versions": _versions("numpy", "torch", "jax", "autograd"),
    }


def announce() -> None:
    """Print where the numbers come from."""
    where = provenance()
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    print(f"{where['cpu']}, {where['cores']} cores, OMP_NUM_THREADS {where['omp_num_threads']}")
    print(f"Python {where['python']}, {versions}; commit {where['commit']}")


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def floor_seconds(operations: float, bytes_moved: float) -> float:
    """The time below which no implementation can come: operations at the measured peak, or traffic at the bandwidth."""
    rate, bandwidth = gemm_peak(), copy_bandwidth()
    floor = max(operations / rate, bytes_moved / bandwidth)
    print(
        f"floor: {operations / 1e6:.2f} Mflop at {rate / 1e9:.0f} Gflop/s (float32 product of 1024 x 1024),"
        f" {bytes_moved / 1e6:.2f} MB at {bandwidth / 1e9:.1f} GB/s (copy): {floor * 1e6:.1f} us"
    )
    return floor


def gemm_peak(n: int = 1024) -> float:
    """Operations a second of the fastest of ten products of float32 matrices, on all cores."""
    a = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    return 2 * n**3 / _fastest(lambda: a @ a, 10)


def copy_bandwidth(size: int = 1 << 28) -> float:
    """Bytes a second, read and written, of the fastest of five copies of an array beyond the caches."""
    source = np.ones(size, np.uint8)
    target = np.empty_like(source)
    return 2 * size / _fastest(lambda: np.copyto(target, source), 5)


def _fastest(call: Callable[[], Any], times: int) -> float:
    call()
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def _git(*command: str) -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _versions(*packages: str) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found
