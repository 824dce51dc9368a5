"""The table of kinks: derivatives of orders 1 to 3 where there is none, in metagrad, PyTorch and JAX, as measured.

python docs/kinks.py > docs/kinks-table.md
"""

from __future__ import annotations

import importlib
import math
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    """A function of one number, as it is written in the table and in code, and the number."""

    text: str
    f: Callable[[Any, Any], Any]
    at: float = 0.0


ROWS = [
    Row("abs(x)", lambda xp, x: xp.abs(x)),
    Row("sign(x)", lambda xp, x: xp.sign(x)),
    Row("relu(x)", lambda xp, x: xp.relu(x)),
    Row("leaky_relu(x)", lambda xp, x: xp.leaky_relu(x)),
    Row("elu(x)", lambda xp, x: xp.elu(x)),
    Row("maximum(x, 1)", lambda xp, x: xp.maximum(x, xp.number(1.0)), 1.0),
    Row("minimum(x, 1)", lambda xp, x: xp.minimum(x, xp.number(1.0)), 1.0),
    Row("maximum(x, x²)", lambda xp, x: xp.maximum(x, x * x), 1.0),
    Row("clip(x, -1, 1)", lambda xp, x: xp.clip(x, -1.0, 1.0), 1.0),
    Row("max([x, 1])", lambda xp, x: xp.max(xp.pair(x, xp.number(1.0))), 1.0),
    Row("min([x, 1])", lambda xp, x: xp.min(xp.pair(x, xp.number(1.0))), 1.0),
    Row("max_pool([x, 1])", lambda xp, x: xp.pool(xp.pair(x, xp.number(1.0))), 1.0),
    Row("max_pool([1, x])", lambda xp, x: xp.pool(xp.pair(xp.number(1.0), x)), 1.0),
    Row("hypot(x, 0)", lambda xp, x: xp.hypot(x, xp.number(0.0))),
    Row("hypot(x, x)", lambda xp, x: xp.hypot(x, x)),
    Row("norm([x, x])", lambda xp, x: xp.norm(xp.pair(x, x))),
    Row("std([x, 0])", lambda xp, x: xp.std(xp.pair(x, xp.number(0.0)))),
    Row("atan2(x, 0)", lambda xp, x: xp.atan2(x, xp.number(0.0))),
    Row("atan2(0, x)", lambda xp, x: xp.atan2(xp.number(0.0), x)),
    Row("sqrt(x)", lambda xp, x: xp.sqrt(x)),
    Row("pow(x, 2)", lambda xp, x: x ** xp.number(2.0)),
    Row("pow(x, 1.5)", lambda xp, x: x ** xp.number(1.5)),
    Row("pow(0, x)", lambda xp, x: xp.number(0.0) ** x, 2.0),
    Row("prod([x, x, 0])", lambda xp, x: xp.prod(xp.stack([x, x, xp.number(0.0)]))),
    Row("det([[x, 0], [0, x]])", lambda xp, x: xp.det(x * xp.eye(2))),
    Row("sum(eigvalsh([[2, x], [x, 2]])³)", lambda xp, x: xp.eigenvalues_cubed(2 * xp.eye(2) + x * (1 - xp.eye(2)))),
    Row("logsumexp([x, -∞])", lambda xp, x: xp.logsumexp(xp.pair(x, xp.number(-math.inf))), -math.inf),
    Row("logaddexp(x, -∞)", lambda xp, x: xp.logaddexp(x, xp.number(-math.inf)), -math.inf),
]


class Library(NamedTuple):
    """A library's operations under the table's names, its derivative, and how it holds a number."""

    xp: Any
    grad: Any


ALIKE = ("abs", "sign", "max", "min", "maximum", "minimum", "clip", "hypot", "sqrt", "prod", "stack", "logaddexp")
NETS = ("relu", "leaky_relu", "elu")


