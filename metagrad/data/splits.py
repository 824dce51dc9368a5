"""Classes to learn from, classes to choose a model by, and classes to test it on. No class is in two of them.

Few-shot learning is tested on classes that were never seen, so it is the classes that are divided, not the pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DataError, OptionError, requires
from .records import integer, require_classes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from .records import ImageClasses

Array = np.ndarray[Any, Any]

PARTS = ("train", "validation", "test")
LISTS = ("train", "val", "test")
"""What the published lists call the parts."""

SIZES = {"shuffled": (1100, 100, 423), "paper": (1200, 100, 323)}
"""Classes of each part, of Omniglot's 1,623; another data set is divided in the same proportions, no part empty."""

VALIDATION_ALPHABETS = 5


class Splits(NamedTuple):
    """The three parts of a data set."""

    train: ImageClasses
    validation: ImageClasses
    test: ImageClasses


def split(
    classes: ImageClasses, kind: str = "shuffled", *, seed: int = 0, lists: str | os.PathLike[str] | None = None
) -> Splits:
    """Divide the classes, in one of the ways of the literature.

    - "shuffled": a shuffle by `seed`, 1,100 / 100 / 423 of Omniglot's 1,623 (the published code of Finn et al. 2017).
    - "paper": the same shuffle, but all of the paper's 1,200 characters are trained on. Its other 423 are divided into
      100 for validation and 323 for the test, so that no tested character has chosen the model.
    - "background": by alphabet, as Omniglot is published: the evaluation alphabets (20) are the test, and of the 30
      background alphabets a shuffle by `seed` takes 5 for validation (Lake, Salakhutdinov and Tenenbaum 2015).
    - "vinyals": the lists train.json, val.json and test.json in the folder `lists`, of the form
      {"background": {"Korean": ["character07", ...], ...}, "evaluation": ...}; 1,028 / 172 / 423 (Vinyals et al. 2016).

    Raises OptionError for an unknown kind or seed, fewer classes than parts, or classes that are turned (turn them
    after); DataError for lists that are missing, overlap, or name a class that is not here.

    >>> from metagrad import data
    >>> [len(part) for part in data.split(data.strokes(100, 1), "shuffled")]
    [68, 6, 26]
    """
    require_classes("split", classes)
    seed = integer("split", "seed", seed, 0)
    if classes.turns.any():
        need = "classes that are not turned, or one may be in two parts,"
        raise OptionError(requires("split", need, "turned ones"))
    if kind in SIZES:
        return parts(classes, _shuffled(len(classes), SIZES[kind], seed))
    if kind == "background":
        return parts(classes, _by_alphabet(classes, seed))
    if kind == "vinyals":
        if lists is None:
            raise OptionError(requires("split", "for 'vinyals' the folder of its lists, lists=FOLDER,", "none"))
        return parts(classes, _by_lists(classes, Path(lists)))
    raise OptionError(requires("split", "'shuffled', 'paper', 'background' or 'vinyals'", repr(kind)))


def parts(classes: ImageClasses, indices: Iterable[Sequence[int] | Array]) -> Splits:
    """The parts of these class numbers."""
    return Splits(*(classes.subset(chosen) for chosen in indices))


def _shuffled(number: int, sizes: tuple[int, int, int], seed: int) -> list[Array]:
    """In these proportions, as near as whole classes and no empty part allow."""
    if number < len(sizes):
        raise OptionError(requires("split", f"at least {len(sizes)} classes, one for each part,", number))
    order = np.random.default_rng(seed).permutation(number)
    first, second, _ = (round(number * end / sum(sizes)) for end in np.cumsum(sizes))
    first = min(first, number - 2)
    return np.split(order, [first, min(max(second, first + 1), number - 1)])


def _by_alphabet(classes: ImageClasses, seed: int) -> list[list[int]]:
    alphabets = [name.rpartition("/")[0] for name in classes.names]
    background = sorted({a for a, group in zip(alphabets, classes.groups, strict=True) if group == "background"})
    if len(background) <= VALIDATION_ALPHABETS or "evaluation" not in classes.groups:
        need = f"more than {VALIDATION_ALPHABETS} background alphabets, and evaluation ones,"
        raise OptionError(requires("split", need, f"{len(background)}, and groups {sorted(set(classes.groups))}"))
    held_out = set(np.random.default_rng(seed).permutation(background)[:VALIDATION_ALPHABETS].tolist())
    chosen: dict[str, list[int]] = {part: [] for part in PARTS}
    for k, (alphabet, group) in enumerate(zip(alphabets, classes.groups, strict=True)):
        chosen["test" if group != "background" else "validation" if alphabet in held_out else "train"].append(k)
    return list(chosen.values())


def _by_lists(classes: ImageClasses, folder: Path) -> list[list[int]]:
    numbers = {name: k for k, name in enumerate(classes.names)}
    taken: dict[str, str] = {}
    chosen = []
    for part in LISTS:
        path = folder / f"{part}.json"
        wanted = _names(path)
        for name in wanted:
            if name not in numbers:
                raise DataError(requires("split", f"the classes that {path} lists", f"a data set without {name}"))
            if name in taken:
                raise DataError(requires("split", "lists that do not overlap", f"{name} in {taken[name]} and {path}"))
            taken[name] = str(path)
        chosen.append([numbers[name] for name in wanted])
    return chosen


def _names(path: Path) -> list[str]:
    listed = read_json("split", path)
    try:
        return [f"{alphabet}/{name}" for group in listed.values() for alphabet in group for name in group[alphabet]]
    except (AttributeError, TypeError) as error:
        need = 'a list of the form {"background": {"Korean": ["character07"]}}'
        raise DataError(requires("split", need, f"{path}: {error}")) from error


def read_json(operation: str, path: Path) -> Any:
    """What a JSON file holds; raises DataError, naming the file, where it is missing or none."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(requires(operation, "a list of classes in JSON", f"{path}: {error}")) from error
