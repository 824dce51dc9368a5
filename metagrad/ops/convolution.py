"""Convolution as a family of three bilinear primitives, closed under differentiation.

Images x, weights w and results y: of any three such arrays, two determine <y, convolution(x, w)> as a linear function
of the third. The three primitives give that function as an array in the role of y, of x and of w. So the derivative of
each with respect to an operand is the member of the family that gives the operand's role, whatever the order.

Leading axes are named by letters, as in the contraction: "tn", "t", "tn" are images of tasks with weights of their own,
"n", "", "n" images that share their weights, "n", "t", "tn" images that all tasks look at. In the member that gives one
role, letters of the two others that this role lacks are summed over.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

import metagrad_kernels.convolution as kernels

from ..core.primitive import Aval
from ..errors import DTypeError, OptionError, ShapeError, requires
from . import windows
from .affine import Affine
from .arithmetic import add
from .bilinear import Bilinear, added
from .contraction import LETTERS, broadcast_letters
from .elementwise import common_device, shape_of
from .shape import moveaxis, reshape
from .windows import Pair, padding_pairs, pair, positive

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.trace import Value

_CORE_AXES = {"x": "..<", "w": "..<>", "y": "..>"}
"""Height and width, input channels, output channels."""


class _Layout(NamedTuple):
    """How an array in one role, leading axes and all, becomes an operand of the kernels' contract.

    Attributes:
        letters: of its leading axes.
        order: its axes, sorted into the five groups that the kernels know.
        back: the axes of the sorted array, in the array's own order.
        lengths: how many axes each group has.
    """

    letters: str
    order: tuple[int, ...]
    back: tuple[int, ...]
    lengths: tuple[int, ...]

    def sort(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple([shape[k] for k in self.order])

    def merge(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the operand."""
        ends = itertools.accumulate(self.lengths, initial=0)
        ordered = self.sort(shape)
        return tuple([math.prod(ordered[a:b]) for a, b in itertools.pairwise(ends)])