def common(lib: Any, nn: Any, **own: Any) -> Any:
    """The names that a library and its functions of nets have as they are, and `own`, for what it calls otherwise."""
    alike = {name: getattr(home, name) for home, names in ((lib, ALIKE), (nn, NETS)) for name in names}
    xp = SimpleNamespace(**alike, det=lib.linalg.det, **own)
    xp.pair = lambda x, y: xp.stack([x, y])
    xp.eigenvalues_cubed = lambda m: (lib.linalg.eigvalsh(m) ** 3).sum()
    return xp


def metagrad() -> Library:
    import metagrad as mg

    nn, window = mg.nn, {"padding": ((1, 0), (0, 0))}
    xp = common(
        mg,
        nn,
        number=mg.asarray,
        pool=lambda x: mg.sum(nn.max_pool2d(mg.reshape(x, (1, 2, 1)), 2, **window)),
        norm=mg.linalg.vector_norm,
        std=mg.std,
        atan2=mg.atan2,
        eye=mg.eye,
        logsumexp=mg.logsumexp,
    )
    return Library(xp, mg.grad)


def torch() -> Library:
    lib = importlib.import_module("torch")
    functional = lib.nn.functional
    xp = common(
        lib,
        functional,
        number=lambda x: lib.tensor(x, dtype=lib.float64),
        pool=lambda x: functional.max_pool1d(x[None], 2).sum(),
        norm=lib.linalg.vector_norm,
        std=lambda x: lib.std(x, correction=0),
        atan2=lib.atan2,
        eye=lambda n: lib.eye(n, dtype=lib.float64),
        logsumexp=lambda x: lib.logsumexp(x, 0),
    )
    return Library(xp, lib.func.grad)


def jax() -> Library:
    lib = importlib.import_module("jax")
    np, nn = lib.numpy, lib.nn

    def pool(x: Any) -> Any:
        return lib.lax.reduce_window(x, -math.inf, lib.lax.max, (2,), (2,), "VALID").sum()

    xp = common(
        np,
        nn,
        number=np.asarray,
        pool=pool,
        norm=np.linalg.norm,
        std=np.std,
        atan2=np.arctan2,
        eye=np.eye,
        logsumexp=nn.logsumexp,
    )
    return Library(xp, lib.grad)


def derivatives(library: Library, row: Row, at: Any) -> list[Any]:
    """Those of orders 1 to 3."""
    found, f = [], lambda x: row.f(library.xp, x)
    for _ in range(3):
        f = library.grad(f)
        found.append(f(at))
    return found


def written(x: float) -> str:
    if math.isnan(x):
        return "NaN"
    return ("-" if x < 0 else "") + "∞" if math.isinf(x) else f"{x + 0.0:.4g}"


def column(name: str) -> list[str]:
    """What a library gives, row by row, in float64. JAX compiles all at once: ten times as fast."""

    def rows(library: Library, points: list[Any]) -> list[list[Any]]:
        return [derivatives(library, row, at) for row, at in zip(ROWS, points, strict=True)]

    points = [row.at for row in ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own
        if name == "JAX":
            lib = importlib.import_module("jax")
            with lib.enable_x64(True):
                found = lib.jit(lambda points: rows(jax(), points))(points)
        else:
            library = {"metagrad": metagrad, "PyTorch": torch}[name]()
            found = rows(library, [library.xp.number(x) for x in points])
    return [", ".join(written(float(d)) for d in orders) for orders in found]


def main() -> None:
    columns = {name: column(name) for name in ("metagrad", "PyTorch", "JAX")}
    print("| function | at x = | " + " | ".join(columns) + " |")
    print("|---|---:|" + "---|" * len(columns))
    for k, row in enumerate(ROWS):
        ours, *others = (cells[k] for cells in columns.values())
        marked = [ours, *(cell if cell == ours else f"**{cell}**" for cell in others)]
        print(f"| `{row.text}` | {written(row.at)} | " + " | ".join(marked) + " |")


if __name__ == "__main__":
    main()
