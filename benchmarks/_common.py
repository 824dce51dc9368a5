"""What the benchmarks share: peers that may be absent, checks, interleaved timing, and the floor of the machine."""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

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


def at_once() -> None:
    """What a call has to wait for that is done when it returns."""


@dataclass
class Contender:
    """A name and a call that does the whole work and returns float arrays to be compared: a list, in a fixed order.

    `read` turns what the call returns into NumPy arrays; it is not timed. `rounds` is the share of the repeats it takes
    part in: slow ones need fewer. `finish` waits until what was called is done, where that goes on behind the caller's
    back. `peak_bytes` is filled in by benchmarks that measure memory.
    """

    name: str
    call: Callable[[], Any]
    read: Callable[[Any], list[Any]]
    rounds: float = 1.0
    finish: Callable[[], None] = at_once
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


class Target(NamedTuple):
    """The most that a contender's time or memory may be, in times of a peer's: the best of the peers that are there.

    `of` is "median" or "peak_bytes".
    """

    contender: str
    peers: tuple[str, ...]
    at_most: float
    of: str = "median"

    def row(self, name: str, contenders: list[Contender]) -> dict[str, Any] | None:
        """What came of it, or None where there is nobody to compare."""
        values = {c.name: getattr(c, self.of) for c in contenders}
        peer = min((p for p in self.peers if p in values), key=values.__getitem__, default=None)
        if self.contender not in values or peer is None:
            return None
        return {"target": name, "peer": peer, "ratio": values[self.contender] / values[peer], "at_most": self.at_most}


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


def check_equal(contenders: list[Contender], tolerance: float, say: bool = True) -> None:
    """Every contender's result against the first's: |a - b| <= tolerance |b| in the Euclidean norm, else the end."""
    first, *others = contenders
    expected = _result(first)
    for contender in others:
        error = float(np.linalg.norm(_result(contender) - expected) / np.linalg.norm(expected))
        if not error <= tolerance:
            sys.exit(f"{contender.name} disagrees with {first.name}: relative error {error:.1e}")
    if say:
        print(f"all {len(contenders)} results agree to {tolerance:g}")


def _result(contender: Contender) -> Any:
    return np.concatenate([np.ravel(x) for x in contender.read(contender.call())])


def measure(contenders: list[Contender], repeats: int) -> None:
    """Fill in `seconds`: in each round all contenders take one sample, so that a slow phase of the machine hits all."""
    loops = {}
    for contender in contenders:
        contender.call()
        contender.finish()
        start = time.perf_counter()
        contender.call()
        contender.finish()
        loops[contender.name] = max(1, math.ceil(SAMPLE_SECONDS / (time.perf_counter() - start)))
    for round_ in range(repeats):
        for contender in contenders:
            if math.ceil((round_ + 1) * contender.rounds) == math.ceil(round_ * contender.rounds):
                continue
            gc.collect()
            time.sleep(REST_SECONDS)
            number = range(loops[contender.name])
            if len(number) > 1:  # a long call is its own warming up
                contender.call()
            contender.finish()
            start = time.perf_counter()
            for _ in number:
                contender.call()
            contender.finish()
            contender.seconds.append((time.perf_counter() - start) / len(number))


def report(
    title: str, contenders: list[Contender], floor: float, targets: dict[str, Target] | None = None
) -> list[dict[str, Any]]:
    """Print one table, with times as multiples of the first contender's, and give its rows."""
    ours = contenders[0].median
    width = max(len(c.name) for c in contenders)
    weighed = any(c.peak_bytes is not None for c in contenders)
    peak = f"  {'peak memory':>11}" if weighed else ""
    print(f"\n{title}\n{'':{width}}  {'median':>12}  {'fastest':>12}  {'/ first':>8}  {'/ floor':>8}{peak}")
    rows = []
    for c in contenders:
        peak = "" if c.peak_bytes is None else f"  {c.peak_bytes / 1e6:8.1f} MB"
        print(
            f"{c.name:{width}}  {c.median * 1e6:9.1f} us  {min(c.seconds) * 1e6:9.1f} us"
            f"  {c.median / ours:8.2f}  {c.median / floor:8.1f}{peak}"
        )
        row = {
            "benchmark": title,
            "contender": c.name,
            "median_s": c.median,
            "fastest_s": min(c.seconds),
            "samples": len(c.seconds),
            "relative_to_first": c.median / ours,
            "floor_s": floor,
        }
        rows.append(row if c.peak_bytes is None else {**row, "peak_bytes": c.peak_bytes})
    print(f"{'floor':{width}}  {floor * 1e6:9.1f} us")
    for name, target in (targets or {}).items():
        row = target.row(name, contenders)
        if row is not None:
            met = "met" if row["ratio"] <= target.at_most else "MISSED"
            print(f"{name}: {row['ratio']:.2f} x {row['peer']}, target at most {target.at_most}: {met}")
            rows.append({"benchmark": title, **row})
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
        "metagrad_num_threads": os.environ.get("METAGRAD_NUM_THREADS", "default"),
        "python": platform.python_version(),
        "versions": _versions("numpy", "torch", "jax", "autograd"),
    }


def announce() -> None:
    """Print where the numbers come from."""
    where = provenance()
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    print(f"{where['cpu']}, {where['cores']} cores, OMP_NUM_THREADS {where['omp_num_threads']}")
    print(f"Python {where['python']}, {versions}; commit {where['commit']}")


def announce_threads() -> None:
    """Print how many threads metagrad and PyTorch use; XLA uses its own, one a core."""
    from metagrad_kernels.threads import threads

    counts = {"metagrad": threads}
    if importlib.util.find_spec("torch"):
        counts["torch"] = importlib.import_module("torch").get_num_threads()
    print("threads: " + ", ".join(f"{name} {count}" for name, count in counts.items()))


def cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def floor_seconds(operations: float, bytes_moved: float) -> float:
    """The time below which no implementation can come: operations at the measured peak, or traffic at the bandwidth."""
    return floor_of(operations, bytes_moved, gemm_peak(), copy_bandwidth())


def floor_of(operations: float, bytes_moved: float, rate: float, bandwidth: float) -> float:
    """The same by rates that were measured elsewhere: operations and bytes a second."""
    floor = max(operations / rate, bytes_moved / bandwidth)
    print(
        f"floor: {operations / 1e6:.2f} Mflop at {rate / 1e9:.0f} Gflop/s (a large product),"
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


def resident() -> int:
    """Bytes of the process that are in memory now."""
    return _status("VmRSS")


def peak_resident(call: Callable[[], Any]) -> tuple[int, int]:
    """Bytes in memory before a call, when all that is free has been given back, and the most during it. Linux only."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    call()
    return before, _status("VmHWM")


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """What a function of a module returns in an interpreter that has done nothing before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


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
