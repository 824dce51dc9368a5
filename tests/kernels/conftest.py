"""What the tests of kernels share."""

from __future__ import annotations

import pytest

from metagrad_kernels import threads


@pytest.fixture
def use_threads(monkeypatch):
    """A function that lets so many threads work, on the smallest job too."""
    before = threads.threads
    monkeypatch.setattr(threads, "WORTH", 0)
    monkeypatch.setattr(threads, "WORTH_WAKING", 0)
    yield threads.use
    threads.use(before)
