"""Characters of random strokes: few-shot classification for a person who has no data and no network.

A class is a few strokes of a pen that turns as it goes: how it starts, how far it goes, how its turning changes, and
whether it makes a corner. A drawing is the same by a careless hand: each of these a little different, and the whole a
little shifted, sheared and stretched. How careless the hand is, is the difficulty.

Only sums, products, quotients and square roots of uniform numbers are used, each rounded as IEEE 754 says: no sine, no
normal distribution, no BLAS. So a seed gives the same pictures on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError, requires
from .records import ImageClasses, integer

Array = np.ndarray[Any, Any]

DIFFICULTIES = {"easy": 0.5, "medium": 1.0, "hard": 1.6}
"""How far the drawings of a class differ, as multiples of the medium."""
HARDEST = 10.0
"""Beyond it lines only get longer."""

_STROKE_HAND = {"x": 0.04, "y": 0.04, "heading": 0.10, "length": 0.15, "turn": 0.016, "change": 0.024, "corner": 0.16}
"""By how much, at most, each stroke of a medium drawing differs from its class's."""
_WHOLE_HAND = {"across": 0.13, "down": 0.13, "shear": 0.08, "turn": 0.13, "right": 0.045, "lower": 0.045}
"""And the drawing as a whole: two stretches, a shear, a turn and a shift."""

_STROKES = 4
_MORE = (0.15, 0.5, 0.85)
"""A first uniform number above so many of these adds as many strokes to a character's one."""
_STEPS = 32
_BOX = 0.68
"""The longer side of a character without jitter, as a share of the picture's."""
_STRETCH = 1.5
"""How much more the shorter side may be scaled than the longer, so that most characters fill their box."""
_RADIUS = (0.028, 0.044)
"""Of the pen's tip, in the same measure."""
_SPACING = 0.5
"""Of the points that a line is made of, in pixels."""
_CHUNK = 1000
"""Drawings made at once: bounds the memory."""


def strokes(
    classes: int = 400, drawings: int = 20, *, size: int = 28, seed: int = 0, difficulty: str | float = "medium"
) -> ImageClasses:
    """So many characters, so many drawings of each, size x size x 1, ink 255 on 0. Equal arguments give equal bits.

    `difficulty` is "easy", "medium", "hard", or how far drawings of a class differ, as a multiple of medium up to 10.
    Fewer classes are the first of more.

    Raises OptionError for other difficulties, and for numbers that are not positive integers.

    >>> from metagrad import data
    >>> data.strokes(classes=5, drawings=3)
    ImageClasses(5 classes, 15 drawings of 28 x 28 x 1)
    """
    classes, drawings, size, seed = (
        integer("strokes", name, value, least)
        for name, value, least in (
            ("classes", classes, 1),
            ("drawings", drawings, 1),
            ("size", size, 1),
            ("seed", seed, 0),
        )
    )
    spread = _spread(difficulty)
    characters = _Characters(_uniform(seed, 0, (classes, _STROKES, _Characters.NUMBERS)))
    of_stroke = _hand(_STROKE_HAND, spread, _uniform(seed, 1, (classes, drawings, _STROKES, len(_STROKE_HAND))))
    of_whole = _hand(_WHOLE_HAND, spread, _uniform(seed, 2, (classes, drawings, 1, 1, len(_WHOLE_HAND))))
    radius = _RADIUS[0] + (_RADIUS[1] - _RADIUS[0]) * _uniform(seed, 3, (classes, drawings))
    x, y = characters.lines(of_stroke, of_whole)
    written = np.broadcast_to(characters.written[:, None], (classes, drawings, _STROKES))
    pictures = np.empty((classes * drawings, size, size, 1), np.uint8)
    flat = [part.reshape(len(pictures), *part.shape[2:]) for part in (x, y, written, radius)]
    for start in range(0, len(pictures), _CHUNK):
        chunk = [part[start : start + _CHUNK] for part in flat]
        pictures[start : start + _CHUNK, ..., 0] = _rasterise(size, *chunk)
    names = [f"character{k:04}" for k in range(classes)]
    return ImageClasses.in_order(pictures, [drawings] * classes, names)


