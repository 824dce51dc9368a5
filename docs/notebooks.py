"""The notebooks of the lessons, run: what is downloaded shows what it prints and draws."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient import NotebookClient

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]


def execute(path: Path) -> None:
    """Run a notebook in an empty folder and write it back with its outputs; raises what a cell raises."""
    notebook: Any = nbformat.read(path, as_version=4)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'kernels'}"}
    with TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],
            startup_timeout=300,
        ).execute(env=environment)
    nbformat.write(notebook, path)


def is_executed(path: Path) -> bool:
    cells = nbformat.read(path, as_version=4).cells
    return all(cell.execution_count for cell in cells if cell.cell_type == "code")


def execute_all(app: Sphinx) -> None:
    """After the gallery has written them, and only those that it has written anew; its archives then hold these.

    With `-D plot_gallery=0` no lesson is run, so no notebook is either.
    """
    if str(app.config.plot_gallery) in ("0", "False"):
        return
    folder = Path(app.srcdir) / "lessons"
    written = [path for path in sorted(folder.glob("*.ipynb")) if not is_executed(path)]
    for path in written:
        execute(path)
    for archive in folder.glob("*.zip") if written else ():
        names = zipfile.ZipFile(archive).namelist()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
            for name in names:
                new.write(folder / name, name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", execute_all, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
