"""Which room of the library may import which, read from the source; and what an import costs."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

# A room is a module or a folder directly in metagrad. `operations` and `linalg` are the public face of `ops`.
CORE = {"errors", "core"}
ARRAYS = CORE | {"arrays"}
OPS = ARRAYS | {"ops", "operations", "linalg"}
TRANSFORMS = OPS | {"transforms"}
LAYERS = TRANSFORMS | {"nn", "optim", "random", "serialization"}
META = LAYERS | {"cuda", "data", "meta"}

MAY_IMPORT = {
    "errors": set(),
    "core": {"errors"},
    "arrays": CORE | {"metagrad_kernels"},
    "ops": ARRAYS | {"metagrad_kernels"},
    "operations": OPS,
    "linalg": OPS,
    "transforms": OPS,
    "cuda": ARRAYS | {"metagrad_kernels"},
    "nn": LAYERS,
    "optim": LAYERS,
    "random": LAYERS,
    "serialization": LAYERS,
    "data": ARRAYS,
    "meta": META,
    "rl": META | {"metagrad_kernels"},
    "testing": TRANSFORMS,
    "inspect": TRANSFORMS,
    "__init__": META | {"rl", "testing", "inspect", "metagrad_kernels"},
    "__main__": META | {"rl", "testing", "inspect", "__init__", "metagrad_kernels"},
}


def imported(path: Path, source_root: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a file imports when it runs, also inside functions."""
    package = path.relative_to(source_root).parent.parts

    def walk(node: ast.AST) -> Iterator[tuple[int, str]]:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.orelse:
                yield from walk(child)
            return
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    yield from walk(ast.parse(path.read_text("utf-8")))


def rooms_of(package: Path) -> set[str]:
    return {p.stem for p in package.iterdir() if p.suffix == ".py" or (p.is_dir() and any(p.rglob("*.py")))}


def room_imported(name: str, rooms: set[str]) -> str | None:
    """The room that a dotted name leads to, `__init__` for metagrad itself; None for what is not ours."""
    top, _, rest = name.partition(".")
    if top == "metagrad":
        room = rest.partition(".")[0]
        return room if room in rooms else "__init__"
    return top if top == "metagrad_kernels" else None


def violations(root: Path) -> list[str]:
    """Every import in `root` that the rule forbids, as a sentence with its place."""
    package, found = root / "metagrad", []
    rooms = rooms_of(package)
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for line, name in imported(path, root):
            target = room_imported(name, rooms)
            if target not in (None, room) and target not in MAY_IMPORT.get(room, ()):
                found.append(f"{path.relative_to(root)}:{line} imports {name}: {room} may not import {target}")
    for path in sorted((root / "kernels").rglob("*.py")):
        for line, name in imported(path, root / "kernels"):
            if name.partition(".")[0] == "metagrad":
                found.append(f"{path.relative_to(root)}:{line} imports {name}: kernels take and return plain arrays")
    for path in sorted([*package.rglob("*.py"), *(root / "kernels").rglob("*.py")]):
        if path.name == "cuda.py" or path == package / "arrays.py":
            continue
        for line, name in imported(path, root):
            if name.partition(".")[0] == "cupy":
                found.append(f"{path.relative_to(root)}:{line} imports {name}: only arrays.py and cuda.py import CuPy")
    return found


def test_every_import_keeps_the_rule_of_dependency():
    assert violations(ROOT) == []


