"""Pooling: right at every order in closed form, native over leading axes, and clear about what it does not take."""

from __future__ import annotations

import functools
import math
import tracemalloc

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad.errors import DTypeError, MetagradError, OptionError, ShapeError

nn = mg.nn
RNG = np.random.default_rng(3)
X = RNG.permutation(2 * 6 * 5 * 3).reshape(2, 6, 5, 3) / 50 - 1.5  # no two alike
OVERLAPPING = functools.partial(nn.max_pool2d, window=3, stride=2, padding="SAME")
MEANS = functools.partial(nn.avg_pool2d, window=(2, 3), stride=1, padding=((1, 0), (2, 2)))
POOLS = {
    "max": OVERLAPPING,
    "average": MEANS,
    "global max": nn.global_max_pool2d,
    "global average": nn.global_avg_pool2d,
}
each_pool = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


def test_the_first_three_derivatives_of_pooled_cubes_are_powers_at_the_largest():
    def f(x):
        return mg.sum(nn.max_pool2d(x, 2) ** 3)

    image = X[0, :4, :4]
    pooled = image.reshape(2, 2, 2, 2, 3).max(axis=(1, 3))
    is_largest = image == pooled.repeat(2, 0).repeat(2, 1)
    v, w = RNG.standard_normal((2, *image.shape))
    first = np.where(is_largest, 3 * image**2, 0)
    second = np.where(is_largest, 6 * image * v, 0)
    third = np.where(is_largest, 6 * v * w, 0)
    gradient = mg.grad(f)
    close(gradient(image), first)
    for mode in ("reverse_over_reverse", "forward_over_reverse"):
        close(mg.hvp(f, (image,), (v,), mode=mode), second)
    along_v = lambda x: mg.jvp(gradient, (x,), (mg.asarray(v),))[1]  # noqa: E731
    close(mg.jvp(along_v, (image,), (w,))[1], third)
    close(mg.grad(lambda x: mg.sum(along_v(x) * w))(image), third)


def test_a_pixel_that_several_windows_choose_gets_the_sum_of_their_cotangents():
    x = np.zeros((3, 3, 1))
    x[1, 1] = 1
    g = mg.grad(lambda x: mg.sum(nn.max_pool2d(x, 2, stride=1) * mg.asarray([[[1.0], [2.0]], [[3.0], [4.0]]])))(x)
    np.testing.assert_array_equal(g, 10 * x)


@each_pool
def test_leading_axes_a_map_and_one_by_one_are_the_same_with_all_derivatives(pool):
    def curvature(x):
        return mg.hvp(lambda x: mg.sum(mg.sin(pool(x))), (x,), (mg.cos(x),))

    x = np.stack([X, -X, X[::-1]])
    for order, f in ((0, pool), (2, curvature)):
        alone = np.stack([[f(image).numpy() for image in batch] for batch in x])
        for batched in (f(x), mg.vmap(f)(x), mg.vmap(mg.vmap(f))(x), mg.vmap(f, in_axes=1, out_axes=1)(x)):
            close(batched, alone, order=order)


@each_pool
def test_a_checkpoint_and_a_replay_give_the_same_bits(pool):
    gradient = mg.grad(lambda x: mg.sum(pool(x) ** 3))
    again = mg.grad(mg.checkpoint(lambda x: mg.sum(pool(x) ** 3)))
    np.testing.assert_array_equal(again(X), gradient(X))
    np.testing.assert_array_equal(mg.make_graph(gradient)(X)(-X), gradient(-X))
    np.testing.assert_array_equal(mg.make_graph(mg.grad(lambda x: mg.sum(again(x) ** 2)))(X)(-X).shape, X.shape)


@each_pool
def test_no_images_at_all_are_fine(pool):
    x = np.zeros((0, 4, 4, 3), np.float32)
    assert pool(x).shape[0] == 0
    gradient = mg.grad(lambda x: mg.sum(pool(x)))(x)
    assert (gradient.shape, gradient.dtype) == (x.shape, np.float32)


def test_an_even_window_with_same_takes_its_extra_pixel_after():
    x = mg.reshape(mg.arange(1.0, 10.0), (3, 3, 1))
    by_hand = nn.max_pool2d(x, 2, stride=1, padding=((0, 1), (0, 1)))
    np.testing.assert_array_equal(by_hand[..., 0], [[5, 6, 6], [8, 9, 9], [8, 9, 9]])
    np.testing.assert_array_equal(nn.max_pool2d(x, 2, stride=1, padding="SAME"), by_hand)
    np.testing.assert_array_equal(nn.max_pool2d(x, 4, stride=3, padding="SAME")[..., 0], [[9]])


def test_padding_is_never_the_largest_and_counts_as_zeros_in_a_mean():
    x = -mg.ones((2, 2, 1))
    np.testing.assert_array_equal(nn.max_pool2d(x, 2, stride=1, padding="SAME"), x)
    means = nn.avg_pool2d(x, 2, stride=1, padding="SAME")
    np.testing.assert_array_equal(means[..., 0], [[-1, -0.5], [-0.5, -0.25]])


def test_a_nan_is_the_largest_and_has_the_derivative():
    x = np.array([[1, math.nan], [math.nan, math.inf]])[..., None]
    value, gradient = mg.value_and_grad(lambda x: mg.sum(nn.max_pool2d(x, 2)))(x)
    assert math.isnan(float(value))
    np.testing.assert_array_equal(gradient[..., 0], [[0, 1], [0, 0]])


