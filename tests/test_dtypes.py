"""What dtypes are, and what they become together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import metagrad as mg

INTEGERS = (mg.int8, mg.int16, mg.int32, mg.int64, mg.uint8, mg.uint16, mg.uint32, mg.uint64)
DTYPES = (mg.bool, *INTEGERS, mg.float32, mg.float64)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(DTYPES, DTYPES)))
def test_result_type_is_that_of_a_choice_between_the_two(a, b):
    mask = mg.asarray([True])
    chosen = mg.where(mask, mg.ones(1, dtype=a), mg.ones(1, dtype=b))
    assert mg.result_type(a, b) == mg.result_type(mg.ones(1, dtype=a), b) == chosen.dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [True, 2, 2.5])
def test_python_numbers_are_weak_in_result_type(dtype, number):
    x = mg.ones(2, dtype=dtype)
    assert mg.result_type(x, number) == mg.result_type(number, dtype) == mg.where(mg.asarray(True), x, number).dtype


def test_result_type_of_python_numbers_is_numpys():
    assert mg.result_type(1, 2.5) == np.float64
    assert mg.result_type(True, 1) == np.int64


def test_traced_values_have_the_dtype_of_their_array():
    def f(x):
        assert mg.result_type(x, 1.0) == np.float32
        assert mg.finfo(x).bits == 32
        return mg.sum(x)

    for transform in (mg.grad, mg.vmap, mg.make_graph):
        transform(f)(mg.ones(2, dtype=mg.float32))


def test_kinds_partition_the_dtypes():
    kinds = ("bool", "signed integer", "unsigned integer", "real floating")
    for dtype in DTYPES:
        assert sum(mg.isdtype(dtype, kind) for kind in kinds) == 1
        assert mg.isdtype(dtype, kinds)
        assert mg.isdtype(dtype, "numeric") == (dtype is not mg.bool)
        assert not mg.isdtype(dtype, "complex floating")
        assert mg.isdtype(np.dtype(dtype), dtype)
    assert mg.isdtype("uint8", "integral")
    assert not mg.isdtype(mg.float32, mg.float64)


def test_limits_are_numpys():
    assert (mg.iinfo(mg.uint8).min, mg.iinfo(mg.ones(2, dtype=mg.int32)).max) == (0, 2**31 - 1)
    assert (mg.finfo("float32").eps, mg.finfo(mg.ones(2)).max) == (2.0**-23, np.finfo(np.float64).max)


def test_a_cast_is_safe_where_no_value_is_lost():
    for a, b in itertools.product(DTYPES, DTYPES):
        assert mg.can_cast(a, b) == mg.can_cast(mg.ones(1, dtype=a), b) == np.can_cast(a, b)
    with pytest.raises(mg.errors.DTypeError, match=r"^\[can_cast\] requires a real or boolean dtype"):
        mg.can_cast(mg.float32, "complex64")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_are_operators_on_both_sides(dtype):
    x, y = mg.asarray([1, 2, 3], dtype=dtype), mg.asarray([3, 1, 0], dtype=dtype)
    for found, expected in ((x << y, [8, 4, 3]), (x >> 1, [0, 1, 1]), (1 << y, [8, 2, 1]), (8 >> y, [1, 4, 8])):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    assert isinstance(np.asarray([1, 2, 3], dtype) << y, mg.Tensor)
