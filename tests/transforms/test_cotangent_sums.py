"""Cotangents that meet are added in the memory of the newer one, and never in memory that somebody else can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import metagrad as mg


@dataclass(frozen=True, eq=False, repr=False)
class Rule(mg.Primitive):
    """The identity, whose cotangent a function gives."""

    interned = False
    given: Any

    def forward(self, x):
        return x.copy()

    def vjp(self, i, cotangent, output, x):
        return self.given(cotangent)


def address(x):
    return np.asarray(x).__array_interface__["data"][0]


def test_a_sum_takes_the_memory_of_a_cotangent_that_nobody_else_holds():
    made = []

    def fresh(cotangent):
        result = np.multiply(cotangent, 2.0)
        made.append(address(result))
        return result

    gradient = mg.grad(lambda x: mg.sum(Rule(fresh)(x)) + mg.sum(Rule(fresh)(x)))(mg.ones(1000))
    assert address(gradient) == made[1]
    np.testing.assert_array_equal(np.asarray(gradient), 4.0)


def test_the_only_view_of_an_array_is_its_own():
    made = []

    def fresh(cotangent):
        result = np.multiply(cotangent, 2.0).reshape(10, 100)
        made.append(address(result))
        return result

    gradient = mg.grad(lambda x: mg.sum(Rule(fresh)(x)) + mg.sum(Rule(fresh)(x)))(mg.ones((10, 100)))
    assert address(gradient) == made[1]


WEIGHTS = np.arange(16.0).reshape(4, 4)
KEPT = np.full((4, 4), 3.0)
ROW = np.full((1, 4), 3.0)
SEEN: list[Any] = []


def held(cotangent):
    SEEN.append(np.multiply(cotangent, 3.0))
    return SEEN[-1]


GIVEN = {
    "an array of a closure": lambda g: KEPT,
    "a view of one": lambda g: KEPT[:],
    "its transpose": lambda g: KEPT.T,
    "one that is held elsewhere": held,
    "a stretched row": lambda g: np.broadcast_to(ROW, (4, 4)),
    "a row stretched in a new array": lambda g: np.ndarray((4, 4), np.float64, np.full(4, 3.0), 0, (0, 8)),
    "a read-only array": lambda g: np.frombuffer(KEPT.tobytes()).reshape(4, 4),
    "the cotangent itself": lambda g: g,
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("times", [2, 3])
def test_what_a_rule_keeps_or_shares_stays_as_it_was(given, times):
    SEEN.clear()
    seed = mg.asarray(np.full((4, 4), 3.0))

    def f(x):
        total = Rule(given)(x)
        for _ in range(times - 1):
            total = total + Rule(given)(x)
        return total + mg.asarray(WEIGHTS) * x  # the newest: its cotangent comes first

    _, pullback = mg.vjp(f, mg.ones((4, 4)))
    for _ in range(2):  # what the first call did is seen by the second
        (found,) = pullback(seed)
        np.testing.assert_array_equal(np.asarray(found), 3.0 * WEIGHTS + 3.0 * times * (3.0 if given is held else 1.0))
    for array in (KEPT, ROW, np.asarray(seed)):
        np.testing.assert_array_equal(array, 3.0)
    for array in SEEN:
        np.testing.assert_array_equal(array, 9.0)


def both(cotangent):
    fresh = np.multiply(cotangent, 2.0)
    return fresh, fresh[:]


def new_list(cotangent):
    return [np.multiply(cotangent, 2.0), np.multiply(cotangent, 2.0)]


@dataclass(frozen=True, eq=False, repr=False)
class Pair(mg.Primitive):
    """x + y, whose cotangents a function gives at once."""

    interned = False
    given: Any

    def forward(self, x, y):
        return x + y

    def vjp_all(self, needed, cotangent, output, x, y):
        return self.given(cotangent)


@pytest.mark.parametrize("given", [both, new_list])
def test_cotangents_given_at_once_do_not_change_each_other(given):
    def f(x, y):
        return mg.sum(Pair(given)(x, y)) + mg.sum(2.0 * x) + mg.sum(3.0 * y)

    x, y = mg.grad(f, argnums=(0, 1))(mg.ones(8), mg.ones(8))
    np.testing.assert_array_equal(np.asarray(x), 4.0)
    np.testing.assert_array_equal(np.asarray(y), 5.0)


def test_outputs_that_are_returned_twice_do_not_change_each_other():
    x = mg.asarray(np.arange(4.0))

    def f(a):
        return a * 1.0, a + 0.0, a[:]

    _, pullback = mg.vjp(f, x)
    seeds = tuple(mg.ones(4) for _ in range(3))
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(pullback(seeds)[0]), 3.0)
    for seed in seeds:
        np.testing.assert_array_equal(np.asarray(seed), 1.0)


def test_debug_nans_sees_the_sum():
    large = np.full(3, 1e308)
    with pytest.raises(mg.errors.NonFiniteError, match=r"\[add\]"), mg.debug_nans():
        mg.grad(lambda x: mg.sum(Rule(lambda g: large * g)(x)) + mg.sum(Rule(lambda g: large * g)(x)))(mg.ones(3))
