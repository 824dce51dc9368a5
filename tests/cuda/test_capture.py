"""A captured step gives what the step gives, call after call, and refuses what a graph cannot do."""

from __future__ import annotations

import json

import numpy as np
import optree
import pytest
from places import DEVICES, each_device

import metagrad as mg
from metagrad.errors import CaptureError, DeviceError

ALPHA = 0.1


def to(device, tree):
    return optree.tree_map(lambda x: mg.asarray(x, device=device), tree)


def step(params, batch):
    """Gradient descent on a line, through one inner step."""

    def loss(params, batch):
        x, y = batch
        return mg.mean((params["w"] * x + params["b"] - y) ** 2)

    def after(params, batch):
        gradients = mg.grad(loss)(params, batch)
        return loss(optree.tree_map(lambda p, g: p - ALPHA * g, params, gradients), batch)

    value, gradients = mg.value_and_grad(after)(params, batch)
    return optree.tree_map(lambda p, g: p - ALPHA * g, params, gradients), value


def batches(count, size=7):
    rng = np.random.default_rng(0)
    return [tuple(rng.standard_normal((2, size))) for _ in range(count)]


PARAMS = {"w": np.array(0.5), "b": np.array(-1.0)}


@each_device
@pytest.mark.parametrize("carry", [False, True])
def test_a_captured_step_gives_the_step_s_own_bits_at_every_call(device, carry):
    captured = mg.cuda.capture(step, carry=carry)
    state, expected = to(device, PARAMS), to(device, PARAMS)
    for k, batch in enumerate(to(device, batches(5))):
        state, value = captured(state, batch)
        expected, wanted = step(expected, batch)
        assert captured.captured == (k > 0)
        assert value.item() == wanted.item()
        assert optree.tree_map(float, state) == optree.tree_map(float, expected)


@each_device
def test_results_and_arguments_stay_as_they_are(device):
    captured = mg.cuda.capture(step)
    params, (first, second, third) = to(device, PARAMS), to(device, batches(3))
    captured(params, first)
    after, value = captured(params, second)
    kept = float(after["w"]), float(value)
    captured(params, third)
    assert (float(after["w"]), float(value)) == kept
    assert float(params["w"]) == 0.5
    np.testing.assert_array_equal(np.asarray(second[0]), batches(3)[1][0])


@each_device
def test_a_carried_state_is_gone_when_it_was_given(device):
    captured = mg.cuda.capture(step, carry=True)
    state = to(device, PARAMS)
    for batch in to(device, batches(2)):
        state, _ = captured(state, batch)
    after, _ = captured(state, to(device, batches(1))[0])
    with pytest.raises(CaptureError, match="state that was not yet given to the captured step"):
        state["w"].numpy()
    assert np.isfinite(after["w"].numpy())


@each_device
def test_a_state_from_elsewhere_may_be_given(device):
    captured = mg.cuda.capture(step, carry=True)
    state, batch = to(device, PARAMS), to(device, batches(1))[0]
    for _ in range(3):
        state, _ = captured(state, batch)
    fresh, value = captured(to(device, PARAMS), batch)
    expected, wanted = step(to(device, PARAMS), batch)
    assert value.item() == wanted.item()
    assert float(fresh["w"]) == float(expected["w"])


@each_device
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:3], y[:3]), r"requires float64\[7\] at argument \[1\]\[0\], .* but got float64\[3\]"),
        (lambda x, y: (x, y.astype("float32")), r"float64\[7\] at argument \[1\]\[1\], .* float32\[7\]"),
        (lambda x, y: (x, y, y), "arguments of the captured form"),
    ],
)
def test_other_arguments_than_the_captured_ones_are_refused(device, change, message):
    captured = mg.cuda.capture(step)
    batch = to(device, batches(1))[0]
    captured(to(device, PARAMS), batch)
    with pytest.raises(CaptureError, match=rf"^\[capture\].*{message}"):
        captured(to(device, PARAMS), change(*batch))


@each_device
@pytest.mark.parametrize(
    "read", [float, bool, lambda x: x.item(), lambda x: x.numpy(), np.asarray, lambda x: x.tolist()]
)
def test_a_read_by_the_host_is_refused_with_its_line(device, read):
    def reads(x):
        read(x)
        return x + 1

    captured = mg.cuda.capture(reads)
    x = mg.asarray(1.0, device=device)
    captured(x)
    with pytest.raises(
        CaptureError, match=r"^\[capture\] requires .* a read by \w+ at .*test_capture.py:\d+ in .*: .*read"
    ):
        captured(x)
    assert float(x) == 1, "and outside values can be read again"


