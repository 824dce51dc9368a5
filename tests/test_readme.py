"""The README's example prints what the README says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def test_the_first_example_prints_what_its_comments_say():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert promised
    assert out.getvalue().splitlines() == promised
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 20


def test_every_file_that_it_names_is_there():
    root = Path(__file__).parents[1]
    for name in re.findall(r"\]\(([^)#:]+)\)|`((?:examples|docs)/[^`]+)`", README):
        assert (root / (name[0] or name[1])).exists(), name
