"""Data tests see no data of this machine: an empty cache folder of their own, and no METAGRAD_DATA."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder, which is not made yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("METAGRAD_CACHE", str(folder))
    monkeypatch.delenv("METAGRAD_DATA", raising=False)
    return folder
