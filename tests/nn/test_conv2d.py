"""conv2d and its transpose for users: what they promise beyond the battery's rows."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad import nn
from metagrad.errors import DTypeError, OptionError, ShapeError
from metagrad.testing import check_gradients

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.standard_normal(shape)


@pytest.mark.parametrize("in_axes", [(0, None), (None, 0), (0, 0), (1, 2)])
def test_vmap_is_the_loop_and_has_derivatives_of_three_orders(in_axes):
    x = real(3, 2, 4, 5, 2) if in_axes[0] == 0 else real(2, 3, 4, 5, 2) if in_axes[0] == 1 else real(2, 4, 5, 2)
    w = real(3, 2, 3, 2, 4) if in_axes[1] == 0 else real(2, 3, 3, 2, 4) if in_axes[1] == 2 else real(2, 3, 2, 4)

    def f(x, w):
        return nn.conv2d(x, w, stride=2, groups=1)

    def one(v, axis, k):
        return v if axis is None else np.take(v, k, axis)

    mapped = mg.vmap(f, in_axes=in_axes)
    loop = np.stack([np.asarray(f(one(x, in_axes[0], k), one(w, in_axes[1], k))) for k in range(3)])
    close(np.asarray(mapped(x, w)), loop, np.float64)
    check_gradients(mapped, (x, w), order=3)


def test_no_derivative_makes_a_product_for_each_task_where_the_weights_are_shared():
    """The gradient of shared weights is one kernel call on all images, not one a task and a sum."""
    graph = mg.make_graph(
        mg.grad(lambda w, x: mg.sum(mg.vmap(lambda one: nn.conv2d(one, w), in_axes=0)(x) ** 2)),
    )(real(3, 3, 2, 4), real(5, 2, 6, 6, 2))
    (gradient,) = [e for e in graph.equations if e.primitive.name == "convolution_weight_gradient"]
    assert gradient.outputs[0].shape == (3, 3, 2, 4)


@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 0), (0, 2))])
def test_the_transpose_is_the_adjoint(stride, padding):
    w = real(3, 2, 2, 6)
    x = real(2, 7, 8, 4)
    y = nn.conv2d(x, w, stride=stride, padding=padding, groups=2)
    u = real(*y.shape)
    back = nn.conv2d_transpose(u, w, stride=stride, padding=padding, groups=2, output_size=(7, 8))
    np.testing.assert_allclose(float(mg.sum(back * x)), float(mg.sum(u * y)), rtol=1e-12)


def test_leading_axes_broadcast():
    x, w = real(4, 1, 3, 3, 2), real(5, 2, 2, 2, 3)
    got = np.asarray(nn.conv2d(x, w, padding="VALID"))
    assert got.shape == (4, 5, 2, 2, 3)
    close(got[1, 2], np.asarray(nn.conv2d(x[1, 0], w[2], padding="VALID")), np.float64)


def test_float32_stays_float32_in_all_orders():
    x, w = real(2, 4, 4, 2).astype(np.float32), real(3, 3, 2, 2).astype(np.float32)
    f = mg.grad(lambda w: mg.sum(mg.grad(lambda v: mg.sum(nn.conv2d(x, v) ** 3))(w) ** 2))
    assert f(w).dtype == np.float32


X, W = np.ones((2, 5, 5, 4)), np.ones((3, 3, 4, 6))


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: nn.conv2d(X[0, 0], W),
            ShapeError,
            "[conv2d] requires images of shape (..., h, w, c) but got shape (5, 4)",
        ),
        (
            lambda: nn.conv2d(X, W[0]),
            ShapeError,
            "[conv2d] requires weights of shape (..., kh, kw, c, o) but got shape (3, 4, 6)",
        ),
        (
            lambda: nn.conv2d(X[..., :3], W),
            ShapeError,
            "[conv2d] requires images of 4 channels for weights (3, 3, 4, 6) in 1 group(s) but got images of shape "
            "(2, 5, 5, 3)",
        ),
        (
            lambda: nn.conv2d(X, np.ones((3, 3, 3, 4, 6))),
            ShapeError,
            "[conv2d] requires leading axes that broadcast but got images (2, 5, 5, 4) and weights (3, 3, 3, 4, 6)",
        ),
        (
            lambda: nn.conv2d(X[:, :0], W),
            ShapeError,
            "[conv2d] requires images of at least one pixel but got shape (2, 0, 5, 4)",
        ),
        (
            lambda: nn.omniglot_conv(0),
            OptionError,
            "[omniglot_conv] requires a positive integer for the ways but got 0",
        ),
        (
            lambda: nn.conv2d(X[:, :2], W, padding="VALID"),
            ShapeError,
            "[conv2d] requires images at least as large as the window (3, 3), VALID padding and dilation 1 but got "
            "images of shape (2, 2, 5, 4)",
        ),
        (
            lambda: nn.conv2d(X, W, stride=0),
            OptionError,
            "[conv2d] requires a positive integer or two for the stride but got 0",
        ),
        (
            lambda: nn.conv2d(X, W, padding="FULL"),
            OptionError,
            '[conv2d] requires padding "SAME", "VALID" or ((top, bottom), (left, right)) of integers from 0 but got '
            "'FULL'",
        ),
        (
            lambda: nn.conv2d(X, W, groups=4),
            OptionError,
            "[conv2d] requires groups that divide the weights' 6 output channels but got 4",
        ),
        (
            lambda: nn.conv2d(X.astype(int), W),
            DTypeError,
            "[conv2d] requires images and weights of float32 or float64 but got int64 and float64",
        ),
        (
            lambda: nn.conv2d(X.astype(np.float16), W),
            DTypeError,
            "[conv2d] requires images and weights of float32 or float64 but got float16 and float64",
        ),
        (
            lambda: nn.conv2d(X, W[:0]),
            ShapeError,
            "[conv2d] requires a window of at least one tap but got weights of shape (0, 3, 4, 6)",
        ),
        (lambda: nn.conv2d(X, W, np.ones(4)), ShapeError, "[conv2d] requires a bias of shape (6,) but got shape (4,)"),
        (
            lambda: nn.Conv2D(8, 3, groups=0),
            OptionError,
            "[Conv2D] requires a positive integer for the groups but got 0",
        ),
        (
            lambda: nn.Conv2D(8, 3, groups=3),
            OptionError,
            "[Conv2D] requires groups that divide the 8 features but got 3",
        ),
        (
            lambda: nn.Conv2D(8, 3, stride=0),
            OptionError,
            "[Conv2D] requires a positive integer or two for the stride but got 0",
        ),
        (
            lambda: nn.Conv2D(8, 3, padding="same"),
            OptionError,
            '[Conv2D] requires padding "SAME", "VALID" or ((top, bottom), (left, right)) of integers from 0 but got '
            "'same'",
        ),
        (
            lambda: nn.conv2d_transpose(X, W),
            ShapeError,
            "[conv2d_transpose] requires images of 6 channels for weights (3, 3, 4, 6) but got shape (2, 5, 5, 4)",
        ),
        (
            lambda: nn.conv2d_transpose(np.ones((5, 5, 6)), W, stride=2, output_size=(8, 8)),
            ShapeError,
            "[conv2d_transpose] requires the (4, 4) that conv2d makes of images (8, 8) but got images of shape "
            "(5, 5, 6)",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(call, error, sentence):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == sentence


def test_settings_may_be_integers_of_any_type():
    y = nn.conv2d(X, W, stride=np.int64(2), groups=np.int32(1))
    np.testing.assert_array_equal(y, nn.conv2d(X, W, stride=2))
    assert nn.Conv2D(np.int64(6), np.int64(3)).init(mg.random.key(0), X.shape)["kernel"].shape == W.shape


def test_no_image_has_a_negative_size():
    with pytest.raises(ShapeError, match=r"\[conv2d_transpose\] requires images that make some of a positive size"):
        nn.conv2d_transpose(np.ones((2, 5, 5, 4)), np.ones((3, 3, 3, 4)), padding=((9, 9), (9, 9)))
    with pytest.raises(ShapeError, match=r"\[max_pool2d\] requires images that hold a window"):
        nn.max_pool2d(np.zeros((1, 0, 4, 1)), 2, stride=1, padding=((1, 1), (0, 0)))


def test_an_even_window_with_same_has_its_extra_place_after():
    x = np.zeros((3, 3, 1))
    x[0, 0, 0] = 1
    taps = np.arange(1.0, 5.0).reshape(2, 2, 1, 1)
    y = np.asarray(nn.conv2d(x, taps))[..., 0]
    np.testing.assert_array_equal(y, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_torch_agrees_to_second_order():
    torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    x, w = real(2, 6, 7, 4), real(3, 2, 2, 6)

    def ours(x, w):
        return mg.sum(mg.sin(nn.conv2d(x, w, stride=2, padding=((1, 0), (0, 1)), dilation=(1, 2), groups=2)))

    def theirs(x, w):
        images = torch.nn.functional.pad(x.permute(0, 3, 1, 2), (0, 1, 1, 0))
        weights = w.permute(3, 2, 0, 1)
        return torch.sin(torch.nn.functional.conv2d(images, weights, stride=2, dilation=(1, 2), groups=2)).sum()

    v = (real(*x.shape), real(*w.shape))
    tensors = tuple(torch.tensor(a, requires_grad=True) for a in (x, w))
    value, product = torch.autograd.functional.hvp(theirs, tensors, tuple(map(torch.tensor, v)))
    close(np.asarray(ours(x, w)), value.numpy(), np.float64)
    for a, b in zip(mg.hvp(ours, (x, w), v), product, strict=True):
        close(np.asarray(a), b.numpy(), np.float64, 2)


def test_jax_agrees_to_third_order():
    jax = pytest.importorskip("jax", reason="compares with JAX, which is not installed")
    x, w, u = real(2, 5, 6, 2), real(3, 3, 2, 3), real(3, 3, 2, 3)
    with jax.enable_x64(True):
        numbers = ("NHWC", "HWIO", "NHWC")

        def theirs(w):
            y = jax.lax.conv_general_dilated(x, w, (2, 1), "SAME", rhs_dilation=(1, 2), dimension_numbers=numbers)
            return jax.numpy.sum(jax.numpy.sin(y))

        def along(f):
            return lambda w: jax.numpy.vdot(jax.grad(f)(w), u)

        expected = np.asarray(jax.grad(along(along(theirs)))(w))

    def ours(w):
        return mg.sum(mg.sin(nn.conv2d(x, w, stride=(2, 1), dilation=(1, 2))))

    def ours_along(f):
        return lambda w: mg.sum(mg.grad(f)(w) * u)

    close(np.asarray(mg.grad(ours_along(ours_along(ours)))(w)), expected, np.float64, 3)
