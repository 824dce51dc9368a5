"""How the pictures of the experiments look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def save_all(out: Path, pictures: Mapping[str, Callable[[Any], Any]]) -> list[str]:
    """Draw each picture by its function of pyplot, which may return None for none; the names of those there are."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = []
    with plt.style.context("metagrad.figures"):
        for name, draw in pictures.items():
            figure = draw(plt)
            if figure is not None:
                figure.savefig(out / name)
                names.append(name)
        plt.close("all")
    return names


def smooth(iterations: Any, values: Any, most: int = 40) -> tuple[Any, Any]:
    """Means of consecutive runs of values, `most` of them or fewer: a single meta-batch is noisy."""
    parts = min(most, len(values))
    means = [[a.mean() for a in np.array_split(array, parts)] for array in (iterations, values)]
    return means[0], means[1]
