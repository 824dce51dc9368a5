"""Pictures by class: what a data set is once it is read, and all that the episodic sampler wants to know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DTypeError, IndexingError, OptionError, ShapeError, requires

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = np.ndarray[Any, Any]


def integer(operation: str, name: str, value: Any, least: int = 1) -> int:
    """An integer of any type as Python's, which has no largest; raises OptionError for others and for smaller ones."""
    try:
        found = index(value)
    except TypeError:
        found = least - 1
    if found < least:
        raise OptionError(requires(operation, f"an integer of at least {least} as {name}", repr(value)))
    return found


def require_classes(operation: str, classes: Any) -> None:
    """Raise DTypeError for what is no ImageClasses."""
    if not isinstance(classes, ImageClasses):
        need = "an ImageClasses, as ImageClasses.of(images, names) makes one of arrays,"
        raise DTypeError(requires(operation, need, type(classes).__name__))


def ranges(starts: Array, counts: Array) -> Array:
    """The numbers starts[k], ..., starts[k] + counts[k] - 1 of all k, one range after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())


@dataclass(frozen=True, eq=False, repr=False)
class ImageClasses:
    """Classes of pictures. A class is a range of one table of pictures, turned by so many quarter turns.

    So classes may have differing numbers of drawings, and a subset shares the table instead of copying it. Everything
    in it is read-only.

    >>> import numpy as np
    >>> from metagrad.data import ImageClasses
    >>> classes = ImageClasses.of(np.zeros((3, 20, 28, 28, 1), np.uint8), ["a", "b", "c"])
    >>> classes
    ImageClasses(3 classes, 60 drawings of 28 x 28 x 1)
    >>> classes.subset([0, 2]).with_rotations().names[3:5]
    ('a turned by 270', 'c')
    """

    pictures: Array
    """(drawings of all classes, height, width, channels), uint8."""
    names: tuple[str, ...]
    """One a class, as "Korean/character07"."""
    starts: Array
    """(classes,): where in `pictures` the class begins."""
    counts: Array
    """(classes,): how many drawings it has."""
    turns: Array
    """(classes,): how many quarter turns, anticlockwise, its drawings are turned by: 0 to 3."""
    groups: tuple[str, ...]
    """One a class: the part of the data set that it came from, as "background"; empty where there are no parts."""

    @cached_property
    def fingerprint(self) -> str:
        """Of the pictures and how they fall into classes: equal for equal data, whatever it is called."""
        found = hashlib.blake2b(digest_size=8)
        for part in (self.pictures, self.starts, self.counts, self.turns):
            found.update(repr((part.shape, part.dtype)).encode())
            found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()

    @classmethod
    def of(cls, images: Array | Sequence[Array], names: Sequence[str], groups: Sequence[str] = ()) -> ImageClasses:
        """Classes from uint8 pictures: (classes, drawings, height, width, channels), or one array for each class.

        Raises DTypeError for other than uint8, ShapeError for shapes or numbers of names that do not agree.
        """
        each = [np.asarray(pictures) for pictures in images]
        shapes = {pictures.shape[1:] for pictures in each}
        if len(shapes) != 1 or any(pictures.ndim != 4 for pictures in each):
            need = "for each class an array (drawings, height, width, channels), alike but for the drawings,"
            raise ShapeError(requires("ImageClasses", need, sorted({pictures.shape for pictures in each})))
        if any(pictures.dtype != np.uint8 for pictures in each):
            raise DTypeError(requires("ImageClasses", "uint8", sorted({str(pictures.dtype) for pictures in each})))
        return cls.in_order(np.concatenate(each), [len(pictures) for pictures in each], names, groups)

    @classmethod
    def in_order(
        cls, pictures: Array, counts: Sequence[int] | Array, names: Sequence[str], groups: Sequence[str] = ()
    ) -> ImageClasses:
        """Classes whose drawings stand one after the other in `pictures`, which is not copied."""
        number = np.asarray(counts, np.int64)
        parts = tuple(groups) or ("",) * len(names)
        return cls(pictures, tuple(names), np.cumsum(number) - number, number, np.zeros_like(number), parts)

    def __post_init__(self) -> None:
        per_class = (self.names, self.starts, self.counts, self.turns, self.groups)
        sizes = [len(field) for field in per_class]
        if len(set(sizes)) != 1:
            raise ShapeError(requires("ImageClasses", "as many names, groups and arrays of drawings as classes", sizes))
        if self.pictures.ndim != 4 or self.pictures.dtype != np.uint8:
            got = f"{self.pictures.dtype} {self.pictures.shape}"
            raise ShapeError(requires("ImageClasses", "uint8 pictures (drawings, height, width, channels)", got))
        if np.any(self.starts < 0) or np.any(self.starts + self.counts > len(self.pictures)):
            got = f"classes that reach beyond the {len(self.pictures)} there are"
            raise ShapeError(requires("ImageClasses", "drawings that are in the table", got))
        if self.turns.any():
            require_square("ImageClasses", self.shape)
        for name in ("pictures", "starts", "counts", "turns"):
            locked = getattr(self, name).view()
            locked.flags.writeable = False
            object.__setattr__(self, name, locked)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.shape))
        return f"ImageClasses({len(self)} classes, {self.counts.sum()} drawings of {size})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture."""
        height, width, channels = self.pictures.shape[1:]
        return height, width, channels

    @property
    def images(self) -> Array:
        """All pictures, uint8 (classes, drawings, height, width, channels).

        Raises ShapeError where classes differ in their numbers of drawings: take `drawings` of one class then.
        """
        if len(set(self.counts.tolist())) > 1:
            got = f"{self.counts.min()} to {self.counts.max()}: use .drawings(k)"
            raise ShapeError(requires("images", "classes of equally many drawings", got))
        each = self.counts[0] if len(self) else 0
        found = self.pictures[ranges(self.starts, self.counts)].reshape(len(self), each, *self.shape)
        for turn in np.unique(self.turns[self.turns > 0]):
            found[self.turns == turn] = np.rot90(found[self.turns == turn], turn, axes=(-3, -2))
        found.flags.writeable = False
        return found

    def drawings(self, k: int) -> Array:
        """The drawings of class `k`, uint8 (drawings, height, width, channels)."""
        start = self.starts[k]
        return np.rot90(self.pictures[start : start + self.counts[k]], self.turns[k], axes=(1, 2))

    def subset(self, indices: Sequence[int] | Array) -> ImageClasses:
        """The classes of these numbers, in this order.

        Raises IndexingError for a number that is out of range, or that comes twice: one class would be two.
        """
        chosen = np.asarray(indices) if len(indices) else np.zeros(0, np.int64)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or np.any(chosen < 0) or np.any(chosen >= len(self)):
            raise IndexingError(requires("subset", f"class numbers of 0 to {len(self) - 1}", indices))
        if len(np.unique(chosen)) != len(chosen):
            raise IndexingError(requires("subset", "each class once", indices))
        return replace(
            self,
            names=tuple(self.names[k] for k in chosen),
            groups=tuple(self.groups[k] for k in chosen),
            starts=self.starts[chosen],
            counts=self.counts[chosen],
            turns=self.turns[chosen],
        )

    def with_rotations(self) -> ImageClasses:
        """Every class becomes four, one for each multiple of 90 degrees (Santoro et al. 2016, section 4.1).

        Split first: a character and the same turned belong to one side. No picture is copied.

        Raises ShapeError for pictures that are not square, OptionError for classes that are turned already.
        """
        require_square("with_rotations", self.shape)
        if self.turns.any():
            raise OptionError(requires("with_rotations", "classes that are not turned yet", "turned ones"))
        return replace(
            self,
            names=tuple(f"{name} turned by {angle}" if angle else name for name in self.names for angle in _ANGLES),
            groups=tuple(group for group in self.groups for _ in _ANGLES),
            starts=np.repeat(self.starts, 4),
            counts=np.repeat(self.counts, 4),
            turns=np.tile(np.arange(4), len(self)),
        )


_ANGLES = (0, 90, 180, 270)


def require_square(operation: str, shape: tuple[int, int, int]) -> None:
    """Raise ShapeError where a turned picture has another shape."""
    if shape[0] != shape[1]:
        raise ShapeError(requires(operation, "square pictures, to turn them,", f"{shape[0]} x {shape[1]}"))
