"""Every kernel gives the same bits whichever thread and block runs first: a barrier that is missing shows."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from places import needs_emulation

from metagrad_kernels import emulation

CASES = [
    case
    for path in sorted(Path(__file__).parent.glob("cases_*.py"))
    for case in importlib.import_module(path.stem).CASES
]


def emulated(case):
    """The results of a case (name, function, arguments) on emulated arrays."""
    _, function, arguments = case
    result = function(*[emulation.arrays.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments])
    return [part.get() for part in (result if isinstance(result, tuple) else (result,))]


@needs_emulation
@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_every_schedule_gives_the_same_bits(case):
    expected = emulated(case)
    for schedule, seed in (("reverse", 0), ("random", 1), ("random", 2)):
        with emulation.scheduled(schedule, seed):
            for got, want in zip(emulated(case), expected, strict=True):
                assert got.tobytes() == want.tobytes(), schedule
