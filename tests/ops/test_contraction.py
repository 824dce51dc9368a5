"""A contraction's result lies in memory as its axes are named, whatever the order in which operands have them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from metagrad.ops.contraction import Contract

SIZES = {"t": 3, "n": 4, "k": 5, "m": 6}


def operand(letters, rng):
    return rng.standard_normal([SIZES[c] for c in letters])


@pytest.mark.parametrize("a", ["tnk", "tkn"])
@pytest.mark.parametrize("b", ["tkm", "tmk"])
@pytest.mark.parametrize("out", ["tnm", "tmn"])
def test_a_product_of_matrices_is_contiguous_whichever_operand_gives_the_rows(a, b, out):
    rng = np.random.default_rng(0)
    x, y = operand(a, rng), operand(b, rng)
    found = Contract(a, b, out).forward(x, y)
    np.testing.assert_allclose(found, np.einsum(f"{a},{b}->{out}", x, y), rtol=1e-13, atol=1e-13)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("out", ["".join(p) for p in itertools.permutations("tnm")])
def test_any_order_of_the_result_has_the_same_numbers(out):
    rng = np.random.default_rng(1)
    x, y = operand("tnk", rng), operand("tkm", rng)
    expected = np.einsum(f"tnk,tkm->{out}", x, y)
    np.testing.assert_allclose(Contract("tnk", "tkm", out).forward(x, y), expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(Contract("tkm", "tnk", out).forward(y, x), expected, rtol=1e-13, atol=1e-13)
