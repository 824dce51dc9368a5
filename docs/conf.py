"""The site: `python -m sphinx -W --keep-going -b html docs OUT`."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT / "kernels"), str(ROOT)]

project = "metagrad"
author = "metagrad contributors"
release = re.findall(r'^__version__ = "(.+)"$', (ROOT / "metagrad/__init__.py").read_text("utf-8"), re.MULTILINE)[0]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "reference", "mathml"]
exclude_patterns = ["_build", "generated", "kinks-table.md"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
smartquotes = False
default_role = "literal"  # single backticks are code, as in docstrings
nitpicky = True

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"metagrad {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_preserve_defaults = True

# The lessons: run, with what they print and draw, in a copy, where their pictures may be saved. Without any, the page
# says so.
GENERATED = HERE / "generated"
GENERATED.mkdir(exist_ok=True)
LESSONS, PAGES = ROOT / "examples/lessons", HERE / "lessons"
if any(LESSONS.glob("[0-9]*.py")):
    extensions += ["sphinx_gallery.gen_gallery", "notebooks"]
    shutil.copytree(LESSONS, GENERATED / "lessons", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    sphinx_gallery_conf = {
        "examples_dirs": [str(GENERATED / "lessons")],
        "gallery_dirs": [str(PAGES)],
        "filename_pattern": r"/\d",
        "within_subsection_order": "FileNameSortKey",
        "capture_repr": (),
        "abort_on_example_error": True,
        "show_memory": False,
        "show_signature": False,
        "remove_config_comments": True,
        "min_reported_time": 1e9,
        "write_computation_times": False,
    }
else:
    logging.getLogger(__name__).info("no lessons: %s has none", LESSONS.relative_to(ROOT))
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir()
    (PAGES / "index.rst").write_text("Lessons\n=======\n\nThis copy of the project has none.\n", "utf-8")


# A graph to click on, as a page of its own that one on reading graphs frames.
EXTRA = GENERATED / "extra"
EXTRA.mkdir(exist_ok=True)
(EXTRA / "meta_step.html").write_text(importlib.import_module("graphs").page(), "utf-8")
html_extra_path = [str(EXTRA)]

# What was measured, as tables that the page on it includes.
sys.path.append(str(ROOT / "benchmarks"))
report = importlib.import_module("report_checks")
MEASURED = ROOT / "benchmarks/results"
for name, tables in {
    "planted_errors": (report.planted_totals, report.planted_errors),
    "verdicts": (report.verdict_totals, report.verdicts),
}.items():
    source, lines = MEASURED / f"{name}.json", ["Not measured."]
    if source.exists():
        found = json.loads(source.read_text("utf-8"))
        lines = [line for table in tables for line in (*table(found), "")] + report.origin(found)
    (GENERATED / f"{name}.md").write_text("\n".join(lines) + "\n", "utf-8")

# Pages that include a file of the root: where that names another, the link leads to its page.
INCLUDED = {"ARCHITECTURE": "design", "RESULTS": "results", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}


def setup(app: Sphinx) -> None:
    def link(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
        content[0] = re.sub(r"\]\((\w+)\.md\)", lambda m: f"]({INCLUDED.get(m[1], m[1])}.md)", content[0])

    app.connect("include-read", link)