@each_device
def test_arguments_that_are_given_again_are_not_copied_and_others_are(device):
    captured = mg.cuda.capture(lambda x, y: x * y)
    two, three, four = (mg.asarray(float(k), device=device) for k in (2, 3, 4))
    found = [float(captured(*pair)) for pair in ((two, three), (two, three), (two, four), (two, four), (three, two))]
    assert found == [6, 6, 8, 8, 6]


@each_device
def test_a_state_that_is_a_view_of_itself_is_right(device):
    captured = mg.cuda.capture(lambda s: ((s[0][::-1], s[1] + s[0]), mg.sum(s[1])), carry=True)
    state = to(device, (np.arange(3.0), np.zeros(3)))
    expected = (np.arange(3.0), np.zeros(3))
    for _ in range(4):
        state, _ = captured(state)
        expected = expected[0][::-1], expected[1] + expected[0]
        np.testing.assert_array_equal(state[0].numpy(), expected[0])
        np.testing.assert_array_equal(state[1].numpy(), expected[1])


@each_device
def test_what_does_not_carry_is_refused(device):
    x = mg.asarray(np.ones(3), device=device)
    for other in (lambda s: s + 1, lambda s: (s[:2], s), lambda s: ((s, s), s)):
        captured = mg.cuda.capture(other, carry=True)
        captured(x)
        with pytest.raises(CaptureError, match=r"^\[capture\] requires a .* first argument|returns \(state"):
            captured(x)


def test_arguments_of_the_host_alone_are_refused():
    captured = mg.cuda.capture(lambda x: x + 1)
    with pytest.raises(CaptureError, match="arrays of a device but got none"):
        captured(mg.ones(3)), captured(mg.ones(3))


@each_device
def test_a_state_that_is_handed_through_and_swapped_is_right(device):
    captured = mg.cuda.capture(lambda s: ((s[1], s[0], s[2]), s[0] + s[1]), carry=True)
    state = to(device, (np.array(1.0), np.array(2.0), np.array(3.0)))
    for k in range(4):
        state, total = captured(state)
        assert [float(x) for x in state] == ([2, 1, 3] if k % 2 == 0 else [1, 2, 3])
        assert float(total) == 3


@each_device
def test_the_trainer_s_metrics_and_state_are_the_same_captured_or_not(device, tmp_path):
    found = []
    for capture in (True, False):
        folder = tmp_path / str(capture)
        trainer = mg.meta.Trainer(
            step,
            lambda generator: to(device, tuple(generator.standard_normal((2, 7)))),
            folder,
            measure=lambda state, batch, loss: {"loss": float(loss), "before": float(state["w"])},
            validate=lambda state: -abs(float(state["w"])),
            validate_every=7,
            log_every=5,
            checkpoint_every=10,
            capture=capture,
        )
        state = trainer.run(to(device, PARAMS), 20, np.random.default_rng(0))
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        found.append((optree.tree_map(float, state), rows, optree.tree_map(float, trainer.best)))
    assert found[0] == found[1]


def test_the_devices_are_those_that_are_here():
    assert DEVICES
    with pytest.raises(DeviceError, match="cuda"):
        mg.asarray(1.0, device="tpu")


@each_device
def test_a_convolutional_meta_step_is_captured_and_right(device):
    net = mg.nn.omniglot_conv(3, filters=4, pool=True)
    params = net.init(mg.random.key(0), (3, 16, 16, 1))
    rng = np.random.default_rng(0)

    def tasks():
        images = rng.standard_normal((2, 2, 3, 16, 16, 1)).astype(np.float32)
        return tuple((x, np.tile(np.arange(3), (2, 1))) for x in images)

    def loss(params, batch):
        return mg.mean(mg.nn.softmax_cross_entropy(net(params, batch[0]), batch[1]))

    meta_step = mg.value_and_grad(
        lambda params, tasks: mg.meta.meta_loss(
            loss, params, tasks, steps=1, lr=ALPHA, adapted=mg.meta.all_but(params, "offset")
        )
    )
    captured = mg.cuda.capture(meta_step)
    for _ in range(3):
        batch = tasks()
        value, gradients = captured(to(device, params), to(device, batch))
        expected, wanted = meta_step(params, batch)
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        # Some leaves' gradients are 0 but for rounding: those of biases before a norm.
        found, right = (np.concatenate([np.ravel(x) for x in optree.tree_leaves(g)]) for g in (gradients, wanted))
        assert np.linalg.norm(found - right) < 1e-4 * np.linalg.norm(right)
    assert captured.captured
