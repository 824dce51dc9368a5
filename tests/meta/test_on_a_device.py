"""Meta-learning on a device: the numbers of the CPU, and in a step no copy between host and device."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from places import CUPY, DEVICE, needs_cuda

import metagrad as mg
from metagrad import data, meta, nn, optim
from metagrad.core.pytree import flatten, leaf_names, tree_map
from metagrad_kernels import emulation

pytestmark = needs_cuda
NET = nn.Sequential(nn.Dense(8), nn.relu, nn.Dense(1))
OPTIMIZERS = {
    "sgd": optim.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "rmsprop": optim.RMSProp(0.01, momentum=0.5),
    "adam": optim.Adam(0.01),
    "adamw": optim.AdamW(optim.cosine_decay(0.01, 20)),
    "clipped": optim.chain(optim.clip_by_global_norm(0.5), optim.clip_by_value(0.1), optim.Adam(0.01)),
    "averaged": optim.Averaged(optim.Adam(0.01), decay=0.5),
}


def no_copies():
    return nullcontext() if CUPY is not None else emulation.arrays.no_host_copies()


def there(tree):
    return mg.to_device(tree, DEVICE)


def loss(params, batch):
    x, y = batch
    return nn.mean_squared_error(NET.apply(params, x), y)


def assert_same(got, expected, rtol):
    for name, a, b in zip(leaf_names(got), flatten(got)[0], flatten(expected)[0], strict=True):
        assert (a.device.partition(":")[0], a.dtype, a.shape) == (DEVICE, b.dtype, b.shape), name
        scale = np.abs(b.numpy()).max()
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=rtol * scale, err_msg=name)


def start(device):
    params = NET.init(mg.random.key(3, device=device), (1,))
    return tree_map(lambda x: mg.astype(x, mg.float64), params)


def test_parameters_are_drawn_where_the_key_is_and_have_the_same_bits():
    for a, b in zip(flatten(start(DEVICE))[0], flatten(start("cpu"))[0], strict=True):
        assert a.device.partition(":")[0] == DEVICE
        assert a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: mg.random.bits(key, (5,), mg.uint64),
        lambda key: mg.random.uniform(key, (40,), mg.float32),
        lambda key: mg.random.uniform(key, (3, 4), mg.float64, -1.0, 2.0),
        lambda key: mg.random.normal(key, (700,)),
        lambda key: mg.random.normal(key, (30,), mg.float32),
        lambda key: mg.random.truncated_normal(key, -2.0, 2.0, (50,)),
        lambda key: mg.random.truncated_normal(key, 3.0, 9.0, (50,)),
        lambda key: mg.random.bernoulli(key, 0.3, (20,)),
        lambda key: mg.random.randint(key, (20,), -5, 9),
        lambda key: mg.random.permutation(key, 20),
        lambda key: mg.random.split(key, 5),
        lambda key: mg.random.fold_in(key, 2**40),
        lambda key: mg.vmap(lambda k: mg.random.normal(k, (3,)))(mg.random.split(key, 4)),
        lambda key: nn.dropout(mg.ones((5, 6), device=key.device.partition(":")[0]), 0.4, key),
        lambda key: nn.initializers.orthogonal()(key, (4, 6)).shape,
    ],
)
def test_a_key_draws_the_same_bits_on_every_device(draw):
    here, key = draw(mg.random.key(11)), there(mg.random.key(11))
    with no_copies():
        found = draw(key)
    if isinstance(found, mg.Tensor):
        assert found.numpy().tobytes() == here.numpy().tobytes()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_meta_step_is_the_cpus_and_copies_nothing(name):
    maml = meta.MAML(loss, OPTIMIZERS[name], steps=2, lr=0.05)
    generator = np.random.default_rng(0)
    batches = [data.sinusoid.episodes(generator, 3, 4)[1] for _ in range(3)]
    here = maml.init(start("cpu"))
    on_device = maml.init(start(DEVICE))
    for batch in batches:
        moved = there(batch)
        here, expected = maml.step(here, batch)
        with no_copies():
            on_device, value = maml.step(on_device, moved)
        np.testing.assert_allclose(float(value), float(expected), rtol=1e-9)
        assert_same(on_device, here, 1e-9)


def test_adapting_one_task_and_learning_to_compare_run_there():
    support = data.sinusoid.episodes(np.random.default_rng(1), 1, 4)[1][0]
    task = tree_map(lambda x: x[0].astype(np.float64), support)
    rates = mg.asarray(0.1)
    got = meta.adapt(loss, start(DEVICE), there(task), steps=2, lr=there(rates), first_order=True)
    assert_same(got, meta.adapt(loss, start("cpu"), task, steps=2, lr=rates, first_order=True), 1e-10)
    rng = np.random.default_rng(0)
    x, y, labels = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), np.arange(6) % 3
    expected = meta.prototypical(x, labels, y, ways=3)
    moved = there([x, labels, y])
    with no_copies():
        got = meta.prototypical(*moved, ways=3)
    assert_same(got, expected, 1e-10)


def test_episodes_of_pictures_on_the_device_are_those_of_the_host_and_copy_indices_only(monkeypatch):
    strokes = data.strokes(classes=7, drawings=5)
    settings = {"ways": 3, "shots": 1, "queries": 2}
    here = data.Episodes(strokes, **settings)(np.random.default_rng(5), 4)
    sampler = data.Episodes(strokes, device=DEVICE, **settings)
    copied = []
    if CUPY is None:
        real = emulation.arrays._host_copy
        monkeypatch.setattr(emulation.arrays, "_host_copy", lambda name, host: (copied.append(host), real(name, host)))
    found = sampler(np.random.default_rng(5), 4)
    assert sum(host.nbytes for host in copied) <= 4 * 3 * 3 * 8
    for got, expected in zip(flatten(found)[0], flatten(here)[0], strict=True):
        assert got.device.partition(":")[0] == DEVICE
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(got.numpy(), expected)


def test_sinusoids_on_the_device_are_those_of_the_host():
    for a, b in zip(
        flatten(data.sinusoid.episodes(np.random.default_rng(0), 3, 2, device=DEVICE)[1])[0],
        flatten(data.sinusoid.episodes(np.random.default_rng(0), 3, 2)[1])[0],
        strict=True,
    ):
        assert a.device.partition(":")[0] == DEVICE
        np.testing.assert_array_equal(a.numpy(), b)


@pytest.mark.parametrize(("first", "second"), [("cpu", DEVICE), (DEVICE, "cpu")])
def test_a_run_that_was_stopped_on_one_device_goes_on_on_another(tmp_path, first, second):
    maml = meta.MAML(loss, optim.Adam(0.01), steps=1, lr=0.05)

    def train(folder, device, iterations, resume=False):
        def sample(generator):
            return data.sinusoid.episodes(generator, 2, 3, device=device)[1]

        trainer = meta.Trainer(maml.step, sample, folder)
        return trainer.run(maml.init(start(device)), iterations, np.random.default_rng(0), resume)

    whole = train(tmp_path / "whole", second, 4)
    train(tmp_path / "parts", first, 2)
    parts = train(tmp_path / "parts", second, 4, resume=True)
    for a, b in zip(flatten(parts)[0], flatten(whole)[0], strict=True):
        assert a.device == b.device
        assert a.device.partition(":")[0] == second
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


def test_a_file_is_loaded_to_any_device(tmp_path):
    tree = {"w": there(np.arange(3.0)), "b": mg.ones(2), "n": 3}
    mg.save(tmp_path / "tree", tree)
    for device in ("cpu", DEVICE):
        found = mg.load(tmp_path / "tree", device=device)
        assert found["w"].device.partition(":")[0] == found["b"].device.partition(":")[0] == device
        assert (found["w"].tolist(), found["n"]) == ([0, 1, 2], 3)
