"""Each CPU kernel: its share of what the machine can do, and its speed beside PyTorch's.

Convolution, forward and both gradients, as a share of the rate of a large matrix product; normalisation, pooling,
softmax cross-entropy and erf as a share of the bandwidth of a large copy (what fits into the caches may have more than
all of it). The shapes are those of the conv nets for Omniglot (stride 2) and miniImageNet (stride 1), with weights that
160 images share, and with weights of their own for 8 tasks of 5 and for 4 tasks of 75 images.

PyTorch is given its best: images that already lie as it wants them, in both of its layouts, the tasks as groups of one
call and one after the other; the fastest of these counts. Where SAME asks for more zeros after than before, which its
convolutions cannot do, its forward pass begins with a padding; for the gradients the padded images are there. The input
gradient of a net's first layer, whose images are data, is needed by no net: it is marked * and has no target. Where the
ratio comes near the limit, three times as many samples are added to the first ones, and all count.

    python benchmarks/kernels_cpu.py [--repeats N] [--json FILE]
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from _common import (
    Contender,
    PeerAbsent,
    announce,
    announce_threads,
    arguments,
    check_equal,
    copy_bandwidth,
    gemm_peak,
    measure,
    need,
    write,
)
from conv_contenders import SIDES, same_padding, taps

from metagrad.arrays import keep_freed_memory
from metagrad_kernels import convolution, normalization, pooling
from metagrad_kernels.erf import erf
from metagrad_kernels.softmax_cross_entropy import softmax_cross_entropy, softmax_cross_entropy_gradient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

try:
    torch = need("torch")
except PeerAbsent as reason:
    print(f"skipped: {reason}")
    torch = None

BATCHES = ((1, 160), (8, 5), (4, 75))  # tasks, images of each
EPS = 1e-3
AT_MOST = 1 / 0.8  # of PyTorch's time
CLOSE = 1.25  # so near to the limit, on either side, a ratio needs more samples
TOLERANCE = 1e-3  # its batch norm with channels last is off by 3e-4 on a million rows
GEMM, BANDWIDTH = "GEMM peak", "bandwidth"

rng = np.random.default_rng(0)

Arrays = list[Any]


class Layer(NamedTuple):
    """A convolution 3x3, SAME, of images (side, side, inputs)."""

    net: str
    side: int
    inputs: int
    outputs: int
    stride: int

    @property
    def after(self) -> int:
        return -(-self.side // self.stride)


LAYERS = [
    *(Layer("Omniglot", side, c, 64, 2) for side, c in zip(SIDES, (1, 64, 64, 64), strict=False)),
    Layer("miniImageNet", 84, 3, 32, 1),
    Layer("miniImageNet", 42, 32, 32, 1),
]


class Case(NamedTuple):
    """A kernel on one shape.

    Attributes:
        kernel: its family and name.
        shape: in words.
        contenders: metagrad's, then PyTorch's.
        work: operations where `of` is the peak of the matrix product, else bytes that must be read or written.
        needed: whether any net needs it.
    """

    kernel: str
    shape: str
    contenders: list[Contender]
    work: float
    of: str = BANDWIDTH
    needed: bool = True


class Way:
    """How PyTorch gets arrays with an axis of tasks: `together` of them as groups of a call, in a memory format.

    Images (tasks, n, h, w, c) become tensors (n, together * c, h, w), weights (tasks, kh, kw, c, o) tensors
    (together * o, c, kh, kw), one for each call.
    """

    def __init__(self, tasks: int, together: int, channels_last: bool) -> None:
        self.tasks, self.together = tasks, together
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        calls = [] if tasks == 1 else ["groups" if together > 1 else "loop"]
        self.name = ", ".join(["torch", *calls, "channels last" if channels_last else "channels first"])

    def images(self, x: Any) -> Arrays:
        return [self._tensor(part.transpose(1, 0, 4, 2, 3), 1) for part in self._parts(x)]

    def weights(self, w: Any) -> Arrays:
        return [self._tensor(part.transpose(0, 4, 3, 1, 2), 0) for part in self._parts(w)]

    def read_images(self, tensors: Arrays) -> Arrays:
        return [t.unflatten(1, (self.together, -1)).permute(1, 0, 3, 4, 2) for t in tensors]

    def read_weights(self, tensors: Arrays) -> Arrays:
        return [t.unflatten(0, (self.together, -1)).permute(0, 3, 4, 2, 1) for t in tensors]

    def contender(self, call: Callable[..., Any], read: Callable[[Arrays], Arrays], *operands: Arrays) -> Contender:
        """`call` on the operands of each part."""
        parts = list(zip(*operands, strict=True))
        return Contender(self.name, lambda: [call(*part) for part in parts], read)

    def _parts(self, array: Any) -> Iterator[Any]:
        return (array[t : t + self.together] for t in range(0, self.tasks, self.together))

    def _tensor(self, array: Any, axis: int) -> Any:
        """With this axis, of tasks, and the next one as one."""
        shape = [*array.shape[:axis], -1, *array.shape[axis + 2 :]]
        return torch.from_numpy(np.ascontiguousarray(array).reshape(shape)).contiguous(memory_format=self.format)


def ways(tasks: int = 1) -> list[Way]:
    if torch is None:
        return []
    return [Way(tasks, together, last) for together in sorted({1, tasks}) for last in (False, True)]


def whole(name: str, call: Callable[..., Any], *operands: Any) -> Contender:
    """A call that gives one array, or a tuple of which the first is compared."""
    return Contender(name, lambda: call(*operands), lambda r: [r[0] if isinstance(r, tuple) else r])


def normal(*shape: int) -> Any:
    return rng.standard_normal(shape, dtype=np.float32)


def words(tasks: int, n: int) -> str:
    return f"{n} images" if tasks == 1 else f"{tasks} tasks of {n}"


class TorchConvolution(NamedTuple):
    """PyTorch's convolution and its gradients.

    Attributes:
        padding: its own, on all sides.
        margin: zeros before and after the image that it cannot add itself.
    """

    stride: int
    padding: int
    margin: tuple[int, int]
    groups: int

    def forward(self, x: Any, w: Any) -> Any:
        x = torch.nn.functional.pad(x, self.margin * 2) if any(self.margin) else x
        return torch.conv2d(x, w, None, self.stride, self.padding, 1, self.groups)

    def input_gradient(self, g: Any, x: Any, w: Any) -> Any:
        before, after = self.margin
        inside = slice(before, x.shape[-1] - after)
        return self._gradients(g, x, w, [True, False, False])[0][:, :, inside, inside]

    def weight_gradient(self, g: Any, x: Any, w: Any) -> Any:
        return self._gradients(g, x, w, [False, True, False])[1]

    def _gradients(self, g: Any, x: Any, w: Any, needed: list[bool]) -> Any:
        settings = [self.stride] * 2, [self.padding] * 2, [1, 1], False, [0, 0], self.groups
        return torch.ops.aten.convolution_backward(g, x, w, None, *settings, needed)


def convolutions() -> Iterator[Case]:
    for layer, (tasks, n) in itertools.product(LAYERS, BATCHES):
        net, side, c, o, stride = layer
        before, after = zeros = same_padding(side, stride)
        padding, margin = (before, (0, 0)) if before == after else (0, zeros)
        geometry = convolution.Geometry((stride, stride), (zeros, zeros))
        x, w, g = normal(tasks, n, side, side, c), normal(tasks, 3, 3, c, o), normal(tasks, n, *[layer.after] * 2, o)
        padded = np.pad(x, ((0, 0), (0, 0), margin, margin, (0, 0)))
        forward = [whole("metagrad", convolution.convolution, x, w, geometry)]
        of_input = [whole("metagrad", convolution.input_gradient, g, w, geometry, (side, side))]
        of_weight = [whole("metagrad", convolution.weight_gradient, x, g, geometry, (3, 3))]
        for way in ways(tasks):
            theirs = TorchConvolution(stride, padding, margin, way.together)
            operands = way.images(g), way.images(padded), way.weights(w)
            forward.append(way.contender(theirs.forward, way.read_images, way.images(x), way.weights(w)))
            of_input.append(way.contender(theirs.input_gradient, way.read_images, *operands))
            of_weight.append(way.contender(theirs.weight_gradient, way.read_weights, *operands))
        shape = f"{net} {side}x{side}x{c} to {layer.after}x{layer.after}x{o}, {words(tasks, n)}"
        work = 2.0 * tasks * n * taps(side, stride) ** 2 * c * o
        yield Case("convolution, forward", shape, forward, work, GEMM)
        yield Case("convolution, input gradient", shape, of_input, work, GEMM, needed=c > 3)
        yield Case("convolution, weight gradient", shape, of_weight, work, GEMM)


def batch_norm(x: Any) -> Any:
    return torch.native_batch_norm(x, None, None, None, None, True, 0.0, EPS)


def batch_norm_gradient(g: Any, x: Any, mean: Any, scale: Any) -> Any:
    settings = None, None, None, mean, scale, True, EPS, [True, False, False]
    return torch.ops.aten.native_batch_norm_backward(g, x, *settings)[0]


def normalizations() -> Iterator[Case]:
    for layer, (tasks, n) in itertools.product(LAYERS, BATCHES):
        x, g, c = (normal(tasks, n, *[layer.after] * 2, layer.outputs) for _ in range(3))
        merged = functools.partial(np.reshape, shape=(tasks, -1, layer.outputs))
        y, s = normalization.standardize(merged(x), EPS)
        forward = [whole("metagrad", normalization.standardize, merged(x), EPS)]
        pullback = [whole("metagrad", normalization.pullback, y, s, merged(g))]
        second = [whole("metagrad", normalization.pullback_gradients, y, s, merged(g), merged(c))]
        for way in ways(tasks):
            images = way.images(x)
            statistics = [list(v) for v in zip(*[batch_norm(part)[1:] for part in images], strict=True)]
            forward.append(way.contender(batch_norm, lambda r, way=way: way.read_images([y for y, *_ in r]), images))
            operands = way.images(g), images, *statistics
            pullback.append(way.contender(batch_norm_gradient, way.read_images, *operands))
        shape = f"{layer.net} {layer.after}x{layer.after}x{layer.outputs}, {words(tasks, n)}"
        yield Case("normalisation, standardize", shape, forward, 2.0 * x.nbytes)
        yield Case("normalisation, pullback", shape, pullback, 3.0 * x.nbytes)
        yield Case("normalisation, pullback gradients", shape, second, 5.0 * x.nbytes)


def torch_gather(x: Any, indices: Any) -> Any:
    return x.flatten(2).gather(2, indices.flatten(2)).view_as(indices)


def torch_scatter(g: Any, x: Any, indices: Any) -> Any:
    settings = [2, 2], [2, 2], [0, 0], [1, 1], False
    return torch.ops.aten.max_pool2d_with_indices_backward(g, x, *settings, indices)


def torch_avg_pool(x: Any) -> Any:
    return torch.nn.functional.avg_pool2d(x, 2)


def torch_avg_pool_gradient(g: Any, x: Any) -> Any:
    return torch.ops.aten.avg_pool2d_backward(g, x, [2, 2], [2, 2], [0, 0], False, True, None)


def poolings() -> Iterator[Case]:
    """Windows of 2x2 that do not overlap. There are no weights: the images of all tasks are one batch."""
    setting = (2, 2), (2, 2), ((0, 0), (0, 0))
    for side, (tasks, n) in itertools.product((84, 42), BATCHES):
        size, total = (side, side), tasks * n
        x, g = normal(total, side, side, 32), normal(total, side // 2, side // 2, 32)
        _, indices = pooling.max_pool(x, *setting)
        maximum = [whole("metagrad", pooling.max_pool, x, *setting)]
        gather = [whole("metagrad", pooling.window_gather, x, indices, *setting)]
        scatter = [whole("metagrad", pooling.window_scatter, g, indices, size, *setting)]
        average = [whole("metagrad", pooling.avg_pool, x, *setting)]
        spread = [whole("metagrad", pooling.avg_pool_transpose, g, size, *setting)]
        for way in ways():
            images, cotangents = way.images(x[None]), way.images(g[None])
            pooled = torch.ops.aten.max_pool2d_with_indices
            places = [pooled(part, [2, 2])[1] for part in images]
            first = functools.partial(pooled, kernel_size=[2, 2])
            maximum.append(way.contender(first, lambda r, way=way: way.read_images([v for v, _ in r]), images))
            gather.append(way.contender(torch_gather, way.read_images, images, places))
            scatter.append(way.contender(torch_scatter, way.read_images, cotangents, images, places))
            average.append(way.contender(torch_avg_pool, way.read_images, images))
            spread.append(way.contender(torch_avg_pool_gradient, way.read_images, cotangents, images))
        shape = f"{side}x{side}x32, {total} images"
        moved = float(x.nbytes + g.nbytes)  # a gather meets every cache line of the images
        yield Case("pooling, max_pool", shape, maximum, moved + indices.nbytes)
        yield Case("pooling, window_gather", shape, gather, moved + indices.nbytes)
        yield Case("pooling, window_scatter", shape, scatter, moved + indices.nbytes)
        yield Case("pooling, avg_pool", shape, average, moved)
        yield Case("pooling, avg_pool_transpose", shape, spread, moved)


def torch_losses(logits: Any, labels: Any) -> Any:
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def torch_losses_gradient(g: Any, log_probabilities: Any, labels: Any, weight: Any) -> Any:
    aten = torch.ops.aten
    h = aten.nll_loss_backward(g, log_probabilities, labels, None, 0, -100, weight)
    return aten._log_softmax_backward_data(h, log_probabilities, 1, torch.float32)


def cross_entropies() -> Iterator[Case]:
    """The rows of a task-batched net, and as many as show what a row costs."""
    sizes = [(tasks * n, 5) for tasks, n in BATCHES]
    for rows, classes in [*sizes, (1 << 16, 20)]:
        logits, labels, g = normal(rows, classes), rng.integers(0, classes, rows), normal(rows)
        forward = [whole("metagrad", softmax_cross_entropy, logits, labels)]
        backward = [whole("metagrad", softmax_cross_entropy_gradient, logits, labels, g)]
        if torch is not None:
            theirs = [torch.from_numpy(v) for v in (logits, labels, g)]
            forward.append(whole("torch", torch_losses, *theirs[:2]))
            known = theirs[2], torch.log_softmax(theirs[0], 1), theirs[1], torch.tensor(float(rows))
            backward.append(whole("torch", torch_losses_gradient, *known))
        read = logits.nbytes + labels.nbytes + g.nbytes
        yield Case("softmax cross-entropy, losses", f"{rows} x {classes}", forward, float(read))
        yield Case("softmax cross-entropy, gradient", f"{rows} x {classes}", backward, float(read + logits.nbytes))


def erfs() -> Iterator[Case]:
    for tasks, n in BATCHES:
        x = normal(tasks * n, 14, 14, 64)
        theirs = [] if torch is None else [whole("torch", torch.erf, torch.from_numpy(x))]
        yield Case("erf", f"14x14x64, {tasks * n} images", [whole("metagrad", erf, x), *theirs], 2.0 * x.nbytes)


FAMILIES = (convolutions, normalizations, poolings, cross_entropies, erfs)


def measure_well(contenders: list[Contender], repeats: int) -> None:
    """All samples count: what is near the limit only has more of them."""
    measure(contenders, repeats)
    mine, *theirs = contenders
    if theirs and 1 / CLOSE < mine.median / min(c.median for c in theirs) / AT_MOST < CLOSE:
        measure(contenders, 3 * repeats)


def row_of(case: Case, most: dict[str, float]) -> dict[str, Any]:
    """What was measured of a case, as it is printed and written."""
    mine, *theirs = case.contenders
    fastest = min(theirs, key=lambda c: c.median, default=None)
    row = {
        "benchmark": f"kernel: {case.kernel}",
        "shape": case.shape,
        "needed": case.needed,
        "metagrad_s": mine.median,
        "torch_s": None if fastest is None else fastest.median,
        "torch": None if fastest is None else fastest.name,
        "speed": None if fastest is None else fastest.median / mine.median,
        "share": case.work / mine.median / most[case.of],
        "share_of": case.of,
        "samples": len(mine.seconds),
    }
    torchs = "" if fastest is None else f"{fastest.median * 1e6:9.1f} us  {row['speed']:7.2f}  {fastest.name}"
    title = f"{case.kernel}{'' if case.needed else ' *'}"
    print(f"{title:34}{case.shape:54}{mine.median * 1e6:9.1f} us  {row['share']:6.0%} {case.of:9}  {torchs}")
    return row


def targets(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """For each kernel, the shape on which it is slowest beside PyTorch."""
    compared = [row for row in rows if row["needed"] and row["speed"] is not None]
    for title in dict.fromkeys(row["benchmark"] for row in compared):
        worst = min((row for row in compared if row["benchmark"] == title), key=lambda row: row["speed"])
        ratio = 1 / worst["speed"]
        met = "met" if ratio <= AT_MOST else "MISSED"
        print(f"{title}, slowest beside torch: {worst['shape']}: {worst['speed']:.2f} x its speed: {met}")
        what = f"time on the shape that suits it least, {worst['shape']}"
        yield {"benchmark": title, "target": what, "peer": worst["torch"], "ratio": ratio, "at_most": AT_MOST}


def main() -> None:
    options = arguments(__doc__.splitlines()[0], repeats=9)
    announce()
    announce_threads()
    keep_freed_memory()  # as importing metagrad does; it serves all contenders
    most = {GEMM: gemm_peak(), BANDWIDTH: copy_bandwidth()}
    print(f"{GEMM} {most[GEMM] / 1e9:.0f} Gflop/s, {BANDWIDTH} {most[BANDWIDTH] / 1e9:.1f} GB/s")
    print(f"\n{'kernel':34}{'shape':54}{'metagrad':>12}  {'share of':16}  {'torch':>12}  {'speed':>7}")
    rows = []
    for case in itertools.chain.from_iterable(family() for family in FAMILIES):
        check_equal(case.contenders, TOLERANCE, say=False)
        measure_well(case.contenders, options.repeats)
        rows.append(row_of(case, most))
    print("* no net needs it: its images are data\n")
    write(options.json, [*rows, *targets(rows)])


if __name__ == "__main__":
    main()
