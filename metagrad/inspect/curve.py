"""Live memory along time, drawn over the derivative orders of the equations that run."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from .derivative_orders import colour
from .notation import count

if TYPE_CHECKING:
    from .cost import Cost

_WIDTH, _HEIGHT, _LEFT, _TOP = 640.0, 150.0, 70.0, 22.0


def memory_curve(cost: Cost) -> str:
    """The curve as SVG text: bytes against the number of the equation, under it the orders, and the peak marked."""
    n, peak = len(cost.live), max(cost.peak, 1)
    step = _WIDTH / max(n, 1)

    def y(size: float) -> float:
        return _TOP + _HEIGHT * (1 - size / peak)

    line = " ".join(
        f"H{_LEFT + k * step:.1f}V{y(size):.1f}H{_LEFT + (k + 1) * step:.1f}" for k, size in enumerate(cost.live)
    )
    floor = _TOP + _HEIGHT
    area = f"M{_LEFT} {floor}{line}V{floor}Z" if n else ""
    strip, at = "", 0
    for order, group in itertools.groupby(cost.orders):
        size = len(list(group))
        strip += (
            f'<rect x="{_LEFT + at * step:.1f}" y="{floor + 3}" width="{size * step:.2f}" height="8" '
            f'fill="{colour(order)}"><title>order {order}</title></rect>'
        )
        at += size
    marks = "".join(
        f'<path d="M{_LEFT} {y(size):.1f}H{_LEFT + _WIDTH}" stroke="#d0d7de" stroke-dasharray="2 3"/>'
        f'<text x="{_LEFT - 6}" y="{y(size) + 4:.1f}" text-anchor="end">{count(size, "B")}</text>'
        for size in (0, peak / 2, peak)
    )
    x = _LEFT + (cost.peak_at + 0.5) * step
    side = "end" if x > _LEFT + _WIDTH / 2 else "start"
    said = f"peak {count(cost.peak, 'B')} at equation {cost.peak_at + 1}"
    ends = (
        f'<circle cx="{x:.1f}" cy="{y(cost.peak):.1f}" r="3.5" fill="#D55E00"/>'
        f'<text x="{x:.1f}" y="{y(cost.peak) - 8:.1f}" text-anchor="{side}" fill="#1b1f24">{said}</text>'
        f'<text x="{_LEFT}" y="{floor + 25}">equation 1</text>'
        f'<text x="{_LEFT + _WIDTH}" y="{floor + 25}" text-anchor="end">equation {n}</text>'
    )
    if not n:
        said, ends = "no equations", f'<text x="{_LEFT}" y="{floor + 25}">no equations</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="curve" viewBox="0 0 {_LEFT + _WIDTH + 10} {floor + 32}" '
        f'width="{_LEFT + _WIDTH + 10}" height="{floor + 32}" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="#57606a" role="img" aria-label="live memory, {said}">{marks}'
        f'<path d="{area}" fill="#0072B2" fill-opacity="0.18" stroke="#0072B2" stroke-width="1"/>{strip}{ends}</svg>'
    )
