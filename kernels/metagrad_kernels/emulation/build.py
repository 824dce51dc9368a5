"""Compiling a kernel for the CPU with g++, and launching it on the memory of emulated arrays."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import KernelUnavailable
from .recording import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..launch import Source

SCHEDULES = ("forward", "reverse", "random")
GUARD = 4096
"""Bytes before and after each array's copy, which no kernel may write to; poisoned, so that reading them shows."""
_NAN, _PATTERNS = 0xFFF00000, 1 << 20
_OPTIONS = (
    *("-std=c++17", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique"),
    *("-ftrivial-auto-var-init=pattern", "-w"),
)
_HEADER, _MACHINE = (Path(__file__).with_name(name) for name in ("emulation.h", "emulation.cpp"))
_MOST_THREADS, _MOST_BLOCKS = 1024, (2**31 - 1, 65535, 65535)

_schedule: ContextVar[tuple[int, int]] = ContextVar("schedule", default=(0, 0))


class EmulationError(RuntimeError):
    """A kernel did what no kernel may: a deadlock, a write outside of an array, arguments of the wrong type."""


class ForeignArrayError(EmulationError, TypeError):
    """An argument that is no emulated array: a TypeError of CuPy's, too."""


@contextmanager
def scheduled(schedule: str, seed: int = 0) -> Iterator[None]:
    """In which order blocks and threads run inside: "forward" (by default), "reverse", or "random" by a seed."""
    if schedule not in SCHEDULES:
        raise ValueError(f"[scheduled] requires a schedule among {SCHEDULES} but got {schedule!r}")
    token = _schedule.set((SCHEDULES.index(schedule), seed))
    try:
        yield
    finally:
        _schedule.reset(token)


def missing() -> str | None:
    """What the emulation lacks here, or None."""
    if shutil.which("g++") is None:
        return "the C++ compiler g++, which is not on the path"
    return None if os.name == "posix" else "a POSIX system"


class _How(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_int * 3),
        ("block", ctypes.c_int * 3),
        ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("message", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
    )


def launch(
    source: Source, entry: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]
) -> None:
    """Run a kernel on emulated arrays.

    Raises:
        EmulationError: the kernel, or the way it is launched, is wrong.
        KernelUnavailable: g++ is missing or refuses the source.
    """
    name = f"{source.path.name}: {entry}"
    grid, block = (tuple(sizes) + (1,) * (3 - len(sizes)) for sizes in (grid, block))
    if min(grid) < 1 or any(n > most for n, most in zip(grid, _MOST_BLOCKS, strict=True)):
        raise EmulationError(f"[{name}] requires a grid from 1 to {_MOST_BLOCKS} but got {grid}")
    if min(block) < 1 or np.prod(block) > _MOST_THREADS:
        raise EmulationError(f"[{name}] requires blocks of 1 to {_MOST_THREADS} threads but got {block}")
    library, lock = _compiled(source.path.name, source.text, entry)
    letters = library.metagrad_letters().decode()
    if len(letters) != len(arguments):
        raise EmulationError(f"[{name}] requires {len(letters)} arguments but got {len(arguments)}")
    memories: dict[int, _Guarded] = {}
    values: list[Any] = []
    for k, (letter, argument) in enumerate(zip(letters, arguments, strict=True)):
        if letter == "p":
            values.append(_pointer(f"[{name}] argument {k}", argument, memories))
        else:
            values.append(_scalar(f"[{name}] argument {k}", argument, letter))
    pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
    message = ctypes.create_string_buffer(1024)
    schedule, seed = _schedule.get()
    three = ctypes.c_int * 3
    how = _How(three(*grid), three(*block), schedule, seed, ctypes.cast(message, ctypes.c_char_p), len(message))
    with lock:
        failed = library.metagrad_emulate(ctypes.byref(how), pointers, len(values))
    if failed:
        raise EmulationError(f"[{name}] {message.value.decode()}")
    for memory in memories.values():
        memory.hand_back(f"[{name}] argument {memory.position}")
    note(lambda: launch(source, entry, grid, block, arguments))


