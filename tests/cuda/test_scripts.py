"""What is to be run on a GPU works as far as it can without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import CUPY, needs_emulation

ROOT = Path(__file__).parents[2]


def run(*command):
    path = f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"
    environment = {**os.environ, "PYTHONPATH": path, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@needs_emulation
def test_the_benchmark_runs_in_the_emulation():
    script = ROOT / "benchmarks" / "maml_gpu.py"
    options = ("--device", "emulated", "--repeats", 1, "--precision", "tf32", "--only", "a")
    code, output, errors = run(sys.executable, script, *options)
    assert code == 0, errors
    assert "all 2 results agree" in output
    assert "metagrad, captured" in output


@pytest.mark.skipif(CUPY is not None, reason="there is a GPU")
def test_without_a_gpu_the_script_for_one_says_so_and_goes_on(tmp_path):
    code, _, errors = run("bash", ROOT / "benchmarks" / "on_gpu.sh", tmp_path / "out", "machine")
    assert code == 1, errors
    rows = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["step"] for row in rows] == ["machine", "devices"]
    assert rows[0]["exit"] != 0
    assert rows[1]["exit"] == 0, "python -m metagrad needs none"
    assert "device cuda: none" in (tmp_path / "out" / "devices.log").read_text()


def test_a_step_that_there_is_not_is_refused(tmp_path):
    code, _, errors = run("bash", ROOT / "benchmarks" / "on_gpu.sh", tmp_path / "out", "everything")
    assert code == 2
    assert "[on_gpu] requires steps among" in errors
