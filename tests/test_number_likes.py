"""Settings may be numbers of NumPy's types wherever Python's may: with the same result, of the same dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import optree
import pytest

import metagrad as mg
from metagrad import data, meta, nn, optim

X = np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype(np.float32)
W = np.ones((3, 3, 4, 4), np.float32)
V = X[0, 0]
KEY = mg.random.key(0)


def applied(layer: Any, x: Any) -> Any:
    return layer.apply(layer.init(mg.random.key(1), x.shape), x)


def drawn(initializer: Any) -> Any:
    return initializer(KEY, (4, 4), np.float32)


def stepped(rule: Any) -> Any:
    params = mg.asarray(V)
    return rule.update(params, rule.init(params), params)


def adapted(**options: Any) -> Any:
    return meta.adapt(lambda w, batch: mg.sum((w - batch) ** 2), mg.asarray(V), V[::-1], **options)


def trained(folder: Any, **options: Any) -> Any:
    trainer = meta.Trainer(lambda state, batch: (state + batch, 1.0), lambda g: g.random(), folder, **options)
    return trainer.run(np.zeros(()), 3, np.random.default_rng(0))


# With an integer n = 2, or a fraction f = 0.5; each gives arrays.
INTEGERS = {
    "conv2d": lambda n: nn.conv2d(X, W, stride=n, dilation=n, groups=n // 2, padding=((n, n), [n, n])),
    "conv2d, lists": lambda n: nn.conv2d(X, W, stride=[n, n], padding=[[n, n], [n, n]]),
    "conv2d_transpose": lambda n: nn.conv2d_transpose(X, W, stride=n),
    "max_pool2d": lambda n: nn.max_pool2d(X, n, stride=n),
    "avg_pool2d": lambda n: nn.avg_pool2d(X, [n, n], stride=n),
    "group_norm": lambda n: nn.group_norm(X, n),
    "softmax": lambda n: nn.softmax(X, axis=n),
    "log_softmax": lambda n: nn.log_softmax(X, axis=n),
    "batch_norm": lambda n: nn.batch_norm(X, axis=[n - 2, n]),
    "Conv2D": lambda n: applied(nn.Conv2D(n, n, stride=n, groups=n), X),
    "Dense": lambda n: applied(nn.Dense(n), V),
    "MaxPool2D": lambda n: applied(nn.MaxPool2D(n), X),
    "GroupNorm": lambda n: applied(nn.GroupNorm(n), X),
    "omniglot_conv": lambda n: applied(nn.omniglot_conv(n, filters=n), X),
    "omniglot_mlp": lambda n: applied(nn.omniglot_mlp(n), X),
    "mini_imagenet_conv": lambda n: applied(nn.mini_imagenet_conv(n, filters=n), np.ones((2, 16, 16, 3), np.float32)),
    "random.key": lambda n: mg.random.uniform(mg.random.key(n), (n, n)),
    "random.split": lambda n: mg.random.uniform(mg.random.split(KEY, n)[1], (n,)),
    "permutation": lambda n: mg.random.permutation(KEY, n),
    "randint": lambda n: mg.random.randint(KEY, (n,), n, 8 * n),
    "tensordot": lambda n: mg.tensordot(V, V.T, axes=n // 2),
    "vmap": lambda n: mg.vmap(mg.sum, in_axes=n - 1)(V),
    "grad": lambda n: mg.grad(lambda x, y, z: mg.sum(z * z), argnums=n)(1.0, 2.0, V),
    "vector_norm": lambda n: mg.linalg.vector_norm(V, ord=n + 1, axis=n - 1),
    "cosine_decay": lambda n: optim.cosine_decay(1.0, n)(n - 1),
    "exponential_decay": lambda n: optim.exponential_decay(1.0, 0.5, n)(n),
    "linear_warmup": lambda n: optim.linear_warmup(1.0, n)(n - 1),
    "piecewise_constant": lambda n: optim.piecewise_constant([n, 2 * n], [1.0, 2.0, 3.0])(n),
    "adapt": lambda n: adapted(steps=n, lr=0.1),
    "MAML": lambda n: meta.MAML(lambda w, b: mg.mean((w - b) ** 2), optim.SGD(0.1), steps=n, lr=0.1).meta_loss(
        V, (X, X)
    ),
    "prototypical": lambda n: meta.prototypical(V[:2], np.array([0, 1]), V, ways=n),
    "strokes": lambda n: data.strokes(classes=n, drawings=n, size=5 * n, seed=n).pictures,
    "split": lambda n: [part.counts for part in data.split(data.strokes(9, n), seed=n)],
    "Episodes": lambda n: data.Episodes(data.strokes(9, 4), ways=n, shots=n, queries=n)(np.random.default_rng(n), n),
    "sinusoids": lambda n: data.episodes(np.random.default_rng(0), n, n)[1],
}
FRACTIONS = {
    "leaky_relu": lambda f: nn.leaky_relu(X, f),
    "elu": lambda f: nn.elu(X, f),
    "dropout": lambda f: nn.dropout(X, f, KEY),
    "batch_norm": lambda f: nn.batch_norm(X, axis=(0, 1, 2), eps=f),
    "layer_norm": lambda f: nn.layer_norm(X, eps=f),
    "group_norm": lambda f: nn.group_norm(X, 2, eps=f),
    "softmax_cross_entropy": lambda f: nn.softmax_cross_entropy(V, np.arange(6) % 4, label_smoothing=f),
    "BatchNorm": lambda f: applied(nn.BatchNorm(eps=f), X),
    "running BatchNorm": lambda f: nn.BatchNorm("running", eps=f, momentum=f, scale=False, offset=False).apply(
        {}, X, state={"mean": mg.asarray(X[0, 0, 0]), "variance": mg.asarray(X[0, 0, 1])}
    ),
    "BatchNorm alone": lambda f: nn.BatchNorm("support", eps=f, scale=False, offset=False).apply(
        {}, X, state={"mean": mg.asarray(X[0, 0, 0]), "variance": mg.asarray(X[0, 0, 1] ** 2)}, train=False
    ),
    "LayerNorm": lambda f: applied(nn.LayerNorm(eps=f), X),
    "GroupNorm": lambda f: applied(nn.GroupNorm(2, eps=f), X),
    "Dropout": lambda f: nn.Dropout(f)({}, X, key=KEY),
    "normal": lambda f: drawn(nn.initializers.normal(f)),
    "uniform": lambda f: drawn(nn.initializers.uniform(f)),
    "truncated_normal": lambda f: drawn(nn.initializers.truncated_normal(f, -f, f)),
    "orthogonal": lambda f: drawn(nn.initializers.orthogonal(f)),
    "constant": lambda f: drawn(nn.initializers.constant(f)),
    "vector_norm": lambda f: mg.linalg.vector_norm(V, ord=f),
    "random.uniform": lambda f: mg.random.uniform(KEY, (3,), np.float32, f, 2 * f),
    "random.truncated_normal": lambda f: mg.random.truncated_normal(KEY, -f, f, (3,), np.float32),
    "SGD": lambda f: stepped(optim.SGD(f, momentum=f, weight_decay=f)),
    "RMSProp": lambda f: stepped(optim.RMSProp(f, decay=f, eps=f, momentum=f)),
    "Adam": lambda f: stepped(optim.Adam(f, betas=[f, f], eps=f, weight_decay=f)),
    "AdamW": lambda f: stepped(optim.AdamW(f, weight_decay=f)),
    "clip_by_value": lambda f: optim.clip_by_value(f)(mg.asarray(V)),
    "clip_by_global_norm": lambda f: optim.clip_by_global_norm(f)(mg.asarray(V)),
    "exponential_decay": lambda f: optim.exponential_decay(f, f, 2)(3),
    "cosine_decay": lambda f: optim.cosine_decay(f, 4, f / 2)(3),
    "linear_warmup": lambda f: optim.linear_warmup(f, 4)(3),
    "piecewise_constant": lambda f: optim.piecewise_constant([2], [f, f / 2])(3),
    "constant schedule": lambda f: stepped(optim.SGD(optim.constant(f))),
    "adapt": lambda f: adapted(steps=1, lr=f),
    "matching": lambda f: meta.matching(V[:2], np.array([0, 1]), V, ways=2, scale=f),
    "strokes": lambda f: data.strokes(2, 2, difficulty=f).pictures,
}


def arrays(tree: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(leaf) for leaf in optree.tree_leaves(tree)]


def same(found: Any, expected: Any) -> None:
    for a, b in zip(arrays(found), arrays(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("name", INTEGERS)
def test_an_integer_of_any_type_is_one(name, kind):
    same(INTEGERS[name](kind(2)), INTEGERS[name](2))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("name", FRACTIONS)
def test_a_fraction_of_any_type_is_one_and_changes_no_dtype(name, kind):
    same(FRACTIONS[name](kind(0.5)), FRACTIONS[name](0.5))


def test_a_trainer_counts_in_integers_of_any_type(tmp_path):
    every = {"log_every": 1, "checkpoint_every": 2, "validate_every": 2}
    likes = {name: np.int64(value) for name, value in every.items()}
    same(trained(tmp_path / "a", validate=float, **likes), trained(tmp_path / "b", validate=float, **every))
    for name in ("metrics.jsonl", "checkpoint.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
