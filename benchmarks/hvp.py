"""Gradient and Hessian-vector product of an MLP: metagrad, PyTorch, JAX and HIPS autograd on the same numbers.

A net 64-64-64-10 with ReLU in float32, a batch of 32, the mean softmax cross-entropy with integer labels.

    python benchmarks/hvp.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from _common import (
    Contender,
    Target,
    announce,
    arguments,
    build,
    check_equal,
    floor_seconds,
    measure,
    need,
    report,
    write,
)

SIZES, BATCH = [64, 64, 64, 10], 32

Pair = tuple[list[Contender], list[Contender]]


def problem() -> tuple[list[Any], list[Any], Any, Any]:
    """Parameters [w, b, w, b, w, b], a direction like them, x (batch, 64) and labels (batch,)."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32)

    params, direction = [], []
    for n, m in itertools.pairwise(SIZES):
        params += [normal(n, m) * np.float32((2 / n) ** 0.5), normal(m)]
        direction += [normal(n, m), normal(m)]
    return params, direction, normal(BATCH, SIZES[0]), rng.integers(0, SIZES[-1], BATCH)


def metagrad() -> Pair:
    import metagrad as mg

    *trees, x, labels = problem()
    params, direction = ([mg.asarray(leaf) for leaf in tree] for tree in trees)
    x, labels = mg.asarray(x), mg.asarray(labels)

    def f(p: Any) -> Any:
        h = mg.nn.relu(x @ p[0] + p[1])
        h = mg.nn.relu(h @ p[2] + p[3])
        return mg.mean(mg.nn.softmax_cross_entropy(h @ p[4] + p[5], labels))

    gradient = mg.grad(f)
    return [Contender("metagrad", lambda: gradient(params), list)], [
        Contender("metagrad", lambda: mg.hvp(f, (params,), (direction,)), list),
        Contender(
            "metagrad, forward over reverse",
            lambda: mg.hvp(f, (params,), (direction,), mode="forward_over_reverse"),
            list,
        ),
    ]


def torch_peers() -> Pair:
    torch = need("torch")
    params, direction, x, labels = problem()
    x, labels = torch.from_numpy(x), torch.from_numpy(labels)
    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    constants = tuple(p.detach() for p in leaves)
    v = tuple(torch.from_numpy(d) for d in direction)

    def f(p: Any) -> Any:
        h = torch.relu(torch.addmm(p[1], x, p[0]))
        h = torch.relu(torch.addmm(p[3], h, p[2]))
        return torch.nn.functional.cross_entropy(torch.addmm(p[5], h, p[4]), labels)

    def hvp() -> Any:
        return torch.autograd.grad(torch.autograd.grad(f(leaves), leaves, create_graph=True), leaves, v)

    functional = torch.func.grad(f)
    print(f"torch: {torch.get_num_threads()} threads")
    return [
        Contender("torch eager", lambda: torch.autograd.grad(f(leaves), leaves), list),
        Contender("torch.func", lambda: functional(constants), list),
    ], [
        Contender("torch eager", hvp, list),
        Contender("torch.func, reverse over reverse", lambda: torch.func.vjp(functional, constants)[1](v)[0], list),
        Contender("torch.func, forward over reverse", lambda: torch.func.jvp(functional, (constants,), (v,))[1], list),
    ]


def jax_peer() -> Pair:
    jax = need("jax")
    jnp = jax.numpy
    params, direction, x, labels = jax.tree.map(jnp.asarray, problem())

    def f(p: Any) -> Any:
        h = jax.nn.relu(x @ p[0] + p[1])
        logits = jax.nn.relu(h @ p[2] + p[3]) @ p[4] + p[5]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1))

    gradient = jax.jit(jax.grad(f))
    hvp = jax.jit(lambda p, v: jax.jvp(jax.grad(f), (p,), (v,))[1])
    return [Contender("jax.jit", lambda: jax.block_until_ready(gradient(params)), list)], [
        Contender("jax.jit, forward over reverse", lambda: jax.block_until_ready(hvp(params, direction)), list)
    ]


def autograd_peer() -> Pair:
    autograd = need("autograd")
    anp = need("autograd.numpy")
    params, direction, x, labels = problem()
    rows = np.arange(BATCH)

    def f(p: Any) -> Any:
        h = anp.maximum(anp.dot(x, p[0]) + p[1], 0)
        logits = anp.dot(anp.maximum(anp.dot(h, p[2]) + p[3], 0), p[4]) + p[5]
        top = anp.max(logits, axis=1, keepdims=True)
        log_sum = anp.log(anp.sum(anp.exp(logits - top), axis=1)) + top[:, 0]
        return anp.mean(log_sum - logits[rows, labels])

    gradient = autograd.grad(f)
    hvp = autograd.grad(lambda p: sum(anp.sum(g * v) for g, v in zip(gradient(p), direction, strict=True)))
    return [Contender("HIPS autograd", lambda: gradient(params), list)], [
        Contender("HIPS autograd", lambda: hvp(params), list)
    ]


def operations(first: int, others: int) -> float:
    """Multiplications and additions of that many products with the first layer's weight and with each other's."""
    layers = [n * m for n, m in itertools.pairwise(SIZES)]
    return 2 * BATCH * (first * layers[0] + others * sum(layers[1:]))


def compulsory_bytes(trees: int) -> float:
    """As many trees like the parameters, read or written once, and the data."""
    params, _, x, labels = problem()
    return 4.0 * trees * sum(p.size for p in params) + x.nbytes + labels.nbytes


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    announce()
    pairs = build(metagrad, torch_peers, jax_peer, autograd_peer)
    # Gradient: the forward product, that of the weight's gradient and that of the input's. Hessian-vector product: the
    # first and the last of these, and two for the tangent of each of the three. The first layer's input is data: it has
    # neither gradient nor tangent.
    work = {
        "gradient": (operations(2, 3), compulsory_bytes(2)),
        "Hessian-vector product": (operations(3, 8), compulsory_bytes(3)),
    }
    rows = []
    for i, (what, costs) in enumerate(work.items()):
        contenders = [contender for pair in pairs for contender in pair[i]]
        print()
        check_equal(contenders, tolerance=1e-4)
        floor = floor_seconds(*costs)
        measure(contenders, options.repeats)
        target = {what: Target("metagrad", ("torch eager",), 1.2)}
        sizes = "-".join(map(str, SIZES))
        rows += report(f"{what}, MLP {sizes}, batch {BATCH}", contenders, floor, target)
    write(options.json, rows)


if __name__ == "__main__":
    main()
