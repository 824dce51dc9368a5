"""Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people (Lake, Salakhutdinov and Tenenbaum 2015).

Its two parts come as images_background.zip and images_evaluation.zip, in which a drawing is
images_background/Korean/character07/0542_01.png, 105 x 105, black on white.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, OptionError, requires
from .cache import cache_folder, cached
from .download import fetch
from .pictures import ClassFiles, PictureFile, Setting, checked, read_classes
from .sources import Folder, Source, Zip, leads_nowhere

if TYPE_CHECKING:
    from .records import ImageClasses

HOME = "https://github.com/brendenlake/omniglot"
DOWNLOADS = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
MD5 = {  # as torchvision publishes them
    "images_background": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation": "6b91aef0f799c5bb55b94e3f2daec811",
}
CHARACTERS = {"background": 964, "evaluation": 659}
DRAWINGS = 20
_DRAWING = re.compile(r"(?:.*/)?images_(background|evaluation)/([^/]+/character\d+)/[^./][^/]*\.png")


def omniglot(
    data: str | os.PathLike[str] | None = None,
    *,
    resample: str = "nearest",
    size: int = 28,
    subset: bool = False,
    download: bool = False,
    progress: bool = True,
) -> ImageClasses:
    """All characters of Omniglot, in alphabetic order within "background", then "evaluation" (their `groups`).

    `data` is a folder with the two official zips, or with what they hold, or with a folder `omniglot` of either; or one
    zip, or the folder images_background or images_evaluation, and then the characters in that. Without it the variable
    METAGRAD_DATA is tried, then the cache folder, to which `download` fetches the zips, and where decoded pictures are
    kept; see `cache_folder`.

    `resample` is "nearest", which resizes pictures of one bit (the setting of Finn et al. 2017), or "lanczos", which
    filters 8-bit grey. Ink is 255, paper 0.

    All 964 background and 659 evaluation characters must be there, those of one part where that is read alone, with 20
    drawings each; `subset` takes whatever is there.

    Raises DataError where the data are not found, incomplete, or corrupt; OptionError for an unknown setting.
    """
    setting = checked("omniglot", Setting(size, 1, resample))
    if download and data is not None:
        raise OptionError(requires("omniglot", "download=True, or data, where they lie,", "both"))
    sources = _find(data)
    if not sources and download:
        for part, checksum in MD5.items():
            path = cache_folder() / "omniglot" / f"{part}.zip"
            fetch("omniglot", f"{DOWNLOADS}/{part}.zip", path, checksum, progress=progress)
        sources = _find(None)
    if not sources:
        raise DataError(requires("omniglot", f"{' and '.join(MD5)}, as zips or folders,", _not_found(data)))
    facts = [setting, [source.stamp() for source in sources]]
    name = f"omniglot-{resample}-{setting.size}"
    found = cached(name, facts, lambda: read_classes("omniglot", _characters(sources), setting, progress=progress))
    if not subset:
        _check_whole(found, sources)
    return found


def _places(data: str | os.PathLike[str] | None) -> list[tuple[Path, str]]:
    """Where to look, and why there."""
    if data is not None:
        return [(Path(data).expanduser().absolute(), "data")]
    variable = os.environ.get("METAGRAD_DATA")
    places = [(Path(variable).expanduser().absolute(), "METAGRAD_DATA")] if variable else []
    return [*places, (cache_folder(), "the cache folder")]


def _find(data: str | os.PathLike[str] | None) -> list[Source]:
    for place, _ in _places(data):
        if os.path.isfile(place):
            return [Zip("omniglot", place)]
        if os.path.isdir(place) and place.name in MD5:
            return [Folder("omniglot", place.parent, place.name)]
        for folder in (place, place / "omniglot"):
            parts = _parts(folder)
            if len(parts) == len(MD5):
                return list(parts.values())
    return []


def _parts(folder: Path) -> dict[str, Source]:
    """The parts of the data set that are in a folder, as zips or folders."""
    found: dict[str, Source] = {}
    for part in MD5:
        if os.path.isfile(folder / f"{part}.zip"):
            found[part] = Zip("omniglot", folder / f"{part}.zip")
        elif os.path.isdir(folder / part):
            found[part] = Folder("omniglot", folder, part)
    return found


def _not_found(data: str | os.PathLike[str] | None) -> str:
    seen = []
    for place, why in _places(data):
        parts = [part for folder in (place, place / "omniglot") for part in _parts(folder)]
        there = f"{' and '.join(parts)} alone" if parts else "neither"
        seen.append(f"{there} in {place}{leads_nowhere(place)} ({why})")
    unset = "" if data is not None or os.environ.get("METAGRAD_DATA") else " while METAGRAD_DATA is not set"
    others = f"they come from {HOME} or by download=True, and data.strokes() needs no files"
    return f"{', '.join(seen)}{unset}; {others}"


def _characters(sources: list[Source]) -> list[ClassFiles]:
    found: dict[tuple[str, str], list[PictureFile]] = {}
    for source in sources:
        for name in source.names():
            match = _DRAWING.fullmatch(name)
            if match and not name.startswith("__MACOSX/"):
                found.setdefault((match[1], match[2]), []).append(PictureFile(source, name))
    if not found:
        need = "drawings as images_background/Korean/character07/0542_01.png"
        raise DataError(requires("omniglot", need, f"none in {_named(sources)}"))
    return [ClassFiles(name, group, files) for (group, name), files in sorted(found.items())]


def _check_whole(classes: ImageClasses, sources: list[Source]) -> None:
    """Raise DataError for a copy that lacks characters or drawings: results on it would be of another data set."""
    groups = tuple(CHARACTERS) if len(sources) > 1 else sorted(set(classes.groups))
    wanted = {group: CHARACTERS[group] for group in groups}
    counts = {group: classes.groups.count(group) for group in groups}
    uneven = np.flatnonzero(classes.counts != DRAWINGS)
    if counts == wanted and not len(uneven):
        return
    need = f"{_said(wanted)} characters with {DRAWINGS} drawings each, or subset=True to take what is there,"
    first = f"{classes.names[uneven[0]]} with {classes.counts[uneven[0]]} drawings" if len(uneven) else ""
    more = f" and {len(uneven) - 1} more of another number than {DRAWINGS}" if len(uneven) > 1 else ""
    got = f"{_said(counts)} characters{', ' if first else ''}{first}{more}, in {_named(sources)}"
    raise DataError(requires("omniglot", need, got))


def _said(numbers: dict[str, int]) -> str:
    return " and ".join(f"{number} {group}" for group, number in numbers.items())


def _named(sources: list[Source]) -> str:
    return " and ".join(source.where() for source in sources)
