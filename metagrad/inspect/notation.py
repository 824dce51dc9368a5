"""How an equation is written: as on a page of mathematics, with the field's signs where there are any."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..core.graph import Var
from ..ops.activations import Masked
from ..ops.affine import Affine, AffinePullback
from ..ops.arithmetic import Add, AddScaled, Divide, Multiply, Negative, PowScalar, Sqrt, Square, Subtract
from ..ops.contraction import Contract
from ..ops.indexing import Slice
from ..ops.predicates import Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual

if TYPE_CHECKING:
    from ..core.graph import Equation
    from .program import Program, Step

SIGNS: dict[type, str] = {
    Add: "{} + {}",
    Subtract: "{} - {}",
    Multiply: "{} * {}",
    Divide: "{} / {}",
    Negative: "-{}",
    Square: "{}²",
    Sqrt: "√{}",
    Equal: "{} == {}",
    NotEqual: "{} != {}",
    Less: "{} < {}",
    LessEqual: "{} <= {}",
    Greater: "{} > {}",
    GreaterEqual: "{} >= {}",
    Masked: "{1} where {0} > 0",
}
_SHORT = {"float": "f", "int": "i", "uint": "u", "bfloat": "bf", "bool": "bool"}


def array_type(x: Any) -> str:
    """dtype and shape: f32[5, 28, 28, 1]."""
    name = str(x.dtype)
    kind = name.rstrip("0123456789")
    return f"{_SHORT.get(kind, kind)}{name[len(kind) :]}[{', '.join(map(str, x.shape))}]"


def formula(program: Program, step: Step) -> str:
    """The right side of an equation: `a @ b + c`, `tanh(d)`, `sum(e; axes 0 1)`."""
    return written(step.primitive, [program.name(x) for x in step.inputs])


def line(equation: Equation) -> str:
    """An equation alone, with the graph's own letters."""
    names = [x.name if isinstance(x, Var) else repr(x) for x in equation.inputs]
    left, types = zip(*[(x.name, array_type(x)) for x in equation.outputs], strict=True)
    return f"{', '.join(left)} = {written(equation.primitive, names)}  {', '.join(types)}"


def written(primitive: Any, names: list[str]) -> str:
    """A primitive of operands that are called so."""
    if type(primitive) in SIGNS:
        return SIGNS[type(primitive)].format(*names)
    match primitive:
        case Contract():
            return _product(primitive, *names)
        case Affine():
            return f"{written(primitive.product, names[:2])} + {names[2]}"
        case AffinePullback():
            return f"{written(primitive.product.of_second, names)}, {_call(primitive.sum, names[1:])}"
        case AddScaled():
            sign = "-" if primitive.scale < 0 else "+"
            return f"{names[0]} {sign} {abs(primitive.scale):g} * {names[1]}"
        case PowScalar():
            return f"{names[0]} ** {primitive.exponent:g}"
        case Slice():
            return f"{names[0]}[{', '.join(map(_index, primitive.index))}]"
    return _call(primitive, names)


def _product(primitive: Contract, x: str, y: str) -> str:
    """As a product of matrices where it is one of the last two axes, else by its letters."""
    a, b, out = primitive.a, primitive.b, primitive.out
    rows, columns = out[-2:-1], out[-1:]
    inner = [c for c in a if c in b and c not in out]
    if len(inner) == 1 and {len(a), len(b)} <= {len(out), 2} and len(out) >= 2:
        (k,) = inner
        if rows in b and columns in a:
            a, b, x, y = b, a, y, x
        lefts, rights = {rows + k: x, k + rows: f"{x}ᵀ"}, {k + columns: y, columns + k: f"{y}ᵀ"}
        if a[-2:] in lefts and b[-2:] in rights and {a[:-2], b[:-2]} <= {out[:-2], ""}:
            return f"{lefts[a[-2:]]} @ {rights[b[-2:]]}"
    if len(inner) == 1 and 1 in (len(a), len(b)) and (a[:-1] + b[1:] == out or (len(a) == 1 and b[-2:-1] == a)):
        return f"{x} @ {y}"  # a vector among them
    return f"einsum({primitive.a},{primitive.b}->{out}; {x}, {y})"


def _call(primitive: Any, names: list[str]) -> str:
    settings = [_setting(primitive, f.name) for f in fields(primitive) if f.repr] if primitive.params else []
    said = " ".join(s for s in settings if s)
    return f"{primitive.name}({', '.join(names)}{'; ' + said if said else ''})"


_SAID_BY_SHAPES = {"keepdims", "shape", "size", "x", "w", "y"}


def _setting(primitive: Any, name: str) -> str:
    """A static parameter, where it says more than the shapes do."""
    value = getattr(primitive, name)
    if name in _SAID_BY_SHAPES or value in (None, (), ((0, 0), (0, 0))):
        return ""
    if name == "window" and "geometry" in primitive.params:
        return ""
    if name == "geometry":
        pairs = [(what, getattr(value, what)) for what in ("stride", "dilation")]
        return " ".join(f"{what} {_pair(pair)}" for what, pair in pairs if pair != (1, 1))
    if name in ("window", "stride", "dilation"):
        return f"{name} {_pair(value)}"
    if isinstance(value, tuple) and all(isinstance(v, int) for v in value):
        return f"{name} {' '.join(map(str, value))}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _pair(value: tuple[int, int]) -> str:
    return str(value[0]) if value[0] == value[1] else f"{value[0]}x{value[1]}"


def _index(item: Any) -> str:
    """An integer, a new axis, an ellipsis or a slice, as it is written in an index."""
    if not isinstance(item, tuple):
        return "..." if item is Ellipsis else str(item)
    start, stop, step = ("" if b is None else str(b) for b in item)
    return f"{start}:{stop}" + (f":{step}" if step else "")


def left_side(program: Program, step: Step) -> str:
    return ", ".join(program.name(x) for x in step.outputs)


def count(n: float, unit: str = "") -> str:
    """A number of things in three digits: 3.2 M, 14."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            scaled = n / size
            digits = 0 if scaled >= 100 else 1
            return f"{scaled:.{digits}f} {letter}{unit}"
    return f"{n:g} {unit}".rstrip()


def many(n: int, thing: str) -> str:
    """`1 equation`, `2 equations`."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def where(path: tuple[str, ...]) -> str:
    """A path in words. A stroke inside a name is another character, so that no two paths are written alike."""
    return " / ".join([part.replace(" / ", " \N{DIVISION SLASH} ") for part in path])
