"""Losses: softmax cross-entropy is its composite at every order, and mean squared error the mean of squares."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from tolerances import close

import metagrad as mg
from metagrad.errors import DTypeError, IndexingError, OptionError, ShapeError
from metagrad.testing import check_gradients

RNG = np.random.default_rng(7)
LOGITS = RNG.standard_normal((4, 5))
CLASSES = np.array([0, 3, 4, 3])
WEIGHTS = RNG.uniform(0, 2, (4, 5))  # need not sum to one
DIRECTIONS = RNG.standard_normal((3, 4, 5))
fused = mg.nn.softmax_cross_entropy


def composite(logits, labels):
    if labels.dtype.kind != "f":
        labels = mg.astype(mg.expand_dims(labels, -1) == mg.arange(5), np.float64)
    return mg.sum(labels, axis=-1) * mg.logsumexp(logits, axis=-1) - mg.sum(labels * logits, axis=-1)


def forward_derivatives(f, x, directions):
    """The derivatives of orders 0, 1, 2, ... of f at x along the directions, by forward over forward."""
    values = [f(x).numpy()]
    for v in directions:
        f = functools.partial(lambda g, v, x: mg.jvp(g, (x,), (v,))[1], f, v)
        values.append(f(x).numpy())
    return values


def reverse_derivatives(f, x, directions):
    """The same of the sum of f with weights, by reverse over reverse."""

    def scalar(x):
        return mg.sum(f(x) * mg.asarray([1.0, -2.0, 0.5, 3.0]))

    values = [scalar(x).numpy()]
    for v in directions:
        values.append(mg.grad(scalar)(x).numpy())
        scalar = functools.partial(lambda g, v, x: mg.sum(mg.grad(g)(x) * v), scalar, v)
    return [*values, scalar(x).numpy()]


@pytest.mark.parametrize("derivatives", [forward_derivatives, reverse_derivatives])
@pytest.mark.parametrize("labels", [CLASSES, WEIGHTS], ids=["integer", "soft"])
def test_fused_equals_composite_at_orders_0_to_3(labels, derivatives):
    ours = derivatives(lambda x: fused(x, labels), LOGITS, DIRECTIONS)
    theirs = derivatives(lambda x: composite(x, labels), LOGITS, DIRECTIONS)
    assert len(ours) >= 4
    for order, (got, expected) in enumerate(zip(ours, theirs, strict=True)):
        close(got, expected, order=min(order, 3))


def test_fused_equals_composite_in_the_labels_too_and_mixed():
    def both(f):
        return forward_derivatives(lambda t: f(LOGITS + t * DIRECTIONS[0], WEIGHTS + t * DIRECTIONS[1]), 0.2, [1.0] * 3)

    for order, (got, expected) in enumerate(zip(both(fused), both(composite), strict=True)):
        close(got, expected, order=order)
    check_gradients(fused, (LOGITS, WEIGHTS), order=3)


@pytest.mark.parametrize("derivatives", [forward_derivatives, reverse_derivatives])
@pytest.mark.parametrize("labels", [CLASSES, WEIGHTS], ids=["integer", "soft"])
def test_smoothing_equals_the_composite_on_smoothed_labels_at_orders_0_to_3(labels, derivatives):
    smoothed = 0.9 * (np.eye(5)[labels] if labels.dtype.kind == "i" else labels) + 0.1 / 5
    ours = derivatives(lambda x: fused(x, labels, label_smoothing=0.1), LOGITS, DIRECTIONS)
    theirs = derivatives(lambda x: composite(x, mg.asarray(smoothed)), LOGITS, DIRECTIONS)
    for order, (got, expected) in enumerate(zip(ours, theirs, strict=True)):
        close(got, expected, order=min(order, 3))


@pytest.mark.parametrize("labels", [CLASSES, WEIGHTS / WEIGHTS.sum(1, keepdims=True)], ids=["integer", "soft"])
def test_smoothing_is_that_of_pytorch(labels):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'oracle' has it")
    for smoothing in (0.0, 0.1, 1.0):
        expected = torch.nn.functional.cross_entropy(
            torch.tensor(LOGITS), torch.tensor(labels), reduction="none", label_smoothing=smoothing
        )
        close(fused(LOGITS, labels, label_smoothing=smoothing), expected.numpy())


def test_smoothing_keeps_the_type_maps_and_still_looks_at_the_labels():
    single = fused(LOGITS.astype(np.float32), CLASSES, label_smoothing=0.1)
    assert single.dtype == np.float32
    mapped = mg.vmap(lambda x, y: fused(x, y, label_smoothing=0.1))(LOGITS, CLASSES)
    close(mapped, fused(LOGITS, CLASSES, label_smoothing=0.1).numpy())
    with pytest.raises(IndexingError):
        fused(LOGITS, CLASSES + 1, label_smoothing=0.1)
    for wrong in (-0.1, 1.1, math.nan, "0.1"):
        with pytest.raises(
            OptionError, match=r"\[softmax_cross_entropy\] requires label_smoothing from 0 to 1 but got"
        ):
            fused(LOGITS, CLASSES, label_smoothing=wrong)


def test_the_gradient_is_differentiable_in_its_cotangent():
    check_gradients(lambda x, s: fused(x, CLASSES) ** 2 * s, (LOGITS, np.array([1.0, 0.5, -1.0, 2.0])), order=3)


def test_the_hessian_is_that_of_the_log_partition_function():
    hessian = mg.hessian(lambda x: fused(x, np.array(1)))(LOGITS[0]).numpy()
    p = np.exp(LOGITS[0]) / np.exp(LOGITS[0]).sum()
    close(hessian, np.diag(p) - np.outer(p, p), order=2)


@pytest.mark.parametrize("labels", [CLASSES, WEIGHTS], ids=["integer", "soft"])
def test_vmap_maps_logits_labels_or_both(labels):
    expected = np.array([fused(x, y).item() for x, y in zip(LOGITS, labels, strict=True)])
    close(fused(LOGITS, labels), expected)
    close(mg.vmap(fused)(LOGITS, labels), expected)
    close(mg.vmap(fused, in_axes=(0, None))(LOGITS, labels[0]), [fused(x, labels[0]).item() for x in LOGITS])
    close(mg.vmap(fused, in_axes=(None, 0))(LOGITS[0], labels), [fused(LOGITS[0], y).item() for y in labels])
    gradients = mg.vmap(mg.grad(fused))(LOGITS, labels)
    close(gradients, np.stack([mg.grad(fused)(x, y).numpy() for x, y in zip(LOGITS, labels, strict=True)]), order=1)
    hessians = mg.vmap(mg.hessian(fused), in_axes=(None, 0))(LOGITS[0], labels)
    close(hessians, np.stack([mg.hessian(fused)(LOGITS[0], y).numpy() for y in labels]), order=2)


def test_the_graph_and_checkpoint_agree_with_the_function():
    gradient = mg.grad(lambda x: mg.mean(fused(x, CLASSES)))
    np.testing.assert_array_equal(mg.make_graph(gradient)(LOGITS)(2 * LOGITS).numpy(), gradient(2 * LOGITS).numpy())
    again = mg.grad(mg.checkpoint(lambda x: mg.mean(fused(x, CLASSES))))(LOGITS)
    np.testing.assert_array_equal(again.numpy(), gradient(LOGITS).numpy())


def test_types_are_kept_and_leading_axes_are_free():
    logits = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    labels = np.zeros((2, 3), np.uint8)
    loss, gradient = mg.value_and_grad(lambda x: mg.sum(fused(x, labels)))(logits)
    assert (loss.dtype, gradient.dtype, gradient.shape) == (np.float32, np.float32, (2, 3, 5))
    assert fused(logits[0, 0], 2).shape == ()
    assert fused(mg.zeros((0, 5)), np.zeros(0, int)).shape == (0,)


def test_large_logits_neither_overflow_nor_lose_the_gradient():
    x = np.array([1e4, -1e4, 0.0])
    loss, gradient = mg.value_and_grad(lambda x: fused(x, 1))(x)
    assert loss.item() == 2e4
    assert gradient.tolist() == [1, -1, 0]
    assert np.isfinite(mg.hessian(lambda x: fused(x, 1))(x).numpy()).all()


@pytest.mark.parametrize(
    ("logits", "labels", "error", "says"),
    [
        (LOGITS, CLASSES[:2], ShapeError, r"integer labels of shape \(4,\), .* got shape \(2,\)"),
        (LOGITS, WEIGHTS[:2], ShapeError, r"soft labels of the logits' shape \(4, 5\) but got shape \(2, 5\)"),
        (LOGITS, CLASSES + 2, IndexingError, r"integer labels from 0 to 4 but got 5"),
        (LOGITS, CLASSES - 1, IndexingError, r"from 0 to 4 but got -1"),
        (LOGITS, CLASSES > 1, DTypeError, r"integer or floating-point labels but got bool"),
        (LOGITS.astype(int), CLASSES, DTypeError, r"floating-point logits but got int64"),
        (1.0, CLASSES, ShapeError, r"\(\.\.\., classes\)"),
    ],
)
def test_labels_that_do_not_fit_get_one_clear_sentence(logits, labels, error, says):
    with pytest.raises(error, match=r"\[softmax_cross_entropy\] requires.*" + says):
        fused(logits, labels)
    if error is not IndexingError and not isinstance(logits, float):
        with pytest.raises(error, match=says):
            mg.make_graph(fused)(logits, labels)


def test_softmax_cross_entropy_is_torchs():
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    x = torch.tensor(LOGITS, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(x, torch.tensor(CLASSES))
    got, gradient = mg.value_and_grad(lambda x: mg.mean(fused(x, CLASSES)))(LOGITS)
    close(got, loss.item())
    close(gradient, torch.autograd.grad(loss, x)[0].numpy(), order=1)


def test_mean_squared_error_is_the_mean_over_all_elements_right_to_third_order():
    target = np.ones((4, 5))
    close(mg.nn.mean_squared_error(LOGITS, target), ((LOGITS - 1) ** 2).mean())
    close(mg.grad(mg.nn.mean_squared_error)(LOGITS, target), 2 * (LOGITS - 1) / 20, order=1)
    close(mg.hessian(mg.nn.mean_squared_error)(LOGITS[0], target[0]), 2 / 5 * np.eye(5), order=2)
    check_gradients(lambda x, y: mg.nn.mean_squared_error(x**2, mg.sin(y)), (LOGITS, WEIGHTS), order=3)
    mapped = mg.vmap(mg.nn.mean_squared_error)(LOGITS, target)
    close(mapped, ((LOGITS - 1) ** 2).mean(1))
    gradients = mg.vmap(mg.grad(mg.nn.mean_squared_error), in_axes=(0, None))(LOGITS, target[0])
    close(gradients, 2 * (LOGITS - 1) / 5, order=1)
    assert mg.nn.mean_squared_error(3.0, 1.0).item() == 4


def test_mean_squared_error_refuses_to_broadcast():
    with pytest.raises(ShapeError, match=r"shapes that agree but got \(10, 1\) and \(10,\)"):
        mg.nn.mean_squared_error(mg.zeros((10, 1)), mg.zeros(10))
    with pytest.raises(ShapeError, match="at least one element"):
        mg.nn.mean_squared_error(mg.zeros(0), mg.zeros(0))


def test_the_loss_of_a_uniform_guess_is_the_log_of_the_number_of_classes():
    close(fused(mg.zeros((3, 10)), np.arange(3)), np.full(3, math.log(10)))