class _Guarded:
    """A copy of an array with guards around it, at the same place of a line of 256 bytes.

    Each array of a launch has guards of its own pattern, NaN in float32 and float64: a NaN that was read behind one and
    is written behind another keeps its bits, and is seen.
    """

    _count = itertools.count(1)

    def __init__(self, array: np.ndarray[Any, Any], position: str) -> None:
        self.array, self.position = array, position
        self.bytes = array.reshape(-1).view(np.uint8)
        words = (len(self.bytes) + 2 * GUARD + 512) // 4 + 1
        memory = np.full(words, _NAN + next(self._count) % _PATTERNS, np.uint32).view(np.uint8)
        begin = GUARD + 256 - (memory.ctypes.data + GUARD) % 256 + array.ctypes.data % 256
        self.before, self.inside = memory[:begin], memory[begin : begin + len(self.bytes)]
        self.after = memory[begin + len(self.bytes) :]
        self.untouched = self.before.copy(), self.after.copy()
        self.inside[...] = self.bytes

    def hand_back(self, name: str) -> None:
        before, after = self.untouched
        for changed, side in (((self.before != before)[::-1], "before"), (self.after != after, "behind")):
            touched = np.flatnonzero(changed)
            if len(touched):
                distance = touched[0] // self.array.itemsize + 1
                raise EmulationError(f"{name} was written to {distance} elements {side} it")
        if self.bytes.flags.writeable:
            self.bytes[...] = self.inside
        elif not np.array_equal(self.bytes, self.inside):
            raise EmulationError(f"{name} was written to, and is a view that stands for many elements")


def _pointer(name: str, argument: Any, memories: dict[int, _Guarded]) -> Any:
    from .arrays import ndarray

    if argument is None:
        return ctypes.c_void_p(0)
    if not isinstance(argument, ndarray):
        raise ForeignArrayError(f"{name} requires an emulated array but got {type(argument).__name__}")
    array = argument.host
    if not array.flags.c_contiguous:
        raise EmulationError(f"{name} requires a C-contiguous array but got strides {array.strides}")
    if not array.size:
        return ctypes.c_void_p(0)
    address = array.ctypes.data
    if address not in memories or memories[address].array.nbytes < array.nbytes:
        memories[address] = _Guarded(array, name.rpartition(" ")[2])
    return ctypes.c_void_p(memories[address].inside.ctypes.data)


def _scalar(name: str, argument: Any, letter: str) -> Any:
    wanted = np.dtype(letter)
    if not isinstance(argument, np.generic) or argument.dtype != wanted:
        got = f"{argument.dtype}" if isinstance(argument, np.generic) else type(argument).__name__
        raise EmulationError(f"{name} requires a NumPy scalar of {wanted} but got {got}")
    return np.ctypeslib.as_ctypes_type(wanted)(argument.item())


@functools.lru_cache(512)
def _compiled(name: str, text: str, entry: str) -> tuple[Any, threading.Lock]:
    """The library of one entry, and a lock, because what it runs on is global in it."""
    need = missing()
    if need is not None:
        raise KernelUnavailable(name, f"the emulation lacks {need}")
    header = _HEADER.read_text("utf-8")
    whole = f"{text}\nEMULATION_ENTRY({entry})\n"
    try:
        machine = _made("machine.o", header + _MACHINE.read_text("utf-8"), ["-c", str(_MACHINE)])
        command = ["-shared", "-include", str(_HEADER), "-x", "c++", "-", "-x", "none", str(machine)]
        library = ctypes.CDLL(str(_made(f"{name}.so", header + machine.name + whole, command, whole)))
    except subprocess.CalledProcessError as error:
        errors = [line for line in error.stderr.splitlines() if "error" in line] or [error.stderr]
        raise KernelUnavailable(name, f"{entry} does not compile for the CPU: {errors[0]}") from error
    library.metagrad_letters.restype = ctypes.c_char_p
    return library, threading.Lock()


def _made(name: str, content: str, command: list[str], source: str | None = None) -> Path:
    """What g++ makes of a source, kept in a cache by what it depends on."""
    digest = hashlib.sha256("\0".join((*_OPTIONS, *command[:1], content)).encode()).hexdigest()[:24]
    path = _cache() / f"{digest}-{name}"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / name
            whole = ["g++", *_OPTIONS, *command, "-o", str(made)]
            subprocess.run(whole, input=source, capture_output=True, text=True, check=True)
            made.replace(path)
    return path


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "metagrad" / "emulation"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that nobody can write to
        folder = Path(tempfile.gettempdir()) / f"metagrad-emulation-{os.getuid()}"
        folder.mkdir(parents=True, exist_ok=True)
    return folder
