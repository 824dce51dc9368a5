"""PyTorch and JAX as oracles: the same programs, values, gradients and Hessian-vector products, in float64."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tolerances import close

import metagrad as mg

RNG = np.random.default_rng(0)


def softmax_cross_entropy(xp: Any, logits: Any, labels: Any) -> Any:
    """Mean loss written from operations; `labels` are one-hot."""
    peak = xp.max(logits)
    shifted = logits - peak
    return -xp.mean(xp.sum(labels * (shifted - xp.log(xp.sum(xp.exp(shifted), -1, True))), -1, False))


def mlp(xp: Any, x: Any, w1: Any, b1: Any, w2: Any, b2: Any, labels: Any) -> Any:
    return softmax_cross_entropy(xp, xp.tanh(x @ w1 + b1) @ w2 + b2, labels)


def relu_mlp(xp: Any, x: Any, w1: Any, w2: Any) -> Any:
    return xp.mean((xp.maximum(x @ w1, xp.asarray(0.0)) @ w2) ** 2)


def algebra(xp: Any, a: Any, b: Any) -> Any:
    spd = a @ a.T + 3.0 * xp.eye(4)
    factor = xp.cholesky(spd)
    values = xp.eigvalsh(spd)
    parts = [xp.solve(spd, b) ** 2, xp.log(xp.diagonal(factor)), values**1.5, xp.inv(spd)[0] * b[:, 0]]
    return xp.slogdet(spd) + xp.det(0.3 * a) + sum(xp.sum(part) for part in parts)


def indexing(xp: Any, x: Any, y: Any) -> Any:
    rows = xp.integers([2, 0, 2, 1])
    picked = x[rows, xp.integers([0, 1, 3, 3])]
    parts = [picked**3, x[1:, ::2] * y[:2, :2], xp.exp(x[:, -1]) * y[rows][:3, 0], xp.cumsum(y, 0) ** 2]
    return sum(xp.sum(part) for part in parts)


def elementwise(xp: Any, x: Any, y: Any) -> Any:
    ratio = xp.sin(x) / (1.5 + xp.tanh(y))
    other = xp.sqrt(1.0 + x**2) * xp.log1p(y**2) + xp.arctan2(y, 2.0 + x**2)
    return xp.sum(ratio * other) + xp.sum(xp.where(x > 0, xp.exp(-(x**2)), xp.cos(y))) + xp.sum(abs(x) ** 2.5)


def statistics(xp: Any, x: Any, y: Any) -> Any:
    standard = (x - xp.mean(x)) / xp.std(x)
    products = xp.prod(x, 0) * xp.sum(y, 0, False)
    largest = xp.max_along(x, 1) * xp.sum(y, 1, False)
    return xp.sum(standard**3) + xp.sum(products) + xp.sum(largest) + xp.logsumexp(y) + xp.norm(x)


def contraction(xp: Any, x: Any, y: Any) -> Any:
    return xp.sum(xp.einsum("bij,bkj->bik", x, y) ** 2) + xp.sum(xp.tanh(x @ y.mT @ x[0]))


def pooling(xp: Any, x: Any, y: Any) -> Any:
    """Windows of 3 x 3 that overlap, stride 2, a padding of 1 all around; each pool on top of the other."""
    largest, mean = xp.max_pool(x * y), xp.avg_pool(xp.sin(y))
    return xp.sum(largest**3 * xp.tanh(mean)) + xp.sum(xp.max_pool(mean**2)) + xp.sum(xp.avg_pool(largest**2) ** 2)


LABELS = np.eye(3)[[0, 2, 1, 1, 0]]
PROGRAMS = {
    "mlp": (mlp, [RNG.normal(size=s) for s in ((5, 4), (4, 6), (6,), (6, 3), (3,))] + [LABELS]),
    "relu mlp": (relu_mlp, [RNG.normal(size=s) for s in ((5, 4), (4, 6), (6, 2))]),
    "algebra": (algebra, [RNG.normal(size=s) for s in ((4, 4), (4, 2))]),
    "indexing": (indexing, [RNG.normal(size=(3, 4)) for _ in range(2)]),
    "elementwise": (elementwise, [RNG.normal(size=(3, 4)) for _ in range(2)]),
    "statistics": (statistics, [RNG.normal(size=(3, 4)) for _ in range(2)]),
    "contraction": (contraction, [RNG.normal(size=(2, 3, 4)) for _ in range(2)]),
    "pooling": (pooling, [RNG.normal(size=(2, 7, 6, 3)) for _ in range(2)]),
}
TANGENTS = {name: [RNG.normal(size=a.shape) for a in args] for name, (_, args) in PROGRAMS.items()}


def common(lib: Any, **own: Any) -> SimpleNamespace:
    """The names that the programs use, from a library that mostly has them, and what it calls otherwise."""
    names = ("eye", "einsum", "where", "mean", "sin", "cos", "tanh", "exp", "log", "log1p", "sqrt", "maximum", "max")
    linalg = ("cholesky", "eigvalsh", "solve", "det", "inv")
    found = {name: getattr(lib, name) for name in names} | {name: getattr(lib.linalg, name) for name in linalg}
    return SimpleNamespace(**(found | {"slogdet": lambda x: lib.linalg.slogdet(x)[1]} | own))


OURS = common(
    mg,
    asarray=mg.asarray,
    integers=np.array,
    sum=lambda x, axis=None, keepdims=False: mg.sum(x, axis=axis, keepdims=keepdims),
    prod=lambda x, axis: mg.prod(x, axis=axis),
    max_along=lambda x, axis: mg.max(x, axis=axis),
    cumsum=lambda x, axis: mg.cumulative_sum(x, axis=axis),
    arctan2=mg.atan2,
    diagonal=mg.linalg.diagonal,
    norm=mg.linalg.vector_norm,
    std=mg.std,
    logsumexp=mg.logsumexp,
    max_pool=lambda x: mg.nn.max_pool2d(x, 3, stride=2, padding=((1, 1), (1, 1))),
    avg_pool=lambda x: mg.nn.avg_pool2d(x, 3, stride=2, padding=((1, 1), (1, 1))),
)


def by_metagrad(name: str, mode: str) -> list[Any]:
    program, args = PROGRAMS[name]

    def f(*inputs: Any) -> Any:
        return program(OURS, *inputs)

    inputs = [mg.asarray(x) for x in args]
    value, gradients = mg.value_and_grad(f, argnums=tuple(range(len(args))))(*inputs)
    return [value, *gradients, *mg.hvp(f, inputs, TANGENTS[name], mode=mode)]


def by_torch(name: str) -> list[Any]:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'oracle' has it")

    def channels_last(pool: Any, x: Any) -> Any:
        return pool(x.permute(0, 3, 1, 2), 3, 2, 1).permute(0, 2, 3, 1)

    theirs = common(
        torch,
        eye=lambda n: torch.eye(n, dtype=torch.float64),
        asarray=lambda x: torch.as_tensor(x, dtype=torch.float64),
        integers=torch.tensor,
        sum=lambda x, axis=None, keepdims=False: torch.sum(x) if axis is None else torch.sum(x, axis, keepdim=keepdims),
        prod=torch.prod,
        max_along=torch.amax,
        cumsum=torch.cumsum,
        arctan2=torch.atan2,
        diagonal=torch.diagonal,
        norm=torch.linalg.vector_norm,
        std=lambda x: torch.std(x, correction=0),
        logsumexp=lambda x: torch.logsumexp(x, (0, 1)),
        max_pool=lambda x: channels_last(torch.nn.functional.max_pool2d, x),
        avg_pool=lambda x: channels_last(torch.nn.functional.avg_pool2d, x),
    )
    program, args = PROGRAMS[name]
    inputs = [torch.tensor(x, requires_grad=True) for x in args]
    value = program(theirs, *inputs)
    gradients = torch.autograd.grad(value, inputs, create_graph=True)
    along = sum((g * torch.tensor(v)).sum() for g, v in zip(gradients, TANGENTS[name], strict=True))
    products = torch.autograd.grad(along, inputs, materialize_grads=True)
    return [x.detach().numpy() for x in (value, *gradients, *products)]


def by_jax(name: str) -> list[Any]:
    jax = pytest.importorskip("jax", reason="JAX is not installed: the extra 'oracle' has it")
    jnp = jax.numpy

    def windows(x: Any, start: float, reduce: Any) -> Any:
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        return jax.lax.reduce_window(x, start, reduce, (1, 3, 3, 1), (1, 2, 2, 1), around)

    theirs = common(
        jnp,
        asarray=jnp.asarray,
        integers=jnp.array,
        sum=lambda x, axis=None, keepdims=False: jnp.sum(x, axis, keepdims=keepdims),
        prod=jnp.prod,
        max_along=jnp.max,
        cumsum=jnp.cumsum,
        arctan2=jnp.arctan2,
        diagonal=jnp.diagonal,
        norm=lambda x: jnp.linalg.norm(x.ravel()),
        std=jnp.std,
        logsumexp=jax.scipy.special.logsumexp,
        max_pool=lambda x: windows(x, -np.inf, jax.lax.max),
        avg_pool=lambda x: windows(x, 0.0, jax.lax.add) / 9,
    )
    program, args = PROGRAMS[name]
    numbers = tuple(range(len(args)))
    with jax.enable_x64(True):
        inputs = tuple(jnp.asarray(x) for x in args)
        tangents = tuple(jnp.asarray(v) for v in TANGENTS[name])
        both = jax.value_and_grad(lambda *a: program(theirs, *a), numbers)
        (value, gradients), (_, products) = jax.jit(lambda x, v: jax.jvp(both, x, v))(inputs, tangents)
    return [np.asarray(x) for x in (value, *gradients, *products)]


@pytest.mark.parametrize("oracle", [by_torch, by_jax])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_gradients_and_hessian_vector_products_agree(name, oracle):
    expected = oracle(name)
    for mode in ("reverse_over_reverse", "forward_over_reverse"):
        for got, want in zip(by_metagrad(name, mode), expected, strict=True):
            close(got, want, order=2)
