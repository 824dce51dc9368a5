"""Examples run as a person runs them, for the tests of what they print and write."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def start(example, *options, cwd=None, **variables):
    """`example` is a path in the folder of examples, or one of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}",
        "PYTHONWARNINGS": "error",
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "1",  # BLAS threads of tests that run side by side would spin against each other
        "OPENBLAS_NUM_THREADS": "1",
        **variables,
    }
    command = [sys.executable, str(EXAMPLES / example), *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=cwd, env=environment, text=True, **pipes)


def run(example, *options, cwd=None, **variables):
    """Exit code, output and errors."""
    process = start(example, *options, cwd=cwd, **variables)
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def rows_in(out):
    """Those of results.json."""
    return json.loads((out / "results.json").read_text())


def printed(output):
    """The means and halves of confidence intervals in a printed table, as they stand there."""
    return re.findall(r"(-?\d+\.\d+) ±(\d+\.\d+)", output)
