"""The site's pages: nothing public is missing from them, and what they show is so."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
sys.path[:0] = [str(DOCS), str(DOCS.parent / "benchmarks")]

import kinks  # noqa: E402
import report_checks  # noqa: E402
import report_sinusoid  # noqa: E402
from public import kind, public  # noqa: E402
from report_tables import Run  # noqa: E402

CODE = re.compile(r"^```\{code-block\} python\n:caption: (\w+)\n\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def documented() -> Counter[str]:
    """The full names that the API pages have an entry for."""
    found: Counter[str] = Counter()
    for page in (DOCS / "api").glob("*.rst"):
        text = page.read_text("utf-8")
        found.update(re.findall(r"^\.\. auto\w+:: (\S+)$", text, re.MULTILINE))
        for room, names in re.findall(r"^\.\. public:: (\S+)\n\n((?:   .*\n)+)", text, re.MULTILINE):
            found.update(f"{room}.{name}" for name in names.split())
    return found


def test_the_api_pages_have_everything_public_once():
    entries = documented()
    assert {name: count for name, count in entries.items() if count > 1} == {}
    assert set(public()) - {"metagrad"} == set(entries) - {"pytest_metagrad.second_order"}


def test_everything_public_has_a_docstring():
    missing = [name for name, x in public().items() if kind(x) != "data" and not x.__doc__]
    assert missing == []


def run(page: str, library: str) -> tuple[list[str], list[str]]:
    """What a page's blocks of a library promise and what they print, in one namespace from top to bottom."""
    code = "\n".join(c for name, c in CODE.findall((DOCS / page).read_text("utf-8")) if name == library)
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(promised) == code.count("print(") > 0
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, page, "exec"), {"__name__": "page"})
    return promised, [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("page", ["from-pytorch.md", "from-jax.md"])
def test_our_side_of_a_comparison_prints_what_it_says(page):
    promised, printed = run(page, "metagrad")
    assert printed == promised


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # its forward mode calls it
def test_the_side_of_pytorch_prints_what_it_says():
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'metagrad[oracle]'")
    promised, printed = run("from-pytorch.md", "PyTorch")
    assert printed == promised


def test_the_side_of_jax_prints_what_it_says():
    jax = pytest.importorskip("jax", reason="JAX is not installed: pip install 'metagrad[oracle]'")
    with jax.enable_x64(False):  # its default
        promised, printed = run("from-jax.md", "JAX")
    assert printed == promised


@pytest.mark.parametrize(("name", "package"), [("metagrad", "metagrad"), ("PyTorch", "torch"), ("JAX", "jax")])
def test_the_table_of_kinks_is_what_is_measured(name, package):
    pytest.importorskip(package, reason=f"{name} is not installed: pip install 'metagrad[oracle]'")
    head, _, *rows = [line.split(" | ") for line in (DOCS / "kinks-table.md").read_text("utf-8").splitlines()]
    place = [cell.strip(" |") for cell in head].index(name)
    assert [row[place].strip(" |*") for row in rows] == kinks.column(name)
    assert [row[0].strip(" |`") for row in rows] == [row.text for row in kinks.ROWS]


PLANTED = {
    "planted": [
        {"error": "a sign", "found": {"us": True, "torch gradcheck": False}, "false_alarms": ["torch gradcheck"]},
        {"error": "a factor", "found": {"us": True, "torch gradcheck": True}, "false_alarms": []},
    ],
    "seen": {
        "us": {"programs": 1000, "seconds": 20.0, "alarms": []},
        "torch gradcheck": {"programs": 10, "seconds": 1.0, "alarms": [{"seed": 3, "text": "off"}]},
    },
}


def test_the_tables_of_planted_errors_count_each_checkers_finds_and_false_alarms():
    totals = report_checks.planted_totals(PLANTED)
    assert totals[2:4] == ["| us | 2 | 0 | 1,002 | 20 |", "| torch gradcheck | 1 | 2 | 12 | 100 |"]
    assert totals[-1].endswith(": 1.")
    assert report_checks.planted_errors(PLANTED)[2] == "| a sign | found | **missed** |"


def test_the_tables_of_verdicts_show_the_least_digits_and_what_is_wrong():
    def row(name, order, digits):
        found = {"digits": digits, "oracle": "complex step", "oracle_digits": 13.5}
        return {"primitive": name, "order": order, "cases": 3, **found}

    found = {
        "primitives": [row("add", 1, 16.0), row("add", 2, 15.0), row("sin", 1, 12.5)],
        "cases": [{"case": "sin", "wrong": "[sin] requires this\nbut got that\nand more"}],
    }
    assert report_checks.verdict_totals(found)[2:] == [
        "| 1 | 2 | 12.5 (`sin`) | 14.2 | 13.5 |",
        "| 2 | 1 | 15.0 (`add`) | 15.0 | 13.5 |",
        "",
        "- WRONG: sin: [sin] requires this but got that",
    ]
    assert report_checks.verdicts(found)[3] == "| `sin` | 3 | 12.5 (13.5) |  | complex step |"


def test_a_mean_over_a_seed_that_diverges_is_not_shown():
    def run(seed, *errors):
        common = {"method": "maml", "shots": 10, "iterations": 70000, "tasks": 6000, "seed": seed, "ci95": 0.1}
        rows = [{**common, "steps": steps, "mse": mse} for steps, mse in zip((0, 1, 5, 10), errors, strict=True)]
        origin = {
            "settings": {"alpha": 0.01},
            "command": "c",
            "commit": "0",
            "machine": "m",
            "software": "s",
            "seconds": 1,
        }
        return Run(rows, origin)

    lines = report_sinusoid.sinusoid([run(0, 3.0, 0.4, 0.1, 11.0), run(1, 3.0, 0.2, 2.9e12, None)])
    (row,) = [line for line in lines if line.startswith("| MAML |")]
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        "**3.000** (3.000 ± 0.100, 3.000 ± 0.100)",
        "**0.300** (0.400 ± 0.100, 0.200 ± 0.100)",
        "0.100 ± 0.100, diverges",
        "11.000 ± 0.100, diverges",
    ]
    assert "| MAML, 10-shot, inner step 0.01, after 10 | diverges | at most 0.14 | MISSED |" in lines


def test_a_notebook_is_run_before_it_is_downloaded(tmp_path):
    pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'metagrad[docs]'")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install 'metagrad[docs]'")
    import nbformat
    import notebooks

    def write(name, *cells):
        v4 = nbformat.v4
        content = [v4.new_markdown_cell("# Title"), *map(v4.new_code_cell, cells)]
        nbformat.write(v4.new_notebook(cells=content), tmp_path / name)
        return tmp_path / name

    draw = "import matplotlib.pyplot as plt\nplt.style.use('metagrad.figures')\nfigure, axes = plt.subplots()"
    path = write("good.ipynb", "import metagrad as mg\nprint(mg.grad(mg.sin)(0.0))", draw)
    assert not notebooks.is_executed(path)
    notebooks.execute(path)
    assert notebooks.is_executed(path)
    _, printed, drawn = nbformat.read(path, as_version=4).cells
    assert printed.outputs[0].text == "Tensor(1., dtype=float64)\n"
    assert "image/png" in drawn.outputs[0].data
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.execute(write("bad.ipynb", "1 / 0"))
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".ipynb"] == []