def _spread(difficulty: str | float) -> float:
    if isinstance(difficulty, str) and difficulty in DIFFICULTIES:
        return DIFFICULTIES[difficulty]
    if not isinstance(difficulty, int | float | np.number) or not 0 < difficulty <= HARDEST:
        need = f"'easy', 'medium', 'hard' or a positive number up to {HARDEST:g} as difficulty"
        raise OptionError(requires("strokes", need, repr(difficulty)))
    return float(difficulty)


def _uniform(seed: int, purpose: int, shape: tuple[int, ...]) -> Array:
    """Uniform numbers in [0, 1), other ones for each purpose."""
    return np.random.Generator(np.random.PCG64([seed, purpose])).random(shape)


def _hand(most: dict[str, float], spread: float, u: Array) -> dict[str, Array]:
    """Differences by name, from uniform numbers of which the last axis has one for each."""
    return {name: (spread * share) * (2 * u[..., k] - 1) for k, (name, share) in enumerate(most.items())}


class _Characters:
    """The shapes of characters, from uniform numbers (classes, strokes, NUMBERS).

    A turn is given as t = tan(angle / 2): its cosine and sine are (1 - t^2) / (1 + t^2) and 2 t / (1 + t^2).
    """

    NUMBERS = 14

    def __init__(self, u: Array) -> None:
        signed = 2 * u - 1
        first = u[:, 0, 0]
        strokes = 1 + np.searchsorted(_MORE, first)
        self.written = np.arange(_STROKES) < strokes[:, None]
        self.x, self.y = u[..., 1], u[..., 2]
        norm = np.sqrt(signed[..., 3] * signed[..., 3] + signed[..., 4] * signed[..., 4]) + 1e-9
        self.heading = signed[..., 3] / norm, signed[..., 4] / norm
        self.length = 0.4 + 0.6 * u[..., 5]
        self.turn = np.where(u[..., 6] < 0.4, 0.0, 0.08 * signed[..., 7])
        self.change = np.where(u[..., 6] > 0.7, 0.12 * signed[..., 8], 0.0)
        self.corner = np.where(u[..., 9] < 0.35, np.where(signed[..., 10] > 0, 1.0, -1.0) + 0.8 * signed[..., 10], 0.0)
        self.corner_at = (_STEPS * (0.3 + 0.4 * u[..., 11])).astype(np.int64)
        # A later stroke mostly begins somewhere on the one before it.
        self.joined = u[..., 12] < 0.75
        self.joined_at = (u[..., 13] * (_STEPS + 1)).astype(np.int64)

    def lines(self, of_stroke: dict[str, Array], of_whole: dict[str, Array]) -> tuple[Array, Array]:
        """Points (x, y) of each drawing's strokes, each (classes, drawings, strokes, steps + 1), in a unit square.

        Differences of strokes are (classes, drawings, strokes), of whole drawings (classes, drawings, 1, 1).
        """
        clean = self._walk({name: np.zeros((len(self.x), 1, _STROKES)) for name in of_stroke})
        extent = [np.maximum(high - low, 0.2) for low, high in map(self._extent, clean)]
        least = _BOX / np.maximum(*extent)
        x, y = (
            (axis - 0.5 * sum(self._extent(axis))) * np.minimum(_BOX / size, _STRETCH * least)
            for axis, size in zip(self._walk(of_stroke), extent, strict=True)
        )
        right = x + of_whole["across"] * x + (of_whole["shear"] - of_whole["turn"]) * y + of_whole["right"]
        lower = y + of_whole["down"] * y + (of_whole["shear"] + of_whole["turn"]) * x + of_whole["lower"]
        return right + 0.5, lower + 0.5

    def _extent(self, axis: Array) -> tuple[Array, Array]:
        """The least and the greatest coordinate of each drawing, (classes, drawings, 1, 1)."""
        written = self.written[:, None, :, None]
        low = np.where(written, axis, np.inf).min(axis=(2, 3), keepdims=True)
        return low, np.where(written, axis, -np.inf).max(axis=(2, 3), keepdims=True)

    def _walk(self, hand: dict[str, Array]) -> tuple[Array, Array]:
        """The pen's way: a step forwards, a turn, and so on."""
        classes, drawings = hand["x"].shape[:2]
        x = np.empty((classes, drawings, _STROKES, _STEPS + 1))
        y = np.empty_like(x)
        rows = np.arange(classes)[:, None], np.arange(drawings)
        for k in range(_STROKES):
            differs = {name: difference[..., k] for name, difference in hand.items()}
            px, py = self.x[:, k, None], self.y[:, k, None]
            if k > 0:
                on = self.joined_at[:, k, None]
                px = np.where(self.joined[:, k, None], x[(*rows, k - 1, on)], px)
                py = np.where(self.joined[:, k, None], y[(*rows, k - 1, on)], py)
            px, py = px + differs["x"], py + differs["y"]
            hx, hy = _turned(self.heading[0][:, k, None], self.heading[1][:, k, None], differs["heading"])
            stride = self.length[:, k, None] * (1 + differs["length"]) / _STEPS
            turn = self.turn[:, k, None] + differs["turn"]
            change = self.change[:, k, None] + differs["change"]
            corner = self.corner[:, k, None] * (1 + differs["corner"])
            for step in range(_STEPS + 1):
                x[:, :, k, step], y[:, :, k, step] = px, py
                px, py = px + stride * hx, py + stride * hy
                hx, hy = _turned(hx, hy, turn + change * (2 * step / _STEPS - 1))
                hx, hy = _turned(hx, hy, np.where(self.corner_at[:, k, None] == step, corner, 0.0))
        return x, y


