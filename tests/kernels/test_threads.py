"""The team: each unit is computed once, whoever calls, whoever helps, and whatever becomes of the threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from at_once import at_once
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import types

from metagrad_kernels import jit, threads
from metagrad_kernels.atomic import add, load, pause
from metagrad_kernels.jit import const, mutable

INT = np.dtype(np.int64)


def _count(added, counts, spin, begin, end):
    """Slow enough that several threads meet in a job."""
    for unit in range(begin, end):
        for _ in range(spin):
            counts[unit] += added[0]


def counted(units, spin=1, cost=1e9):
    kernel = threads.Kernel(_count, const(INT, 1), mutable(INT, 1), types.intp)
    counts = np.zeros(units, np.int64)
    kernel(np.ones(1, np.int64), counts, spin, units=units, cost=cost)
    return counts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(count=st.integers(1, 9), units=st.integers(0, 300))
def test_each_unit_is_computed_once(use_threads, count, units):
    use_threads(count)
    for _ in range(5):
        assert (counted(units, 50) == 50).all()


def _meet(board, met, begin, end):
    """A unit waits for the others: one thread alone would wait in vain."""
    for unit in range(begin, end):
        add(board, 0, 1)
        for _ in range(1_000_000):
            if load(board, 0) == len(met):
                met[unit] = 1
                break
            pause()


def meet(count):
    """Whether so many threads come to work on one job, if not on the first."""
    kernel = threads.Kernel(_meet, mutable(INT, 1), mutable(INT, 1))
    for _ in range(100):  # who was slow to post a job finds the others asleep again
        met = np.zeros(count, np.int64)
        kernel(np.zeros(1, np.int64), met, units=count, cost=1e9)
        if met.all():
            return True
    return False


@pytest.mark.parametrize("count", [2, 3])
def test_all_threads_work_at_once(use_threads, count):
    use_threads(count)
    assert threads.threads == threads._team.size == count
    assert meet(count)


def test_callers_do_not_wait_for_each_other(use_threads):
    use_threads(2)
    for counts in at_once(lambda: counted(64, 20), threads=4, times=200):
        assert (counts == 20).all()


def test_a_thread_that_sleeps_is_woken(use_threads):
    use_threads(2)
    counted(8)
    for _ in range(3):
        deadline = time.monotonic() + 60
        while not threads._team.board[threads._ASLEEP]:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert meet(2)


def _hold(board, begin, end):
    """A unit is over when it is told so."""
    for _ in range(begin, end):
        add(board, 0, 1)
        while load(board, 1) == 0:
            pause()


def test_a_second_caller_leaves_the_board_to_the_first(use_threads):
    use_threads(2)
    kernel = threads.Kernel(_hold, mutable(INT, 1))
    told, board = np.zeros(2, np.int64), threads._team.board
    first = threading.Thread(target=lambda: kernel(told, units=2, cost=1e9))
    first.start()
    try:
        while not told[0]:
            time.sleep(0.001)
        assert board[threads._SERIAL] == 1
        assert (counted(64) == 1).all()
        assert board[threads._SERIAL] == 1
    finally:
        told[1] = 1
        first.join()


def test_small_jobs_are_done_alone_and_only_large_ones_start_threads(use_threads, monkeypatch):
    use_threads(2)
    monkeypatch.undo()  # the fixture lets the smallest job be shared
    for nanoseconds, shared, awake in ((threads.WORTH, 0, 0), (threads.WORTH_WAKING, 1, 0), (1e9, 2, 1)):
        counted(8, cost=nanoseconds / 8 - 1)
        assert threads._team.board[threads._SERIAL] == shared
        assert len(threads._team._gates) == awake


def test_a_call_that_is_refused_leaves_the_team_free(use_threads):
    use_threads(2)
    kernel = threads.Kernel(_count, const(INT, 1), mutable(INT, 1), types.intp)
    with pytest.raises(TypeError):
        kernel(np.ones(1, np.int64), "counts", 1, units=8, cost=1e9)
    assert meet(2)


def test_where_no_thread_can_be_started_the_caller_does_it_all(use_threads, monkeypatch):
    def refused(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    use_threads(3)
    assert (counted(10) == 1).all()


def test_helpers_are_kept_off_the_caller_s_core(monkeypatch):
    moved = []

    def move(helper, cores):
        moved.append((helper, cores))
        if helper == 12:
            raise ProcessLookupError

    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setattr(threads.os, "sched_setaffinity", move, raising=False)
    team = threads._Team(3)
    steps = (
        (1, [11], [(11, {0, 2})]),
        (1, [11, 12], [(11, {0, 2}), (12, {0, 2})]),  # one has started since; it may end, too
        (1, [11, 12], []),
        (2, [11, 12], [(11, {0, 1}), (12, {0, 1})]),
    )
    for core, helpers, expected in steps:
        monkeypatch.setattr(threads, "_current_core", lambda core=core: core)
        team._workers[:] = helpers
        team._make_room()
        assert moved == expected
        moved.clear()


def run(code, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"METAGRAD_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, "3"),
        ({"METAGRAD_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, "5"),
    ],
)
def test_the_environment_says_how_many_threads(environment, expected):
    assert run("from metagrad_kernels import threads; print(threads.threads)", **environment) == expected


@pytest.mark.parametrize("asked", ["two", "0", "-1"])
def test_a_number_of_threads_that_is_none_is_told(asked):
    code = "import warnings; warnings.simplefilter('error')\n"
    code += "try: from metagrad_kernels import threads\n"
    code += "except RuntimeWarning as told: print(told)"
    expected = f"[METAGRAD_NUM_THREADS] requires a positive whole number but got {asked!r}: it is left aside"
    assert run(code, METAGRAD_NUM_THREADS=asked) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs os.sched_setaffinity, which is Linux's")
def test_else_there_are_as_many_as_cores_that_the_process_may_use():
    code = "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])\n"
    code += "from metagrad_kernels import threads; print(threads.threads)"
    assert run(code, METAGRAD_NUM_THREADS="", OMP_NUM_THREADS="") == "1"


RELU = """if True:
    import atexit, os, sys
    import numpy as np
    from metagrad_kernels.relu import relu
    def right(): return bool((relu(np.ones(1_000_000, np.float32)) == 1).all())
    assert right()
