"""Data sets of picture files, a class a folder; and those that published lists choose out of them."""

from __future__ import annotations

import csv
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, requires
from .cache import cached
from .pictures import ClassFiles, PictureFile, Setting, checked, read_classes
from .sources import Folder, leads_nowhere
from .splits import LISTS, Splits, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from .records import ImageClasses

    StrPath = str | os.PathLike[str]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def image_folders(
    root: StrPath,
    classes: Sequence[str] | StrPath | None = None,
    *,
    size: int = 84,
    channels: int = 3,
    resample: str = "lanczos",
    progress: bool = True,
) -> ImageClasses:
    """Pictures in folders: each folder in `root` is a class, with all picture files in it and the folders in it.

    `classes` chooses, by a sequence of folder names or by the path of a file with one on each line. Pictures become
    size x size whatever their proportions, with 3 channels, or 1 for ink on white paper (255 is ink).

    Raises DataError for folders that are missing or hold no pictures and for damaged pictures, OptionError for an
    unknown setting.
    """
    folder = _existing("image_folders", root)
    entries = _entries(folder)
    found = {name: _pictures(folder, name) for name in entries if os.path.isdir(folder / name)}
    if classes is None:
        for name in entries:  # one may have been a class
            if nowhere := leads_nowhere(folder / name):
                raise DataError(requires("image_folders", "folders of pictures", f"{folder / name}{nowhere}"))
        chosen = {name: files for name, files in found.items() if files}
    else:
        chosen = {name: found.get(name, []) for name in _chosen(classes)}
    _complete("image_folders", folder, chosen)
    return _read("image_folders", folder, chosen, Setting(size, channels, resample), progress)


def mini_imagenet(root: StrPath, splits: StrPath, *, size: int = 84, progress: bool = True) -> Splits:
    """miniImageNet: 64 classes to train on, 16 for validation, 20 for the test, 600 pictures each.

    `splits` is the folder of Ravi and Larochelle's lists train.csv, val.csv and test.csv, with lines `filename,label`.
    The pictures are in `root` or its folder `images`, all in one folder, or one folder a label; folders train,
    val and test may stand above these. They are resized to size x size, with 3 channels.

    Raises DataError for lists that are missing or of another form, and for pictures that are missing or damaged.
    """
    folder = _existing("mini_imagenet", root)
    known = set(Folder("mini_imagenet", folder).names())
    parts = [_locate(folder, known, part, _csv(Path(splits) / f"{part}.csv")) for part in LISTS]
    return _read_parts("mini_imagenet", folder, parts, Setting(size, 3, "lanczos"), progress)


def cifar_fs(root: StrPath, splits: StrPath, *, size: int = 32, progress: bool = True) -> Splits:
    """CIFAR-FS: the classes of CIFAR-100 divided into 64 / 16 / 20 (Bertinetto et al. 2019), 600 pictures each.

    `splits` is a JSON file {"train": [...], "val": [...], "test": [...]} of class names; FC100's is one, too. The
    pictures are in a folder for each class, directly in `root`, or in its folders `train` and `test` (both are
    taken) or `data`.

    Raises DataError for lists that are missing or of another form, and for pictures that are missing or damaged.
    """
    folder = _existing("cifar_fs", root)
    path = Path(splits)
    listed = read_json("cifar_fs", path)
    if not isinstance(listed, dict) or not all(_is_list_of_names(listed.get(part)) for part in LISTS):
        need = f"a list of class names under each of {', '.join(LISTS)}"
        raise DataError(requires("cifar_fs", need, f"{path}, which lacks one"))
    # A class of CIFAR-100 is called train: folders of that name count only where the classes do not lie beside them.
    direct = all((folder / name).is_dir() for part in LISTS for name in listed[part])
    above = ["."] if direct else [name for name in ("train", "test", "data") if (folder / name).is_dir()] or ["."]
    parts = []
    for part in LISTS:
        files = {
            name: [file for where in above for file in _pictures(folder, f"{where}/{name}")] for name in listed[part]
        }
        _complete("cifar_fs", folder, files)
        parts.append(files)
    return _read_parts("cifar_fs", folder, parts, Setting(size, 3, "lanczos"), progress)


