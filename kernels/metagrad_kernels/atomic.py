"""What threads share, in LLVM's own instructions: numbers that are read and changed in one order for all, and calls.

A board is a contiguous int64 array. All operations on it are sequentially consistent.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

_INT = ir.IntType(64)
_ORDER = "seq_cst"
_X86, _ARM = ("x86_64", "AMD64"), ("aarch64", "arm64")


def _place(context: Any, builder: Any, signature: Any, board: Any, index: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, board)
    return builder.gep(array.data, [index])


def _load(context: Any, board: Any, index: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_place(context, builder, signature, *args), _ORDER, align=8)

    return types.intp(board, types.intp), emit


def _store(context: Any, board: Any, index: Any, value: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _place(context, builder, signature, *args[:2]), _ORDER, align=8)
        return context.get_dummy_value()

    return types.void(board, types.intp, types.intp), emit


def _add(context: Any, board: Any, index: Any, value: Any) -> Any:
    """What stood there before `value` was added."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _place(context, builder, signature, *args[:2]), args[2], _ORDER)

    return types.intp(board, types.intp, types.intp), emit


def _pause(context: Any) -> Any:
    """Tell the core that this is a loop that waits."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if platform.machine() in _X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif platform.machine() in _ARM:
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            yields = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(yields, [ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(), emit


def _call(context: Any, function: Any, first: Any, second: Any, third: Any) -> Any:
    """Call a function of three integers by its address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_INT] * 3)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), emit


def _call_plain(context: Any, function: Any) -> Any:
    """Call a function without arguments by its address."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), emit


def _kept(context: Any, values: Any) -> Any:
    """The address of a tuple that lives on the stack until the calling function returns."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once_value(builder, args[0]), _INT)

    return types.intp(values), emit


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
add: Any = intrinsic(_add)
pause: Any = intrinsic(_pause)
call: Any = intrinsic(_call)
call_plain: Any = intrinsic(_call_plain)
kept: Any = intrinsic(_kept)


def fetched(values: Any) -> Any:
    """An intrinsic: the tuple, of this Numba type, that `kept` put at an address."""

    def fetch(context: Any, address: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], context.get_value_type(values).as_pointer())
            return impl_ret_borrowed(context, builder, values, builder.load(pointer))

        return values(types.intp), emit

    return intrinsic(fetch)