"""


def test_work_at_the_interpreter_s_exit_is_done():
    assert run(RELU + "    atexit.register(lambda: print(right()))", METAGRAD_NUM_THREADS="3") == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork, which this system does not have")
def test_a_forked_process_has_a_team_of_its_own():
    code = (
        RELU
        + """
    import threading, warnings
    warnings.simplefilter("ignore")  # that threads exist is what is tested
    for _ in range(20):
        child = os.fork()
        if child == 0:
            done = right() and right()
            os._exit(0 if done and "metagrad" in [thread.name for thread in threading.enumerate()] else 1)
        assert right()
        assert os.waitpid(child, 0)[1] == 0
    print("done")
"""
    )
    assert run(code, METAGRAD_NUM_THREADS="2") == "done"


def test_code_kept_on_disk_is_that_of_these_files(tmp_path, monkeypatch):
    """Numba looks at the kernel's file only: one built with another register tile would run on, and write beyond it."""
    monkeypatch.setattr(jit, "__file__", str(tmp_path / "jit.py"))
    (tmp_path / "tile.py").write_text("ROWS = 6")
    before = jit._digest()
    (tmp_path / "tile.py").write_text("ROWS = 4")
    assert jit._digest() != before
    monkeypatch.undo()
    kernel = threads.Kernel(_count, const(INT, 1), mutable(INT, 1), types.intp)
    for function in (kernel._entry.__qualname__, kernel._conduct.py_func.__qualname__):
        assert function.endswith(jit._digest())


def test_kernels_of_one_name_for_several_types_are_kept_apart():
    """On disk they differ by the name that they are kept under: their code and the entry's signature are the same."""
    names = {
        threads.Kernel(_count, const(dtype, 1), mutable(dtype, 1), types.intp)._entry.__qualname__
        for dtype in map(np.dtype, (np.float32, np.float64))
    }
    assert len(names) == 2
