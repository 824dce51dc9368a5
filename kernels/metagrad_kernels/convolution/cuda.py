"""CUDA C++: products of matrices whose left operand is gathered from the images where they lie.

A block has one tile of a product. Which tile serves is decided by sizes alone, for a GPU of 132 multiprocessors: so the
same input gives the same bits on every GPU.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..launch import Source, namespace, type_name

if TYPE_CHECKING:
    from .geometry import Geometry, Pair

MULTIPROCESSORS = 132
BLOCKS = 2 * MULTIPROCESSORS
"""As many are to be had of a gradient of weights, by summing over parts of the pixels."""
FEWEST_PIXELS = 256
"""Of a part: else handing over its sums takes longer than summing."""
BY_PIXEL = 16
"""Images, and channels, from which on rows of a tile are the same pixel of many images."""


class Tile(NamedTuple):
    """What a block computes, as product.cuh names it, and the share of the peak rate that its loop may reach.

    The shares are estimates from what the loop reads of shared memory for each product; they only rank the tiles.
    """

    rows: int
    columns: int
    depth: int
    high: int
    wide: int
    groups: int
    stages: int
    share: float
    together: int = 1
    """Threads that have high x wide sums."""

    @property
    def threads(self) -> int:
        return self.rows // self.high * (self.columns // self.wide) * self.groups * self.together

    def __str__(self) -> str:
        return f"Tile<{', '.join(map(str, self[:7]))}>"


LARGE = Tile(128, 64, 16, 8, 4, 1, 3, share=1.0)
MEDIUM = Tile(64, 64, 16, 8, 4, 2, 4, share=0.9)
SMALL = Tile(32, 32, 32, 4, 4, 4, 4, share=0.6)
NARROW = Tile(128, 8, 16, 4, 4, 2, 3, share=0.5)
"""For results of very few channels."""
SHORT = Tile(16, 64, 32, 4, 4, 4, 3, share=0.5)
"""For gradients of weights of very few channels in."""
DOUBLE_MEDIUM = Tile(64, 64, 8, 4, 4, 1, 3, share=0.9)
DOUBLE_SMALL = Tile(32, 32, 16, 4, 4, 4, 4, share=0.6)
TENSOR_LARGE = Tile(128, 64, 16, 64, 32, 1, 3, share=1.0, together=32)
TENSOR_MEDIUM = Tile(64, 64, 16, 32, 32, 2, 4, share=0.8, together=32)
TENSOR_SMALL = Tile(32, 32, 32, 32, 32, 4, 4, share=0.5, together=32)

GATHER, OUTER = (LARGE, MEDIUM, SMALL, NARROW), (LARGE, MEDIUM, SMALL, NARROW, SHORT)
RECTIFIED = (LARGE, MEDIUM, SMALL)
DOUBLE, TENSOR = (DOUBLE_MEDIUM, DOUBLE_SMALL), (TENSOR_LARGE, TENSOR_MEDIUM, TENSOR_SMALL)
TILES = {
    ("convolution", "float"): GATHER,
    ("input_gradient", "float"): GATHER,
    ("weight_gradient", "float"): OUTER,
    ("convolution", "double"): DOUBLE,
    ("input_gradient", "double"): DOUBLE,
    ("weight_gradient", "double"): DOUBLE,
    ("convolution_of_rectified", "float"): RECTIFIED,
    ("convolution", "tf32"): TENSOR,
    ("convolution_of_rectified", "tf32"): TENSOR,
    ("input_gradient", "tf32"): TENSOR,
    ("weight_gradient", "tf32"): TENSOR,
}
"""Those of "tf32" and of rectified images read whole vectors of channels; where these do not fit, others serve."""


def _entry(kernel: str, arithmetic: str, tile: Tile, vectors: bool) -> str:
    return f"{kernel}<{arithmetic}, {tile}, {str(vectors).lower()}>"


REGISTERS = 128
SOURCE = Source(
    __file__,
    "convolution.cu",
    {
        _entry(kernel, arithmetic, tile, vectors): REGISTERS
        for (kernel, arithmetic), tiles in TILES.items()
        for tile in tiles
        for vectors in ((True,) if arithmetic == "tf32" or kernel == "convolution_of_rectified" else (True, False))
    }
    | {f"{adds}<{t}>": 48 for adds in ("add_parts", "add_moments") for t in ("float", "double")},
)
LANES, SEGMENTS = 32, 16
"""Of the kernels that add parts."""
MOMENT_ROWS = 32
"""Pixels of a part."""
MOST_PIXELS = 2**30
"""Of a task, which the kernels count in 32 bits."""


class _Plan(NamedTuple):
    """How a kernel is launched: its last arguments too."""

    entry: str
    blocks: int
    threads: int
    parts: int
    scalars: tuple[Any, ...]


def convolution(x: Any, w: Any, geometry: Geometry, bias: Any = None, precision: str = "float32") -> Any:
    return _convolution(x, w, geometry, bias, precision)[0]


def normalized_convolution(
    x: Any, w: Any, geometry: Geometry, bias: Any, scale: Any, offset: Any, precision: str
) -> tuple[Any, Any, Any]:
    """As `fused` says. Where images are not read in vectors, they are rectified in a pass of their own."""
    if scale is not None and not (x.dtype == np.float32 and _reading(x, w, w.shape, precision)[1]):
        images = (slice(None), None, None, None)
        x, scale = namespace(x).maximum(x * scale[images] + offset[images], x.dtype.type(0)), None
    y, parts = _convolution(x, w, geometry, bias, precision, scale, offset, moments=True)
    xp, tasks, width = namespace(y), len(y), y.shape[-1]
    mean, variance = (xp.empty((tasks, width), y.dtype) for _ in range(2))
    entry, grid = f"add_moments<{type_name(y.dtype)}>", (-(-mean.size // LANES),)
    count, size = np.int32(math.prod(y.shape[1:4])), np.int32(mean.size)
    if mean.size:
        SOURCE.launch(entry, grid, (LANES * SEGMENTS,), parts, mean, variance, count, size)
    return y, mean, variance


def _convolution(
    x: Any,
    w: Any,
    geometry: Geometry,
    bias: Any,
    precision: str,
    scale: Any = None,
    offset: Any = None,
    *,
    moments: bool = False,
) -> tuple[Any, Any]:
    """The result, and the moments of its parts."""
    xp = namespace(x)
    x, w = xp.ascontiguousarray(x), xp.ascontiguousarray(w)
    n, size = x.shape[1:2], x.shape[2:4]
    y = xp.empty((w.shape[0], *n, *geometry.output_size(size, w.shape[1:3]), w.shape[4]), x.dtype)
    parts = None
    if moments:
        parts = xp.empty((-(-math.prod(y.shape[1:4]) // MOMENT_ROWS), 2, len(y), y.shape[4]), y.dtype)
    if y.size:
        kernel = "convolution" if scale is None else "convolution_of_rectified"
        plan = _gathering(kernel, *_reading(x, w, w.shape, precision), geometry, w.shape, *n, size)
        optional = [None if v is None else xp.ascontiguousarray(v) for v in (scale, offset, bias)]
        images = (x,) if scale is None else (x, *optional[:2])
        grid, block = (plan.blocks,), (plan.threads,)
        SOURCE.launch(plan.entry, grid, block, *images, w, optional[2], y, parts, *plan.scalars)
    return y, parts


def input_gradient(g: Any, w: Any, geometry: Geometry, size: Pair, precision: str = "float32") -> Any:
    xp = namespace(g)
    g, w = xp.ascontiguousarray(g), xp.ascontiguousarray(w)
    n, size = g.shape[1:2], (size[0], size[1])
    x = xp.empty((w.shape[0], *n, *size, w.shape[3]), g.dtype)
    if x.size:
        plan = _gathering("input_gradient", *_reading(g, w, w.shape, precision), geometry, w.shape, *n, size)
        SOURCE.launch(plan.entry, (plan.blocks,), (plan.threads,), g, w, x, *plan.scalars)
    return x


def weight_gradient(x: Any, g: Any, geometry: Geometry, window: Pair, precision: str = "float32") -> Any:
    xp = namespace(x)
    x, g = xp.ascontiguousarray(x), xp.ascontiguousarray(g)
    w = xp.empty((x.shape[0], *window, x.shape[4], g.shape[4]), x.dtype)
    if w.size:
        plan = _outer(*_reading(x, g, w.shape, precision), geometry, w.shape, x.shape[1], x.shape[2:4])
        parts = w if plan.parts == 1 else xp.empty((plan.parts, *w.shape), x.dtype)
        SOURCE.launch(plan.entry, (plan.blocks,), (plan.threads,), x, g, parts, *plan.scalars)
        if plan.parts > 1:
            grid, block = (-(-w.size // LANES),), (LANES * SEGMENTS,)
            count, length = np.int32(plan.parts), np.int64(w.size)
            SOURCE.launch(f"add_parts<{type_name(w.dtype)}>", grid, block, parts, w, count, length)
    return w


def _reading(a: Any, b: Any, weights: tuple[int, ...], precision: str) -> tuple[str, bool]:
    """The arithmetic, as the kernels call it, and whether they read 16 bytes at once: some channels of one pixel."""
    lanes = 16 // a.dtype.itemsize
    vectors = not any(c % lanes for c in weights[3:]) and not any(v.data.ptr % 16 for v in (a, b))
    return "tf32" if precision == "tf32" and vectors and lanes == 4 else type_name(a.dtype), vectors


@functools.lru_cache(4096)
def _gathering(
    kernel: str, arithmetic: str, vectors: bool, geometry: Geometry, shape: tuple[int, ...], n: int, size: Pair
) -> _Plan:
    tasks, kh, kw, c, o = shape
    if kernel != "input_gradient":
        classes, columns, depth = [geometry.output_size(size, (kh, kw))], o, c
    else:
        (s, t), ((top, _), (left, _)), _ = geometry
        classes = [(_apart(size[0], s, top, a), _apart(size[1], t, left, b)) for a, b in np.ndindex(s, t)]
        columns, depth = c, o

    def blocks(tile: Tile) -> int:
        rows = sum(-(-n * high * wide // tile.rows) for high, wide in classes)
        return tasks * rows * -(-columns // tile.columns)

    def cost(tile: Tile) -> float:
        return _rounds(blocks(tile)) * tile.rows * tile.columns / tile.share

    tile = min(TILES[kernel, arithmetic], key=cost)
    by_pixel = n >= BY_PIXEL and depth >= BY_PIXEL
    scalars = (np.int32(by_pixel), *_scalars(geometry, shape, n, size))
    return _Plan(_entry(kernel, arithmetic, tile, vectors), blocks(tile), tile.threads, 1, scalars)


@functools.lru_cache(4096)
def _outer(arithmetic: str, vectors: bool, geometry: Geometry, shape: tuple[int, ...], n: int, size: Pair) -> _Plan:
    tasks, kh, kw, c, o = shape
    pixels = n * math.prod(geometry.output_size(size, (kh, kw)))

    def divided(tile: Tile) -> tuple[int, int]:
        """Blocks of a part, and pixels of one."""
        blocks = tasks * -(-kh * kw * c // tile.rows) * -(-o // tile.columns)
        parts = max(1, min(BLOCKS // blocks, pixels // FEWEST_PIXELS))
        return blocks, -(-pixels // parts)

    def cost(tile: Tile) -> float:
        blocks, part = divided(tile)
        return _rounds(blocks * -(-pixels // max(part, 1))) * part * tile.rows * tile.columns / tile.share

    tile = min(TILES["weight_gradient", arithmetic], key=cost)
    blocks, part = divided(tile)
    parts = max(1, -(-pixels // max(part, 1)))
    scalars = (np.int32(part), *_scalars(geometry, shape, n, size))
    return _Plan(_entry("weight_gradient", arithmetic, tile, vectors), blocks * parts, tile.threads, parts, scalars)


def _rounds(blocks: int) -> int:
    return -(-blocks // MULTIPROCESSORS)


def _apart(size: int, stride: int, before: int, residue: int) -> int:
    """How many of `size` pixels are at this distance from the first window, modulo the stride."""
    return len(range((residue - before) % stride, size, stride))


def _scalars(geometry: Geometry, shape: tuple[int, ...], n: int, size: Pair) -> tuple[Any, ...]:
    """What the kernels' GEOMETRY is."""
    tasks, kh, kw, c, o = shape
    (top, _), (left, _) = geometry.padding
    out = geometry.output_size(size, (kh, kw))
    for pixels in (size, out):
        if n * math.prod(pixels) > MOST_PIXELS:
            raise ValueError(f"[convolution] requires at most 2^30 pixels of a task but got {n} images of {pixels}")
    sizes = (tasks, n, *size, c, kh, kw, o, *out)
    return tuple(map(np.int32, (*sizes, *geometry.stride, top, left, *geometry.dilation)))
