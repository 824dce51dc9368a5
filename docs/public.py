"""What the library has of public names: the API pages document each of them."""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from typing import Any

ROOMS = (
    "metagrad",
    "metagrad.cuda",
    "metagrad.data",
    "metagrad.errors",
    "metagrad.inspect",
    "metagrad.linalg",
    "metagrad.meta",
    "metagrad.nn",
    "metagrad.nn.initializers",
    "metagrad.optim",
    "metagrad.random",
    "metagrad.rl",
    "metagrad.testing",
    "metagrad.testing.strategies",
)


@cache
def public() -> dict[str, Any]:
    """Every public object by its full name; a module by its own."""
    found = {}
    for name in ROOMS:
        room = importlib.import_module(name)
        found[name] = room
        found |= {f"{name}.{member}": getattr(room, member) for member in room.__all__}
    return found


def kind(thing: Any) -> str:
    """What Sphinx calls it; `data` has no docstring of its own."""
    if inspect.ismodule(thing):
        return "module"
    if inspect.isclass(thing):
        return "data" if thing.__module__ == "numpy" else "class"
    return "function" if callable(thing) else "data"