def _turned(x: Array, y: Array, half: Array) -> tuple[Array, Array]:
    """A direction, turned by the angle of which `half` is the tangent of the half."""
    square = half * half
    cosine, sine = (1 - square) / (1 + square), 2 * half / (1 + square)
    return cosine * x - sine * y, sine * x + cosine * y


def _rasterise(size: int, x: Array, y: Array, written: Array, radius: Array) -> Array:
    """Antialiased lines: uint8 (drawings, size, size) of points (drawings, strokes, steps + 1) in a unit square.

    A pixel's ink falls linearly, over one pixel, with the distance of its centre from the pen's edge.
    """
    drawing, px, py = _dots(x * size, y * size, written)
    radius = radius * size
    reach = int(radius.max() + 0.5) + 1
    inside = (px > -reach) & (px < size + reach) & (py > -reach) & (py < size + reach)
    drawing, px, py = drawing[inside], px[inside].astype(np.float32), py[inside].astype(np.float32)
    margin = 2 * reach + 1
    width = size + 2 * margin
    squared = np.full((len(x), width, width), 4.0 * reach * reach, np.float32)
    flat = squared.reshape(-1)
    column, row = np.floor(px), np.floor(py)
    home = (drawing * width + row.astype(np.int64) + margin) * width + column.astype(np.int64) + margin
    for down in range(-reach, reach + 1):
        dy = row + (down + 0.5) - py
        for right in range(-reach, reach + 1):
            dx = column + (right + 0.5) - px
            np.minimum.at(flat, home + (down * width + right), dx * dx + dy * dy)
    distance = np.sqrt(squared[:, margin : margin + size, margin : margin + size])
    ink = np.clip(radius.astype(np.float32)[:, None, None] + 0.5 - distance, 0, 1)
    return np.asarray(ink * 255 + 0.5, np.uint8)


def _dots(x: Array, y: Array, written: Array) -> tuple[Array, Array, Array]:
    """Points close together on all lines: the drawing that each belongs to, and its x and y."""
    steps = [axis[..., 1:][written] - axis[..., :-1][written] for axis in (x, y)]
    length = np.sqrt(steps[0] * steps[0] + steps[1] * steps[1])
    count = np.ceil(length / _SPACING).astype(np.int64)
    segment = np.repeat(np.arange(count.size), count.reshape(-1))
    along = np.arange(segment.size) - np.repeat(np.cumsum(count) - count.reshape(-1), count.reshape(-1))
    share = along / count.reshape(-1)[segment]
    px, py = (
        axis[..., :-1][written].reshape(-1)[segment] + share * step.reshape(-1)[segment]
        for axis, step in zip((x, y), steps, strict=True)
    )
    return np.nonzero(written)[0].repeat(length.shape[-1])[segment], px, py
