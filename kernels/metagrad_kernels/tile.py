"""The inner loop of all matrix products of ours: one tile of the result, kept in registers.

    out[m, j] (+)= sum over t, c of a[t][m, c] * b[t][c, j]      for ROWS values of m and `columns` values of j

The rows of `a` are given by their addresses, so that they may lie anywhere: a convolution hands in the addresses of the
pixels under its window and never copies them (the indirect convolution of Dukhan 2019, arXiv 1907.02129). LLVM does not
find this form by itself from loops over arrays, so it is written in LLVM's own instructions, for each vector width.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

ROWS = 6
"""Rows of a tile: with 4 vectors a row, the sums, a row of `b` and one broadcast element fill 32 registers."""

_INT = ir.IntType(64)


def _vector_bytes() -> int:
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


VECTOR_BYTES = _vector_bytes()
VECTORS = 2 if VECTOR_BYTES == 32 else 4
"""Vectors in the widest tile: AVX2 has only 16 registers."""


def lanes(itemsize: int) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // itemsize


class _Tile:
    """Emits the instructions of one tile."""

    def __init__(self, builder: Any, element: Any, itemsize: int, vectors: int) -> None:
        self.builder = builder
        self.element = element
        self.itemsize = itemsize
        self.vectors = vectors
        self.vector = ir.VectorType(element, lanes(itemsize))
        # Promoted to registers by LLVM.
        self.sums = [[cgutils.alloca_once(builder, self.vector) for _ in range(vectors)] for _ in range(ROWS)]

    def address(self, base: Any, offset: Any, scale: int = 1) -> Any:
        return self.builder.add(base, self.builder.mul(offset, _INT(scale)))

    def load(self, address: Any, kind: Any) -> Any:
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = 8 if kind is _INT else self.itemsize
        return value

    def start(self, rows: list[Any]) -> None:
        """With sums that are read from these addresses."""
        for row, sums in zip(rows, self.sums, strict=True):
            for j, total in enumerate(sums):
                self.builder.store(self.load(self.address(row, _INT(j * VECTOR_BYTES)), self.vector), total)

    def addresses(self, table: Any) -> list[Any]:
        """A row of a table."""
        return [self.load(self.address(table, _INT(8 * m)), _INT) for m in range(ROWS)]

    def expect(self, out_rows: Any) -> None:
        """Have the cache lines that will be written fetched meanwhile: a store waits for its line where that is far."""
        pointer, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, *[flag] * 3])
        prefetch = self.builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        for row in self.addresses(out_rows):
            for j in range(self.vectors):
                line = self.builder.inttoptr(self.address(row, _INT(j * VECTOR_BYTES)), pointer)
                self.builder.call(prefetch, [line, flag(1), flag(3), flag(1)])  # to write, to keep, data

    def finish(self, out_rows: Any) -> None:
        for row, sums in zip(self.addresses(out_rows), self.sums, strict=True):
            for j, total in enumerate(sums):
                where = self.address(row, _INT(j * VECTOR_BYTES))
                pointer = self.builder.inttoptr(where, self.vector.as_pointer())
                self.builder.store(self.builder.load(total), pointer).align = self.itemsize

    def add_products(self, a: list[Any], b_row: Any) -> None:
        """Add the product of a column of `a`, given by addresses, and a row of `b`."""
        builder = self.builder
        b = [self.load(self.address(b_row, _INT(j * VECTOR_BYTES)), self.vector) for j in range(self.vectors)]
        nothing = ir.Constant(self.vector, ir.Undefined)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), [0] * self.vector.count)
        name = f"llvm.fmuladd.v{self.vector.count}f{8 * self.itemsize}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(self.vector, [self.vector] * 3), name)
        for address, sums in zip(a, self.sums, strict=True):
            one = builder.insert_element(nothing, self.load(address, self.element), ir.IntType(32)(0))
            spread = builder.shuffle_vector(one, nothing, everywhere)
            for j, total in enumerate(sums):
                builder.store(builder.call(fma, [spread, b[j], builder.load(total)]), total)


def _element(array: Any) -> tuple[Any, int]:
    return (ir.FloatType(), 4) if array.dtype == types.float32 else (ir.DoubleType(), 8)


def _gathered(vectors: int) -> Any:
    @intrinsic
    def tile(
        context: Any, like: Any, rows: Any, b_rows: Any, taps: Any, depth: Any, step: Any, first: Any, out_rows: Any
    ) -> Any:
        element, itemsize = _element(like)

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, rows, b_rows, taps, depth, step, first, out_rows = args
            tile = _Tile(builder, element, itemsize, vectors)
            tile.start([first] * ROWS)
            tile.expect(out_rows)
            with cgutils.for_range(builder, taps, intp=_INT) as tap:
                a = tile.addresses(tile.address(rows, tap.index, 8 * ROWS))
                b = tile.load(tile.address(b_rows, tap.index, 8), _INT)
                with cgutils.for_range(builder, depth, intp=_INT) as c:
                    column = [tile.address(row, c.index, itemsize) for row in a]
                    tile.add_products(column, builder.add(b, builder.mul(c.index, step)))
            tile.finish(out_rows)
            return context.get_dummy_value()

        return types.void(like, *[types.intp] * 7), emit

    return tile


def _outer(vectors: int) -> Any:
    @intrinsic
    def tile(
        context: Any, like: Any, a_rows: Any, a_shift: Any, b_rows: Any, b_shift: Any, count: Any, out_rows: Any
    ) -> Any:
        element, itemsize = _element(like)

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _, a_rows, a_shift, b_rows, b_shift, count, out_rows = args
            tile = _Tile(builder, element, itemsize, vectors)
            tile.start(tile.addresses(out_rows))
            with cgutils.for_range(builder, count, intp=_INT) as p:
                a, b = (tile.load(tile.address(rows, p.index, 8), _INT) for rows in (a_rows, b_rows))
                first = builder.add(a, a_shift)
                column = [tile.address(first, _INT(m * itemsize)) for m in range(ROWS)]
                tile.add_products(column, builder.add(b, b_shift))
            tile.finish(out_rows)
            return context.get_dummy_value()

        return types.void(like, *[types.intp] * 6), emit

    return tile


_gathered_1, _gathered_2, _gathered_4 = _gathered(1), _gathered(2), _gathered(4)
_outer_1, _outer_2, _outer_4 = _outer(1), _outer(2), _outer(4)


def _turned(context: Any, like: Any, source: Any, step: Any, target: Any, target_step: Any) -> Any:
    """Transpose a square of as many rows as a vector has lanes, in registers.

    source, target: the addresses of the first rows; `step`, `target_step`: bytes between rows.
    """
    element, itemsize = _element(like)
    count = lanes(itemsize)
    vector = ir.VectorType(element, count)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, source, step, target, target_step = args

        def pointer(base: Any, step: Any, row: int) -> Any:
            address = builder.add(base, builder.mul(step, _INT(row)))
            return builder.inttoptr(address, vector.as_pointer())

        rows = [builder.load(pointer(source, step, m)) for m in range(count)]
        for row in rows:
            row.align = itemsize
        distance = 1
        while distance < count:  # exchange the blocks off the diagonal, of sizes 1, 2, 4, ...
            upper = [j - distance + count if j & distance else j for j in range(count)]
            lower = [j + count if j & distance else j + distance for j in range(count)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), count), picks) for picks in (upper, lower)]
            for m in range(count):
                if not m & distance:
                    pair = rows[m], rows[m + distance]
                    rows[m], rows[m + distance] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            distance *= 2
        for m, row in enumerate(rows):
            builder.store(row, pointer(target, target_step, m)).align = itemsize
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 4), emit


turned: Any = intrinsic(_turned)

# All addresses are integers, all steps are in bytes; `like` is any array of the element type.


@register_jitable
def gathered(
    vectors: int, like: Any, rows: int, b_rows: int, taps: int, depth: int, step: int, first: int, out_rows: int
) -> None:
    """One tile of first[j] + sum over t < taps, c < depth of a[t][m, c] b[t][c, j], in vectors of j.

    rows: of an int64 table (taps, ROWS) with the addresses of a[t][m, 0]; elements follow each other.
    b_rows: of a table (taps) with the addresses of b[t][0, 0]; row c follows after c `step`.
    first: of the numbers at which all rows of the tile start.
    out_rows: of a table (ROWS) with the addresses of out[m, 0].
    """
    if vectors == 4:
        _gathered_4(like, rows, b_rows, taps, depth, step, first, out_rows)
    elif vectors == 2:
        _gathered_2(like, rows, b_rows, taps, depth, step, first, out_rows)
    else:
        _gathered_1(like, rows, b_rows, taps, depth, step, first, out_rows)


@register_jitable
def outer(
    vectors: int, like: Any, a_rows: int, a_shift: int, b_rows: int, b_shift: int, count: int, out_rows: int
) -> None:
    """Add to one tile the sum over p < count of a[p, m] b[p, j], in vectors of j.

    a_rows, b_rows: of tables (count) with the addresses of a[p] and b[p], to which the shifts are added; elements
    follow each other.
    out_rows: of a table (ROWS) with the addresses of out[m, 0].
    """
    if vectors == 4:
        _outer_4(like, a_rows, a_shift, b_rows, b_shift, count, out_rows)
    elif vectors == 2:
        _outer_2(like, a_rows, a_shift, b_rows, b_shift, count, out_rows)
    else:
        _outer_1(like, a_rows, a_shift, b_rows, b_shift, count, out_rows)


@register_jitable
def vectors_for(columns: int, lanes: int) -> int:
    """The widest tile that so many columns, a multiple of `lanes`, fill."""
    return min(VECTORS, 4 if columns >= 4 * lanes else 2 if columns >= 2 * lanes else 1)