class _Shapes(NamedTuple):
    """Of the kernel's operands, of its result with the axes apart, and of the result in the array's own order."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    apart: tuple[int, ...]
    result: tuple[int, ...]


@functools.lru_cache(4096)
def _shapes(member: _Member, a: tuple[int, ...], b: tuple[int, ...]) -> _Shapes:
    first, second, result = [member.layouts[role] for role in member.roles]
    shape = member.shape_of_result(a, b)
    return _Shapes(first.merge(a), second.merge(b), result.sort(shape), shape)


@dataclass(frozen=True, eq=False, repr=False)
class _Member(Bilinear):
    """One of the family. `x`, `w` and `y` name the leading axes of the three roles; `size` is that of the images."""

    roles: ClassVar[tuple[str, str, str]]
    """Of the two operands and of the result."""
    x: str
    w: str
    y: str
    geometry: kernels.Geometry
    size: Pair
    window: Pair

    def kernel(self, a: Any, b: Any) -> Any:
        """The result for operands of the kernels' contract."""
        raise NotImplementedError

    @functools.cached_property
    def layouts(self) -> dict[str, _Layout]:
        """By role. Letters of all three are the axis of tasks; of two, the number of images (x and y), or more channels
        in (x and w) or out (w and y)."""
        x, w, y = self.x, self.w, self.y
        tasks = [c for c in y if c in x and c in w]
        images = [c for c in y if c in x and c not in w]
        inputs = [c for c in x if c in w and c not in y]
        outputs = [c for c in y if c in w and c not in x]
        groups: dict[str, tuple[list[Any], ...]] = {
            "x": (tasks, images, [0], [1], [*inputs, 2]),
            "w": (tasks, [0], [1], [*inputs, 2], [*outputs, 3]),
            "y": (tasks, images, [0], [1], [*outputs, 2]),
        }
        found = {}
        for role, letters in zip("xwy", (x, w, y), strict=True):
            axes = [len(letters) + k if isinstance(k, int) else letters.index(k) for g in groups[role] for k in g]
            back = tuple([axes.index(k) for k in range(len(axes))])
            found[role] = _Layout(letters, tuple(axes), back, tuple(map(len, groups[role])))
        return found

    def shape_of_result(self, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
        known: dict[str, int] = {}
        for role, shape in zip(self.roles, (a, b), strict=False):
            names = self.layouts[role].letters + _CORE_AXES[role]
            if len(shape) != len(names):
                need = f"an operand {role} with leading axes {self.layouts[role].letters!r}"
                raise ShapeError(requires(self.name, need, f"shape {shape}"))
            known.update(zip(names, shape, strict=True))
        lead = tuple([known[c] for c in self.layouts[self.roles[2]].letters])
        if self.roles[2] == "w":
            return (*lead, *self.window, known["<"], known[">"])
        if self.roles[2] == "x":
            return (*lead, *self.size, known["<"])
        return (*lead, *self.geometry.output_size(self.size, self.window), known[">"])

    def forward(self, a: Any, b: Any, start: Any = None) -> Any:
        output = self._run(a, b, lambda *operands: _complex(self.kernel, *operands))
        return output if start is None else added(output, start)

    def _run(self, a: Any, b: Any, kernel: Callable[[Any, Any], Any]) -> Any:
        """A kernel on operands and with a result that lie as the layouts say."""
        shapes = _shapes(self, a.shape, b.shape)
        first, second, result = [self.layouts[role] for role in self.roles]
        a, b = a.transpose(first.order).reshape(shapes.first), b.transpose(second.order).reshape(shapes.second)
        return kernel(a, b).reshape(shapes.apart).transpose(result.back)

    def abstract(self, a: Any, b: Any) -> Aval:
        shape = self.shape_of_result(tuple(a.shape), tuple(b.shape))
        return Aval(shape, np.result_type(a.dtype, b.dtype), common_device(self.name, (a, b)))

    def flops(self, output: Any, *operands: Any) -> int:
        """A multiplication and an addition for each number of y and of a window over all input channels; where the
        window hangs over the edge, too."""
        shapes = dict(zip(self.roles, (*(v.shape for v in operands), output.shape), strict=True))
        sizes = {c: n for role in "xwy" for c, n in zip(self.layouts[role].letters, shapes[role], strict=False)}
        places = self.geometry.output_size(self.size, self.window)
        return 2 * math.prod((*sizes.values(), *places, *shapes["w"][-4:]))

    def vjp(self, i: int, cotangent: Value, output: Any, *operands: Value) -> Value:
        roles = {self.roles[2]: cotangent, self.roles[1 - i]: operands[1 - i]}
        member = _FAMILY[self.roles[i]](self.x, self.w, self.y, self.geometry, self.size, self.window)
        return member.bind(*[roles[role] for role in member.roles[:2]])

    def batched(self, which: tuple[bool, ...]) -> _Member:
        return _batched(self, which)


@functools.lru_cache(4096)
def _batched(member: _Member, batched: tuple[bool, ...]) -> _Member:
    new = next(c for c in LETTERS if c not in member.x + member.w + member.y)
    mapped = dict(zip(member.roles, (*batched, True), strict=True))
    x, w, y = (new * mapped[role] + member.layouts[role].letters for role in "xwy")
    return type(member)(x, w, y, member.geometry, member.size, member.window)


class Convolution(_Member):
    """y from x and w."""

    roles = ("x", "w", "y")

    @functools.cached_property
    def of_second(self) -> ConvolutionWeightGradient:
        return ConvolutionWeightGradient(self.x, self.w, self.y, self.geometry, self.size, self.window)

    def kernel(self, a: Any, b: Any) -> Any:
        return kernels.convolution(a, b, self.geometry)

    def forward(self, a: Any, b: Any, start: Any = None) -> Any:
        if start is None or not a.dtype == b.dtype == start.dtype or start.dtype.kind == "c":
            return super().forward(a, b, start)
        bias = self._bias(start, _shapes(self, a.shape, b.shape).result)
        if bias is None:
            return super().forward(a, b, start)
        return self._run(a, b, lambda x, w: kernels.convolution(x, w, self.geometry, bias))

    def _bias(self, start: Any, shape: tuple[int, ...]) -> Any:
        """`start` as the kernel takes it, (tasks, channels out); None where it differs between pixels or images."""
        order, (tasks, *others, _) = self.layouts["y"].order, self.layouts["y"].lengths
        last = tasks + sum(others)
        start = start.reshape((1,) * (len(shape) - start.ndim) + start.shape)
        if any(start.shape[k] != 1 for k in order[tasks:last]):
            return None
        kept = order[:tasks] + order[last:]
        start = np.broadcast_to(start, [n if k in kept else 1 for k, n in enumerate(shape)]).transpose(order)
        return start.reshape(math.prod(start.shape[:tasks]), -1)


class ConvolutionInputGradient(_Member):
    """x from y and w: the transpose of the convolution with w."""

    roles = ("y", "w", "x")

    def kernel(self, a: Any, b: Any) -> Any:
        return kernels.input_gradient(a, b, self.geometry, self.size)


class ConvolutionWeightGradient(_Member):
    """w from x and y: the transpose of the convolution of x."""

    roles = ("x", "y", "w")

    def kernel(self, a: Any, b: Any) -> Any:
        return kernels.weight_gradient(a, b, self.geometry, self.window)


_FAMILY: dict[str, type[_Member]] = {
    "x": ConvolutionInputGradient,
    "w": ConvolutionWeightGradient,
    "y": Convolution,
}


def _complex(bilinear: Any, a: Any, b: Any) -> Any:
    """A bilinear function of real arrays on operands that may be complex, or of two types."""
    dtype = np.result_type(a, b)
    if dtype.kind == "c":
        real = _complex(bilinear, a.real, b.real) - _complex(bilinear, a.imag, b.imag)
        return real + 1j * (_complex(bilinear, a.real, b.imag) + _complex(bilinear, a.imag, b.real))
    return bilinear(a.astype(dtype, copy=False), b.astype(dtype, copy=False))


def conv2d(
    x: Any,
    w: Any,
    /,
    bias: Any = None,
    *,
    stride: Any = 1,
    padding: Any = "SAME",
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The convolution of images (..., h, w, c) with weights (..., kh, kw, c / groups, o): (..., oh, ow, o).

    With stride s, dilation d and padding p before the first pixel,

        y[i, j, o] = sum over a, b, c of x[i s + a d - p, j s + b d - p, c] w[a, b, c, o]

    where x is 0 outside the image; the kernel is not flipped. Leading axes of images and weights broadcast. `stride`
    and `dilation` are an integer or one for each axis. `padding` is "SAME" (ceil(h / stride) rows come out, the smaller
    half of the padding comes first, as in TensorFlow and JAX), "VALID" (none) or ((top, bottom), (left, right)). With
    `groups`, the k-th part of the output channels sees only the k-th part of the input channels. A `bias` (o) is added.

    Raises ShapeError for shapes that do not fit, OptionError for settings out of range, DTypeError unless both are
    floating-point.

    >>> import metagrad as mg
    >>> mg.nn.conv2d(mg.ones((2, 28, 28, 3)), mg.ones((3, 3, 3, 64)), stride=2).shape
    (2, 14, 14, 64)
    """
    name = "conv2d"
    _check_ranks(name, x, w)
    kh, kw, inputs, outputs = w.shape[-4:]
    groups = _group_count(name, groups, outputs)
    if x.shape[-1] != inputs * groups:
        need = f"images of {inputs * groups} channels for weights {w.shape} in {groups} group(s)"
        raise ShapeError(requires(name, need, f"images of shape {x.shape}"))
    size = (x.shape[-3], x.shape[-2])
    if 0 in size:
        raise ShapeError(requires(name, "images of at least one pixel", f"shape {x.shape}"))
    geometry = _geometry(name, size, (kh, kw), stride, padding, dilation)
    if min(windows.output_size(size, (kh, kw), *geometry)) < 1:
        need = f"images at least as large as the window {(kh, kw)}, {padding} padding and dilation {dilation}"
        raise ShapeError(requires(name, need, f"images of shape {x.shape}"))
    if bias is not None and shape_of(bias) != (outputs,):
        raise ShapeError(requires(name, f"a bias of shape {(outputs,)}", f"shape {shape_of(bias)}"))
    return _grouped(Convolution, name, x, w, geometry, size, groups, bias)


def conv2d_transpose(
    x: Any,
    w: Any,
    /,
    *,
    stride: Any = 1,
    padding: Any = "SAME",
    dilation: Any = 1,
    groups: int = 1,
    output_size: Any = None,
) -> Any:
    """The transpose of `conv2d` with the same weights and settings: images (..., oh, ow, o) and weights
    (..., kh, kw, c / groups, o) to (..., h, w, c).

    For all u, <conv2d(u, w), x> = <u, conv2d_transpose(x, w)>: it is what conv2d's gradient for its images computes.
    Several sizes (h, w) may lead to the same (oh, ow); `output_size` names one of them. By default it is (oh, ow) times
    the stride for "SAME", else the smallest.

    Raises ShapeError for shapes that do not fit, OptionError for settings out of range, DTypeError unless both are
    floating-point.

    >>> import metagrad as mg
    >>> mg.nn.conv2d_transpose(mg.ones((2, 14, 14, 64)), mg.ones((3, 3, 3, 64)), stride=2).shape
    (2, 28, 28, 3)
    """
    name = "conv2d_transpose"
    _check_ranks(name, x, w)
    kh, kw, _, outputs = w.shape[-4:]
    groups = _group_count(name, groups, outputs)
    if x.shape[-1] != outputs:
        raise ShapeError(requires(name, f"images of {outputs} channels for weights {w.shape}", f"shape {x.shape}"))
    stride, dilation = pair(name, "stride", stride), pair(name, "dilation", dilation)
    size: Pair
    if output_size is not None:
        size = pair(name, "output_size", output_size)
    elif isinstance(padding, str) and padding == "SAME":
        size = (x.shape[-3] * stride[0], x.shape[-2] * stride[1])
    else:
        pads = padding_pairs(name, padding, (1, 1), (kh, kw), stride, dilation)
        high, wide = (
            (n - 1) * s + d * (k - 1) + 1 - sum(p)
            for n, s, d, k, p in zip(x.shape[-3:-1], stride, dilation, (kh, kw), pads, strict=True)
        )
        size = (high, wide)
    if min(size) < 1:
        raise ShapeError(requires(name, f"images that make some of a positive size with padding {padding}", f"{size}"))
    geometry = _geometry(name, size, (kh, kw), stride, padding, dilation)
    made = windows.output_size(size, (kh, kw), *geometry)
    if made != tuple(x.shape[-3:-1]):
        raise ShapeError(requires(name, f"the {made} that conv2d makes of images {size}", f"images of shape {x.shape}"))
    return _grouped(ConvolutionInputGradient, name, x, w, geometry, size, groups)


def _check_ranks(name: str, x: Value, w: Value) -> None:
    if len(shape_of(x)) < 3:
        raise ShapeError(requires(name, "images of shape (..., h, w, c)", f"shape {shape_of(x)}"))
    if len(shape_of(w)) < 4:
        raise ShapeError(requires(name, "weights of shape (..., kh, kw, c, o)", f"shape {shape_of(w)}"))
    if not all(v.dtype.kind == "f" and v.dtype.itemsize in (4, 8) for v in (x, w)):
        raise DTypeError(requires(name, "images and weights of float32 or float64", f"{x.dtype} and {w.dtype}"))
    if min(w.shape[-4:-2]) < 1:
        raise ShapeError(requires(name, "a window of at least one tap", f"weights of shape {w.shape}"))


def _group_count(name: str, groups: Any, outputs: int) -> int:
    count = positive(name, "groups", groups)
    if outputs % count:
        raise OptionError(requires(name, f"groups that divide the weights' {outputs} output channels", f"{count}"))
    return count


def _geometry(name: str, size: Pair, window: Pair, stride: Any, padding: Any, dilation: Any) -> kernels.Geometry:
    stride, dilation = pair(name, "stride", stride), pair(name, "dilation", dilation)
    return kernels.Geometry(stride, padding_pairs(name, padding, size, window, stride, dilation), dilation)


def _grouped(
    member: type[_Member],
    name: str,
    x: Value,
    w: Value,
    geometry: kernels.Geometry,
    size: Pair,
    groups: int,
    bias: Value | None = None,
) -> Value:
    """The member's result for images x in its first role; groups are one more leading axis of all three."""
    letters = broadcast_letters(tuple(x.shape[:-3]), tuple(w.shape[:-4]))
    if letters is None:
        raise ShapeError(requires(name, "leading axes that broadcast", f"images {x.shape} and weights {w.shape}"))
    first, second, result, x_lead, w_lead = letters
    window = (w.shape[-4], w.shape[-3])
    if x_lead is not None:
        x = reshape(x, (*x_lead, *x.shape[-3:]))
    if w_lead is not None:
        w = reshape(w, (*w_lead, *w.shape[-4:]))
    if groups > 1:
        x, w = _groups_first(x, groups), _groups_first(w, groups)
        new = LETTERS[len(result)]
        first, second, result = new + first, new + second, new + result
    named = {member.roles[0]: first, "w": second, member.roles[2]: result}
    product = member(named["x"], named["w"], named["y"], geometry, size, window)
    if groups == 1:
        return product.bind(x, w) if bias is None else Affine(product, (len(result) + 2,)).bind(x, w, bias)
    out = moveaxis(product.bind(x, w), 0, -2)
    out = reshape(out, (*out.shape[:-2], groups * out.shape[-1]))
    return out if bias is None else add(out, bias)


def _groups_first(x: Value, groups: int) -> Value:
    return moveaxis(reshape(x, (*x.shape[:-1], groups, x.shape[-1] // groups)), -2, 0)
