"""On a GPU every kernel does what it does in the emulation, and the same bits twice."""

from __future__ import annotations

import numpy as np
import pytest
from places import CUPY, needs_emulation
from test_schedules import CASES, emulated

pytestmark = pytest.mark.skipif(CUPY is None, reason="CuPy finds no GPU here")
each_case = pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])


def on_gpu(case):
    """The results of a case (name, function, arguments) on CuPy's arrays."""
    _, function, arguments = case
    result = function(*[CUPY.asarray(x) if isinstance(x, np.ndarray) else x for x in arguments])
    return [part.get() for part in (result if isinstance(result, tuple) else (result,))]


@each_case
def test_two_runs_give_the_same_bits(case):
    first, second = on_gpu(case), on_gpu(case)
    assert [x.tobytes() for x in first] == [x.tobytes() for x in second]


@needs_emulation
@each_case
def test_the_emulation_told_the_truth(case):
    for got, expected in zip(on_gpu(case), emulated(case), strict=True):
        assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
        tolerance = 32 * np.finfo(got.dtype).eps * max(1, np.abs(expected).max()) if got.dtype.kind == "f" else 0
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
