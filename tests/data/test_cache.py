"""The cache of decoded pictures: it saves the decoding, and nothing that is wrong ever comes out of it."""

import os

import archives
import numpy as np
import pytest

from metagrad import data
from metagrad.data import omniglot_files


@pytest.fixture
def zips(tmp_path):
    return archives.write_zips(tmp_path / "zips")


@pytest.fixture
def decoded(monkeypatch):
    """How often pictures were decoded."""
    calls = []
    original = omniglot_files.read_classes
    monkeypatch.setattr(omniglot_files, "read_classes", lambda *a, **k: calls.append(1) or original(*a, **k))
    return calls


def read(where, **options):
    return data.omniglot(where, subset=True, progress=False, **options)


def kept(cache):
    return sorted((cache / "decoded").iterdir())


def same(a, b):
    np.testing.assert_array_equal(a.images, b.images)
    assert (a.names, a.groups, a.counts.tolist()) == (b.names, b.groups, b.counts.tolist())


def test_pictures_are_decoded_once(zips, cache, decoded):
    same(read(zips), read(zips))
    assert len(decoded) == 1
    assert len(kept(cache)) == 1


@pytest.mark.parametrize("options", [{"resample": "lanczos"}, {"size": 14}])
def test_another_setting_is_another_entry(zips, cache, decoded, options):
    first, second = read(zips), read(zips, **options)
    assert first.images.shape != second.images.shape or (first.images != second.images).any()
    same(read(zips, **options), second)
    assert len(decoded) == len(kept(cache)) == 2


def test_a_source_that_changed_is_read_again(tmp_path, decoded):
    folder = archives.write_folders(tmp_path / "data")
    before = read(folder, size=archives.SIDE)
    path = folder / "images_background/Korean/character01/0007_02.png"
    path.write_bytes(archives.png(np.zeros((105, 105), bool)))
    after = read(folder, size=archives.SIDE)
    k = after.names.index("Korean/character01")
    assert after.images[k, 1].max() == 0 < before.images[k, 1].max()
    assert len(decoded) == 2


def test_a_zip_of_another_time_is_read_again(zips, decoded):
    read(zips)
    os.utime(zips / "images_background.zip", (1, 1))
    read(zips)
    assert len(decoded) == 2


def cut_off(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut_off, flipped, lambda content: b"", lambda content: b"no zip at all"])
def test_a_broken_entry_is_made_again(zips, cache, decoded, damage):
    good = read(zips)
    (entry,) = kept(cache)
    entry.write_bytes(damage(entry.read_bytes()))
    with pytest.warns(UserWarning, match="cannot be used and is made again"):
        same(read(zips), good)
    same(read(zips), good)
    assert len(decoded) == 2


def test_an_entry_that_was_made_of_something_else_is_made_again(zips, cache, decoded):
    read(zips, resample="nearest")
    (nearest,) = kept(cache)
    lanczos = read(zips, resample="lanczos")
    (other,) = set(kept(cache)) - {nearest}
    other.write_bytes(nearest.read_bytes())
    with pytest.warns(UserWarning, match="made of something else"):
        same(read(zips, resample="lanczos"), lanczos)


def test_a_cache_folder_that_cannot_be_written_only_costs_time(zips, cache, decoded):
    cache.mkdir()
    (cache / "decoded").write_text("a file where the folder should be")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"decoded anew each time") as warned:
            assert len(read(zips)) == 18
        assert warned
    assert len(decoded) == 2


def test_an_entry_that_could_not_be_finished_leaves_nothing(zips, cache, monkeypatch):
    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.warns(UserWarning, match="No space left"):
        read(zips)
    assert kept(cache) == []


def test_the_cache_folder_follows_the_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("METAGRAD_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for platform, expected in (
        ("linux", "xdg/metagrad"),
        ("darwin", "Library/Caches/metagrad"),
    ):
        monkeypatch.setattr("sys.platform", platform)
        assert data.cache_folder() == tmp_path / expected
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert data.cache_folder() == tmp_path / "Local" / "metagrad"
