"""Work on all cores: a kernel's units, shared among the caller and threads of ours that wait for work without the GIL.

Between the operations of a training step lie some ten microseconds. To wake a sleeping thread takes up to a hundred, so
one that has worked looks out for more for a while before it sleeps. Numba's own threading layers do not serve: the
default one aborts the process when two Python threads enter it at once.

A job has a share of units for each thread, and a thread that is done with its own takes from the others', in chunks:
one that sleeps or comes late costs nothing. What a unit computes must not depend on the range it is in; then it does
not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import warnings
from contextlib import suppress
from functools import cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import types

from .atomic import add, call, call_plain, fetched, kept, load, pause, store
from .jit import OPTIONS, compiled, entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Board = NDArray[np.int64]


def _count() -> int:
    for name in ("METAGRAD_NUM_THREADS", "OMP_NUM_THREADS"):
        asked = os.environ.get(name, "")
        if asked.isdecimal() and int(asked) > 0:
            return int(asked)
        if asked and name.startswith("METAGRAD"):
            need = f"[{name}] requires a positive whole number but got {asked!r}: it is left aside"
            warnings.warn(need, RuntimeWarning, stacklevel=2)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


threads = _count()
"""How many run at once: METAGRAD_NUM_THREADS, else OMP_NUM_THREADS, else the cores that the process may use."""

WORTH = 10_000
"""Nanoseconds of work that are shared with threads that are awake."""
WORTH_WAKING = 80_000
"""Nanoseconds of work for which those that sleep are woken."""
PATIENCE = 20_000
"""How often a thread looks for work before it sleeps: about a millisecond."""
CHUNKS = 4
"""Of a share: as often another thread may come to help with it."""


class Kernel:
    """A function of (*arguments, begin, end) in machine code that computes the units [begin, end) of some work.

    `kinds` are the Numba types of the arguments, or a number for one that is compiled in and not given in a call. The
    function returns nothing and raises nothing.
    """

    def __init__(self, function: Callable[..., None], *kinds: Any) -> None:
        label, places = str(kinds), iter(range(len(kinds)))
        given = ", ".join(str(kind) if isinstance(kind, int) else f"given[{next(places)}]" for kind in kinds)
        kinds = tuple(kind for kind in kinds if not isinstance(kind, int))
        code = _code(f"def entry(address, begin, end):\n  given = fetch(address)\n  function({given}, begin, end)")
        code = code.replace(co_filename=function.__code__.co_filename, co_name=function.__name__)
        names = {
            "__name__": function.__module__,
            "function": numba.njit(inline="always", **OPTIONS)(function),
            "fetch": fetched(types.Tuple(kinds)),
        }
        self._entry = entry(code, types.void(*[types.intp] * 3), label, names)
        self._address = self._entry.address
        self._conduct = _conductor(kinds)

    def __call__(self, *arguments: Any, units: int, cost: float) -> None:
        """Compute that many units; one takes about `cost` nanoseconds."""
        if units:
            _team.run(self._conduct, self._address, arguments, units, units * cost)


class _Team:
    """The threads that help a caller, and the board where its job is posted."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.board: Board = np.zeros(_ASLEEP + 2 * _LINE * size, np.int64)
        self.board[_YIELD] = _yield_address()
        self._free = threading.Lock()
        self._gates: list[threading.Semaphore] = []
        self._workers: list[int] = []
        self._avoided = -1

    def run(self, conduct: Any, address: int, arguments: tuple[Any, ...], units: int, nanoseconds: float) -> None:
        """Do a job; alone, if it is small or the team works for another caller."""
        size = min(self.size, units)
        if size == 1 or nanoseconds < WORTH or not self._free.acquire(blocking=False):
            conduct(self.board, address, units, 1, *arguments)
            return
        try:
            if nanoseconds >= WORTH_WAKING:
                self._wake()
            conduct(self.board, address, units, size, *arguments)
        finally:
            self._free.release()

    def _wake(self) -> None:
        self._make_room()
        for k, gate in enumerate(self._gates):
            asleep = _ASLEEP + 2 * _LINE * k
            if self.board[asleep]:
                self.board[asleep] = 0
                gate.release()
        while len(self._gates) < self.size - 1:
            gate = threading.Semaphore(0)
            self._gates.append(gate)
            arguments = self.board, len(self._gates), self.size, gate, self._workers
            try:
                threading.Thread(target=_work, args=arguments, name="metagrad", daemon=True).start()
            except RuntimeError:  # the interpreter is shutting down and starts nothing more
                return

    def _make_room(self) -> None:
        """Keep the workers off the caller's core.

        Linux likes to wake a thread where its waker runs. There it would wait until the caller is done, and for as long
        as calls are short nothing moves it: two threads then take the time of one.
        """
        if _current_core is None:
            return
        here = _current_core()
        others = os.sched_getaffinity(0) - {here} if here != self._avoided else set()
        if others:
            for worker in self._workers:
                with suppress(ProcessLookupError):  # it has ended, because the interpreter does
                    os.sched_setaffinity(worker, others)
            self._avoided = here if len(self._workers) == self.size - 1 else -1  # some may not have started yet


