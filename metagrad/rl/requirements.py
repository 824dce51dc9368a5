"""Packages that reinforcement learning needs and the rest does not: imported on use, with the command where missing."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import OptionError, requires

EXTRA = 'pip install "metagrad[rl]"'


def need(package: str) -> Any:
    """The module of that name; raises OptionError with what installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise OptionError(requires("rl", f"{package}, which `{EXTRA}` installs,", f"{error}")) from error
