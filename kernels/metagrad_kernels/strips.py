"""How blocks of a GPU's threads share stacks of matrices (a, r, b) whose columns are summed: see strips.cuh.

A block takes some columns of a matrix and all its rows, or, where that makes too few blocks, a strip of them; then the
strips' sums are put together in their order by whoever needs them. The cut depends on the shape alone, so that equal
input gives equal bits on every GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .launch import aligned

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 256
WIDEST, NARROWEST = 32, 4
"""Vectors side by side in a block: of 16 bytes, no fewer than a line of memory holds."""
MANY, ENOUGH = 1024, 256
"""Blocks that keep a GPU busy, and those that at least should run."""
CHUNK = 8
"""Rows that a thread should have, for so many loads to be in flight."""
PARTIALS = 1024
"""The most sums of vectors that a block reads to put strips together."""


class Cut(NamedTuple):
    """Rows of a strip, strips of a matrix, and the threads of a block along columns, rows and matrices."""

    depth: int
    strips: int
    block: tuple[int, int, int]
    grid: int


def cut(shape: tuple[int, int, int], vector: int, partials: int = PARTIALS) -> Cut:
    """By vectors of so many columns. `partials` 0 asks for whole matrices."""
    cuts = [*_cuts(*shape, vector, partials)]
    return next((cut for cut in cuts if cut.grid >= ENOUGH), max(cuts, key=lambda cut: cut.grid))


def _cuts(a: int, r: int, b: int, vector: int, partials: int) -> Iterator[Cut]:
    """From the widest to the narrowest."""
    across, r = b // vector, max(r, 1)
    tile = -(-across // -(-across // WIDEST))
    while True:
        tiles = -(-across // tile)
        rows = min(1 << (THREADS // tile).bit_length() - 1, 1 << (r - 1).bit_length())
        strips = max(1, min(-(-r // (rows * CHUNK)), partials // tile, -(-MANY // (a * tiles))))
        depth = -(-r // strips)
        strips = -(-r // depth)
        stacks = min(64, max(1, a * tiles // MANY), THREADS // (tile * rows)) if strips == 1 else 1
        yield Cut(depth, strips, (tile, rows, stacks), -(-a // stacks) * tiles * strips)
        if tile <= NARROWEST:
            return
        tile = max(NARROWEST, -(-tile // 2))


def vector(columns: int, *arrays: Any, size: int = 16) -> int:
    """How many neighbours of the arrays can be read at once: as `size` bytes hold, or 1."""
    n = size // np.dtype(arrays[0].dtype).itemsize
    return n if columns % n == 0 and aligned(*arrays, to=size) else 1
