"""Every planted error is found, and nobody is alarmed by what is right."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from metagrad.testing import check_gradients, jax_function, torch_function

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from planted_catalogue import CATALOGUE, jax_operation, metagrad_operation, metagrad_space, torch_operation
from planted_errors import checkers, false_alarms, join
from planted_programs import Program

JAX_TOO = {"a sign", "a second-order term dropped", "a cotangent taken for a constant"}


def over(names=None):
    chosen = [planted for planted in CATALOGUE if names is None or planted.name in names]
    return pytest.mark.parametrize("planted", chosen, ids=lambda planted: planted.name)


def check(planted, make, wrap=lambda f: f):
    args = planted.operation.example(np.random.default_rng(1))
    modes = ("reverse",) if planted.tangent is None else ("reverse", "forward")
    assert check_gradients(wrap(make(planted.right)), args, modes=modes)
    with pytest.raises(AssertionError, match="a derivative is wrong"):
        check_gradients(wrap(make(planted)), args, modes=modes)


@over()
def test_it_is_found_in_metagrad(planted):
    check(planted, metagrad_operation)


@over()
def test_it_is_found_in_torch(planted):
    pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'oracle' has it")
    check(planted, torch_operation, torch_function)


@over(JAX_TOO)
def test_it_is_found_in_jax(planted):
    pytest.importorskip("jax", reason="JAX is not installed: the extra 'oracle' has it")
    check(planted, jax_operation, jax_function)


def test_there_is_no_false_alarm_on_random_programs():
    for seed in range(60):
        program = Program.of(10**6 + seed)
        assert check_gradients(program.bound(metagrad_space()), program.point)


def run(first, cases, state=None):
    """The state of a run over random programs, by our check alone."""
    people = [person for person in checkers() if person.name == "metagrad"]
    state = state or {"first": first, "cases": 0, "seen": {}, "planted": []}
    false_alarms(people, first, cases, 0, state, lambda: None)
    return state


def test_a_run_goes_on_where_it_stopped_and_runs_are_joined():
    seen = run(0, 5, run(0, 3))["seen"]["metagrad"]
    assert (seen["programs"], seen["alarms"]) == (5, [])
    both = join([run(5, 2), run(0, 5)])
    assert (both["first"], both["cases"], both["seen"]["metagrad"]["programs"]) == (0, 7, 7)
    with pytest.raises(SystemExit, match="requires runs of metagrad over other seeds but got"):
        join([run(0, 3), run(2, 2)])
    other = run(0, 2)
    other["seen"]["another"] = other["seen"].pop("metagrad")
    other["planted"] = [{"error": "a sign", "found": {"another": True}, "false_alarms": []}]
    mine = {**run(0, 3), "planted": [{"error": "a sign", "found": {"metagrad": True}, "false_alarms": ["metagrad"]}]}
    both = join([mine, other])
    assert {name: one["programs"] for name, one in both["seen"].items()} == {"metagrad": 3, "another": 2}
    assert both["planted"] == [
        {"error": "a sign", "found": {"metagrad": True, "another": True}, "false_alarms": ["metagrad"]}
    ]
