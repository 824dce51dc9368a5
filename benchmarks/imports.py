"""What `import metagrad` costs: wall time in fresh interpreters, the share of NumPy in it, and the slowest modules.

python benchmarks/imports.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys

from _common import announce, arguments, write

TARGET = 0.25
# Bytecode is read, as that of an installed library is, whatever the settings here.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(module: str, repeats: int) -> list[float]:
    """The time of an import in fresh interpreters, beyond their own start; the first, cold one is left out."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    return [float(_python("-c", code).stdout) for _ in range(repeats + 1)][1:]


def slowest(module: str, most: int = 10) -> list[tuple[float, str]]:
    """Modules by the time that each takes itself, without what it imports."""
    lines = _python("-X", "importtime", "-c", f"import {module}").stderr.splitlines()
    rows = [match.groups() for line in lines if (match := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", line))]
    return sorted(((int(us) / 1e6, name) for us, name in rows), reverse=True)[:most]


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=True)


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=11)
    announce()
    rows = []
    for module in ("numpy", "metagrad"):
        found = seconds(module, options.repeats)
        median = statistics.median(found)
        print(f"import {module:8}  median {median * 1e3:6.1f} ms  fastest {min(found) * 1e3:6.1f} ms")
        claims = [["s, median", median, TARGET if module == "metagrad" else None]]
        rows.append({"benchmark": f"import {module}", "claims": claims, "fastest_s": min(found)})
    met = median <= TARGET
    print(f"target at most {TARGET * 1e3:.0f} ms: {'met' if met else 'MISSED'}\nslowest modules, by themselves:")
    for time_, name in slowest("metagrad"):
        print(f"  {time_ * 1e3:6.1f} ms  {name}")
    write(options.json, rows)


if __name__ == "__main__":
    main()
