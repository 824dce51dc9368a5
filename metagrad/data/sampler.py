"""Episodes: few-shot classification tasks, drawn from classes of pictures without a loop over pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..arrays import module, placed
from ..core.tensor import Tensor
from ..errors import OptionError, requires
from .records import integer, ranges, require_classes, require_square

if TYPE_CHECKING:
    from .records import ImageClasses

Array = np.ndarray[Any, Any]
Batch = tuple[Array, Array]
"""Images, float32 (tasks, n, height, width, channels) in [0, 1], and labels, int64 (tasks, n)."""


class Draw(NamedTuple):
    """Which pictures make up a batch of tasks."""

    classes: Array
    """(tasks, ways): class numbers, distinct in a task. The label of a class is its position."""
    turns: Array
    """(tasks, ways): by how many quarter turns the class is turned in this task."""
    drawings: Array
    """(tasks, ways, shots + queries): drawing numbers, distinct in a class; the support set's stand first."""


def distinct(generator: np.random.Generator, of: Array, count: int) -> Array:
    """`count` different numbers below of[i] for each i, all ordered choices alike: int64 (*of.shape, count).

    Floyd's algorithm (Bentley and Floyd 1987), for all i at once: its cost does not grow with the numbers chosen from.
    """
    highest = of[..., None] - count + np.arange(count)
    chosen = generator.integers(0, highest, endpoint=True)
    for k in range(1, count):
        again = (chosen[..., :k] == chosen[..., k : k + 1]).any(axis=-1)
        np.copyto(chosen[..., k], highest[..., k], where=again)
    return generator.permuted(chosen, axis=-1)  # Floyd's sets are fair, their order is not


class Episodes:
    """Draws tasks of `ways` classes, with `shots` support and `queries` query drawings of each.

    Called with a numpy.random.Generator and a number of tasks, it gives (support, query), each (images, labels):
    float32 (tasks, ways * n, height, width, channels) in [0, 1] and int64 (tasks, ways * n), class after class. Equal
    generators give equal episodes. With `rotate`, each class of each task is turned by a random multiple of 90 degrees,
    in support and query alike.

    With a `device`, "cuda" say, the table of pictures is there, and episodes are Tensors there: the same numbers. What
    is copied for one is the numbers of its pictures.

    Raises OptionError for more ways than classes, classes with too few drawings for an episode, and `rotate` with
    classes of `with_rotations`; ShapeError for `rotate` with pictures that are not square; DeviceError for a device
    that is not here.

    >>> import numpy as np
    >>> from metagrad import data
    >>> episodes = data.Episodes(data.strokes(classes=10, drawings=4), ways=5, shots=1, queries=3)
    >>> (images, labels), query = episodes(np.random.default_rng(0), 32)
    >>> images.shape, labels[0], query[0].shape
    ((32, 5, 28, 28, 1), array([0, 1, 2, 3, 4]), (32, 15, 28, 28, 1))
    """

    def __init__(
        self,
        classes: ImageClasses,
        *,
        ways: int,
        shots: int,
        queries: int,
        rotate: bool = True,
        device: str | None = None,
    ) -> None:
        require_classes("Episodes", classes)
        ways, shots, queries = (
            integer("Episodes", name, value) for name, value in (("ways", ways), ("shots", shots), ("queries", queries))
        )
        if ways > len(classes):
            raise OptionError(requires("Episodes", f"ways of at most {len(classes)}, the number of classes,", ways))
        short = np.flatnonzero(classes.counts < shots + queries)
        if len(short):
            need = f"classes of at least {shots + queries} drawings, for {shots} shots and {queries} queries,"
            got = f"{classes.names[short[0]]} with {classes.counts[short[0]]}"
            raise OptionError(requires("Episodes", need, got))
        if rotate and np.any(classes.turns != 0):
            need = "rotate=False for classes that are turned themselves: two turns may be one class, or one drawing,"
            raise OptionError(requires("Episodes", need, "rotate=True"))
        if rotate:
            require_square("Episodes", classes.shape)
        self.classes = classes
        self.ways, self.shots, self.queries, self.rotate = ways, shots, queries, rotate
        self._turned = rotate or bool(classes.turns.any())
        table, self._rows = _table(classes, self._turned)
        self._device = device
        self._xp = module(device)
        self._pictures = table.reshape(len(table), -1)
        self._per_turn = len(table) // 4
        if device is not None:
            self._pictures = placed(self._pictures, device)

    def __call__(self, generator: np.random.Generator, tasks: int) -> tuple[Any, Any]:
        return self.take(self.draw(generator, tasks))

    def draw(self, generator: np.random.Generator, tasks: int) -> Draw:
        """Choose classes, turns and drawings, without looking at a picture."""
        if not isinstance(generator, np.random.Generator):
            raise OptionError(requires("Episodes", "a numpy.random.Generator", repr(generator)))
        tasks = integer("Episodes", "tasks", tasks)
        classes = distinct(generator, np.full(tasks, len(self.classes)), self.ways)
        turns = np.asarray(generator.integers(0, 4 if self.rotate else 1, classes.shape))
        return Draw(classes, turns, distinct(generator, self.classes.counts[classes], self.shots + self.queries))

    def take(self, draw: Draw) -> tuple[Any, Any]:
        """The (support, query) of a draw; raises OptionError for one that turns what this sampler does not."""
        if draw.turns.any() and not self._turned:
            raise OptionError(requires("Episodes", "rotate=True for a draw that turns classes", "rotate=False"))
        turns = (self.classes.turns[draw.classes] + draw.turns) % 4
        first = self._rows[draw.classes] + turns * self._per_turn
        rows = first[..., None] + draw.drawings
        if self._device is not None:
            rows = placed(rows, self._device)
        return self._batch(rows[..., : self.shots]), self._batch(rows[..., self.shots :])

    def _batch(self, rows: Any) -> Any:
        tasks, ways, each = rows.shape
        xp = self._xp
        pictures = xp.take(self._pictures, rows.reshape(-1), axis=0)
        images = xp.divide(pictures, 255, dtype=np.float32).reshape(tasks, ways * each, *self.classes.shape)
        labels = xp.tile(xp.repeat(xp.arange(ways), each), (tasks, 1))
        return (images, labels) if self._device is None else (Tensor(images), Tensor(labels))


def _table(classes: ImageClasses, turned: bool) -> tuple[Array, Array]:
    """A table of pictures, and the row where each class begins in it; with `turned`, four tables one after the other.

    A table that need not be turned is the data set's own, however large that is.
    """
    if not turned:
        return classes.pictures, classes.starts
    starts, first, which = np.unique(classes.starts, return_index=True, return_inverse=True)
    counts = classes.counts[first]
    pictures = classes.pictures[ranges(starts, counts)]
    table = np.concatenate([np.rot90(pictures, turn, axes=(1, 2)) for turn in range(4)])
    return table, (np.cumsum(counts) - counts)[which]
