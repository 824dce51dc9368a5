"""The MAML meta-gradient of the Omniglot conv net: metagrad, PyTorch and JAX on the same numbers.

5-way 1-shot, four convolutions 3x3 of 64 filters with stride 2, batch norm by the batch at hand, float32, one inner
step of size 0.4 on the sum/K loss (5 times the mean cross-entropy); the offsets of the norms are not adapted. The work
is the mean over tasks of the query loss after adaptation, and its gradient with respect to all shared parameters: (a)
for 8 tasks with 1 query a class, (b) for 4 tasks with 15. Each library is written as its users would: the loop over
tasks (the gradient of one after the other, summed), the tasks batched by hand (PyTorch: as groups of one convolution
and as more channels of one batch norm), and by its own vmap. Then the peak of resident memory of each, in processes of
their own.

    python benchmarks/maml_conv.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _common import (
    Contender,
    Target,
    announce,
    announce_threads,
    arguments,
    build,
    check_equal,
    floor_seconds,
    in_fresh_process,
    measure,
    need,
    peak_resident,
    report,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Library = Callable[["Setting"], list[Contender]]

WAYS, FILTERS, ALPHA, EPS = 5, 64, 0.4, 1e-3
SIDES = (28, 14, 7, 4, 2)  # of the images, and after each convolution


class Setting(NamedTuple):
    """How much work: `queries` a class; `at_most` is the target, in times of the fastest other library."""

    tasks: int
    queries: int
    at_most: float = 1.0
    filters: int = FILTERS


SETTINGS = {"a": Setting(8, 1, 0.7), "b": Setting(4, 15, 0.75)}
TINY = Setting(1, 1, filters=2)  # every library has done all of its kinds of work once

# A loop holds one task at a time, and so less than what does all at once: like is compared with like.
AT_ONCE = ("torch eager, grouped", "torch eager, grouped, channels last", "torch.func, vmap", "jax.jit, vmap")
ONE_BY_ONE = ("torch eager, loop", "torch eager, loop, channels last", "jax.jit, loop unrolled", "jax.jit, lax.map")


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

    net = mg.nn.omniglot_conv(WAYS, filters=setting.filters)
    weights, offsets, *sets = problem(setting)
    layers: list[Any] = [{"kernel": mg.asarray(w), "bias": mg.asarray(b)} for w, b in weights]
    norms = [{"offset": mg.asarray(offset)} for offset in offsets]
    # A convolution, its norm and a ReLU, four times; the mean over space; the linear layer.
    params = (
        *itertools.chain(*((layer, norm, {}) for layer, norm in zip(layers[:4], norms, strict=True))),
        {},
        layers[4],
    )
    tasks = tuple(tuple(mg.asarray(x) for x in pair) for pair in sets)
    adapted = mg.meta.all_but(params, "offset")

    def loss(params: Any, batch: Any) -> Any:
        x, y = batch
        return WAYS * mg.mean(mg.nn.softmax_cross_entropy(net(params, x), y))

    def meta_loss(params: Any, tasks: Any) -> Any:
        return mg.meta.meta_loss(loss, params, tasks, steps=1, lr=ALPHA, adapted=adapted)

    of_tasks = mg.value_and_grad(meta_loss)
    each = [tuple(tuple(mg.asarray(x[t : t + 1]) for x in pair) for pair in sets) for t in range(setting.tasks)]

    def loop() -> Any:
        results = [of_tasks(params, task) for task in each]
        return optree.tree_map(lambda *xs: sum(xs) / setting.tasks, *results)

    def flat(result: Any) -> list[Any]:
        value, gradients = result
        layers, norms = ([g for g in gradients if name in g] for name in ("kernel", "offset"))
        return [value, *(g[name] for g in layers for name in ("kernel", "bias")), *(g["offset"] for g in norms)]

    return [Contender("metagrad", lambda: of_tasks(params, tasks), flat), Contender("metagrad, loop", loop, flat)]


def torch_peers(setting: Setting) -> list[Contender]:
    torch = need("torch")
    F = torch.nn.functional
    tasks = setting.tasks
    weights, offsets, *sets = problem(setting)

    def convolved(x: Any, w: Any, b: Any, groups: int) -> Any:
        """SAME, whose padding PyTorch does not do by itself where it is not symmetric."""
        before, after = same_padding(x.shape[-1])
        if before == after:
            return F.conv2d(x, w, b, stride=2, padding=before, groups=groups)
        return F.conv2d(F.pad(x, (before, after, before, after)), w, b, stride=2, groups=groups)

    def features(kernels: Any, offsets: Any, x: Any, groups: int = 1) -> Any:
        """(n, groups * c, h, w) to (n, groups * filters)."""
        for w, b, offset in zip(kernels[::2], kernels[1::2], offsets, strict=True):
            y = convolved(x, w, b, groups)
            x = torch.relu(F.batch_norm(y, None, None, None, offset, training=True, eps=EPS))
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
        return [value, *(g.permute(2, 3, 1, 0) if g.ndim == 4 else g for g in gradients)]

    def peers(layout: Any) -> list[Contender]:
        """By the layout of images and kernels."""

        def parameter(x: Any) -> Any:
            t = torch.from_numpy(x)
            t = t.permute(3, 2, 0, 1).contiguous(memory_format=layout) if x.ndim == 4 else t.clone()
            return t.requires_grad_()

        def images(x: Any) -> Any:
            return torch.from_numpy(np.ascontiguousarray(x)).contiguous(memory_format=layout)

        adapted = [parameter(x) for pair in weights for x in pair]
        fixed = [parameter(x) for x in offsets]
        shared = [*adapted, *fixed]
        (sx, sy), (qx, qy) = sets
        sy, qy = (torch.from_numpy(y) for y in (sy, qy))
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
        return [
            Contender(f"torch eager, loop{last}", loop, lambda r: flat(*r)),
            Contender(f"torch eager, grouped{last}", grouped, lambda r: flat(*r)),
            Contender("torch.func, vmap", lambda: functional(*constants), lambda r: flat(r[1], [*r[0][0], *r[0][1]])),
        ]

    # vmap brings its own order of the axes: with channels last it only has more to move.
    return [*peers(torch.contiguous_format), *peers(torch.channels_last)[:2]]


def jax_peers(setting: Setting) -> list[Contender]:
    jax = need("jax")
    jnp, lax = jax.numpy, jax.lax

    def loss(weights: Any, offsets: Any, batch: Any) -> Any:
        x, y = batch
        *convolutions, (w, b) = weights
        for (kernel, bias), offset in zip(convolutions, offsets, strict=True):
            x = bias + lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = x - jnp.mean(x, (0, 1, 2))
            x = jax.nn.relu(x * lax.rsqrt(jnp.mean(x * x, (0, 1, 2)) + EPS) + offset)
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

    return [
        contender("jax.jit, loop unrolled", unrolled),
        contender("jax.jit, lax.map", mapped, rounds=0.2),
        contender("jax.jit, vmap", jax.value_and_grad(vmapped), rounds=0.2),
    ]


LIBRARIES: list[Library] = [metagrad, torch_peers, jax_peers]


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
    first, *others = [
        taps(side) ** 2 * c * o for side, (c, o) in zip(SIDES, itertools.pairwise(channels), strict=False)
    ]
    rest = sum(others) + setting.filters * WAYS
    images = setting.tasks * WAYS
    return 2 * images * ((4 + 2 * setting.queries) * first + (9 + 3 * setting.queries) * rest)


def compulsory_bytes(setting: Setting) -> float:
    """Data and parameters are read once, the gradient is written once."""
    weights, offsets, *sets = problem(setting)
    parameters = sum(w.size + b.size for w, b in weights) + sum(x.size for x in offsets)
    return 4.0 * 2 * parameters + sum(x.nbytes for pair in sets for x in pair)


def peak_memory(library: Library, setting: Setting, name: str) -> int:
    """The peak of a contender's second call, over what was resident before the first one on these shapes.

    What it loads and compiles for any shapes is there before, and what it needs only while it compiles has gone.
    """

    def named(setting: Setting) -> Contender:
        return next(c for c in library(setting) if c.name == name)

    named(TINY).call()
    contender = named(setting)
    before, _ = peak_resident(contender.call)
    return peak_resident(contender.call)[1] - before


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=15)
    announce()
    announce_threads()
    rows = []
    for letter, setting in SETTINGS.items():
        print()
        libraries = dict(build(*(functools.partial(_with_contenders, library, setting) for library in LIBRARIES)))
        contenders = [contender for found in libraries.values() for contender in found]
        check_equal(contenders, tolerance=1e-3)
        floor = floor_seconds(operations(setting), compulsory_bytes(setting))
        measure(contenders, options.repeats)
        for library, found in libraries.items():
            for contender in found:
                contender.peak_bytes = in_fresh_process(peak_memory, library, setting, contender.name)
        targets = {
            "meta-step": Target("metagrad", (*AT_ONCE, *ONE_BY_ONE), setting.at_most),
            "peak memory, tasks at once": Target("metagrad", AT_ONCE, 1.0, of="peak_bytes"),
            "peak memory, one by one": Target("metagrad, loop", ONE_BY_ONE, 1.0, of="peak_bytes"),
        }
        sizes = f"{setting.tasks} tasks, {WAYS}-way 1-shot, queries a class: {setting.queries}"
        rows += report(f"({letter}) MAML meta-gradient, Omniglot conv net, {sizes}", contenders, floor, targets)
    write(options.json, rows)


def _with_contenders(library: Library, setting: Setting) -> tuple[Library, list[Contender]]:
    return library, library(setting)


if __name__ == "__main__":
    main()