def test_global_pools_are_those_of_one_window_over_the_image():
    np.testing.assert_array_equal(nn.global_max_pool2d(X), nn.max_pool2d(X, (6, 5))[:, 0, 0])
    close(nn.global_avg_pool2d(X), nn.avg_pool2d(X, (6, 5))[:, 0, 0].numpy())


def test_the_way_back_keeps_indices_of_a_byte_and_not_the_images():
    x = mg.asarray(RNG.standard_normal((100, 100, 20)))
    nn.max_pool2d(x, 2)  # compiled before memory is measured
    tracemalloc.start()
    try:
        _, pullback = mg.vjp(lambda x: mg.sum(nn.max_pool2d(mg.sin(x), 2)), x)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    image, pooled = x.size * 8, x.size * 8 // 4
    assert held < pooled + pooled // 8 + image // 20
    assert np.count_nonzero(pullback(1.0)[0]) == x.size // 4


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "global_max_pool2d", "global_avg_pool2d"])
@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (X[0, 0], ShapeError, r"images of shape \(\.\.\., h, w, c\) but got shape \(5, 3\)"),
        (2.0, ShapeError, r"images of shape \(\.\.\., h, w, c\) but got shape \(\)"),
        (X.astype(int), DTypeError, "images of float32 or float64 but got int64"),
        (X[:, :0], ShapeError, "images .* but got "),
    ],
)
def test_what_is_no_image_gets_one_sentence(name, x, error, says):
    window = () if name.startswith("global") else (2,)
    with pytest.raises(error, match=rf"^\[{name}\] requires {says}") as caught:
        getattr(nn, name)(x, *window)
    assert isinstance(caught.value, MetagradError)


def test_a_map_hides_its_axis_from_the_check():
    with pytest.raises(ShapeError, match=r"got shape \(5, 3\)"):
        mg.vmap(lambda x: nn.max_pool2d(x, 2))(X[0])


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(
    ("window", "options", "error", "says"),
    [
        (0, {}, OptionError, "a positive integer or two for the window but got 0"),
        (2, {"stride": (1, 0)}, OptionError, r"a positive integer or two for the stride but got \(1, 0\)"),
        (2, {"padding": "same"}, OptionError, "padding .* but got 'same'"),
        (2, {"padding": ((2, 0), (0, 0))}, OptionError, r"padding smaller than the window \(2, 2\)"),
        (7, {}, ShapeError, r"images that hold a window \(7, 7\) but got size \(6, 5\)"),
    ],
)
def test_bad_windows_get_one_sentence(name, window, options, error, says):
    with pytest.raises(error, match=rf"^\[{name}\] requires {says}"):
        getattr(nn, name)(X, window, **options)


def test_layers_are_the_functions_and_sequential_finds_their_shapes():
    net = nn.Sequential(
        nn.MaxPool2D(2), nn.relu, nn.AvgPool2D((2, 1), stride=1, padding="SAME"), nn.Flatten(), nn.Dense(4)
    )
    params = net.init(mg.random.key(0), X.shape)
    assert [set(p) for p in params] == [set()] * 4 + [{"kernel", "bias"}]
    assert params[-1]["kernel"].shape == (3 * 2 * 3, 4)
    pooled = nn.avg_pool2d(nn.relu(nn.max_pool2d(X, 2)), (2, 1), stride=1, padding="SAME")
    close(net(params, X), mg.reshape(pooled, (2, 18)) @ params[-1]["kernel"])
    np.testing.assert_array_equal(nn.GlobalAvgPool2D()({}, X), nn.global_avg_pool2d(X))
    np.testing.assert_array_equal(nn.GlobalMaxPool2D()({}, X), nn.global_max_pool2d(X))
    assert repr(net) == (
        "Sequential(MaxPool2D((2, 2), stride=(2, 2), padding='VALID'), relu, "
        "AvgPool2D((2, 1), stride=(1, 1), padding='SAME'), Flatten(), Dense(4))"
    )


def test_flatten_joins_the_last_three_axes_whatever_leads():
    flatten = nn.Flatten()
    np.testing.assert_array_equal(flatten({}, X), X.reshape(2, -1))
    np.testing.assert_array_equal(flatten({}, X[0]), X[0].reshape(-1))
    np.testing.assert_array_equal(mg.vmap(lambda x: flatten({}, x))(X), X.reshape(2, -1))
    assert flatten({}, np.zeros((0, 2, 2, 3))).shape == (0, 12)
    assert flatten({}, np.zeros((5, 0, 2, 3))).shape == (5, 0)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: nn.MaxPool2D(0), OptionError, r"^\[MaxPool2D\] requires a positive integer or two for the window"),
        (lambda: nn.AvgPool2D(2, stride=-1), OptionError, r"^\[AvgPool2D\] requires .* for the stride but got -1"),
        (lambda: nn.MaxPool2D(2, padding="no"), OptionError, r"^\[MaxPool2D\] requires padding"),
        (lambda: nn.Flatten()({}, X[0, 0]), ShapeError, r"^\[Flatten\] requires images of shape .* got shape \(5, 3\)"),
    ],
)
def test_bad_layers_get_one_sentence(call, error, says):
    with pytest.raises(error, match=says):
        call()