_current_core = ctypes.CDLL(None).sched_getcpu if sys.platform == "linux" else None


def _yield_address() -> int:
    """Of the system's function that lets another thread run."""
    if sys.platform == "win32":
        return ctypes.cast(ctypes.windll.kernel32.SwitchToThread, ctypes.c_void_p).value or 0
    return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0


def _work(board: Board, me: int, size: int, gate: threading.Semaphore, workers: list[int]) -> None:
    workers.append(threading.get_native_id())
    serve = _server()
    while True:
        serve(board, me, size, PATIENCE)
        gate.acquire()


@cache
def _server() -> Any:
    return compiled(_serve, types.void(_BOARD, *[types.intp] * 3))


@cache
def _conductor(kinds: tuple[Any, ...]) -> Any:
    """A function that does a job with arguments of these types. The kernel finds them as one tuple, on the stack.

    Numba is fastest to call with a fixed number of arguments; hence a function for each number.
    """
    names = ", ".join(f"a{k}" for k in range(len(kinds)))
    text = f"def conduct(board, address, units, size, {names}):\n  lead(board, address, units, size, kept(({names},)))"
    conduct = FunctionType(_code(text), {"__name__": __name__, "lead": _lead, "kept": kept})
    return compiled(conduct, types.void(_BOARD, *[types.intp] * 3, *kinds))


def _code(text: str) -> CodeType:
    """Of a function. It says that it is from this file: Numba keeps the machine code of functions from files."""
    (code,) = (x for x in compile(text, __file__, "exec").co_consts if isinstance(x, CodeType))
    return code


# The board: what stands at which index. Numbers that several threads change lie in cache lines of their own.
_LINE = 16
_JOB, _ENTRY, _ARGUMENTS, _UNITS, _SIZE, _SERIAL, _YIELD = range(7)
_ACTIVE = _LINE
_NEXT = 2 * _LINE
_ASLEEP = 3 * _LINE
_BOARD = types.Array(types.int64, 1, "C")


# From here on the code is compiled.


@numba.njit(**OPTIONS)
def _lead(board: Any, entry: int, units: int, size: int, arguments: int) -> None:
    """Do a job with whoever comes to help. It is over when all units are taken and nobody works on one any more."""
    if size == 1:
        call(entry, arguments, 0, units)
        return
    board[_ENTRY], board[_ARGUMENTS], board[_UNITS], board[_SIZE] = entry, arguments, units, size
    for share in range(size):
        store(board, _NEXT + 2 * _LINE * share, 0)
    board[_SERIAL] += 1
    store(board, _JOB, board[_SERIAL])
    _take(board, 0)
    # Who comes from here on sees that there is no job; who came before is counted.
    store(board, _JOB, 0)
    waited = 0
    while load(board, _ACTIVE) != 0:
        pause()
        waited += 1
        if waited % 4096 == 0:  # the other may need this core to go on
            call_plain(board[_YIELD])


@numba.njit(**OPTIONS)
def _take(board: Any, me: int) -> None:
    """Compute chunks until none is left, of one's own share first."""
    entry, arguments, units, size = board[_ENTRY], board[_ARGUMENTS], board[_UNITS], board[_SIZE]
    for k in range(size):
        share = (me + k) % size
        first, last = units * share // size, units * (share + 1) // size
        chunk = -(-(last - first) // CHUNKS)
        while True:
            begin = first + add(board, _NEXT + 2 * _LINE * share, chunk)
            if begin >= last:
                break
            call(entry, arguments, begin, min(begin + chunk, last))


def _serve(board: Any, me: int, size: int, patience: int) -> None:
    """Help with one job after the other, until there was none for a while."""
    done = waited = 0
    while waited < patience:
        job = load(board, _JOB)
        if job != 0 and job != done:
            add(board, _ACTIVE, 1)
            if load(board, _JOB) == job:  # still open: it will now wait for this thread
                _take(board, me)
            add(board, _ACTIVE, -1)
            done, waited = job, 0
        else:
            pause()
            waited += 1
    store(board, _ASLEEP + 2 * _LINE * (me - 1), 1)


def use(count: int) -> None:
    """Let that many threads work from here on."""
    global threads, _team
    threads, _team = count, _Team(count)


_team = _Team(threads)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: use(threads))  # the others did not come along
