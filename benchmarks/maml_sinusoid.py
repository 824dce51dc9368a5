"""The MAML meta-gradient on sinusoids: metagrad, PyTorch, JAX and HIPS autograd on the same numbers in one process.

A net 1-40-40-1 with ReLU in float32, 25 tasks of 10 support and 10 query points, 1 or 5 inner steps of size 0.01 on the
mean squared error; the work is the mean query loss after adaptation and its gradient with respect to the shared
parameters. Each library is written as its users would: the loop over tasks, the tasks batched by hand (weights expanded
for each task, batched products), and by its own vmap.

    python benchmarks/maml_sinusoid.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS, POINTS, WIDTH, ALPHA = 25, 10, 40, 0.01

Params = list[tuple[Any, Any]]


def problem() -> tuple[Params, tuple[Any, Any], tuple[Any, Any]]:
    """Parameters as a list of (weight, bias), and the support and query sets (x, y), each (tasks, points, 1)."""
    rng = np.random.default_rng(0)
    sizes = [1, WIDTH, WIDTH, 1]

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32)

    # Biases of every size put the kinks of the ReLU all over the interval.
    params = [(normal(n, m) / np.float32(n**0.5), normal(m)) for n, m in itertools.pairwise(sizes)]
    amplitude, phase = rng.uniform(0.1, 5, (TASKS, 1, 1)), rng.uniform(0, np.pi, (TASKS, 1, 1))
    sets = []
    for _ in range(2):
        x = rng.uniform(-5, 5, (TASKS, POINTS, 1))
        sets.append((x.astype(np.float32), (amplitude * np.sin(x - phase)).astype(np.float32)))
    return params, sets[0], sets[1]


def metagrad(steps: int, device: str = "cpu") -> list[Contender]:
    import optree

    import metagrad as mg

    dense, relu = mg.nn.Dense, mg.nn.relu
    net = mg.nn.Sequential(dense(WIDTH), relu, dense(WIDTH), relu, dense(1)).apply

    def mse(params: Any, batch: Any) -> Any:
        x, y = batch
        return mg.nn.mean_squared_error(net(params, x), y)

    def task_loss(params: Any, support: Any, query: Any) -> Any:
        return mse(mg.meta.adapt(mse, params, support, steps=steps, lr=ALPHA), query)

    def meta_loss(params: Any, support: Any, query: Any) -> Any:
        return mg.mean(mg.vmap(task_loss, in_axes=(None, 0, 0))(params, support, query))

    params, support, query = problem()
    params, support, query = optree.tree_map(lambda x: mg.asarray(x, device=device), (params, support, query))
    layers = [{"kernel": w, "bias": b} for w, b in params]
    params = (layers[0], {}, layers[1], {}, layers[2])
    step = mg.value_and_grad(meta_loss)

    def flat(result: Any) -> list[Any]:
        value, gradients = result
        return _flat(value, [(layer["kernel"], layer["bias"]) for layer in gradients if layer])

    if device == "cpu":
        return [Contender("metagrad", lambda: step(params, support, query), flat)]
    captured = mg.cuda.capture(step)
    call = functools.partial(captured, params, support, query)
    return [Contender("metagrad, captured", call, flat, finish=mg.cuda.synchronize)]


def torch_peers(steps: int) -> list[Contender]:
    torch = need("torch")
    params, support, query = problem()
    shared = [torch.tensor(x, requires_grad=True) for layer in params for x in layer]
    (sx, sy), (qx, qy) = ((torch.from_numpy(x), torch.from_numpy(y)) for x, y in (support, query))

    def mse(p: Any, x: Any, y: Any) -> Any:
        h = torch.relu(torch.addmm(p[1], x, p[0]))
        h = torch.relu(torch.addmm(p[3], h, p[2]))
        return torch.mean((torch.addmm(p[5], h, p[4]) - y) ** 2)

    def losses(p: Any, x: Any, y: Any) -> Any:
        """One loss for each task, of weights (tasks, n, m) and biases (tasks, 1, m)."""
        h = torch.relu(torch.baddbmm(p[1], x, p[0]))
        h = torch.relu(torch.baddbmm(p[3], h, p[2]))
        return torch.mean((torch.baddbmm(p[5], h, p[4]) - y) ** 2, dim=(1, 2))

    def loop() -> Any:
        total = torch.zeros(())
        for task in range(TASKS):
            adapted = shared
            for _ in range(steps):
                gradients = torch.autograd.grad(mse(adapted, sx[task], sy[task]), adapted, create_graph=True)
                adapted = [p - ALPHA * g for p, g in zip(adapted, gradients, strict=True)]
            total = total + mse(adapted, qx[task], qy[task])
        total = total / TASKS
        return total.detach(), torch.autograd.grad(total, shared)

    def batched() -> Any:
        adapted = [p.expand(TASKS, *p.shape) if p.ndim == 2 else p.expand(TASKS, 1, *p.shape) for p in shared]
        for _ in range(steps):
            gradients = torch.autograd.grad(losses(adapted, sx, sy).sum(), adapted, create_graph=True)
            adapted = [p - ALPHA * g for p, g in zip(adapted, gradients, strict=True)]
        total = losses(adapted, qx, qy).mean()
        return total.detach(), torch.autograd.grad(total, shared)

    def task_loss(p: Any, sx: Any, sy: Any, qx: Any, qy: Any) -> Any:
        for _ in range(steps):
            gradients = torch.func.grad(mse)(p, sx, sy)
            p = tuple(x - ALPHA * g for x, g in zip(p, gradients, strict=True))
        return mse(p, qx, qy)

    def meta_loss(p: Any) -> Any:
        return torch.func.vmap(task_loss, in_dims=(None, 0, 0, 0, 0))(p, sx, sy, qx, qy).mean()

    functional = torch.func.grad_and_value(meta_loss)
    constants = tuple(p.detach() for p in shared)
    print(f"torch: {torch.get_num_threads()} threads")
    return [
        Contender("torch eager, tasks batched", batched, lambda r: [r[0], *r[1]]),
        Contender("torch eager, loop", loop, lambda r: [r[0], *r[1]], rounds=0.5),
        Contender("torch.func", lambda: functional(constants), lambda r: [r[1], *r[0]]),
    ]


def jax_peer(steps: int) -> list[Contender]:
    jax = need("jax")
    jnp = jax.numpy

    def mse(params: Any, batch: Any) -> Any:
        x, y = batch
        (w1, b1), (w2, b2), (w3, b3) = params
        prediction = jax.nn.relu(jax.nn.relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3
        return jnp.mean((prediction - y) ** 2)

    def task_loss(params: Any, support: Any, query: Any) -> Any:
        for _ in range(steps):
            gradients = jax.grad(mse)(params, support)
            params = jax.tree.map(lambda p, g: p - ALPHA * g, params, gradients)
        return mse(params, query)

    def meta_loss(params: Any, support: Any, query: Any) -> Any:
        return jnp.mean(jax.vmap(task_loss, in_axes=(None, 0, 0))(params, support, query))

    step = jax.jit(jax.value_and_grad(meta_loss))
    inputs = jax.tree.map(jnp.asarray, problem())
    return [Contender("jax.jit", lambda: jax.block_until_ready(step(*inputs)), lambda r: _flat(r[0], r[1]))]


def autograd_peer(steps: int) -> list[Contender]:
    autograd = need("autograd")
    anp = need("autograd.numpy")
    params, (sx, sy), (qx, qy) = problem()

    def mse(params: Any, x: Any, y: Any) -> Any:
        (w1, b1), (w2, b2), (w3, b3) = params
        h = anp.maximum(anp.dot(x, w1) + b1, 0)
        return anp.mean((anp.dot(anp.maximum(anp.dot(h, w2) + b2, 0), w3) + b3 - y) ** 2)

    inner = autograd.grad(mse)

    def meta_loss(params: Any) -> Any:
        total = 0.0
        for task in range(TASKS):
            adapted = params
            for _ in range(steps):
                gradients = inner(adapted, sx[task], sy[task])
                adapted = [
                    (w - ALPHA * gw, b - ALPHA * gb) for (w, b), (gw, gb) in zip(adapted, gradients, strict=True)
                ]
            total = total + mse(adapted, qx[task], qy[task])
        return total / TASKS

    step = autograd.value_and_grad(meta_loss)
    return [Contender("HIPS autograd, loop", lambda: step(params), lambda r: _flat(r[0], r[1]), rounds=0.2)]


def _flat(loss: Any, gradients: Any) -> list[Any]:
    return [loss, *(x for layer in gradients for x in layer)]


def operations(steps: int) -> float:
    """Multiplications and additions in the matrix products that no way of doing it can leave out.

    Each product with a weight comes once forward; its first backward has one product for the weight and one for the
    layer's input, the backward of each of these two has two, and the backward of the forward two more: 9 for each inner
    step and 3 for the query. Of the first layer, whose input is data, that leaves 4 and 2.
    """
    first, others = WIDTH, WIDTH * WIDTH + WIDTH
    return 2 * TASKS * POINTS * ((4 * steps + 2) * first + (9 * steps + 3) * others)


def compulsory_bytes() -> float:
    """Data and parameters are read once, the gradient is written once."""
    params = sum(w.size + b.size for w, b in problem()[0])
    return 4.0 * (2 * params + 4 * TASKS * POINTS)


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    announce()
    rows = []
    makers: list[Callable[[int], list[Contender]]] = [metagrad, torch_peers, jax_peer, autograd_peer]
    for steps in (1, 5):
        print()
        libraries = build(*(functools.partial(maker, steps) for maker in makers))
        contenders = [contender for library in libraries for contender in library]
        check_equal(contenders, tolerance=1e-4)
        floor = floor_seconds(operations(steps), compulsory_bytes())
        measure(contenders, options.repeats)
        target = {"meta-step": Target("metagrad", ("torch eager, tasks batched",), 0.9)}
        title = f"MAML meta-gradient, {TASKS} tasks, {POINTS}+{POINTS} points, inner steps: {steps}"
        rows += report(title, contenders, floor, target)
    write(options.json, rows)


if __name__ == "__main__":
    main()
