"""Pictures of a robot from MuJoCo's offscreen renderer."""

from __future__ import annotations

import contextlib
import os
import sys
from ctypes.util import find_library
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, requires
from .requirements import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .locomotion import Locomotion

Array = np.ndarray[Any, Any]


def headless() -> None:
    """Where there is no display, MuJoCo is to draw by EGL, if that is here; it looks when it is imported."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not display and "MUJOCO_GL" not in os.environ and find_library("EGL"):
        os.environ["MUJOCO_GL"] = "egl"


@contextlib.contextmanager
def _renderer(mujoco: Any, model: Any, width: int, height: int) -> Iterator[Any]:
    try:
        made = mujoco.Renderer(model, height, width)
    except Exception as error:  # each of MuJoCo's backends fails in its own way
        wanted = "a display, or MUJOCO_GL=egl or osmesa and its library before MuJoCo is imported,"
        raise OptionError(requires("frames", wanted, f"{type(error).__name__}: {error}")) from error
    try:
        yield made
    finally:
        made.close()


def frames(family: Locomotion, states: Array, width: int = 320, height: int = 240) -> Array:
    """Pictures (n, height, width, 3), uint8, of states (n, ...) of a robot, by the camera that follows it.

    Raises OptionError for a family that is no robot, and where nothing can be drawn: no display, and no library that
    does without.
    """
    mujoco = need("mujoco")
    if not hasattr(family, "model"):
        raise OptionError(requires("frames", "a robot, such as HalfCheetah()", family.name))
    data = mujoco.MjData(family.model)
    pictures = np.empty((len(states), height, width, 3), np.uint8)
    with _renderer(mujoco, family.model, width, height) as renderer:
        for picture, state in zip(pictures, states, strict=True):
            mujoco.mj_setState(family.model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
            mujoco.mj_forward(family.model, data)
            renderer.update_scene(data, "track")
            picture[:] = renderer.render()
    return pictures
