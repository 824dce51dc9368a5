"""`python -m metagrad_kernels.compile --arch sm_90`: every CUDA kernel compiled, with no GPU, and what it takes.

A line for each entry: registers and bytes of local memory (stack, spills) of a thread, bytes of shared memory of a
block. Ends with 1 where one does not compile, spills, or takes more registers than its module says it may.
"""

from __future__ import annotations

import argparse
import importlib
import io
import pkgutil
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

from .cuda import first_error
from .launch import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHITECTURES = ("sm_80", "sm_90")


class Measured(NamedTuple):
    """What one entry takes; `error` is "" where all is well."""

    source: str
    entry: str
    architecture: str
    registers: int
    spilled: int
    shared: int
    error: str


def sources() -> Iterator[Source]:
    """Every `.cu` file that an operation's `cuda` module launches."""
    for package in pkgutil.iter_modules(importlib.import_module(__package__).__path__):
        if not package.ispkg:
            continue
        folder = importlib.import_module(f"{__package__}.{package.name}")
        for module in pkgutil.iter_modules(folder.__path__):
            if module.name.startswith("cuda") and module.name != "cuda_numba":
                found = importlib.import_module(f"{folder.__name__}.{module.name}")
                yield from (value for value in vars(found).values() if isinstance(value, Source))


def measure(source: Source, entry: str, architecture: str) -> Measured:
    """Compile one entry by NVRTC. Raises ImportError without cuda-core, which `metagrad[test]` brings."""
    from cuda.core import Program, ProgramOptions

    options = ProgramOptions(
        name=source.path.name, arch=architecture, std="c++17", ftz=True, ptxas_options=["-v", "-warn-spills"]
    )
    log = io.StringIO()
    try:
        Program(source.text, "c++", options).compile("cubin", name_expressions=(entry,), logs=log)
    except Exception as error:  # NVRTC's own class, whose place moves between versions; its log has the reason
        return Measured(source.path.name, entry, architecture, 0, 0, 0, first_error(f"{log.getvalue()}\n{error}"))
    text = log.getvalue()
    registers, shared = _number(r"Used (\d+) registers", text), _number(r"(\d+) bytes smem", text)
    spilled = max(_number(rf"(\d+) bytes {what}", text) for what in ("stack frame", "spill stores", "spill loads"))
    wrong = ""
    if spilled:
        wrong = f"spills {spilled} bytes"
    elif registers > source.entries[entry]:
        wrong = f"takes {registers} registers, more than {source.entries[entry]}"
    return Measured(source.path.name, entry, architecture, registers, spilled, shared, wrong)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m metagrad_kernels.compile", description=__doc__)
    parser.add_argument("--arch", action="append", metavar="sm_90", help="may be given again; sm_80 and sm_90 if not")
    chosen: Any = parser.parse_args(arguments).arch or ARCHITECTURES
    table = Table(title="CUDA kernels", title_justify="left")
    for heading in ("file", "kernel", "arch", "registers", "spilled", "shared", ""):
        table.add_column(heading, justify="right" if heading in ("registers", "spilled", "shared") else "left")
    rows = [measure(source, entry, arch) for source in sources() for entry in source.entries for arch in chosen]
    for row in rows:
        table.add_row(*map(str, row[:-1]), row.error or "ok")
    Console(width=None if sys.stdout.isatty() else 140).print(table, highlight=False)
    wrong = sum(bool(row.error) for row in rows)
    if wrong:
        print(f"[compile] requires kernels within their bounds but got {wrong} that are not", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
