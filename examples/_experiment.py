"""What the experiments share: options, the record of a run, numbers for JSON, and how a run ends."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import metagrad as mg
from metagrad import meta
from metagrad.errors import MetagradError, OptionError, requires

if TYPE_CHECKING:
    from collections.abc import Callable


class Record:
    """run.json in the output folder: what was run, where, and how long it took."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._began = time.monotonic()
        self.out = meta.output_folder(args.out)
        before = earlier(self.out) if args.resume else []
        self._facts = {**provenance(args), "seconds": None, "earlier": before}

    def begin(self) -> None:
        """What the run needs is there. One that is resumed keeps its record until the end: it may still be refused."""
        if not self._facts["earlier"]:
            write_json(self.out / "run.json", self._facts)

    def finish(self, **more: Any) -> None:
        """The run has ended: its seconds are known now, and what `more` it found."""
        write_json(self.out / "run.json", {**self._facts, "seconds": round(time.monotonic() - self._began, 1), **more})


def provenance(args: argparse.Namespace) -> dict[str, Any]:
    """What a reader needs to run it again."""
    here = Path(__file__).parent
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=here, capture_output=True, text=True, check=False
    )
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    return {
        "command": " ".join(["python", *sys.argv]),
        **on_device(args),
        "settings": {k: v for k, v in vars(args).items() if k not in ("out", "resume")},
        "commit": git.stdout.strip() or "unknown",
        "machine": f"{cpu or platform.machine()}, {os.cpu_count()} cores",
        "software": f"Python {platform.python_version()}, NumPy {np.__version__}, metagrad {mg.__version__}",
    }


def on_device(args: argparse.Namespace) -> dict[str, str]:
    """On a GPU, what it is called and how exact its products are."""
    if getattr(args, "device", "cpu") == "cpu":
        return {}
    return {"device": mg.cuda.name() if args.device == "cuda" else args.device, "precision": "float32"}


def earlier(out: Path) -> list[dict[str, Any]]:
    """The records of a resumed run's earlier parts; their seconds are None where they were stopped."""
    path = out / "run.json"
    if not path.exists():
        return []
    try:
        last = dict(json.loads(path.read_text("utf-8")))
        return [*last.pop("earlier", []), last]
    except (OSError, ValueError, TypeError):
        print(f"{path} is not readable and is written anew", file=sys.stderr)
        return []


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all, also when the process is killed."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OptionError(requires("out", "a folder that can be written", error)) from error


def finite(x: float) -> float | None:
    """A number that JSON can hold."""
    return float(x) if math.isfinite(x) else None


def mean_and_ci95(values: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """The mean over axis 0, and half the width of its 95% confidence interval; NaN or infinity where there is none."""
    with np.errstate(all="ignore"):
        half = 1.96 * values.std(axis=0) / math.sqrt(len(values))
        return values.mean(axis=0), half if len(values) > 1 else np.full_like(half, np.nan)


def whole(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"requires a whole number, at least {least}, but got {text}")
    return int(text)


def counted(number: int, what: str) -> str:
    """So many of them.

    >>> counted(1, "step"), counted(2, "step")
    ('1 step', '2 steps')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def rate(text: str, zero: bool = True, below: float = math.inf) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < below or (value == 0 and not zero):
        need = "a number that is not negative" if zero else "a positive number"
        need += f", below {below:g}," if below < math.inf else ""
        raise argparse.ArgumentTypeError(f"requires {need} but got {text}")
    return value


def device_options(parser: argparse.ArgumentParser) -> None:
    """--device and --no-capture."""
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda", "emulated"],
        default="cpu",
        help="where nets and tasks are; emulated: CUDA's kernels on the CPU, slowly (default: cpu)",
    )
    parser.add_argument(
        "--no-capture",
        dest="capture",
        action="store_false",
        help="launch the kernels of a step one by one on a GPU, not as one CUDA graph",
    )


def guarded(run: Callable[[], None]) -> int:
    """Run an experiment; the exit code, with one sentence for what a person can act on."""
    try:
        run()
    except KeyboardInterrupt as stop:
        print(f"{stop or 'stopped'}; --resume goes on from there", file=sys.stderr)
        return 130
    except MetagradError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        print(f"error: requires more memory than there is: {error}", file=sys.stderr)
        return 1
    return 0