def _read_parts(
    operation: str, folder: Path, parts: Sequence[Mapping[str, Sequence[str]]], setting: Setting, progress: bool
) -> Splits:
    names = [name for part in parts for name in part]
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(requires(operation, "lists that do not overlap", f"{min(twice)} in two of them"))
    return Splits(*(_read(operation, folder, part, setting, progress) for part in parts))


def _read(
    operation: str, folder: Path, classes: Mapping[str, Sequence[str]], setting: Setting, progress: bool
) -> ImageClasses:
    setting = checked(operation, setting)
    source = Folder(operation, folder)
    everything = [
        ClassFiles(name, "", [PictureFile(source, file) for file in files]) for name, files in classes.items()
    ]
    stamp = source.stamp([file for files in classes.values() for file in files])
    facts = [str(folder.resolve()), setting, {name: len(files) for name, files in classes.items()}, stamp]
    return cached(operation, facts, lambda: read_classes(operation, everything, setting, progress=progress))


def _existing(operation: str, root: StrPath) -> Path:
    folder = Path(root).expanduser()
    if not os.path.isdir(folder):
        got = f"{folder}{leads_nowhere(folder) or ', which is none'}"
        raise DataError(requires(operation, "a folder of pictures", got))
    return folder


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(requires("image_folders", "a folder that can be read", error)) from error


def _pictures(folder: Path, name: str) -> list[str]:
    files = Folder("image_folders", folder, name).names()
    return [file for file in files if file.lower().endswith(SUFFIXES) and not Path(file).name.startswith(".")]


def _chosen(classes: Sequence[str] | StrPath) -> list[str]:
    if not isinstance(classes, str | os.PathLike):
        return [str(name) for name in classes]
    path = Path(classes)
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(
            requires("image_folders", "a list of classes, one on each line,", f"{path}: {error}")
        ) from error


def _is_list_of_names(found: Any) -> bool:
    return isinstance(found, list) and bool(found) and all(isinstance(name, str) for name in found)


def _complete(operation: str, folder: Path, classes: Mapping[str, Sequence[str]]) -> None:
    if not classes:
        raise DataError(requires(operation, "a folder of pictures for each class", f"none in {folder}"))
    if empty := [name for name, files in classes.items() if not files]:
        raise DataError(requires(operation, f"pictures of {', '.join(empty[:5])}", f"none in {folder}"))


def _csv(path: Path) -> dict[str, list[str]]:
    """The files of each label, as the list has them."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        listed: dict[str, list[str]] = {}
        for row in rows:
            listed.setdefault(row["label"], []).append(row["filename"])
        if not listed:
            raise ValueError("no lines")
    except (OSError, ValueError, KeyError) as error:
        need = "a list of lines filename,label under this heading"
        raise DataError(requires("mini_imagenet", need, f"{path}: {error!r}")) from error
    return listed


def _locate(
    folder: Path, known: AbstractSet[str], part: str, listed: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """The listed files as they lie in the folder, in the one layout that has them all."""
    fewest: list[str] = []
    for images, by_part, by_label in itertools.product(("images/", ""), ("", f"{part}/"), (False, True)):
        files = {
            label: [f"{images}{by_part}{f'{label}/' if by_label else ''}{name}" for name in names]
            for label, names in listed.items()
        }
        absent = [file for each in files.values() for file in each if file not in known]
        if not absent:
            return files
        if not fewest or len(absent) < len(fewest):
            fewest = absent
    count = sum(map(len, listed.values()))
    got = f"{count - len(fewest)} of {count} in {folder}, not {fewest[0]} for one"
    raise DataError(requires("mini_imagenet", f"the pictures that {part}.csv lists", got))
