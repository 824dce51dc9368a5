"""One row for each public operation, and more where shapes or options take another path. The battery runs over these.

Each file but the table is a family of operations: to stand in this folder is all that it takes.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

FAMILIES = [import_module(f".{file.name}", __name__) for file in iter_modules(__path__) if file.name != "table"]

CASES = [case for family in FAMILIES for case in family.CASES]
