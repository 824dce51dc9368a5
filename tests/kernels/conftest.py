"""What the tests of kernels share."""

from __future__ import annotations

import pytest

from metagrad_kernels import threads
from metagrad_kernels.convolution import cuda


@pytest.fixture
def use_threads(monkeypatch):
    """A function that lets so many threads work, on the smallest job too."""
    before = threads.threads
    monkeypatch.setattr(threads, "WORTH", 0)
    monkeypatch.setattr(threads, "WORTH_WAKING", 0)
    yield threads.use
    threads.use(before)


@pytest.fixture
def use_tile(monkeypatch):
    """One tile for every size of a convolution."""

    def forget_plans():
        cuda._gathering.cache_clear()
        cuda._outer.cache_clear()

    def use(kernel, arithmetic, tile):
        monkeypatch.setitem(cuda.TILES, (kernel, arithmetic), (tile,))
        forget_plans()

    yield use
    forget_plans()
