"""From picture files to arrays, by Pillow: black on white that becomes ink, and colour."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DataError, OptionError, requires
from .progress import progress_bar
from .records import ImageClasses, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from .sources import Source

Array = np.ndarray[Any, Any]

RESAMPLINGS = ("nearest", "lanczos")


class Setting(NamedTuple):
    """How a picture becomes an array (size, size, channels)."""

    size: int
    channels: int
    """1 for ink, 255 where it is and 0 on white paper; 3 for red, green and blue."""
    resample: str
    """"nearest" takes ink as it is, one bit a pixel; "lanczos" filters 8-bit grey or colour."""


class PictureFile(NamedTuple):
    """One file of a source."""

    source: Source
    name: str


class ClassFiles(NamedTuple):
    """The picture files of a class."""

    name: str
    group: str
    files: Sequence[PictureFile]


def checked(operation: str, setting: Setting) -> Setting:
    """The setting with Python's integers, which JSON can hold; raises OptionError for one that is none."""
    if setting.resample not in RESAMPLINGS:
        raise OptionError(requires(operation, "resample 'nearest' or 'lanczos'", repr(setting.resample)))
    size = integer(operation, "size", setting.size)
    if setting.channels not in (1, 3):
        raise OptionError(requires(operation, "1 or 3 channels", repr(setting.channels)))
    return Setting(size, int(setting.channels), setting.resample)


def read_classes(operation: str, classes: Sequence[ClassFiles], setting: Setting, *, progress: bool) -> ImageClasses:
    """Decode all pictures. Raises DataError, naming the file, for one that is damaged."""
    counts = [len(each.files) for each in classes]
    pictures = np.empty((sum(counts), setting.size, setting.size, setting.channels), np.uint8)
    row = 0
    with progress_bar(f"{operation}: reading pictures", len(pictures), show=progress) as advance:
        for each in classes:
            for file in each.files:
                pictures[row] = _decode(operation, file, setting)
                row += 1
            advance(len(each.files))
    return ImageClasses.in_order(pictures, counts, [each.name for each in classes], [each.group for each in classes])


def _decode(operation: str, file: PictureFile, setting: Setting) -> Array:
    from PIL import Image, UnidentifiedImageError

    content = file.source.read(file.name)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return _ink(picture, setting) if setting.channels == 1 else _colour(picture, setting)
    except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
        what = "what is no picture" if isinstance(error, UnidentifiedImageError) else error
        got = f"{file.source.where(file.name)}: {what}"
        raise DataError(requires(operation, "pictures that can be decoded", got)) from error


def _ink(picture: Image, setting: Setting) -> Array:
    from PIL.Image import Dither, Resampling

    size = (setting.size, setting.size)
    if setting.resample == "nearest":
        paper = np.asarray(picture.convert("1", dither=Dither.NONE).resize(size, Resampling.NEAREST))
        return np.where(paper, 0, 255)[..., None]
    return 255 - np.asarray(picture.convert("L").resize(size, Resampling.LANCZOS))[..., None]


def _colour(picture: Image, setting: Setting) -> Array:
    from PIL.Image import Resampling

    how = Resampling.NEAREST if setting.resample == "nearest" else Resampling.LANCZOS
    return np.asarray(picture.convert("RGB").resize((setting.size, setting.size), how))
