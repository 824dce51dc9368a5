"""All that can be asked of second derivatives, at random points, in one call: what a test calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, requires
from .checks import check_gradients
from .options import require_numbers, require_whole
from .products import check_hvp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .report import Report


def check_second_order(
    f: Callable[..., Any],
    *args: Any,
    examples: int = 3,
    modes: Sequence[str] | None = None,
    seed: int = 0,
    rtol: float = 1e-10,
    min_digits: float = 4.0,
) -> list[Report]:
    """Check f's first and second derivatives in all modes and its Hessian-vector products, at random points.

    Of the args, a shape (a tuple of numbers) stands for an array drawn anew for each of the `examples`, with entries of
    either sign and sizes from 0.3 to 1.5; anything else is an argument as it is. f and `modes` as for
    `check_gradients`, as are `rtol` and `min_digits`.

    Returns the reports, two for each example; raises what the checks raise, with the example's seed in it.

    >>> import metagrad as mg
    >>> len(check_second_order(lambda w, x: mg.tanh(x @ w), (3, 2), (4, 3)))
    6
    """
    __tracebackhide__ = True
    require_whole("check_second_order", "examples", examples, 1)
    require_numbers("check_second_order", rtol=rtol, min_digits=min_digits, seed=seed)
    reports = []
    for example in range(seed, seed + examples):
        rng = np.random.default_rng(example)
        point = [_drawn(rng, a) if _is_shape(a) else a for a in args]
        reports.append(check_gradients(f, point, order=2, modes=modes, seed=example, rtol=rtol, min_digits=min_digits))
        products = None if modes is None or "forward" in modes else ("reverse_over_reverse",)
        reports.append(check_hvp(f, point, modes=products, seed=example, rtol=rtol, min_digits=min_digits))
    return reports


def _is_shape(a: Any) -> bool:
    if isinstance(a, list) and a and all(type(n) is int for n in a):
        raise OptionError(requires("check_second_order", f"a tuple for a shape, such as {tuple(a)},", f"the list {a}"))
    if not isinstance(a, tuple) or not all(type(n) is int for n in a):
        return False
    if any(n < 0 for n in a):
        raise OptionError(requires("check_second_order", "a shape of numbers of at least 0", repr(a)))
    return True


def _drawn(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 1.5, shape)
