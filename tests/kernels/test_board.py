"""The board that a caller shares with its helpers, played step by step: what happens to threads by chance happens here
at will."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from numba import types

from metagrad_kernels import atomic, threads

JOB, ACTIVE = threads._JOB, threads._ACTIVE


class Played:
    """A board on which the operations of compiled code run in Python, and something else may happen before each."""

    def __init__(self, monkeypatch, happens=lambda: None):
        self.board = np.zeros(threads._ASLEEP + 2 * threads._LINE * 3, np.int64)
        self.happens = happens
        self.pauses = self.yields = 0
        self.taken = []
        for name in ("load", "store", "add", "pause", "call_plain"):
            monkeypatch.setattr(threads, name, getattr(self, name))
        monkeypatch.setattr(threads, "_take", self.take)

    def load(self, board, index):
        self.happens()
        return board[index]

    def store(self, board, index, value):
        self.happens()
        board[index] = value

    def add(self, board, index, value):
        self.happens()
        board[index] += value
        return board[index] - value

    def pause(self):
        self.pauses += 1

    def call_plain(self, address):
        self.yields += 1

    def take(self, board, me):
        self.happens()
        self.taken.append(int(board[JOB]))


@pytest.mark.parametrize("moment", range(12))
def test_no_helper_works_on_a_job_that_is_over(monkeypatch, moment):
    """The caller closes the job at any moment, and leaves when it has seen that nobody is at work."""
    steps, left = itertools.count(), []

    def caller():
        if next(steps) == moment:
            played.board[JOB] = 0
        if not played.board[JOB] and not played.board[ACTIVE]:
            left.append(len(played.taken))

    played = Played(monkeypatch, caller)
    played.board[JOB] = 1
    threads._serve(played.board, 1, 3, 5)
    assert not left or left[0] == len(played.taken)
    assert len(played.taken) == (moment > 2)  # it looks, counts itself, looks again
    assert played.board[ACTIVE] == 0


def test_a_helper_takes_a_job_once_and_then_looks_out_for_the_next_until_its_patience_ends(monkeypatch):
    played = Played(monkeypatch)
    jobs = {2: 1, 5: 2}  # so many pauses, and then this job; the first one stays open for long

    def post():
        played.board[JOB] = jobs.get(played.pauses, played.board[JOB])

    played.happens = post
    threads._serve(played.board, 2, 3, 4)
    assert played.taken == [1, 2]
    assert played.pauses == 5 + 4
    asleep = threads._ASLEEP + 2 * threads._LINE * np.arange(2)
    assert played.board[asleep].tolist() == [0, 1]


def lead(played, units=10, size=3):
    threads._lead.py_func(played.board, 77, units, size, 88)


def test_a_job_stands_on_the_board_whole_before_it_is_open_and_is_closed_at_the_end(monkeypatch):
    played = Played(monkeypatch)
    shares = threads._NEXT + 2 * threads._LINE * np.arange(3)
    seen = []

    def helper():
        board = played.board
        if board[JOB]:
            job = board[[threads._ENTRY, threads._ARGUMENTS, threads._UNITS, threads._SIZE, *shares]]
            seen.append((int(board[JOB]), job.tolist()))

    played.happens = helper
    for number in (1, 2):
        played.board[shares] = 9  # left from the job before
        lead(played)
        assert played.board[JOB] == 0
        assert played.taken.pop() == number  # not to be taken for the one before
        assert (number, [77, 88, 10, 3, 0, 0, 0]) in seen
    assert {tuple(job) for _, job in seen} == {(77, 88, 10, 3, 0, 0, 0)}


def test_the_caller_waits_for_the_last_helper_and_lets_it_have_the_core(monkeypatch):
    played = Played(monkeypatch)

    def helper():
        played.board[ACTIVE] = played.pauses < 10_000

    played.happens = helper
    lead(played)
    assert played.pauses == 10_000
    assert played.yields == 2


class Gate:
    opened = 0

    def release(self):
        self.opened += 1


def test_a_helper_that_sleeps_is_woken_once():
    team = threads._Team(3)
    team._gates = gates = [Gate(), Gate()]
    team.board[threads._ASLEEP] = 1
    for _ in range(2):
        team._wake()
        assert [gate.opened for gate in gates] == [1, 0]
        assert not team.board[threads._ASLEEP]


@pytest.mark.parametrize(
    ("operation", "instruction"),
    [
        (lambda board: atomic.load(board, 0), "load atomic i64"),
        (lambda board: atomic.store(board, 0, 1), "store atomic i64"),
        (lambda board: atomic.add(board, 0, 1), "atomicrmw add"),
    ],
)
def test_operations_on_the_board_are_of_one_order_for_all(operation, instruction):
    compiled = numba.njit((types.Array(types.int64, 1, "C"),))(operation)
    (text,) = compiled.inspect_llvm().values()
    (line,) = [line for line in text.splitlines() if instruction in line]
    assert "seq_cst" in line