def test_every_room_has_a_rule():
    assert rooms_of(ROOT / "metagrad") <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("file", "source", "forbidden"),
    [
        ("metagrad/core/trace.py", "from ..ops import add", "core may not import ops"),
        ("metagrad/core/trace.py", "def f():\n    import metagrad.arrays", "core may not import arrays"),
        ("metagrad/core/trace.py", "from .. import ops", "core may not import ops"),
        ("metagrad/core/trace.py", "from .. import grad", "core may not import __init__"),
        ("metagrad/core/trace.py", "import metagrad as mg", "core may not import __init__"),
        ("metagrad/core/trace.py", "import metagrad_kernels", "core may not import metagrad_kernels"),
        ("metagrad/ops/linear.py", "from ..transforms import grad", "ops may not import transforms"),
        ("metagrad/data/sinusoid.py", "from ..ops.linear import x", "data may not import ops"),
        ("metagrad/new_room.py", "from .core import trace", "new_room may not import core"),
        ("metagrad/ops/linear.py", "import cupy", "only arrays.py and cuda.py import CuPy"),
        ("kernels/metagrad_kernels/relu/cpu.py", "from metagrad.core import trace", "plain arrays"),
        ("metagrad/core/trace.py", "if TYPE_CHECKING:\n    pass\nelse:\n    from ..ops import x", "may not import ops"),
        ("metagrad/core/trace.py", "if TYPE_CHECKING:\n    from ..ops import add", None),
        ("metagrad/core/trace.py", "from ..errors import x\nfrom . import pytree\nimport numpy", None),
        ("metagrad/ops/linear.py", "from metagrad_kernels import x\nfrom ..core.trace import y", None),
        ("kernels/metagrad_kernels/relu/cuda.py", "import cupy\nfrom .. import dispatch", None),
    ],
)
def test_a_planted_violation_is_found_and_nothing_else(tmp_path, file, source, forbidden):
    for room in ("core", "ops", "transforms", "data"):
        (tmp_path / "metagrad" / room).mkdir(parents=True)
        (tmp_path / "metagrad" / room / "__init__.py").touch()
    for module in ("errors.py", "arrays.py", "__init__.py"):
        (tmp_path / "metagrad" / module).touch()
    planted = tmp_path / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(source)
    found = violations(tmp_path)
    if forbidden is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith(file)
        assert forbidden in found[0]


def in_a_fresh_interpreter(code: str, bytecode: Path) -> str:
    """What the code prints. Bytecode is kept in a folder, as that of an installed library is, whatever the settings."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


def test_import_brings_in_nothing_that_is_slow(tmp_path):
    modules = set(in_a_fresh_interpreter("import metagrad, sys; print(*sys.modules)", tmp_path).split())
    assert "metagrad.core" in modules
    assert modules.isdisjoint({"numba", "matplotlib", "cupy", "torch", "jax", "rich", "opt_einsum", "scipy"})


def test_data_waits_with_what_is_slow_until_a_picture_is_read(tmp_path):
    modules = set(in_a_fresh_interpreter("import metagrad.data, sys; print(*sys.modules)", tmp_path).split())
    assert "metagrad.data.download" in modules
    assert modules.isdisjoint({"PIL", "rich", "http.client", "urllib.request", "numba"})


def test_import_takes_less_than_a_quarter_of_a_second(tmp_path):
    # Of the processor's time: another test may run on the same core.
    code = "import time; start = time.process_time(); import metagrad; print(time.process_time() - start)"
    assert min(float(in_a_fresh_interpreter(code, tmp_path)) for _ in range(7)) < 0.25


def test_only_compiled_code_is_cached_without_bound():
    """There is one for each signature; of shapes and primitives there is no end in a long run."""
    for root, package in ((ROOT, "metagrad"), (ROOT / "kernels", "metagrad_kernels")):
        for path in (root / package).rglob("*.py"):
            if path.name not in ("__main__.py", "cublas.py"):  # which loads what is not everywhere
                name = ".".join(path.relative_to(root).with_suffix("").parts)
                importlib.import_module(name.removesuffix(".__init__"))
    caches = {
        f"{name}.{key}": found.cache_parameters()["maxsize"]
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("metagrad", "metagrad_kernels")
        for key, found in vars(module).items()
        if hasattr(found, "cache_parameters")
    }
    unbounded = {name for name, most in caches.items() if most is None}
    assert len(caches) > len(unbounded) > 0
    compiled = re.compile(r"metagrad_kernels\.(.*\.cpu\._.*|threads\._(server|conductor))")
    assert {name for name in unbounded if not compiled.fullmatch(name)} == set()
