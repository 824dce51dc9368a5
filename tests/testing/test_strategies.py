"""What the strategies draw keeps their promises."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis.errors import NoSuchExample

from metagrad.errors import OptionError
from metagrad.testing import check_gradients
from metagrad.testing.programs import PIECEWISE
from metagrad.testing.strategies import (
    arrays,
    broadcastable_shapes,
    directions,
    nestings,
    points,
    programs,
    shapes,
)


@given(arrays((3, 2), low=-1.0, high=3.0, away_from=(2.0, 0.0), margin=0.25))
def test_arrays_keep_away_from_kinks(x):
    assert x.shape == (3, 2)
    assert x.dtype == np.float64
    assert (x >= -1.0).all()
    assert (x <= 3.0).all()
    assert (abs(x) >= 0.25).all()
    assert (abs(x - 2.0) >= 0.25).all()


@pytest.mark.parametrize("interval", [(-1.0, -0.25), (0.25, 1.75), (2.25, 3.0)])
def test_arrays_have_entries_in_every_gap(interval):
    low, high = interval
    found = arrays((1,), low=-1.0, high=3.0, away_from=(2.0, 0.0), margin=0.25)
    assert low <= find(found, lambda x: low <= x[0] <= high)[0] <= high


def test_arrays_without_room_are_refused():
    with pytest.raises(OptionError, match="requires room from 0 to 1"):
        arrays((2,), low=0, high=1, away_from=(0.5,), margin=0.6)


@given(directions((4,)))
def test_directions_have_no_tiny_entry(v):
    assert (abs(v) >= 0.5).all()
    assert (abs(v) <= 1.5).all()


@given(broadcastable_shapes(3))
def test_shapes_broadcast(found):
    assert len(found) == 3
    np.broadcast_shapes(*found)


def test_shapes_that_broadcast_differ_at_times():
    assert find(broadcastable_shapes(2), lambda s: len(s[0]) != len(s[1]) and max(s[0], default=0) > 1)
    assert find(broadcastable_shapes(2), lambda s: len(s[0]) == len(s[1]) > 0 and s[0][0] == 1 < s[1][0])
    assert find(shapes(), lambda s: len(s) == 3)


@given(programs(smooth=False), points())
@settings(max_examples=15)
def test_random_networks_are_differentiable_twice(program, point):
    assert check_gradients(program, point, redraws=30)


def test_smooth_networks_have_no_kink_and_others_do():
    with pytest.raises(NoSuchExample):
        find(programs(), lambda p: any(step[0] in PIECEWISE for step in p.steps), settings=settings(max_examples=100))
    assert find(programs(smooth=False), lambda p: any(step[0] in PIECEWISE for step in p.steps))


@given(nestings(max_depth=3))
@settings(max_examples=20)
def test_nestings_are_exact(nesting):
    assert abs(float(nesting(0.7)) - nesting.exact(0.7)) <= nesting.tolerance(0.7)


def test_without_hypothesis_the_strategies_say_what_to_install():
    code = """
import sys
sys.modules["hypothesis"] = None
from metagrad import testing
try:
    testing.strategies
except ImportError as error:
    print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.startswith("[testing.strategies] requires hypothesis (pip install 'metagrad[test]' has it)")


def test_testing_itself_imports_neither_hypothesis_nor_other_libraries():
    code = "import sys, metagrad.testing; print(*sys.modules)"
    modules = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split())
    assert "metagrad.testing.checks" in modules
    assert modules.isdisjoint({"hypothesis", "torch", "jax", "numba", "pytest"})
