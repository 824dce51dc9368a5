"""Small data sets in the layout of the official ones, made by the tests, and what must be read out of them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 105
ALPHABETS = {
    "images_background": ("Balinese", "Early_Aramaic", "Futurama", "Greek", "Korean", "Latin", "Tagalog"),
    "images_evaluation": ("Angelic", "Tibetan"),
}
CHARACTERS, DRAWINGS = 2, 3
PARTS = tuple(ALPHABETS)


def ink_of(part: str, alphabet: str, character: int, drawing: int) -> np.ndarray:
    """A drawing of our own: where there is ink, bool (105, 105). No two are alike."""
    generator = np.random.default_rng([*f"{part}{alphabet}".encode(), character, drawing])
    ink = np.zeros((SIDE, SIDE), bool)
    for top, left in generator.integers(5, 60, (3, 2)):
        height, width = generator.integers(3, 40, 2)
        ink[top : top + height, left : left + width] = True
    return ink


def png(ink: np.ndarray) -> bytes:
    """One bit a pixel, black on white."""
    file = io.BytesIO()
    Image.fromarray(~ink).save(file, "png")
    return file.getvalue()


def members(part: str) -> dict[str, bytes]:
    """The files of one part."""
    return {
        f"{part}/{alphabet}/character{c:02}/{7 * c:04}_{d:02}.png": png(ink_of(part, alphabet, c, d))
        for alphabet in ALPHABETS[part]
        for c in range(1, CHARACTERS + 1)
        for d in range(1, DRAWINGS + 1)
    }


def write_zips(folder: Path) -> Path:
    """Both zips; files in them stand in no order, as in the official ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        with zipfile.ZipFile(folder / f"{part}.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"__MACOSX/{part}/Korean/character01/0000_01.png", b"not a picture")
            for name, content in reversed(members(part).items()):
                file.writestr(name, content)
    return folder


def write_folders(folder: Path, parts: tuple[str, ...] = PARTS) -> Path:
    """What is in the zips, extracted."""
    for part in parts:
        for name, content in members(part).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder


def names(part: str) -> list[str]:
    """The characters of a part."""
    return [f"{alphabet}/character{c:02}" for alphabet in ALPHABETS[part] for c in range(1, CHARACTERS + 1)]


def all_ink() -> np.ndarray:
    """All drawings in the order of reading: bool (classes, drawings, 105, 105)."""
    return np.stack(
        [
            np.stack([ink_of(part, alphabet, c, d) for d in range(1, DRAWINGS + 1)])
            for part in PARTS
            for alphabet in ALPHABETS[part]
            for c in range(1, CHARACTERS + 1)
        ]
    )
