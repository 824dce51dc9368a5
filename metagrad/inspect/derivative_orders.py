"""Derivative orders as they are shown everywhere: a colour for each, and words."""

from __future__ import annotations

COLOURS = ("#0072B2", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#56B4E9", "#8A7F00", "#7A4EAB")
"""By order. The first six are of Okabe and Ito 2008, told apart with any kind of colour vision; all differ in print."""

BEYOND = "#6E7781"
"""Of all orders after the last colour's: a legend has one entry for them."""

_WORDS = ("the function itself", "made by a derivative", "made by a derivative of a derivative")


def colour(order: int) -> str:
    return COLOURS[order] if order < len(COLOURS) else BEYOND


def tint(order: int) -> str:
    """The order's colour, a tenth of it in white: a ground for text."""
    own = colour(order)
    return "#" + "".join(f"{round(229.5 + 0.1 * int(own[k : k + 2], 16)):02x}" for k in (1, 3, 5))


def meaning(order: int) -> str:
    """What equations of an order are, in words."""
    return _WORDS[order] if order < len(_WORDS) else f"a derivative taken {order} times"


def key(counts: dict[int, int]) -> list[tuple[str, str, int]]:
    """A legend for so many equations of each order: colours, each once, with what it stands for and its equations."""
    entries = [(colour(k), f"order {k}, {meaning(k)}", counts[k]) for k in sorted(counts) if k < len(COLOURS)]
    if beyond := [k for k in sorted(counts) if k >= len(COLOURS)]:
        said = f"order {len(COLOURS)} and more, up to {beyond[-1]}"
        entries.append((BEYOND, said, sum(counts[k] for k in beyond)))
    return entries
