"""The geometry of windows: sizes are counted by sliding one, SAME is what TensorFlow and JAX say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metagrad.errors import OptionError
from metagrad.ops.windows import output_size, padding_pairs, pair

SMALL = st.integers(1, 6)
PAIRS = st.tuples(SMALL, SMALL)
SIZES = st.tuples(st.integers(0, 12), st.integers(0, 12))
PADDINGS = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2)


def counted(n, window, stride, padding, dilation):
    """The number of starts at which all places of a window lie in the padded axis."""
    places = sum(padding) + n
    return sum(start + (window - 1) * dilation < places for start in range(0, places, stride))


@given(size=SIZES, window=PAIRS, stride=PAIRS, padding=PADDINGS, dilation=PAIRS)
def test_the_output_size_is_how_often_the_window_fits(size, window, stride, padding, dilation):
    expected = tuple(map(counted, size, window, stride, padding, dilation))
    assert output_size(size, window, stride, padding, dilation) == expected


@given(size=PAIRS, window=PAIRS, stride=PAIRS, dilation=PAIRS)
def test_same_gives_a_place_for_each_stride_begun_with_the_least_padding_the_smaller_half_first(
    size, window, stride, dilation
):
    padding = padding_pairs("f", "SAME", size, window, stride, dilation)
    wanted = tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    assert output_size(size, window, stride, padding, dilation) == wanted
    for axis, (before, after) in enumerate(padding):
        assert 0 <= after - before <= 1
        if after:
            less = [padding[0], padding[1]]
            less[axis] = (before, after - 1)
            assert output_size(size, window, stride, tuple(less), dilation)[axis] < wanted[axis]


@pytest.mark.parametrize(
    ("size", "window", "stride", "expected"),
    [
        ((5, 5), (2, 2), (1, 1), ((0, 1), (0, 1))),  # an even window: the extra place comes after
        ((5, 6), (2, 4), (2, 2), ((0, 1), (1, 1))),
        ((4, 7), (3, 3), (2, 3), ((0, 1), (1, 1))),
        ((3, 3), (1, 2), (3, 3), ((0, 0), (0, 0))),  # a stride beyond the window leaves places out
        ((0, 4), (3, 3), (1, 1), ((1, 1), (1, 1))),
    ],
)
def test_same_by_hand(size, window, stride, expected):
    assert padding_pairs("f", "SAME", size, window, stride) == expected


def test_same_is_that_of_jax():
    lax = pytest.importorskip("jax", reason="JAX is not installed: the extra 'oracle' has it").lax
    rng = np.random.default_rng(0)
    for _ in range(200):
        size, window, stride, dilation = (tuple(rng.integers(1, 12, 2).tolist()) for _ in range(4))
        extent = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
        expected = tuple(lax.padtype_to_pads(size, extent, stride, "SAME"))
        assert padding_pairs("f", "SAME", size, window, stride, dilation) == expected


def test_settings_are_numbers_for_both_axes_or_one_for_each():
    assert pair("f", "stride", 3) == (3, 3)
    assert pair("f", "stride", (1, 2)) == pair("f", "stride", [1, 2]) == (1, 2)
    assert pair("f", "stride", np.int64(2)) == (2, 2)
    explicit = [[0, 1], (np.int64(2), 3)]
    assert padding_pairs("f", explicit, (5, 5), (3, 3), (1, 1)) == ((0, 1), (2, 3))
    assert padding_pairs("f", "VALID", (5, 5), (3, 3), (1, 1)) == ((0, 0), (0, 0))


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None, (1,), (1, 2, 3), (1, 0), (2, 1.5)])
def test_other_windows_and_strides_get_one_sentence(value):
    with pytest.raises(OptionError, match=r"^\[conv2d\] requires a positive integer or two for the stride but got "):
        pair("conv2d", "stride", value)


@pytest.mark.parametrize("value", ["same", "", 1, None, (1, 1), ((1, 1),), ((0, 0), (0, -1)), ((0, 0.5), (0, 0))])
def test_other_paddings_get_one_sentence(value):
    with pytest.raises(OptionError, match=r'^\[conv2d\] requires padding "SAME", "VALID" or .* but got '):
        padding_pairs("conv2d", value, (5, 5), (3, 3), (1, 1))
