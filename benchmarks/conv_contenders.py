"""The MAML meta-gradient of the Omniglot conv net in metagrad, PyTorch and JAX, as users of each would write it.

The work is the mean over tasks of the query loss after one inner step, and its gradient with respect to all shared
parameters. A library's contenders are the loop over tasks, the tasks batched by hand (PyTorch: as groups of one
convolution and as more channels of one batch norm), and its own vmap; on a GPU also a CUDA graph of it.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _common import Contender, PeerAbsent, at_once, need

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS, ALPHA, EPS = 5, 0.4, 1e-3
SIDES = (28, 14, 7, 4, 2)
"""Of the images, and after each convolution of stride 2."""
POOLED_SIDES = (28, 14, 7, 3, 1)
"""The same after each pooling, which drops the last row of an odd side."""


class Setting(NamedTuple):
    """How much work: `queries` a class; with `pool`, stride 1 and max-pooling by 2 in the place of stride 2.

    `device` is "cpu", "cuda" or, for metagrad alone, "emulated".
    """

    tasks: int
    queries: int
    filters: int = 64
    pool: bool = False
    device: str = "cpu"
    tf32: bool = False


class Problem(NamedTuple):
    """The numbers, as NumPy arrays.

    Attributes:
        weights: a pair (kernel, bias) for each of the four convolutions (HWIO) and the linear layer.
        offsets: of the four batch norms.
        support, query: pairs of images (tasks, n, 28, 28, 1) and labels (tasks, n).
    """

    weights: list[tuple[Any, Any]]
    offsets: list[Any]
    support: tuple[Any, Any]
    query: tuple[Any, Any]


def problem(setting: Setting) -> Problem:
    """Glorot's convolutions, offsets of both signs, and classes of noisy patterns.

    The linear layer is a tenth of the paper's: a step that overshoots would magnify rounding, and where that moves a
    value across the kink of a ReLU, two right results differ.
    """
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32)

    channels = [1, *[setting.filters] * 4]
    weights = [
        (normal(3, 3, c, o) * np.float32((2 / (9 * (c + o))) ** 0.5), 0.1 * normal(o))
        for c, o in itertools.pairwise(channels)
    ]
    weights.append((0.1 * normal(setting.filters, WAYS), 0.1 * normal(WAYS)))
    offsets = [0.1 * normal(o) for o in channels[1:]]
    classes = normal(setting.tasks, WAYS, 1, SIDES[0], SIDES[0], 1)
    sets = []
    for shots in (1, setting.queries):
        images = classes + normal(setting.tasks, WAYS, shots, SIDES[0], SIDES[0], 1)
        labels = np.tile(np.repeat(np.arange(WAYS), shots), (setting.tasks, 1))
        sets.append((images.reshape(setting.tasks, -1, *images.shape[3:]), labels))
    return Problem(weights, offsets, *sets)


def metagrad(setting: Setting) -> list[Contender]:
    import optree

    import metagrad as mg

    net = mg.nn.omniglot_conv(WAYS, filters=setting.filters, pool=setting.pool)
    weights, offsets, *sets = problem(setting)

    def array(x: Any) -> Any:
        return mg.asarray(x, device=setting.device)

    layers: list[Any] = [{"kernel": array(w), "bias": array(b)} for w, b in weights]
    norms = [{"offset": array(offset)} for offset in offsets]
    # A convolution, its norm and a ReLU, and perhaps pooling, four times; the mean over space; the linear layer.
    rest: list[Any] = [{}, {}] if setting.pool else [{}]
    params = (
        *itertools.chain(*((layer, norm, *rest) for layer, norm in zip(layers[:4], norms, strict=True))),
        {},
        layers[4],
    )
    tasks = tuple(tuple(array(x) for x in pair) for pair in sets)
    adapted = mg.meta.all_but(params, "offset")

    def loss(params: Any, batch: Any) -> Any:
        x, y = batch
        return WAYS * mg.mean(mg.nn.softmax_cross_entropy(net(params, x), y))

    def meta_loss(params: Any, tasks: Any) -> Any:
        return mg.meta.meta_loss(loss, params, tasks, steps=1, lr=ALPHA, adapted=adapted)

    of_tasks = mg.value_and_grad(meta_loss)
    each = [tuple(tuple(array(x[t : t + 1]) for x in pair) for pair in sets) for t in range(setting.tasks)]

    def loop() -> Any:
        results = [of_tasks(params, task) for task in each]
        return optree.tree_map(lambda *xs: sum(xs) / setting.tasks, *results)

    def flat(result: Any) -> list[Any]:
        value, gradients = result
        layers, norms = ([g for g in gradients if name in g] for name in ("kernel", "offset"))
        return [value, *(g[name] for g in layers for name in ("kernel", "bias")), *(g["offset"] for g in norms)]

    if setting.device == "cpu":
        return [Contender("metagrad", lambda: of_tasks(params, tasks), flat), Contender("metagrad, loop", loop, flat)]
    captured, finish = mg.cuda.capture(of_tasks), mg.cuda.synchronize
    return [
        Contender("metagrad, captured", lambda: captured(params, tasks), flat, finish=finish),
        Contender("metagrad, eager", lambda: of_tasks(params, tasks), flat, rounds=0.5, finish=finish),
    ]


def torch_peers(setting: Setting) -> list[Contender]:
    torch = need("torch")
    F = torch.nn.functional
    tasks, device, stride = setting.tasks, setting.device, 1 if setting.pool else 2
    on_gpu = device == "cuda"
    if on_gpu:
        if not torch.cuda.is_available():
            raise PeerAbsent("this build of torch finds no GPU")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = setting.tf32
    weights, offsets, *sets = problem(setting)

    def convolved(x: Any, w: Any, b: Any, groups: int) -> Any:
        """SAME, whose padding PyTorch does not do by itself where it is not symmetric."""
        before, after = same_padding(x.shape[-1], stride)
        if before == after:
            return F.conv2d(x, w, b, stride=stride, padding=before, groups=groups)
        return F.conv2d(F.pad(x, (before, after, before, after)), w, b, stride=stride, groups=groups)

    def features(kernels: Any, offsets: Any, x: Any, groups: int = 1) -> Any:
        """(n, groups * c, h, w) to (n, groups * filters)."""
        for w, b, offset in zip(kernels[::2], kernels[1::2], offsets, strict=True):
            y = convolved(x, w, b, groups)
            x = torch.relu(F.batch_norm(y, None, None, None, offset, training=True, eps=EPS))
            x = F.max_pool2d(x, 2) if setting.pool else x
        return x.mean((2, 3))

    def loss(weights: Any, offsets: Any, x: Any, y: Any) -> Any:
        """Of one task: images (n, c, h, w)."""
        *kernels, w, b = weights
        return WAYS * F.cross_entropy(torch.addmm(b, features(kernels, offsets, x), w), y)

    def losses(weights: Any, offsets: Any, x: Any, y: Any) -> Any:
        """The sum over tasks, of parameters that have an axis of tasks and images (n, tasks * c, h, w)."""
        *kernels, w, b = weights
        h = features([p.flatten(0, 1) for p in kernels], [p.flatten() for p in offsets], x, tasks)
        logits = torch.baddbmm(b[:, None], h.unflatten(1, (tasks, -1)).transpose(0, 1), w)
        return WAYS * tasks * F.cross_entropy(logits.flatten(0, 1), y.flatten())

    def descend(weights: Any, gradients: Any) -> list[Any]:
        return [p - ALPHA * g for p, g in zip(weights, gradients, strict=True)]

    def flat(value: Any, gradients: Any) -> list[Any]:
        return [x.cpu() for x in (value, *(g.permute(2, 3, 1, 0) if g.ndim == 4 else g for g in gradients))]

    def peers(layout: Any) -> list[Contender]:
        """By the layout of images and kernels."""

        def parameter(x: Any) -> Any:
            t = torch.from_numpy(x)
            t = t.permute(3, 2, 0, 1).contiguous(memory_format=layout) if x.ndim == 4 else t.clone()
            return t.to(device).requires_grad_()

        def images(x: Any) -> Any:
            return torch.from_numpy(np.ascontiguousarray(x)).contiguous(memory_format=layout).to(device)

        adapted = [parameter(x) for pair in weights for x in pair]
        fixed = [parameter(x) for x in offsets]
        shared = [*adapted, *fixed]
        (sx, sy), (qx, qy) = sets
        sy, qy = (torch.from_numpy(y).to(device) for y in (sy, qy))
        each = [[images(x.transpose(0, 3, 1, 2)) for x in xs] for xs in (sx, qx)]
        # The tasks beside each other, as channels: (n, tasks * c, h, w).
        together = [images(x.transpose(1, 0, 4, 2, 3).reshape(x.shape[1], -1, *x.shape[2:4])) for x in (sx, qx)]
        stacked = [torch.stack(xs) for xs in each]

        def loop() -> Any:
            value, total = 0.0, None
            for task, (sx, qx) in enumerate(zip(*each, strict=True)):
                gradients = torch.autograd.grad(loss(adapted, fixed, sx, sy[task]), adapted, create_graph=True)
                query_loss = loss(descend(adapted, gradients), fixed, qx, qy[task]) / tasks
                gradients = torch.autograd.grad(query_loss, shared)
                value = value + query_loss.detach()
                total = gradients if total is None else [a + b for a, b in zip(total, gradients, strict=True)]
            return value, total

        def grouped() -> Any:
            sx, qx = together
            own, offsets = ([p.expand(tasks, *p.shape) for p in leaves] for leaves in (adapted, fixed))
            gradients = torch.autograd.grad(losses(own, offsets, sx, sy), own, create_graph=True)
            value = losses(descend(own, gradients), offsets, qx, qy) / tasks
            return value.detach(), torch.autograd.grad(value, shared)

        def meta_loss(weights: Any, offsets: Any) -> Any:
            def task_loss(sx: Any, sy: Any, qx: Any, qy: Any) -> Any:
                gradients = torch.func.grad(loss)(weights, offsets, sx, sy)
                return loss(descend(weights, gradients), offsets, qx, qy)

            sx, qx = stacked
            return torch.func.vmap(task_loss)(sx, sy, qx, qy).mean()

        functional = torch.func.grad_and_value(meta_loss, argnums=(0, 1))
        constants = [p.detach() for p in adapted], [p.detach() for p in fixed]
        last = ", channels last" if layout is torch.channels_last else ""
        finish = torch.cuda.synchronize if on_gpu else at_once
        eager = [
            Contender(f"torch eager, loop{last}", loop, lambda r: flat(*r), finish=finish),
            Contender(f"torch eager, grouped{last}", grouped, lambda r: flat(*r), finish=finish),
        ]
        func = Contender(
            "torch.func, vmap",
            lambda: functional(*constants),
            lambda r: flat(r[1], [*r[0][0], *r[0][1]]),
            finish=finish,
        )
        if not on_gpu:
            return [*eager, func]
        replay, result = in_a_graph(grouped)
        graph = Contender(f"torch CUDA graph{last}", lambda: (replay(), result)[1], lambda r: flat(*r), finish=finish)
        return [graph, eager[1], func]

    def in_a_graph(step: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        """What replays a step, and where its result then is."""
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = step()
        return graph.replay, result

    # vmap brings its own order of the axes: with channels last it only has more to move.
    return [*peers(torch.contiguous_format), *peers(torch.channels_last)[:2]]


def jax_peers(setting: Setting) -> list[Contender]:
    jax = need("jax")
    jnp, lax, stride = jax.numpy, jax.lax, 1 if setting.pool else 2
    if setting.device == "cuda" and jax.default_backend() != "gpu":
        raise PeerAbsent("this build of jax finds no GPU")
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if setting.tf32 else "float32")

    def loss(weights: Any, offsets: Any, batch: Any) -> Any:
        x, y = batch
        *convolutions, (w, b) = weights
        for (kernel, bias), offset in zip(convolutions, offsets, strict=True):
            x = bias + lax.conv_general_dilated(
                x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = x - jnp.mean(x, (0, 1, 2))
            x = jax.nn.relu(x * lax.rsqrt(jnp.mean(x * x, (0, 1, 2)) + EPS) + offset)
            if setting.pool:
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        log_probabilities = jax.nn.log_softmax(jnp.mean(x, (1, 2)) @ w + b)
        return -WAYS * jnp.mean(jnp.take_along_axis(log_probabilities, y[:, None], axis=1))

    def task_loss(parameters: Any, task: Any) -> Any:
        (weights, offsets), (support, query) = parameters, task
        gradients = jax.grad(loss)(weights, offsets, support)
        weights = jax.tree.map(lambda p, g: p - ALPHA * g, weights, gradients)
        return loss(weights, offsets, query)

    of_task = jax.value_and_grad(task_loss)

    def unrolled(parameters: Any, tasks: Any) -> Any:
        each = [of_task(parameters, jax.tree.map(lambda x, i=i: x[i], tasks)) for i in range(setting.tasks)]
        return jax.tree.map(lambda *xs: sum(xs) / setting.tasks, *each)

    def mapped(parameters: Any, tasks: Any) -> Any:
        each = lax.map(lambda task: of_task(parameters, task), tasks)
        return jax.tree.map(lambda x: jnp.mean(x, 0), each)

    def vmapped(parameters: Any, tasks: Any) -> Any:
        return jnp.mean(jax.vmap(task_loss, in_axes=(None, 0))(parameters, tasks))

    weights, offsets, *sets = jax.tree.map(jnp.asarray, problem(setting))
    parameters, tasks = (weights, offsets), tuple(sets)

    def contender(name: str, step: Any, rounds: float = 1.0) -> Contender:
        step = jax.jit(step)

        def flat(result: Any) -> list[Any]:
            value, (weights, offsets) = result
            return [value, *itertools.chain(*weights), *offsets]

        return Contender(name, lambda: jax.block_until_ready(step(parameters, tasks)), flat, rounds)

    if setting.device == "cuda":
        return [contender("jax.jit, vmap", jax.value_and_grad(vmapped))]
    return [
        contender("jax.jit, loop unrolled", unrolled),
        contender("jax.jit, lax.map", mapped, rounds=0.2),
        contender("jax.jit, vmap", jax.value_and_grad(vmapped), rounds=0.2),
    ]


def same_padding(n: int, stride: int = 2) -> tuple[int, int]:
    """Zeros before and after n pixels, for a window of 3: the smaller half comes first."""
    lack = max((-(-n // stride) - 1) * stride + 3 - n, 0)
    return lack // 2, lack - lack // 2


def taps(n: int, stride: int = 2) -> int:
    """Pairs of an output pixel and a tap that falls on the image, along one axis of n pixels."""
    before, _ = same_padding(n, stride)
    return sum(0 <= stride * i + k - before < n for i in range(-(-n // stride)) for k in range(3))


def operations(setting: Setting) -> float:
    """Multiplications and additions in the convolutions and matrix products that no way of doing it can leave out.

    Each product with a weight comes once forward; its first backward has one product for the weight and one for the
    layer's input, the backward of each of these two has two, and the backward of the forward two more: 9 for the
    support set and 3 for the query set. Of the first layer, whose input is data, that leaves 4 and 2. Taps on the
    padding count for nothing.
    """
    channels = [1, *[setting.filters] * 4]
    sides, stride = (POOLED_SIDES, 1) if setting.pool else (SIDES, 2)
    first, *others = [
        taps(side, stride) ** 2 * c * o for side, (c, o) in zip(sides, itertools.pairwise(channels), strict=False)
    ]
    rest = sum(others) + setting.filters * WAYS
    images = setting.tasks * WAYS
    return 2 * images * ((4 + 2 * setting.queries) * first + (9 + 3 * setting.queries) * rest)


def compulsory_bytes(setting: Setting) -> float:
    """Data and parameters are read once, the gradient is written once."""
    weights, offsets, *sets = problem(setting)
    parameters = sum(w.size + b.size for w, b in weights) + sum(x.size for x in offsets)
    return 4.0 * 2 * parameters + sum(x.nbytes for pair in sets for x in pair)
