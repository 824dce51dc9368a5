"""Packages that reinforcement learning needs and the rest does not: imported on use, with the command where missing."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ..errors import OptionError, requires

EXTRA = 'pip install "metagrad[rl]"'


def need(package: str) -> Any:
    """The module of that name; raises OptionError with what installs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise OptionError(requires("rl", f"{package}, which `{EXTRA}` installs,", f"{error}")) from error
    except Exception as error:  # MuJoCo looks for a renderer, and each fails in its own way
        renderer = os.environ.get("MUJOCO_GL")
        set_to = (
            f"; MUJOCO_GL is {renderer}: unset it, or install its library" if package == "mujoco" and renderer else ""
        )
        got = f"{type(error).__name__}: {error}{set_to}"
        raise OptionError(requires("rl", f"{package} that can be imported", got)) from error
