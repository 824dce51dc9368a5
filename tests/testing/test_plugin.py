"""The fixture makes a test of second derivatives three lines, and costs those nothing who do not use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

TESTS = """
import metagrad as mg
def test_right(second_order):
    second_order(lambda w, x: mg.tanh(x @ w), (3, 2), (4, 3))

def test_wrong(second_order):
    second_order(lambda x: mg.stop_gradient(mg.sin(x)) * x, (4,))
"""


def pytest_in(folder, *options):
    """What pytest prints on a folder of tests, with the plugin and no settings of ours."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    command = [sys.executable, "-m", "pytest", "-p", "pytest_metagrad", "-p", "no:cacheprovider", "-q", *options, "."]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120).stdout


def test_the_fixture_finds_what_is_wrong_and_shows_the_callers_line_and_the_report(tmp_path):
    (tmp_path / "test_mine.py").write_text(TESTS)
    out = pytest_in(tmp_path)
    assert "1 failed, 1 passed" in out
    assert ">       second_order(lambda x: mg.stop_gradient(mg.sin(x)) * x, (4,))" in out
    assert "check_gradients: a derivative is wrong" in out
    assert "raise AssertionError" not in out


def test_a_run_that_does_not_use_it_imports_no_metagrad(tmp_path):
    (tmp_path / "test_mine.py").write_text("import sys\ndef test_it():\n    assert 'metagrad' not in sys.modules\n")
    assert "1 passed" in pytest_in(tmp_path)
    assert "second_order" in pytest_in(tmp_path, "--fixtures")
